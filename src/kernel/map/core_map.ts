import { ALL_CPUS } from '../../../assembly/abi.js';
import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { BPF_ANY, BPF_EXIST, BPF_F_LOCK, BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_NOEXIST } from '../../uapi.js';
import type { CoreMap as VmCoreMap } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { isPerCpuType } from './alloc_check.js';
import { fillGuestMap, guestMapBytes, nameGuestMap } from './guest.js';
import { type BatchOps, BpfMap, type MapCreateAttr } from './map.js';
import type { Mapping } from './mapping.js';

/** Flags of element commands for per-CPU maps (7.0); the CPU stands in the upper 32 bits. */
export const BPF_F_CPU = 8;
export const BPF_F_ALL_CPUS = 16;

const ARRAY_BATCH: BatchOps = { lookup: true, lookupAndDelete: false, update: true, delete: false };
const HASH_BATCH: BatchOps = { lookup: true, lookupAndDelete: true, update: true, delete: true };
const U32_MAX = 0xffffffff;

export function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** A map whose elements live in the core. */
export abstract class CoreMap extends BpfMap {
  protected readonly vm: VmCoreMap;

  /** `valueSize`: bytes of a value in the core, if they are not those that user space sees. */
  constructor(kernel: Kernel, attr: MapCreateAttr, valueSize = attr.value_size) {
    super(kernel, attr);
    this.vm = kernel.vm.createMap({
      type: attr.map_type,
      name: attr.map_name,
      keySize: attr.key_size,
      valueSize,
      maxEntries: attr.max_entries,
      flags: attr.map_flags,
      mapStructBytes: guestMapBytes(kernel),
      hashes: Number(attr.map_type === BPF_MAP_TYPE.BLOOM_FILTER ? attr.map_extra : 0n),
    });
    fillGuestMap(kernel, this.vm.ptr, this);
  }

  override published(): void {
    if (this.record.length > 0) {
      this.vm.setFields({ ranges: this.record, lock: this.record.some(({ kind }) => kind === 'bpf_spin_lock') });
    }
    nameGuestMap(this.kernel, this.vm.ptr, this);
  }

  override froze(): void {
    this.vm.freeze();
  }

  override get guest(): GuestPtr {
    return this.vm.ptr;
  }

  protected override freeMap(): void {
    this.kernel.objects.remove(this.vm.ptr);
    this.vm.free();
  }
}

/** Maps with keys: arrays and hashes, per CPU or not, LRU or not (kernel: kernel/bpf/arraymap.c, hashtab.c). */
export abstract class KeyedMap extends CoreMap {
  readonly #perCpu: boolean;

  constructor(kernel: Kernel, attr: MapCreateAttr, valueSize?: number) {
    super(kernel, attr, valueSize);
    this.#perCpu = isPerCpuType(attr.map_type);
  }

  override get userValueSize(): number {
    return this.#perCpu ? roundUp8(this.valueSize) * this.kernel.cpus : this.valueSize;
  }

  /** By user space, which is no use that an LRU hash would keep the element for. */
  override lookupElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const first = this.vm.lookup(key);
    if (first === 0) return -ERRNO.ENOENT;
    this.copyOut(first, value, flags);
    return 0;
  }

  /**
   * The value of an element as the element commands give it; `first` is its place on CPU 0. The kernel's own fields read as 0
   * (kernel: copy_map_value, check_and_init_map_value).
   */
  protected copyOut(first: GuestPtr, value: Uint8Array, flags: number): void {
    const { cpuStride } = this.vm.layout;
    const one = (cpu: number, to: Uint8Array) => {
      to.set(this.kernel.memory.bytes(first + cpu * cpuStride, this.valueSize));
      for (const field of this.record) to.fill(0, field.offset, field.offset + field.size);
    };
    if (!this.#perCpu) {
      one(0, value);
    } else if ((flags & BPF_F_CPU) !== 0) {
      one(Math.floor(flags / 2 ** 32), value);
    } else {
      const each = roundUp8(this.valueSize);
      for (let cpu = 0; cpu < this.kernel.cpus; cpu++) one(cpu, value.subarray(cpu * each, (cpu + 1) * each));
    }
  }

  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const { currentCpu } = this.kernel;
    if (this.#perCpu) return this.#updatePerCpu(key, value, flags);
    return flags > U32_MAX ? -ERRNO.EINVAL : this.vm.update(key, value, flags, 0, currentCpu);
  }

  /** Kernel: bpf_percpu_array_update, bpf_percpu_hash_update. NOEXIST and EXIST count alone only. */
  #updatePerCpu(key: Uint8Array, value: Uint8Array, flags: number): number {
    const { currentCpu, cpus, profile } = this.kernel;
    const low = flags % 2 ** 32;
    if (profile.behaviours.perCpuElemFlags ? (low & BPF_F_LOCK) !== 0 || low > BPF_F_ALL_CPUS : flags > BPF_EXIST) {
      return -ERRNO.EINVAL;
    }
    const mode = flags === BPF_NOEXIST || flags === BPF_EXIST ? flags : BPF_ANY;
    if ((low & BPF_F_CPU) !== 0) return this.vm.update(key, value, mode, Math.floor(flags / 2 ** 32), currentCpu);
    let values = value;
    if ((low & BPF_F_ALL_CPUS) !== 0) {
      const each = roundUp8(this.valueSize);
      values = new Uint8Array(each * cpus);
      for (let cpu = 0; cpu < cpus; cpu++) values.set(value, cpu * each);
    }
    return this.vm.update(key, values, mode, ALL_CPUS, currentCpu);
  }

  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    return this.vm.nextKey(key, next);
  }
}

export class ArrayMap extends KeyedMap {
  /** Where element 0 lies, once it was asked for: it stays there. */
  #first: GuestPtr | undefined;

  override deleteElem(_key: Uint8Array): number {
    return -ERRNO.EINVAL;
  }

  /** Kernel: array_map_direct_value_addr: only the one element of an array of one. */
  override directValue(off: number): GuestPtr | null {
    if (this.type !== BPF_MAP_TYPE.ARRAY) return null;
    if (this.maxEntries !== 1) return -ERRNO.ENOTSUPP;
    if (off >= this.valueSize) return -ERRNO.EINVAL;
    this.#first ??= this.vm.lookup(new Uint8Array(4));
    return this.#first + off;
  }

  override mmap(): Mapping | number {
    if (this.type !== BPF_MAP_TYPE.ARRAY) return -ERRNO.ENOTSUPP;
    if ((this.flags & BPF_MAP_FLAG.MMAPABLE) === 0) return -ERRNO.EINVAL;
    const ptr = this.vm.lookup(new Uint8Array(4));
    return { ptr, bytes: roundUp8(this.valueSize), stride: this.vm.stride, count: this.maxEntries };
  }

  override get batchOps(): BatchOps {
    return ARRAY_BATCH;
  }

  override get mayLackKey(): boolean {
    return true;
  }

  /** Kernel: array_map_check_btf. Global data has no key. */
  override checkBtf(): number {
    const { view } = this.btf!;
    if (this.btfKeyTypeId === 0) {
      const global = this.type === BPF_MAP_TYPE.ARRAY && this.maxEntries === 1;
      return global && view.kindOf(this.btfValueTypeId) === BTF_KIND.DATASEC ? 0 : -ERRNO.EINVAL;
    }
    const type = view.type(view.resolve(this.btfKeyTypeId));
    return type.kind === BTF_KIND.INT && type.size === 4 ? 0 : -ERRNO.EINVAL;
  }
}

export class HashMap extends KeyedMap {
  /** Elements that are in the map now. */
  get elemCount(): number {
    return this.vm.entries;
  }

  override deleteElem(key: Uint8Array): number {
    return this.vm.delete(key);
  }

  override lookupAndDeleteElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const result = this.lookupElem(key, value, flags);
    return result < 0 ? result : this.vm.delete(key);
  }

  override get batchOps(): BatchOps {
    return HASH_BATCH;
  }

  /** Batch lookups go by bucket. */
  get buckets(): number {
    return this.vm.buckets;
  }

  /** Keys and values of a bucket's elements, in the map's order. */
  bucket(index: number, flags: number): { key: Uint8Array; value: Uint8Array }[] {
    return this.vm.bucket(index).map(({ key, value }) => {
      const keyBytes = this.kernel.memory.bytes(key, this.keySize).slice();
      const bytes = new Uint8Array(this.userValueSize);
      this.userValue(keyBytes, value, bytes, flags);
      return { key: keyBytes, value: bytes };
    });
  }

  /** What user space sees of the element with this key, whose value lies at `first`. */
  protected userValue(_key: Uint8Array, first: GuestPtr, value: Uint8Array, flags: number): void {
    this.copyOut(first, value, flags);
  }
}

/** Kernel: array_map_alloc. */
export function arrayAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return new ArrayMap(kernel, attr);
}

/** Attributes of a hash as htab_map_alloc sees them, or -errno. With lists of their own all CPUs have equally many elements. */
export function hashAttr(kernel: Kernel, attr: MapCreateAttr): MapCreateAttr | number {
  let { max_entries: entries } = attr;
  if ((attr.map_flags & BPF_MAP_FLAG.NO_COMMON_LRU) !== 0) {
    entries = Math.ceil(entries / kernel.cpus) * kernel.cpus;
    if (entries > U32_MAX) entries = Math.floor(attr.max_entries / kernel.cpus) * kernel.cpus;
  }
  // Buckets are a power of two in 32 bits.
  return entries > 2 ** 31 ? -ERRNO.E2BIG : { ...attr, max_entries: entries };
}

export function hashAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  const rounded = hashAttr(kernel, attr);
  return typeof rounded === 'number' ? rounded : new HashMap(kernel, rounded);
}
