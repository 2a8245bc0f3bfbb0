import type { BtfView } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { BPF_MAP_FLAG } from '../../uapi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import { POLLERR } from '../link.js';
import type { RcuFlavour } from '../rcu.js';
import { RefCount } from '../refcount.js';
import type { BpfAttr, MapInfo } from '../types.js';
import { WaitQueue } from '../wait_queue.js';
import type { Mapping } from './mapping.js';
import type { RecordError, SpecialField } from './record.js';

/** Which batch commands a map type has. */
export interface BatchOps {
  lookup: boolean;
  lookupAndDelete: boolean;
  update: boolean;
  delete: boolean;
}
const NO_BATCH: BatchOps = { lookup: false, lookupAndDelete: false, update: false, delete: false };

/** Attributes of MAP_CREATE with nothing left out; the token flag is already gone from map_flags. */
export type MapCreateAttr = Required<BpfAttr['MAP_CREATE']>;

/** What mmap(2) is asked for besides a length. */
export interface MmapRequest {
  /** First byte, a multiple of the page size; default 0. */
  offset?: number;
  /** With PROT_WRITE or without; undefined: with it if the map allows. */
  write?: boolean;
}

/**
 * A map of this kernel (kernel: struct bpf_map with its bpf_map_ops). `refcnt` counts every reference, `usercnt` those of user
 * space among them; at usercnt 0 user space can no longer reach it, at refcnt 0 it is freed.
 *
 * Methods named `…Elem` and `nextKey` are what system calls do after the generic checks of elem.ts; buffers have exactly
 * keySize and userValueSize bytes, results are 0 or -errno.
 */
export abstract class BpfMap implements MapInfo {
  readonly fdKind = 'map';
  id = 0;
  name = '';
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly mapExtra: bigint;
  /** BTF that btf_fd named, with the types of key and value in it. */
  btf: BtfObject | null = null;
  btfKeyTypeId: number;
  btfValueTypeId: number;
  btfVmlinuxValueTypeId: number;
  /** Fields of the value that only the kernel may write (spin lock, timer, kptr, …). */
  record: readonly SpecialField[] = [];
  /** Why values have none although their type names some. */
  recordError: RecordError | null = null;
  frozen = false;
  /** Writable mappings of user space. */
  writers = 0;
  readonly refs = new RefCount();
  /** Readers that may still hold the map when its last reference goes: those of a map that it was in. */
  freeAfter: readonly RcuFlavour[] | null = null;
  /** Programs that may sleep among those that use the map. */
  sleepableRefs = 0;
  #usercnt = 1;

  constructor(
    readonly kernel: Kernel,
    attr: MapCreateAttr,
  ) {
    this.waiters = new WaitQueue(kernel.rcu);
    this.type = attr.map_type;
    this.keySize = attr.key_size;
    this.valueSize = attr.value_size;
    this.maxEntries = attr.max_entries;
    // Those are the file's (kernel: bpf_map_flags_retain_permanent).
    this.flags = attr.map_flags & ~(BPF_MAP_FLAG.RDONLY | BPF_MAP_FLAG.WRONLY);
    this.mapExtra = attr.map_extra;
    this.btfKeyTypeId = attr.btf_key_type_id;
    this.btfValueTypeId = attr.btf_value_type_id;
    this.btfVmlinuxValueTypeId = attr.btf_vmlinux_value_type_id;
  }

  /** Bytes of a value in element commands (kernel: bpf_map_value_size). */
  get userValueSize(): number {
    return this.valueSize;
  }

  /** BTF of btfVmlinuxValueTypeId, of maps that have it. */
  get valueBtf(): BtfView | null {
    return null;
  }

  abstract lookupElem(key: Uint8Array, value: Uint8Array, flags: number): number;
  abstract updateElem(key: Uint8Array, value: Uint8Array, flags: number): number;
  abstract deleteElem(key: Uint8Array): number;
  abstract nextKey(key: Uint8Array | null, next: Uint8Array): number;

  /** Maps without the operation answer as the kernel does. */
  lookupAndDeleteElem(_key: Uint8Array, _value: Uint8Array, _flags: number): number {
    return -ERRNO.ENOTSUPP;
  }

  /** `frozen` was set. */
  froze(): void {}

  /** Kernel: ops->map_check_btf, of maps with a key type; called with `btf` and `record` set. */
  checkBtf(): number {
    return 0;
  }

  /** The batch commands that the type has (kernel: ops->map_lookup_batch and so on). */
  get batchOps(): BatchOps {
    return NO_BATCH;
  }

  /** BTF may describe the value alone: checkBtf is called without a key type, too. */
  get mayLackKey(): boolean {
    return false;
  }

  /** Called once id and name are set. */
  published(): void {}

  /** Called with refcnt 0 from a workqueue: gives the map's own resources back (kernel: ops->map_free). */
  protected abstract freeMap(): void;

  /** User space has given up its last reference (kernel: ops->map_release_uref). */
  protected releaseUref(): void {
    this.kernel.fields.asyncs.releaseUref(this);
  }

  /** Guest address of `struct bpf_map`, what a program's LD_IMM64 of the map holds; 0 for maps that programs cannot name. */
  get guest(): GuestPtr {
    return 0;
  }

  /** Guest address of value offset `off` for LD_IMM64 of a map value, or -errno. */
  directValue(_off: number): GuestPtr | null {
    return null;
  }

  /** What that LD_IMM64 holds, -errno, or null for types that have no such thing (kernel: ops->map_direct_value_addr). */
  directAddress(off: number): bigint | number | null {
    const value = this.directValue(off);
    return value === null || value < 0 ? value : this.kernel.memory.address(value);
  }

  /** 0 if programs may use the map, else -errno (kernel: map_check_no_prog_usage and friends). */
  get usableByProgs(): boolean {
    return true;
  }

  /** Two maps may replace each other as inner maps only if their type says so (kernel: ops->map_meta_equal). */
  get canBeInner(): boolean {
    return true;
  }

  /** Kernel: ops->map_mmap, or -ENOTSUPP. `length`: bytes that the caller asks for; undefined for all. */
  mmap(_length?: number, _request?: MmapRequest): Mapping | number {
    return -ERRNO.ENOTSUPP;
  }

  /** poll(2) events that are ready (kernel: ops->map_poll; EPOLLERR for maps without). */
  poll(): number {
    return POLLERR;
  }

  /** Whoever sleeps on the map's file; see Kernel.onReady. */
  readonly waiters: WaitQueue;

  get usercnt(): number {
    return this.#usercnt;
  }

  inc(): void {
    this.refs.inc();
  }

  incNotZero(): boolean {
    return this.refs.incNotZero();
  }

  incWithUref(): void {
    this.refs.inc();
    this.#usercnt++;
  }

  put(): void {
    if (!this.refs.dec()) return;
    this.kernel.maps.free(this.id);
    if (this.freeAfter) this.kernel.rcu.call(() => this.destroy(), ...this.freeAfter);
    else this.kernel.rcu.work(() => this.destroy());
  }

  /** Frees a map whose id was never or is no longer published. */
  destroy(): void {
    this.kernel.forgetMap(this);
    this.freeMap();
    this.btf?.put();
  }

  putWithUref(): void {
    if (--this.#usercnt === 0) this.releaseUref();
    this.put();
  }

  /** File release. */
  release(): void {
    this.putWithUref();
  }
}
