import { ERRNO } from '../../errno.js';
import { BPF_ANY, BPF_EXIST, BPF_F_LOCK, BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_NOEXIST } from '../../uapi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import { ArrayMap, HashMap, hashAttr } from './core_map.js';
import type { BpfMap, MapCreateAttr } from './map.js';
import type { SpecialField } from './record.js';

// Maps of maps (kernel: kernel/bpf/map_in_map.c, the …_of_maps of arraymap.c and hashtab.c). In the core their values are the
// addresses of the inner maps' structs, for lookups by programs; which map is where is kept here, where programs do not reach.

/** What inner maps must have in common with the example that the outer map was created with (kernel: inner_map_meta). */
interface InnerMeta {
  type: number;
  keySize: number;
  valueSize: number;
  flags: number;
  maxEntries: number;
  record: readonly SpecialField[];
  btf: BtfObject | null;
}

/** Bytes of a value in the core, and of user space's fds and ids. */
const POINTER_BYTES = 8;
const ID_BYTES = 4;

/** Kernel: bpf_map_meta_alloc. */
function metaOf(kernel: Kernel, fd: number): InnerMeta | number {
  const inner = kernel.fds.map(fd);
  if (typeof inner === 'number') return inner;
  if (inner instanceof ArrayOfMaps || inner instanceof HashOfMaps) return -ERRNO.EINVAL;
  if (!inner.canBeInner) return -ERRNO.ENOTSUPP;
  const { type, keySize, valueSize, flags, maxEntries, record, btf } = inner;
  btf?.refs.inc();
  return { type, keySize, valueSize, flags, maxEntries, record, btf };
}

/** Kernel: btf_record_equal. Types that kptrs and lists name are the same only in the same BTF. */
function sameRecord(a: readonly SpecialField[], b: readonly SpecialField[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((field, i) => {
    const other = b[i]!;
    return (
      field.kind === other.kind &&
      field.offset === other.offset &&
      field.target?.btf === other.target?.btf &&
      field.target?.typeId === other.target?.typeId &&
      field.contains?.btf === other.contains?.btf &&
      field.contains?.typeId === other.contains?.typeId &&
      field.contains?.nodeOffset === other.contains?.nodeOffset
    );
  });
}

/** Kernel: bpf_map_meta_equal, array_map_meta_equal: programs may have a lookup's bound compiled in. */
function fits(kernel: Kernel, meta: InnerMeta, inner: BpfMap): boolean {
  if (
    meta.type !== inner.type ||
    meta.keySize !== inner.keySize ||
    meta.valueSize !== inner.valueSize ||
    meta.flags !== inner.flags ||
    !sameRecord(meta.record, inner.record)
  ) {
    return false;
  }
  const bounded =
    meta.type === BPF_MAP_TYPE.ARRAY ||
    meta.type === BPF_MAP_TYPE.XSKMAP ||
    (meta.type === BPF_MAP_TYPE.PERCPU_ARRAY && kernel.profile.behaviours.perCpuInnerArrays);
  if (!bounded || (meta.type === BPF_MAP_TYPE.ARRAY && (meta.flags & BPF_MAP_FLAG.INNER_MAP) !== 0)) return true;
  return meta.maxEntries === inner.maxEntries;
}

/** The inner maps of an outer one, each with a reference, by their keys' bytes. */
class InnerMaps {
  readonly #maps = new Map<string, BpfMap>();

  constructor(
    private readonly outer: BpfMap,
    private readonly meta: InnerMeta,
  ) {}

  at(key: Uint8Array): BpfMap | undefined {
    return this.#maps.get(String.fromCharCode(...key));
  }

  /** The map that an fd names, with a new reference, or -errno (kernel: bpf_map_fd_get_ptr). */
  take(value: Uint8Array): BpfMap | number {
    const { kernel } = this.outer;
    const inner = kernel.fds.map(new DataView(value.buffer, value.byteOffset).getInt32(0, true));
    if (typeof inner === 'number') return inner;
    if (!fits(kernel, this.meta, inner)) return -ERRNO.EINVAL;
    inner.inc();
    return inner;
  }

  /** Bytes that the core keeps for it. */
  pointerTo(inner: BpfMap): Uint8Array {
    return new Uint8Array(BigUint64Array.of(this.outer.kernel.memory.address(inner.guest)).buffer);
  }

  /** Takes over the caller's reference; the map that was there goes. */
  set(key: Uint8Array, inner: BpfMap): void {
    const old = this.at(key);
    this.#maps.set(String.fromCharCode(...key), inner);
    if (old) this.#putLater(old);
  }

  /** False if there is none. */
  delete(key: Uint8Array): boolean {
    const old = this.at(key);
    if (!old) return false;
    this.#maps.delete(String.fromCharCode(...key));
    this.#putLater(old);
    return true;
  }

  /** Kernel: bpf_map_fd_put_ptr: programs that have looked the map up go on with it until their section ends. */
  #putLater(inner: BpfMap): void {
    inner.freeAfter = this.outer.sleepableRefs > 0 ? ['rcu', 'tasksTrace'] : ['rcu'];
    inner.put();
  }

  /** The outer map is gone, and with it all its readers. */
  free(): void {
    for (const inner of this.#maps.values()) inner.put();
    this.#maps.clear();
    this.meta.btf?.put();
  }
}

function writeId(value: Uint8Array, inner: BpfMap): void {
  new DataView(value.buffer, value.byteOffset).setUint32(0, inner.id, true);
}

export class ArrayOfMaps extends ArrayMap {
  readonly #inner: InnerMaps;

  constructor(kernel: Kernel, attr: MapCreateAttr, meta: InnerMeta) {
    super(kernel, attr, POINTER_BYTES);
    this.#inner = new InnerMaps(this, meta);
  }

  override get userValueSize(): number {
    return ID_BYTES;
  }

  override get canBeInner(): boolean {
    return false;
  }

  /** The id of the inner map. */
  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const inner = this.#inner.at(key);
    if (!inner) return -ERRNO.ENOENT;
    writeId(value, inner);
    return 0;
  }

  /** Kernel: bpf_fd_array_map_update_elem. */
  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (flags !== BPF_ANY) return -ERRNO.EINVAL;
    if (this.vm.lookup(key) === 0) return -ERRNO.E2BIG;
    const inner = this.#inner.take(value);
    if (typeof inner === 'number') return inner;
    this.vm.update(key, this.#inner.pointerTo(inner), BPF_ANY);
    this.#inner.set(key, inner);
    return 0;
  }

  override deleteElem(key: Uint8Array): number {
    if (this.vm.lookup(key) === 0) return -ERRNO.E2BIG;
    this.vm.update(key, new Uint8Array(POINTER_BYTES), BPF_ANY);
    return this.#inner.delete(key) ? 0 : -ERRNO.ENOENT;
  }

  override get mayLackKey(): boolean {
    return true;
  }

  override checkBtf(): number {
    return -ERRNO.ENOTSUPP;
  }

  override directValue(): GuestPtr | null {
    return null;
  }

  protected override freeMap(): void {
    this.#inner.free();
    super.freeMap();
  }
}

export class HashOfMaps extends HashMap {
  readonly #inner: InnerMaps;

  constructor(kernel: Kernel, attr: MapCreateAttr, meta: InnerMeta) {
    super(kernel, attr, POINTER_BYTES);
    this.#inner = new InnerMaps(this, meta);
  }

  override get userValueSize(): number {
    return ID_BYTES;
  }

  override get canBeInner(): boolean {
    return false;
  }

  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const inner = this.#inner.at(key);
    if (!inner) return -ERRNO.ENOENT;
    writeId(value, inner);
    return 0;
  }

  protected override userValue(key: Uint8Array, _first: GuestPtr, value: Uint8Array): void {
    writeId(value, this.#inner.at(key)!);
  }

  /** Kernel: bpf_fd_htab_map_update_elem; before 6.15 a new element took the old one's place. */
  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const inner = this.#inner.take(value);
    if (typeof inner === 'number') return inner;
    const result = this.#update(key, inner, flags);
    if (result < 0) inner.put();
    else this.#inner.set(key, inner);
    return result;
  }

  #update(key: Uint8Array, inner: BpfMap, flags: number): number {
    const { kernel } = this;
    const pointer = this.#inner.pointerTo(inner);
    if (flags > (BPF_EXIST | BPF_F_LOCK | 1) || (flags & ~BPF_F_LOCK) > BPF_EXIST) return -ERRNO.EINVAL;
    if (!kernel.profile.behaviours.hashOfMapsInPlace) return this.vm.update(key, pointer, flags, 0, kernel.currentCpu);
    if (flags > BPF_EXIST) return -ERRNO.EINVAL;
    const slot = this.vm.lookup(key);
    if (slot === 0) return this.vm.update(key, pointer, flags, 0, kernel.currentCpu);
    if (flags === BPF_NOEXIST) return -ERRNO.EEXIST;
    kernel.memory.bytes(slot, POINTER_BYTES).set(pointer);
    return 0;
  }

  override deleteElem(key: Uint8Array): number {
    const result = this.vm.delete(key);
    if (result === 0) this.#inner.delete(key);
    return result;
  }

  /** Kernel: map_lookup_and_delete_elem has the operation for plain hashes only; the batch command has it. */
  override lookupAndDeleteElem(): number {
    return -ERRNO.ENOTSUPP;
  }

  override get mayLackKey(): boolean {
    return true;
  }

  override checkBtf(): number {
    return -ERRNO.ENOTSUPP;
  }

  protected override freeMap(): void {
    this.#inner.free();
    super.freeMap();
  }
}

/** Kernel: array_of_map_alloc, htab_of_map_alloc. */
export function mapInMapAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  const meta = metaOf(kernel, attr.inner_map_fd);
  if (typeof meta === 'number') return meta;
  try {
    if (attr.map_type === BPF_MAP_TYPE.ARRAY_OF_MAPS) return new ArrayOfMaps(kernel, attr, meta);
    const rounded = hashAttr(kernel, attr);
    if (typeof rounded !== 'number') return new HashOfMaps(kernel, rounded, meta);
    meta.btf?.put();
    return rounded;
  } catch (error) {
    meta.btf?.put();
    throw error;
  }
}
