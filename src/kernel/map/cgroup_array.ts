import { ERRNO } from '../../errno.js';
import { BPF_ANY } from '../../uapi.js';
import type { ForeignHandle } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import { CgroupFile } from '../files.js';
import type { Kernel } from '../kernel.js';
import type { KernelCgroup } from '../model/cgroup.js';
import { foreignHandle, noElementHelpers } from './foreign.js';
import { fillGuestMap, nameGuestMap } from './guest.js';
import { BpfMap, type MapCreateAttr } from './map.js';
import { nextIndex } from './prog_array.js';

/** BPF_MAP_TYPE_CGROUP_ARRAY: cgroups by the fds of their directories (kernel: cgroup_fd_array_map_ops, kernel/bpf/arraymap.c). */
export class CgroupArrayMap extends BpfMap {
  readonly #handle: ForeignHandle;
  readonly #cgroups = new Map<number, KernelCgroup>();

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    this.#handle = foreignHandle(kernel, attr, noElementHelpers(attr));
    fillGuestMap(kernel, this.#handle.ptr, this);
  }

  override published(): void {
    nameGuestMap(this.kernel, this.#handle.ptr, this);
  }

  override get guest(): GuestPtr {
    return this.#handle.ptr;
  }

  override get mayLackKey(): boolean {
    return true;
  }

  override checkBtf(): number {
    return -ERRNO.ENOTSUPP;
  }

  at(index: number): KernelCgroup | undefined {
    return this.#cgroups.get(index);
  }

  #index(key: Uint8Array): number {
    return new DataView(key.buffer, key.byteOffset).getUint32(0, true);
  }

  /** There is no ops->map_fd_sys_lookup_elem. */
  override lookupElem(): number {
    return -ERRNO.ENOTSUPP;
  }

  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (flags !== BPF_ANY) return -ERRNO.EINVAL;
    const index = this.#index(key);
    if (index >= this.maxEntries) return -ERRNO.E2BIG;
    const file = this.kernel.fds.file(new DataView(value.buffer, value.byteOffset).getInt32(0, true))?.object;
    if (!(file instanceof CgroupFile)) return -ERRNO.EBADF;
    const { cgroups } = this.kernel;
    if (!cgroups.tryGet(file.cgroup)) return -ERRNO.ENOENT;
    const old = this.#cgroups.get(index);
    this.#cgroups.set(index, file.cgroup);
    if (old) cgroups.put(old);
    return 0;
  }

  override deleteElem(key: Uint8Array): number {
    const index = this.#index(key);
    if (index >= this.maxEntries) return -ERRNO.E2BIG;
    const old = this.#cgroups.get(index);
    if (!old) return -ERRNO.ENOENT;
    this.#cgroups.delete(index);
    this.kernel.cgroups.put(old);
    return 0;
  }

  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    return nextIndex(this, key, next);
  }

  protected override freeMap(): void {
    for (const cgroup of this.#cgroups.values()) this.kernel.cgroups.put(cgroup);
    this.#cgroups.clear();
    this.kernel.objects.remove(this.#handle.ptr);
    this.#handle.free();
  }
}

export function cgroupArrayAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return new CgroupArrayMap(kernel, attr);
}
