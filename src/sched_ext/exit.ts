import type { ScxConsts } from './consts.js';

/** Why a scheduler went (kernel: struct scx_exit_info). */
export interface ExitInfo {
  kind: number;
  /** `UNREG`, `ERROR_BPF`… : enum scx_exit_kind without its prefix. */
  kindName: string;
  code: bigint;
  reason: string;
  message: string;
}

const MESSAGE_LEN = 1024;

/** Reasons by kind (scx_exit_reason, kernel/sched/ext.c). */
export function exitInfo(consts: ScxConsts, kind: number, code: bigint, message: string): ExitInfo {
  const { exit } = consts;
  const known: Record<number, [string, string]> = {
    [exit.unreg]: ['UNREG', 'unregistered from user space'],
    [exit.unregBpf]: ['UNREG_BPF', 'unregistered from BPF'],
    [exit.unregKern]: ['UNREG_KERN', 'unregistered from the main kernel'],
    [exit.sysrq]: ['SYSRQ', 'disabled by sysrq-S'],
    [exit.error]: ['ERROR', 'runtime error'],
    [exit.errorBpf]: ['ERROR_BPF', 'scx_bpf_error'],
    [exit.errorStall]: ['ERROR_STALL', 'runnable task stall'],
  };
  const [kindName, reason] = known[kind] ?? ['UNKNOWN', '<UNKNOWN>'];
  return { kind, kindName, code, reason, message: message.slice(0, MESSAGE_LEN - 1) };
}
