import { ERRNO } from '../../errno.js';
import { BPF_ANY, BPF_MAP_FLAG } from '../../uapi.js';
import type { ForeignHandle } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { PerfEvent } from '../perf_event.js';
import { foreignHandle, noElementHelpers } from './foreign.js';
import { fillGuestMap, nameGuestMap } from './guest.js';
import { BpfMap, type MapCreateAttr } from './map.js';
import { nextIndex } from './prog_array.js';

/** BPF_MAP_TYPE_PERF_EVENT_ARRAY: perf events that programs write samples to (kernel: kernel/bpf/arraymap.c). */
export class PerfEventArrayMap extends BpfMap {
  readonly #handle: ForeignHandle;
  readonly #events = new Map<number, PerfEvent>();

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

  at(index: number): PerfEvent | undefined {
    return this.#events.get(index);
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
    const object = this.kernel.fds.file(new DataView(value.buffer, value.byteOffset).getInt32(0, true))?.object;
    if (!(object instanceof PerfEvent)) return -ERRNO.EBADF;
    this.#events.set(index, object);
    return 0;
  }

  override deleteElem(key: Uint8Array): number {
    const index = this.#index(key);
    if (index >= this.maxEntries) return -ERRNO.E2BIG;
    return this.#events.delete(index) ? 0 : -ERRNO.ENOENT;
  }

  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    return nextIndex(this, key, next);
  }

  /** Events go with the file that they were put in through, unless BPF_F_PRESERVE_ELEMS keeps them. */
  protected override releaseUref(): void {
    if ((this.flags & BPF_MAP_FLAG.PRESERVE_ELEMS) === 0) this.#events.clear();
  }

  protected override freeMap(): void {
    this.kernel.objects.remove(this.#handle.ptr);
    this.#handle.free();
  }
}

export function perfEventArrayAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return new PerfEventArrayMap(kernel, attr);
}
