import { DIRECT_CURRENT } from '../../../assembly/abi.js';
import { ERRNO } from '../../errno.js';
import type { Kernel } from '../kernel.js';
import { CgroupArrayMap } from '../map/cgroup_array.js';
import { mapArg } from './map_arg.js';

/** Helpers about the current task: whoever drives the program says which it is (Kernel.current). */
export function registerTaskHelpers(kernel: Kernel): void {
  for (const name of ['get_current_task', 'get_current_task_btf']) {
    kernel.registerHelper(name, (call) => call.retPtr(kernel.currentTask || kernel.current.ptr), {
      args: 0,
      direct: DIRECT_CURRENT,
    });
  }
  kernel.registerHelper('get_current_pid_tgid', (call) => {
    const { pid, tgid } = kernel.current;
    call.retHalves(pid, tgid);
  });
  kernel.registerHelper('get_current_uid_gid', (call) => {
    const { uid, gid } = kernel.current;
    call.retHalves(uid, gid);
  });

  // Kernel: bpf_get_current_comm; strscpy_pad cuts off what does not fit.
  kernel.registerHelper('get_current_comm', (call) => {
    const size = call.u32(1);
    const target = call.memory.bytes(call.mem(0, size, true), size);
    const comm = new TextEncoder().encode(kernel.current.comm);
    target.fill(0);
    if (size === 0) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    target.set(comm.subarray(0, size - 1));
    call.ret(0);
  });

  kernel.registerHelper('get_current_cgroup_id', (call) => call.ret(kernel.current.cgroup.id));
  kernel.registerHelper('get_current_ancestor_cgroup_id', (call) => {
    call.ret(kernel.current.cgroup.ancestor(call.s32(0))?.id ?? 0);
  });
  // Kernel: bpf_current_task_under_cgroup; task_under_cgroup_hierarchy counts the cgroup itself.
  kernel.registerHelper('current_task_under_cgroup', (call) => {
    const map = mapArg(kernel, call, 0, CgroupArrayMap);
    const index = call.u32(1);
    if (index >= map.maxEntries) call.ret(-ERRNO.E2BIG);
    else {
      const cgroup = map.at(index);
      call.ret(cgroup ? Number(kernel.current.cgroup.ancestor(cgroup.level) === cgroup) : -ERRNO.EAGAIN);
    }
  });
}
