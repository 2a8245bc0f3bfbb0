import { ERRNO } from '../../errno.js';
import { CgroupFile } from '../files.js';
import type { Kernel } from '../kernel.js';
import type { KernelCgroup } from '../model/cgroup.js';
import { FdArrayMap } from './fd_array.js';
import type { BpfMap, MapCreateAttr } from './map.js';

/** BPF_MAP_TYPE_CGROUP_ARRAY: cgroups by the fds of their directories (kernel: cgroup_array_map_ops, kernel/bpf/arraymap.c). */
export class CgroupArrayMap extends FdArrayMap<KernelCgroup> {
  override get mayLackKey(): boolean {
    return true;
  }

  override checkBtf(): number {
    return -ERRNO.ENOTSUPP;
  }

  protected override getPtr(fd: number): KernelCgroup | number {
    const file = this.kernel.fds.file(fd)?.object;
    if (!(file instanceof CgroupFile)) return -ERRNO.EBADF;
    return !file.cgroup.dead && this.kernel.cgroups.tryGet(file.cgroup) ? file.cgroup : -ERRNO.ENOENT;
  }

  protected override putPtr(cgroup: KernelCgroup): void {
    this.kernel.cgroups.put(cgroup);
  }

  protected override freeMap(): void {
    this.clear();
    super.freeMap();
  }
}

export function cgroupArrayAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return new CgroupArrayMap(kernel, attr);
}
