import { ERRNO } from '../../errno.js';
import { BPF_ANY, BPF_EXIST, BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../uapi.js';
import type { CoreMap as VmCoreMap } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { fillGuestMap, guestMapBytes, nameGuestMap } from './guest.js';
import { BpfMap, type MapCreateAttr } from './map.js';
import type { Mapping } from './mapping.js';

const BPF_F_CPU = 8;
const BPF_F_ALL_CPUS = 16;

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** Arrays and hashes, per CPU or not: values live in the core (kernel: kernel/bpf/arraymap.c, hashtab.c). */
export class CoreMap extends BpfMap {
  readonly #vm: VmCoreMap;
  readonly #perCpu: boolean;
  readonly #array: boolean;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    this.#perCpu = attr.map_type === BPF_MAP_TYPE.PERCPU_ARRAY || attr.map_type === BPF_MAP_TYPE.PERCPU_HASH;
    this.#array = attr.map_type === BPF_MAP_TYPE.ARRAY || attr.map_type === BPF_MAP_TYPE.PERCPU_ARRAY;
    this.#vm = kernel.vm.createMap({
      type: attr.map_type,
      name: attr.map_name,
      keySize: attr.key_size,
      valueSize: attr.value_size,
      maxEntries: attr.max_entries,
      flags: attr.map_flags,
      mapStructBytes: guestMapBytes(kernel),
    });
    fillGuestMap(kernel, this.#vm.ptr, this);
  }

  override published(): void {
    if (this.record.length > 0) {
      this.#vm.setFields({ ranges: this.record, lock: this.record.some(({ kind }) => kind === 'bpf_spin_lock') });
    }
    nameGuestMap(this.kernel, this.#vm.ptr, this);
  }

  override get guest(): GuestPtr {
    return this.#vm.ptr;
  }

  override get userValueSize(): number {
    return this.#perCpu ? roundUp8(this.valueSize) * this.kernel.cpus : this.valueSize;
  }

  /** Kernel: array_map_direct_value_addr: only the one element of an array of one. */
  override directValue(off: number): GuestPtr | null {
    if (this.type !== BPF_MAP_TYPE.ARRAY) return null;
    if (this.maxEntries !== 1) return -ERRNO.ENOTSUPP;
    if (off >= this.valueSize) return -ERRNO.EINVAL;
    return this.#vm.lookup(new Uint8Array(4)) + off;
  }

  override mmap(): Mapping | number {
    if ((this.flags & BPF_MAP_FLAG.MMAPABLE) === 0) return -ERRNO.EINVAL;
    const ptr = this.#vm.lookup(new Uint8Array(4));
    return { ptr, bytes: roundUp8(this.valueSize), stride: this.#vm.stride, count: this.maxEntries };
  }

  override lookupElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (!this.#perCpu) {
      const ptr = this.#vm.lookup(key);
      if (ptr === 0) return -ERRNO.ENOENT;
      this.#copyOut(ptr, value);
      return 0;
    }
    if ((flags & BPF_F_CPU) !== 0) {
      const ptr = this.#vm.lookup(key, Math.floor(flags / 2 ** 32));
      if (ptr === 0) return -ERRNO.ENOENT;
      this.#copyOut(ptr, value);
      return 0;
    }
    for (let cpu = 0; cpu < this.kernel.cpus; cpu++) {
      const ptr = this.#vm.lookup(key, cpu);
      if (ptr === 0) return -ERRNO.ENOENT;
      const at = cpu * roundUp8(this.valueSize);
      this.#copyOut(ptr, value.subarray(at, at + this.valueSize));
    }
    return 0;
  }

  /** The kernel's own fields of a value read as 0 (kernel: copy_map_value, check_and_init_map_value). */
  #copyOut(ptr: GuestPtr, value: Uint8Array): void {
    value.set(this.kernel.memory.bytes(ptr, this.valueSize));
    for (const field of this.record) value.fill(0, field.offset, field.offset + field.size);
  }

  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (!this.#perCpu) return this.#vm.update(key, value, flags);
    const operation = flags & 7;
    const oneValue = (flags & (BPF_F_CPU | BPF_F_ALL_CPUS)) !== 0;
    if (operation > BPF_EXIST || (oneValue && !this.kernel.profile.behaviours.perCpuElemFlags)) return -ERRNO.EINVAL;
    if ((flags & BPF_F_CPU) !== 0) return this.#vm.update(key, value, operation, Math.floor(flags / 2 ** 32));
    for (let cpu = 0; cpu < this.kernel.cpus; cpu++) {
      const at = (flags & BPF_F_ALL_CPUS) !== 0 ? 0 : cpu * roundUp8(this.valueSize);
      // NOEXIST and EXIST speak of the element, which the first CPU's update has made.
      const result = this.#vm.update(
        key,
        value.subarray(at, at + this.valueSize),
        cpu === 0 ? operation : BPF_ANY,
        cpu,
      );
      if (result < 0) return result;
    }
    return 0;
  }

  override deleteElem(key: Uint8Array): number {
    return this.#array ? -ERRNO.EINVAL : this.#vm.delete(key);
  }

  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    return this.#vm.nextKey(key, next);
  }

  override lookupAndDeleteElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (this.#array) return -ERRNO.ENOTSUPP;
    const result = this.lookupElem(key, value, flags);
    return result < 0 ? result : this.#vm.delete(key);
  }

  protected override freeMap(): void {
    this.kernel.objects.remove(this.#vm.ptr);
    this.#vm.free();
  }
}
