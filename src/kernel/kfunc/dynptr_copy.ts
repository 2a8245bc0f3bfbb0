import { ERRNO } from '../../errno.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import { checkRange, dynptrArg, dynptrSlice } from '../dynptr.js';
import type { Kernel } from '../kernel.js';
import { isKernelAddress, readable } from '../nofault.js';

// Copies into dynptrs (kernel: __bpf_dynptr_copy and __bpf_dynptr_copy_str, kernel/trace/bpf_trace.c, 6.16).

/** Fills `size` bytes at `to`, which the program may write, from argument 4; the result of the kfunc. */
type Copy = (call: HostCall, to: GuestPtr, size: number) => number;

function copyKernel(kernel: Kernel): Copy {
  return (call, to, size) => {
    const from = call.memory.fromAddress(call.u64(3));
    if (!isKernelAddress(call, 3)) return -ERRNO.ERANGE;
    if (from <= 0 || !readable(kernel, call, from, size)) return -ERRNO.EFAULT;
    call.memory.bytes(to, size).set(call.memory.bytes(from, size).slice());
    return 0;
  };
}

/** The length with the NUL; what does not fit is cut off (strncpy_from_kernel_nofault). */
function copyKernelString(kernel: Kernel): Copy {
  return (call, to, size) => {
    if (!isKernelAddress(call, 3)) return -ERRNO.ERANGE;
    const from = call.memory.fromAddress(call.u64(3));
    for (let i = 0; i < size; i++) {
      if (from <= 0 || !readable(kernel, call, from + i, 1)) {
        call.memory.setU8(to, 0);
        return -ERRNO.EFAULT;
      }
      const byte = i === size - 1 ? 0 : call.memory.u8(from + i);
      call.memory.setU8(to + i, byte);
      if (byte === 0) return i + 1;
    }
    return 0;
  };
}

/** There is no user memory here. */
const copyUser: Copy = () => -ERRNO.EFAULT;

export function registerDynptrCopies(kernel: Kernel): void {
  const register = (name: string, copy: Copy) => {
    kernel.registerKfunc(name, (call) => {
      const dynptr = dynptrArg(call, 0);
      const offset = call.u64n(1);
      const size = call.u64n(2);
      const to = dynptr.readOnly ? 0 : dynptrSlice(kernel, dynptr, offset, size);
      if (to === 0) {
        // A dynptr that takes no writes fails at the first one, if there is anything to write.
        call.ret(checkRange(dynptr, offset, size) || (size === 0 ? 0 : -ERRNO.EINVAL));
        return;
      }
      call.ret(size === 0 ? 0 : copy(call, call.access(to, size, true), size));
    });
  };
  register('bpf_probe_read_kernel_dynptr', copyKernel(kernel));
  register('bpf_probe_read_kernel_str_dynptr', copyKernelString(kernel));
  register('bpf_probe_read_user_dynptr', copyUser);
  register('bpf_probe_read_user_str_dynptr', copyUser);
  register('bpf_copy_from_user_dynptr', copyUser);
  register('bpf_copy_from_user_str_dynptr', copyUser);
  register('bpf_copy_from_user_task_dynptr', copyUser);
  register('bpf_copy_from_user_task_str_dynptr', copyUser);
}
