import { ERRNO } from '../../errno.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';

// Copies from and to user space (kernel: kernel/bpf/helpers.c, kernel/trace/bpf_trace.c). Tasks here have no user memory: every
// address of it is one that nothing is mapped at.

const BPF_F_PAD_ZEROS = 1;

/** Zeroes the destination, as the kernel does where a copy fails. */
function zero(call: HostCall, arg: number, size: number): void {
  if (size > 0) call.memory.bytes(call.mem(arg, size, true), size).fill(0);
}

export function registerUserMemory(kernel: Kernel): void {
  for (const name of ['probe_read_user', 'probe_read_user_str', 'copy_from_user']) {
    kernel.registerHelper(name, (call) => {
      const size = call.u32(1);
      zero(call, 0, size);
      call.ret(size === 0 ? 0 : -ERRNO.EFAULT);
    });
  }
  kernel.registerHelper('copy_from_user_task', (call) => {
    const size = call.u32(1);
    if (call.u64(4) !== 0n) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    zero(call, 0, size);
    call.ret(size === 0 ? 0 : -ERRNO.EFAULT);
  });
  kernel.registerHelper('probe_write_user', (call) => {
    const kthread = kernel.currentTask !== 0 && kernel.tasks.at(kernel.currentTask)?.kthread;
    call.ret(kthread ? -ERRNO.EPERM : -ERRNO.EFAULT);
  });
  const copyString = (flagsArg: number) => (call: HostCall) => {
    const size = call.u32(1);
    const flags = call.u64n(flagsArg);
    if (flags > BPF_F_PAD_ZEROS) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    if (flags === BPF_F_PAD_ZEROS) zero(call, 0, size);
    call.ret(size === 0 ? 0 : -ERRNO.EFAULT);
  };
  kernel.registerKfunc('bpf_copy_from_user_str', copyString(3));
  kernel.registerKfunc('bpf_copy_from_user_task_str', copyString(4));
}
