import { ERRNO } from '../../errno.js';
import { BPF_ANY } from '../../uapi.js';
import { HostMap, indexOf } from './host_map.js';
import type { BpfMap } from './map.js';

/**
 * An array of kernel objects that user space puts in by their fds (kernel: bpf_fd_array_map_update_elem,
 * __fd_array_map_delete_elem, kernel/bpf/arraymap.c).
 */
export abstract class FdArrayMap<T extends object> extends HostMap {
  protected readonly objects = new Map<number, T>();

  /** ops->map_fd_get_ptr: the object behind an fd, with what holds it here taken, or -errno. */
  protected abstract getPtr(fd: number): T | number;

  /** ops->map_fd_put_ptr: the object is in the array no longer. */
  protected putPtr(_object: T): void {}

  at(index: number): T | undefined {
    return this.objects.get(index);
  }

  /** Without ops->map_fd_sys_lookup_elem nothing is told of the objects. */
  override lookupElem(_key: Uint8Array, _value: Uint8Array): number {
    return -ERRNO.ENOTSUPP;
  }

  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (flags !== BPF_ANY) return -ERRNO.EINVAL;
    const index = indexOf(key);
    if (index >= this.maxEntries) return -ERRNO.E2BIG;
    const object = this.getPtr(new DataView(value.buffer, value.byteOffset).getInt32(0, true));
    if (typeof object === 'number') return object;
    const old = this.objects.get(index);
    this.objects.set(index, object);
    if (old) this.putPtr(old);
    return 0;
  }

  override deleteElem(key: Uint8Array): number {
    const index = indexOf(key);
    if (index >= this.maxEntries) return -ERRNO.E2BIG;
    const old = this.objects.get(index);
    if (!old) return -ERRNO.ENOENT;
    this.objects.delete(index);
    this.putPtr(old);
    return 0;
  }

  /** Kernel: bpf_fd_array_map_clear. */
  protected clear(): void {
    for (const object of this.objects.values()) this.putPtr(object);
    this.objects.clear();
  }

  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    return nextIndex(this, key, next);
  }
}

/** Keys of a map whose keys are indexes (kernel: array_map_get_next_key). */
export function nextIndex(map: BpfMap, key: Uint8Array | null, next: Uint8Array): number {
  const index = key ? indexOf(key) : 0xffffffff;
  if (index < map.maxEntries && index === map.maxEntries - 1) return -ERRNO.ENOENT;
  new DataView(next.buffer, next.byteOffset).setUint32(0, index < map.maxEntries ? index + 1 : 0, true);
  return 0;
}
