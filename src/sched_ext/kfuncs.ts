import { ERRNO } from '../errno.js';
import { UnsupportedError, VmtableError } from '../errors.js';
import type { HostCall, HostFn } from '../vm/types.js';
import { formatBstr } from './bstr.js';
import { KF } from './context.js';
import { idleKfuncs } from './kfuncs_idle.js';
import { queueKfuncs } from './kfuncs_queue.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import type { ScxTask } from './task.js';

/** A kfunc body: the scheduler that is loaded, and the call. */
export type ScxKfunc = (sched: ScxSched, call: HostCall) => void;

/** What a kfunc gives when no scheduler is loaded. */
const NO_SCHEDULER: Readonly<Record<string, number>> = {
  scx_bpf_create_dsq: -ERRNO.ENODEV,
  scx_bpf_dsq_nr_queued: -ERRNO.ENODEV,
  scx_bpf_select_cpu_dfl: -ERRNO.ENODEV,
  scx_bpf_pick_idle_cpu: -ERRNO.ENODEV,
  scx_bpf_pick_any_cpu: -ERRNO.ENODEV,
};

/**
 * Registers the kfuncs of sched_ext that are modelled, under the names of all kernels from 6.12 on; which of them a program
 * may name says the profile's BTF. Whatever else it names there faults by its name when it is called.
 */
export function registerScxKfuncs(
  host: SchedExt,
  register: (name: string, fn: HostFn) => void,
  schedOf: (call: HostCall) => ScxSched | null = (call) => host.schedOf(call),
): void {
  const table: Record<string, ScxKfunc> = { ...queueKfuncs(host), ...idleKfuncs(host), ...otherKfuncs(host) };
  for (const [name, body] of Object.entries(table)) {
    register(name, (call) => {
      const sched = schedOf(call);
      if (sched) body(sched, call);
      else if (host.consts.globalDsqHash && name === 'scx_bpf_create_dsq') {
        call.fail(
          new UnsupportedError(`${name} without a scheduler, which on 6.12 leaves a queue behind, is not modelled`),
        );
      } else call.ret(NO_SCHEDULER[name] ?? 0);
    });
  }
  register('scx_bpf_now', (call) => call.retU64(BigInt(host.now)));
  register('scx_bpf_nr_cpu_ids', (call) => call.ret(host.cpus));
}

function otherKfuncs(host: SchedExt): Record<string, ScxKfunc> {
  return {
    scx_bpf_task_running: (_sched, call) => call.ret(taskArgument(host, call, 0)?.running ? 1 : 0),
    scx_bpf_task_cpu: (_sched, call) => call.ret(taskArgument(host, call, 0)?.cpu ?? 0),
    scx_bpf_task_set_slice: (_sched, call) => {
      const task = taskArgument(host, call, 0);
      if (task) task.slice = call.u64(1);
      call.ret(task ? 1 : 0);
    },
    scx_bpf_task_set_dsq_vtime: (_sched, call) => {
      const task = taskArgument(host, call, 0);
      if (task) task.vtime = call.u64(1);
      call.ret(task ? 1 : 0);
    },
    scx_bpf_kick_cpu: (sched, call) => kick(host, sched, call.s32(0), call.u32(1)),
    scx_bpf_error_bstr: (sched, call) => {
      const message = formatBstr(sched, call, 0);
      if (message !== undefined) sched.claimExit(host.consts.exit.errorBpf, 0n, message);
    },
    scx_bpf_exit_bstr: (sched, call) => {
      const message = formatBstr(sched, call, 1);
      if (message === undefined) return;
      sched.claimExit(host.consts.exit.unregBpf, BigInt.asIntN(64, call.u64(0)), message);
    },
  };
}

/** Asks a CPU to choose anew (scx_kick_cpu). */
function kick(host: SchedExt, sched: ScxSched, cpu: number, flags: number): void {
  const { idle, preempt, wait } = host.consts.kick;
  if (!sched.validCpu(cpu) || sched.bypassing) return;
  if ((flags & idle) !== 0 && (flags & (preempt | wait)) !== 0) {
    sched.error('PREEMPT/WAIT cannot be used with SCX_KICK_IDLE');
    return;
  }
  sched.rqs.kick(cpu, flags);
}

/** A task argument; NULL gives undefined. A pointer to anything else stops the program. */
export function taskArgument(host: SchedExt, call: HostCall, index: number): ScxTask | undefined {
  const ptr = call.ptr(index);
  if (ptr === 0) return undefined;
  const task = host.taskAt(ptr);
  return (
    task ?? call.fail(new VmtableError(`argument ${index + 1}: no task of this machine (${call.memory.describe(ptr)})`))
  );
}

/**
 * May the running op call this kfunc? Up to 6.18 the answer no is an error of the scheduler; later kernels refuse such a
 * program at load, so that it is stopped here.
 */
export function mayCall(host: SchedExt, sched: ScxSched, call: HostCall, name: string, mask: number): boolean {
  const { context } = sched;
  const allowed = context?.allowed ?? KF.UNLOCKED;
  if ((allowed & mask) !== 0) return true;
  if (!host.consts.kfMask) refuseCall(sched, call, name);
  const hex = (value: number) => value.toString(16);
  sched.error(`kfunc with mask 0x${hex(mask)} called from an operation only allowing 0x${hex(allowed)}`);
  return false;
}

/** Stops a program that no verifier lets in. */
export function refuseCall(sched: ScxSched, call: HostCall, name: string): never {
  const where = sched.context ? `ops.${sched.context.op}` : 'a program outside the scheduler';
  return call.fail(new VmtableError(`${name} called from ${where}: this kernel's verifier refuses such a program`));
}
