import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';

/** Helpers about the current task: whoever drives the program says which it is (Kernel.currentTask). */
export function registerTaskHelpers(kernel: Kernel): void {
  const current = (call: HostCall, helper: string): GuestPtr => {
    if (kernel.currentTask === 0) call.fail(new UnsupportedError(`helper ${helper}: there is no current task`));
    return kernel.currentTask;
  };

  for (const name of ['get_current_task', 'get_current_task_btf']) {
    kernel.registerHelper(name, (call) => call.retPtr(current(call, `bpf_${name}`)));
  }

  kernel.registerHelper('get_current_pid_tgid', (call) => {
    const task = current(call, 'bpf_get_current_pid_tgid');
    const struct = kernel.types.struct('task_struct');
    const pid = struct.field('pid').get(task) >>> 0;
    const tgid = struct.field('tgid').get(task) >>> 0;
    call.retU64((BigInt(tgid) << 32n) | BigInt(pid));
  });

  // Kernel: bpf_get_current_comm; strscpy_pad cuts off what does not fit.
  kernel.registerHelper('get_current_comm', (call) => {
    const task = current(call, 'bpf_get_current_comm');
    const size = call.u32(1);
    const target = call.memory.bytes(call.mem(0, size, true), size);
    const comm = new TextEncoder().encode(kernel.types.struct('task_struct').field('comm').text(task));
    target.fill(0);
    if (size === 0) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    target.set(comm.subarray(0, size - 1));
    call.ret(0);
  });
}
