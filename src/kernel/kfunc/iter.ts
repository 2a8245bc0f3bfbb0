import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';

// What all open-coded iterators have in common (kernel: process_iter_arg, verifier.c): an iterator lives on the program's stack
// from its _new, whatever that answers, to its _destroy, and a program that ends without the latter has lost it.

/** The iterator that argument 0 points to is born. `lost` runs if the program never destroys it. */
export function iterNew(kernel: Kernel, call: HostCall, type: string, bytes: number, lost = () => {}): GuestPtr {
  const iter = call.mem(0, bytes, true);
  if (kernel.held.has('iterator', iter)) {
    call.fail(new VmtableError(`bpf_iter_${type}_new: the iterator is in use already`));
  }
  kernel.held.acquire(call, 'iterator', iter, `the iterator of bpf_iter_${type}_new`, lost);
  return iter;
}

/** The living iterator that argument 0 points to. */
export function iterNext(kernel: Kernel, call: HostCall, type: string, bytes: number): GuestPtr {
  const iter = call.mem(0, bytes, true);
  if (!kernel.held.has('iterator', iter)) {
    call.fail(new VmtableError(`bpf_iter_${type}_next without a bpf_iter_${type}_new before it`));
  }
  return iter;
}

/** It dies. */
export function iterDestroy(kernel: Kernel, call: HostCall, type: string, bytes: number): GuestPtr {
  const iter = call.mem(0, bytes, true);
  if (!kernel.held.release('iterator', iter)) {
    call.fail(new VmtableError(`bpf_iter_${type}_destroy without a bpf_iter_${type}_new before it`));
  }
  return iter;
}

/** Stops a program that may sleep and is in no RCU read section (KF_RCU_PROTECTED). */
export function needsRcu(kernel: Kernel, call: HostCall, kfunc: string): void {
  if (!kernel.rcu.held('rcu')) {
    call.fail(new VmtableError(`kernel func ${kfunc} requires RCU critical section protection`));
  }
}
