import { UnsupportedError } from '../errors.js';
import type { GuestPtr, HostCall } from '../vm/types.js';
import type { Kernel } from './kernel.js';

// Reads that answer -EFAULT where a program's own load would fault (kernel: mm/maccess.c).

/** Kernel addresses begin here: what lies below is user space or no address at all (x86: TASK_SIZE_MAX, canonical ones). */
const KERNEL_START_HI = 0xffff8000;

/** Is argument `i` an address of the kernel (copy_from_kernel_nofault_allowed)? */
export function isKernelAddress(call: HostCall, i: number): boolean {
  return call.hi(i) >= KERNEL_START_HI;
}

/**
 * True if a program may read these bytes. Fields of kernel objects that are not modelled stop the program by name: here they
 * would read as if they were not there.
 */
export function readable(kernel: Kernel, call: HostCall, ptr: GuestPtr, bytes: number): boolean {
  if (call.memory.canAccess(ptr, bytes, false)) return true;
  for (let at = ptr; at < ptr + bytes; at++) {
    if (call.memory.canAccess(at, 1, false)) continue;
    const field = kernel.objects.describe(at);
    if (field !== undefined) call.fail(new UnsupportedError(`${field} is not modelled`));
    return false;
  }
  return false;
}
