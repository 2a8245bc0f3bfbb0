import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { KernelTask } from '../model/task.js';
import { cgroupArg, releasedArg, taskArg } from './args.js';

// Kfuncs about tasks of kernel/bpf/helpers.c. There is one pid namespace, and no cgroup hierarchy but the default one.

export function registerTaskKfuncs(kernel: Kernel): void {
  kernel.dtors.register('task_struct', (ptr) => kernel.tasks.put(kernel.tasks.at(ptr) as KernelTask));
  /** bpf_task_acquire(): NULL once the last reference has gone. */
  const acquire = (call: HostCall, task: KernelTask | undefined, fn: string) => {
    if (!task || !kernel.tasks.tryGet(task)) {
      call.retPtr(0);
      return;
    }
    kernel.held.acquire(call, 'reference', task.ptr, `${task.name} of ${fn}`, () => kernel.tasks.put(task));
    call.retPtr(task.ptr);
  };
  kernel.registerKfunc('bpf_task_acquire', (call) => {
    acquire(call, taskArg(kernel, call, 0), 'bpf_task_acquire');
  });
  for (const name of ['bpf_task_from_pid', 'bpf_task_from_vpid']) {
    kernel.registerKfunc(name, (call) => acquire(call, kernel.tasks.byPid(call.s32(0)), name));
  }
  kernel.registerKfunc('bpf_task_release', (call) => {
    releasedArg(kernel, call, 0);
    kernel.tasks.put(taskArg(kernel, call, 0));
  });
  kernel.registerKfunc('bpf_task_under_cgroup', (call) => {
    const task = taskArg(kernel, call, 0);
    call.ret(task.cgroup.isWithin(cgroupArg(kernel, call, 1)) ? 1 : 0);
  });
  // task_get_cgroup1: no hierarchy has the number.
  kernel.registerKfunc('bpf_task_get_cgroup1', (call) => {
    taskArg(kernel, call, 0);
    call.retPtr(0);
  });
}
