import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { KernelCgroup } from '../model/cgroup.js';
import { cgroupArg, releasedArg } from './args.js';

// Kfuncs about cgroups of kernel/bpf/helpers.c.

export function registerCgroupKfuncs(kernel: Kernel): void {
  kernel.dtors.register('cgroup', (ptr) => kernel.cgroups.put(kernel.cgroups.at(ptr) as KernelCgroup));
  /** cgroup_tryget(): NULL once the last reference has gone. */
  const acquire = (call: HostCall, cgroup: KernelCgroup | undefined, fn: string) => {
    if (!cgroup || !kernel.cgroups.tryGet(cgroup)) {
      call.retPtr(0);
      return;
    }
    kernel.held.acquire(call, 'reference', cgroup.ptr, `${cgroup.name} of ${fn}`, () => kernel.cgroups.put(cgroup));
    call.retPtr(cgroup.ptr);
  };
  kernel.registerKfunc('bpf_cgroup_acquire', (call) => {
    acquire(call, cgroupArg(kernel, call, 0), 'bpf_cgroup_acquire');
  });
  kernel.registerKfunc('bpf_cgroup_release', (call) => {
    releasedArg(kernel, call, 0);
    kernel.cgroups.put(cgroupArg(kernel, call, 0));
  });
  kernel.registerKfunc('bpf_cgroup_ancestor', (call) => {
    const cgroup = cgroupArg(kernel, call, 0);
    acquire(call, cgroup.ancestor(call.s32(1)), 'bpf_cgroup_ancestor');
  });
  kernel.registerKfunc('bpf_cgroup_from_id', (call) => {
    acquire(call, kernel.cgroups.byId(call.u64n(0)), 'bpf_cgroup_from_id');
  });
}
