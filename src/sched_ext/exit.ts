import type { ScxConsts } from './consts.js';

/** Why a scheduler went (kernel: struct scx_exit_info). */
export interface ExitInfo {
  kind: number;
  /** `UNREG`, `ERROR_BPF`… : enum scx_exit_kind without its prefix. */
  kindName: string;
  code: bigint;
  /** CPU that the exit was claimed on, -1 where the kernel does not know. */
  cpu: number;
  reason: string;
  message: string;
  /** The debug dump of an error, '' before it is made. */
  dump: string;
  /** Where in its source the scheduler made the mistake, or after which op the kernel found it; what a backtrace would tell. */
  place?: string;
}

const MESSAGE_LEN = 1024;

/** Names and reasons by kind (scx_exit_reason). */
const REASONS: readonly (readonly [keyof ScxConsts['exit'], string, string])[] = [
  ['unreg', 'UNREG', 'unregistered from user space'],
  ['unregBpf', 'UNREG_BPF', 'unregistered from BPF'],
  ['unregKern', 'UNREG_KERN', 'unregistered from the main kernel'],
  ['sysrq', 'SYSRQ', 'disabled by sysrq-S'],
  ['error', 'ERROR', 'runtime error'],
  ['errorBpf', 'ERROR_BPF', 'scx_bpf_error'],
  ['errorStall', 'ERROR_STALL', 'runnable task stall'],
  ['errorReenq', 'ERROR_REENQ', 'reenqueue limit'],
];

export function exitInfo(consts: ScxConsts, kind: number, code: bigint, message: string, cpu = -1): ExitInfo {
  const [, kindName, reason] = REASONS.find(([name]) => consts.exit[name] === kind) ?? ['', 'UNKNOWN', '<UNKNOWN>'];
  return { kind, kindName, code, cpu, reason, message: message.slice(0, MESSAGE_LEN - 1), dump: '' };
}
