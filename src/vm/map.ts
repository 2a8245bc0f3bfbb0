import {
  ALL_CPUS,
  CALL_STATUS,
  CUR_CPU,
  FAULT_HOST,
  FOREIGN_DELETE,
  FOREIGN_LOOKUP,
  FOREIGN_LOOKUP_PERCPU,
  FOREIGN_STORAGE_GET,
  FOREIGN_UPDATE,
  ITER_KEY,
  ITER_VALUE,
  KEY_SCRATCH,
  KEY_SCRATCH_BYTES,
  MAP_BUCKET_MASK,
  MAP_COUNT,
  MAP_CPU_STRIDE,
  MAP_FOREIGN,
  MAP_FROZEN,
  MAP_STRIDE,
  MAP_STRUCT_MAX,
  MAP_VALUE_OFFSET,
  MAX_ERRNO_VALUE,
  NEXT_SCRATCH,
  VALUE_SCRATCH,
  VALUE_SCRATCH_BYTES,
} from '../../assembly/abi.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { VmtableError } from '../errors.js';
import { BPF_F_LOCK } from '../uapi.js';
import type { Core } from './core.js';
import { mapNames } from './map_names.js';
import type { CoreMemory } from './memory.js';
import type { GuestPtr, VmMap, VmMapSpec } from './types.js';

/** A map that the host keeps: what the map helpers of a program do with it. Key and value have been checked. */
export interface ForeignMap {
  /** Guest pointer that bpf_map_lookup_elem returns, or 0; `cpu` only for bpf_map_lookup_percpu_elem. */
  lookup(key: GuestPtr, cpu?: number): GuestPtr;
  /** 0 or -errno. */
  update(key: GuestPtr, value: GuestPtr, flags: number): number;
  /** 0 or -errno. */
  delete(key: GuestPtr): number;
  /** Local storages: the value of an owner that has none yet, or 0; `value` is what it begins as, or NULL. */
  storageGet?(owner: GuestPtr, value: GuestPtr, flags: number): GuestPtr;
}

/** The guest-visible struct of a map that the host keeps. */
export interface ForeignHandle {
  readonly ptr: GuestPtr;
  free(): void;
}

/** Special fields of a map's values (kernel: struct btf_record). */
export interface MapFields {
  /** Ranges within the value, ascending: updates leave them alone, new elements have them zeroed. */
  ranges: readonly { offset: number; size: number }[];
  /** One of them is a bpf_spin_lock: BPF_F_LOCK is allowed. */
  lock: boolean;
  /** Told of every value (guest pointer) that is overwritten, deleted, or freed with its map; its bytes are still there. */
  gone?: (value: GuestPtr) => void;
}

const FIELDS_LOCK = 1;
const FIELDS_NOTIFY = 2;
/** Not an errno: mapCreate is out of shadow patterns. */
const NO_PATTERN = 4000;
/** Freed maps whose memory still has a name in fault texts. */
const NAMED_FREED = 256;

/** The maps of one core. */
export class Maps {
  private readonly byPtr = new Map<GuestPtr, CoreMap>();
  private readonly byTag = new Map<number, CoreMap>();
  private readonly foreign = new Map<GuestPtr, ForeignMap>();
  private readonly freed: number[] = [];
  private nextId = 1;
  /** Takes what a ForeignMap or a `gone` callback throws while a program runs, which stops with FAULT_HOST. */
  onError: ((error: unknown) => void) | undefined;
  /** A frozen map was freed. */
  onFrozenGone: ((id: number) => void) | undefined;

  constructor(
    private readonly core: Core,
    private readonly memory: CoreMemory,
  ) {
    core.hooks.valueGone = (map, value) => this.guard(() => this.byPtr.get(map)?.gone?.(value));
    core.hooks.foreignMap = (op, map, key, value, flags) =>
      this.guard(() => this.callForeign(op, map, key, value, flags)) ?? 0;
  }

  /**
   * Creates a map. Throws ErrnoError with what the kernel answers to such attributes (EINVAL, E2BIG), or ENOMEM.
   */
  create(spec: VmMapSpec): CoreMap {
    const [ptr, id] = this.allocate(spec, spec.type);
    const map = new CoreMap(this.core, this.memory, spec, ptr, () => {
      this.byPtr.delete(ptr);
      this.byTag.delete(id);
      this.forget(id);
      if (map.frozen) this.onFrozenGone?.(id);
    });
    this.byPtr.set(ptr, map);
    this.byTag.set(id, map);
    this.memory.nameTag(id, mapNames(spec, map.layout));
    return map;
  }

  /** Gives a map that the host keeps its struct; programs' lookups, updates and deletions go to `map`. */
  createForeign(spec: VmMapSpec, map: ForeignMap): ForeignHandle {
    const [ptr, id] = this.allocate(spec, spec.type | MAP_FOREIGN);
    this.foreign.set(ptr, map);
    this.memory.nameTag(id, mapNames(spec, undefined));
    return {
      ptr,
      free: () => {
        if (!this.foreign.delete(ptr)) throw new VmtableError(`map "${spec.name}" freed twice`);
        this.core.exports.mapFree(ptr);
        this.forget(id);
      },
    };
  }

  /** The core map whose struct is at ptr. */
  at(ptr: GuestPtr): CoreMap | undefined {
    return this.byPtr.get(ptr);
  }

  /** The value that an address within an object of a map (CoreMemory.objectOf) lies in. */
  valueIn(object: { start: GuestPtr; tag: number }, ptr: GuestPtr): { map: CoreMap; value: GuestPtr } | undefined {
    const map = this.byTag.get(object.tag);
    if (!map) return undefined;
    const { stride, cpuStride, valueOffset, cpus } = map.layout;
    const within = (ptr - object.start) % stride;
    const element = ptr - within;
    const cpu = cpuStride === 0 ? 0 : Math.floor((within - valueOffset) / cpuStride);
    const value = element + valueOffset + cpu * cpuStride;
    return cpu >= 0 && cpu < cpus && ptr >= value && ptr < value + map.spec.valueSize ? { map, value } : undefined;
  }

  private allocate(spec: VmMapSpec, type: number): [ptr: GuestPtr, id: number] {
    const { name, keySize, valueSize, maxEntries, flags, mapStructBytes, hashes = 0 } = spec;
    if (!(mapStructBytes > 0 && mapStructBytes <= MAP_STRUCT_MAX)) {
      throw new VmtableError(`map "${name}": a struct of ${mapStructBytes} bytes (at most ${MAP_STRUCT_MAX})`);
    }
    const id = this.nextId++;
    const { exports } = this.core;
    const result = exports.mapCreate(type, keySize, valueSize, maxEntries, flags, mapStructBytes, id, hashes);
    if (result >>> 0 <= MAX_ERRNO_VALUE) return [result >>> 0, id];
    if (-result === NO_PATTERN) {
      throw new VmtableError(`map "${name}": out of shadow patterns: more than 256 layouts of access classes`);
    }
    throw new ErrnoError(-result, `map "${name}"`);
  }

  /** Keeps a freed map's name for a while: fault texts may still need it. */
  private forget(id: number): void {
    this.freed.push(id);
    if (this.freed.length > NAMED_FREED) this.memory.dropTag(this.freed.shift() as number);
  }

  private callForeign(op: number, ptr: GuestPtr, key: GuestPtr, value: GuestPtr, flags: number): number {
    const map = this.foreign.get(ptr);
    if (!map) throw new VmtableError(`no map at ${this.memory.describe(ptr)}`);
    switch (op) {
      case FOREIGN_LOOKUP:
        return map.lookup(key);
      case FOREIGN_LOOKUP_PERCPU:
        return map.lookup(key, flags);
      case FOREIGN_UPDATE:
        return map.update(key, value, flags);
      case FOREIGN_DELETE:
        return map.delete(key);
      case FOREIGN_STORAGE_GET:
        if (map.storageGet) return map.storageGet(key, value, flags);
        throw new VmtableError('no local storage');
      default:
        throw new VmtableError(`unknown map operation ${op}`);
    }
  }

  private guard<T>(body: () => T): T | undefined {
    try {
      return body();
    } catch (error) {
      if (!this.onError) throw error;
      this.onError(error);
      this.memory.setU32At(CALL_STATUS, FAULT_HOST);
      return undefined;
    }
  }
}

/** Where the parts of a map's objects lie. */
export interface MapLayout {
  stride: number;
  cpuStride: number;
  valueOffset: number;
  cpus: number;
}

/** A map in the core. */
export class CoreMap implements VmMap {
  readonly layout: MapLayout;
  gone: ((value: GuestPtr) => void) | undefined;
  private readonly record: number;
  private live = true;
  private hasFields = false;
  private hasLock = false;
  /** The host writes no values any more. */
  frozen = false;

  constructor(
    private readonly core: Core,
    private readonly memory: CoreMemory,
    readonly spec: Readonly<VmMapSpec>,
    readonly ptr: GuestPtr,
    private readonly onFree: () => void,
  ) {
    this.record = core.exports.mapRecord(ptr) >>> 0;
    const cpuStride = memory.u32At(this.record + MAP_CPU_STRIDE);
    this.layout = {
      stride: memory.u32At(this.record + MAP_STRIDE),
      cpuStride,
      valueOffset: memory.u32At(this.record + MAP_VALUE_OFFSET),
      cpus: cpuStride === 0 ? 1 : core.cpus,
    };
  }

  get stride(): number {
    return this.layout.stride;
  }

  get entries(): number {
    this.alive();
    return this.memory.u32At(this.record + MAP_COUNT);
  }

  /** The host writes no values any more: what programs may not write either never changes again. */
  freeze(): void {
    this.alive();
    this.memory.setU32At(this.record + MAP_FROZEN, 1);
    this.frozen = true;
  }

  /** Declares the special fields of values. Only before the first update of a hash. */
  setFields(fields: MapFields): void {
    this.alive();
    const { ranges } = fields;
    const bytes = this.pairs(ranges);
    const flags = (fields.lock ? FIELDS_LOCK : 0) | (fields.gone ? FIELDS_NOTIFY : 0);
    this.placed(bytes, VALUE_SCRATCH, VALUE_SCRATCH_BYTES, (at) => {
      if (!this.core.exports.mapSetFields(this.ptr, at, ranges.length, flags)) {
        throw new ErrnoError(ERRNO.ENOMEM, `map "${this.spec.name}"`);
      }
    });
    this.gone = fields.gone;
    this.hasFields = ranges.length > 0;
    this.hasLock = fields.lock;
  }

  /** Lets programs only read these ranges of values, under object checks. Before the first update of a hash. */
  guard(ranges: MapFields['ranges']): void {
    this.alive();
    this.placed(this.pairs(ranges), VALUE_SCRATCH, VALUE_SCRATCH_BYTES, (at) => {
      if (!this.core.exports.mapGuard(this.ptr, at, ranges.length)) {
        throw new ErrnoError(ERRNO.ENOMEM, `map "${this.spec.name}"`);
      }
    });
  }

  /** Ranges as the core takes them. */
  private pairs(ranges: MapFields['ranges']): Uint8Array {
    const bytes = new Uint8Array(ranges.length * 8);
    const view = new DataView(bytes.buffer);
    let end = 0;
    ranges.forEach(({ offset, size }, i) => {
      if (offset < end || size <= 0 || offset + size > this.spec.valueSize) {
        throw new VmtableError(`map "${this.spec.name}": special field of ${size} bytes at ${offset} does not fit`);
      }
      end = offset + size;
      view.setUint32(i * 8, offset, true);
      view.setUint32(i * 8 + 4, size, true);
    });
    return bytes;
  }

  lookup(key: Uint8Array, cpu = 0): GuestPtr {
    this.checkCpu(cpu);
    return this.withKey(key, (at) => this.core.exports.mapLookup(this.ptr, at, cpu) >>> 0);
  }

  /** As the syscall: of both sides' checks, user space's come first. */
  update(key: Uint8Array, value: Uint8Array, flags: number, cpu = 0, on = cpu === ALL_CPUS ? 0 : cpu): number {
    this.checkCpu(on);
    if (cpu !== ALL_CPUS) this.checkCpu(cpu);
    const each = Math.ceil(this.spec.valueSize / 8) * 8;
    this.checkValue(value, cpu === ALL_CPUS ? each * this.layout.cpus : this.spec.valueSize);
    // kernel/bpf/syscall.c asks this before the map is.
    if ((flags & BPF_F_LOCK) !== 0 && !this.hasLock) return -ERRNO.EINVAL;
    return this.withKey(key, (at) => {
      const direct = value.length > VALUE_SCRATCH_BYTES && !this.hasFields && cpu !== ALL_CPUS;
      if (!direct) {
        return this.placed(value, VALUE_SCRATCH, VALUE_SCRATCH_BYTES, (from) =>
          errnoOf(this.core.exports.mapUpdate(this.ptr, at, from, flags, cpu, on)),
        );
      }
      const result = this.core.exports.mapUpdate(this.ptr, at, 0, flags, cpu, on) >>> 0;
      if (result <= MAX_ERRNO_VALUE) this.memory.bytes(result, value.length).set(value);
      return errnoOf(result);
    });
  }

  delete(key: Uint8Array): number {
    return this.withKey(key, (at) => this.core.exports.mapDelete(this.ptr, at));
  }

  nextKey(key: Uint8Array | null, next: Uint8Array): number {
    const { keySize } = this.spec;
    if (next.length !== keySize) {
      throw new VmtableError(`map "${this.spec.name}": room for ${next.length} bytes of a key of ${keySize}`);
    }
    return this.placed(new Uint8Array(keySize), NEXT_SCRATCH, KEY_SCRATCH_BYTES, (to) => {
      const step = (at: number) => this.core.exports.mapNextKey(this.ptr, at, to);
      const result = key ? this.withKey(key, step) : step(this.checked(0));
      if (result === 0) next.set(this.memory.bytesAt(to, keySize));
      return result;
    });
  }

  push(value: Uint8Array, flags: number): number {
    this.alive();
    this.checkValue(value, this.spec.valueSize);
    return this.placed(value, VALUE_SCRATCH, VALUE_SCRATCH_BYTES, (from) =>
      this.core.exports.mapPush(this.ptr, from, flags),
    );
  }

  get(value: Uint8Array, take: boolean): number {
    this.alive();
    this.checkValue(value, this.spec.valueSize);
    return this.placed(value, VALUE_SCRATCH, VALUE_SCRATCH_BYTES, (at) => {
      const result = this.core.exports.mapGet(this.ptr, at, take);
      value.set(this.memory.bytesAt(at, value.length));
      return result;
    });
  }

  /** Hashes: how many buckets there are. */
  get buckets(): number {
    this.alive();
    return this.memory.u32At(this.record + MAP_BUCKET_MASK) + 1;
  }

  /** The elements of a hash's bucket, in the map's order: where their keys lie, and their values on CPU 0. */
  bucket(index: number): { key: GuestPtr; value: GuestPtr }[] {
    this.alive();
    const found: { key: GuestPtr; value: GuestPtr }[] = [];
    const address = this.memory.address(this.ptr);
    // Cursors of mapIterNext: the bucket, and a sequence number that falls along it.
    let cursor = (BigInt(index) << 32n) | 0xffffffffn;
    for (;;) {
      cursor = BigInt.asUintN(64, this.core.exports.mapIterNext(address, cursor, 0));
      if (cursor === 0n || cursor >> 32n !== BigInt(index)) return found;
      const offset = this.memory.u32At(CUR_CPU) * this.layout.cpuStride;
      found.push({ key: this.memory.u32At(ITER_KEY), value: this.memory.u32At(ITER_VALUE) - offset });
    }
  }

  free(): void {
    this.alive();
    this.core.exports.mapFree(this.ptr);
    this.live = false;
    this.onFree();
  }

  private withKey<T>(key: Uint8Array, body: (at: number) => T): T {
    this.alive();
    if (key.length !== this.spec.keySize) {
      throw new VmtableError(`map "${this.spec.name}": a key of ${key.length} bytes, not ${this.spec.keySize}`);
    }
    return this.placed(key, KEY_SCRATCH, KEY_SCRATCH_BYTES, body);
  }

  /** Runs body with the bytes in core memory: in the scratch area, or a block of the core heap. */
  private placed<T>(bytes: Uint8Array, scratch: number, room: number, body: (at: number) => T): T {
    if (bytes.length <= room) {
      this.memory.bytesAt(scratch, bytes.length).set(bytes);
      return body(scratch);
    }
    const at = this.core.exports.heapAlloc(bytes.length) >>> 0;
    if (at === 0) throw new ErrnoError(ERRNO.ENOMEM, `map "${this.spec.name}"`);
    try {
      this.memory.bytesAt(at, bytes.length).set(bytes);
      return body(at);
    } finally {
      this.core.exports.heapFree(at);
    }
  }

  private checkValue(value: Uint8Array, bytes: number): void {
    if (value.length === bytes) return;
    throw new VmtableError(`map "${this.spec.name}": a value of ${value.length} bytes, not ${bytes}`);
  }

  private checkCpu(cpu: number): void {
    if (!(Number.isInteger(cpu) && cpu >= 0 && cpu < this.core.cpus)) {
      throw new VmtableError(`map "${this.spec.name}": CPU ${cpu} of ${this.core.cpus}`);
    }
  }

  private checked(at: number): number {
    this.alive();
    return at;
  }

  private alive(): void {
    if (!this.live) throw new VmtableError(`map "${this.spec.name}" used after it was freed`);
  }
}

/** 0 or -errno of a result that is a guest offset or -errno. */
function errnoOf(result: number): number {
  return result >>> 0 <= MAX_ERRNO_VALUE ? 0 : result | 0;
}
