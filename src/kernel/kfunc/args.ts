import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { Css, KernelCgroup } from '../model/cgroup.js';
import type { KernelTask } from '../model/task.js';

// Arguments that a verifier knows by type and trusts (KF_TRUSTED_ARGS, KF_RCU): a program that passes anything else would not
// have been loaded, and stops.

/** Stops the program: argument `i` is not what the function takes. */
export function wrongArg(call: HostCall, i: number, wanted: string): never {
  const ptr = call.ptr(i);
  const found = ptr === 0 ? 'NULL' : call.memory.describe(ptr);
  return call.fail(new VmtableError(`argument ${i + 1} is no ${wanted} but ${found}`));
}

/** The task whose struct task_struct argument `i` points to. */
export function taskArg(kernel: Kernel, call: HostCall, i: number): KernelTask {
  return kernel.tasks.at(call.ptr(i)) ?? wrongArg(call, i, 'live task_struct');
}

/** The same where NULL is allowed. */
export function nullableTaskArg(kernel: Kernel, call: HostCall, i: number): KernelTask | null {
  return call.ptr(i) === 0 ? null : taskArg(kernel, call, i);
}

/** The cgroup whose struct cgroup argument `i` points to. */
export function cgroupArg(kernel: Kernel, call: HostCall, i: number): KernelCgroup {
  return kernel.cgroups.at(call.ptr(i)) ?? wrongArg(call, i, 'live cgroup');
}

/** The cgroup_subsys_state that argument `i` points to: a cgroup's own, or that of its cpu controller. */
export function cssArg(kernel: Kernel, call: HostCall, i: number): Css {
  return kernel.cgroups.css(call.ptr(i)) ?? wrongArg(call, i, 'live cgroup_subsys_state');
}

/** A struct cpumask, readable as far as operations look. */
export function cpumaskArg(kernel: Kernel, call: HostCall, i: number): GuestPtr {
  return call.mem(i, kernel.cpumasks.bytes, false);
}

/** A struct bpf_cpumask that has been allocated and not freed. */
export function liveBpfCpumaskArg(kernel: Kernel, call: HostCall, i: number): GuestPtr {
  const ptr = call.ptr(i);
  return kernel.model.bpfCpumasks.has(ptr) ? ptr : wrongArg(call, i, 'live bpf_cpumask');
}

/**
 * A struct bpf_cpumask, which the program may change: a live one, or memory of its own that has room for one, since a struct of
 * nothing but numbers may lie in any memory (check_kfunc_args, kernel 6.12 and 7.3).
 */
export function bpfCpumaskArg(kernel: Kernel, call: HostCall, i: number): GuestPtr {
  const { bpfCpumasks } = kernel.model;
  const ptr = call.ptr(i);
  if (bpfCpumasks.has(ptr) || call.allows(i, bpfCpumasks.size, true)) return ptr;
  return wrongArg(call, i, 'live bpf_cpumask');
}

/** Stops the program unless it holds a reference to what argument `i` points to, and forgets it. */
export function releasedArg(kernel: Kernel, call: HostCall, i: number): GuestPtr {
  const ptr = call.ptr(i);
  if (!kernel.held.release('reference', ptr)) {
    call.fail(
      new VmtableError(`argument ${i + 1} is no reference that the program holds but ${call.memory.describe(ptr)}`),
    );
  }
  return ptr;
}
