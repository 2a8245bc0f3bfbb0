import { BTF_KIND, type BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError, within } from '../errors.js';
import type { MapSpec } from '../object/spec.js';
import { BPF_ANY, BPF_MAP_TYPE, BPF_OBJ_NAME_LEN } from '../uapi.js';
import { type ObjectContext, requireLoaded, requireOpen } from './context.js';
import { bpf, type KernelDoor, type MapMemory } from './door.js';
import { type BtfInput, type BtfValue, decodeValue, encodeValue } from './value.js';

const PAGE_BYTES = 4096;
/** Elements that entries() asks for at a time. */
const BATCH = 64;

/** What may change between open and load, by libbpf's names in camel case. */
export interface MapDefinition {
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  mapExtra: bigint;
  numaNode: number;
  /** 0, or LIBBPF_PIN_BY_NAME (1). */
  pinning: number;
}

/** A map of an object: a definition until load, then an fd with look-up and update in terms of its BTF. */
export class BpfMap {
  readonly name: string;
  /** False: load does not create it, and an insn that refers to it must not be reached. */
  #autocreate = true;
  #fd = -1;
  readonly #def: MapDefinition;
  #image: Uint8Array | undefined;
  /** Mapped memory of an arena after load, and where in it the global variables begin. */
  memory: MapMemory | undefined;
  dataOffset = 0;
  /** True if load took a map that was pinned before. */
  reused = false;

  constructor(
    readonly context: ObjectContext,
    readonly spec: MapSpec,
  ) {
    this.name = spec.name;
    const { type, keySize, valueSize, maxEntries, flags, mapExtra, numaNode, pinning } = spec;
    this.#def = { type, keySize, valueSize, maxEntries, flags, mapExtra, numaNode, pinning };
    this.#image = spec.data && new Uint8Array(spec.data.bytes);
  }

  /** The fd after load. Throws if the map was not created. */
  get fd(): number {
    if (this.#fd < 0) throw new ErrnoError(ERRNO.EINVAL, `map '${this.name}' has no fd (was it created?)`);
    return this.#fd;
  }

  get created(): boolean {
    return this.#fd >= 0;
  }

  /** Loader only. */
  setFd(fd: number): void {
    this.#fd = fd;
  }

  get autocreate(): boolean {
    return this.#autocreate;
  }

  set autocreate(value: boolean) {
    this.requireOpen();
    this.#autocreate = value;
  }

  get definition(): Readonly<MapDefinition> {
    return this.#def;
  }

  /** Changes the definition. Throws ErrnoError(EBUSY) once the object is loaded. */
  define(changes: Partial<Omit<MapDefinition, 'valueSize'>>): void {
    this.requireOpen();
    Object.assign(this.#def, changes);
    if (this.#def.type === BPF_MAP_TYPE.RINGBUF || this.#def.type === BPF_MAP_TYPE.USER_RINGBUF) {
      this.#def.maxEntries = ringbufBytes(this.#def.maxEntries);
    }
  }

  /**
   * Changes the value size; of a global-data section (`.data.NAME`, `.rodata.NAME`, `.bss.NAME`) its length, which must leave
   * whole elements in the array that is its last variable. New bytes are 0.
   */
  setValueSize(bytes: number): void {
    this.requireOpen();
    if (this.#image) {
      const image = new Uint8Array(bytes);
      image.set(this.#image.subarray(0, bytes));
      this.#image = image;
    }
    this.#def.valueSize = bytes;
  }

  /** Loader only: what load works out. */
  adjust(changes: Partial<MapDefinition>): void {
    Object.assign(this.#def, changes);
  }

  /** Global data: contents before load, to be changed through variables. */
  get image(): Uint8Array | undefined {
    return this.#image;
  }

  /** True for global data, which load fills (libbpf: bpf_map__is_internal). */
  get isInternal(): boolean {
    return this.#image !== undefined && this.#def.type !== BPF_MAP_TYPE.ARENA;
  }

  /** The name that the kernel sees: cut to 15 characters, `<object>.rodata` for global data. */
  get kernelName(): string {
    const { section } = this.spec;
    const name = this.isInternal ? internalName(this.context.name, section) : this.name;
    return name.slice(0, BPF_OBJ_NAME_LEN - 1);
  }

  /** BTF that describes keys and values, with type ids (0: plain bytes). */
  protected codec(): { btf: BtfView | undefined; key: number; value: number } {
    return { btf: this.context.btf, key: this.spec.keyType, value: this.spec.valueType };
  }

  get isPerCpu(): boolean {
    const { PERCPU_ARRAY, PERCPU_HASH, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE } = BPF_MAP_TYPE;
    const perCpu: number[] = [PERCPU_ARRAY, PERCPU_HASH, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE];
    return perCpu.includes(this.#def.type);
  }

  /** Value bytes of a key, as the kernel gives them (per-CPU maps: one value per CPU, 8-aligned), or undefined. */
  lookupBytes(key: BtfInput, flags = 0): Uint8Array | undefined {
    const kernel = this.requireLoaded();
    const value = new Uint8Array(this.#valueBytes(kernel));
    const result = kernel.bpf('MAP_LOOKUP_ELEM', { map_fd: this.fd, key: this.encodeKey(key), value, flags });
    if (result === -ERRNO.ENOENT) return undefined;
    if (result < 0) throw this.#failed('lookup', result);
    return value;
  }

  /** The value of a key by BTF (integers where there is no BTF and the size allows, else bytes); per-CPU maps: one for each CPU. */
  lookup(key: BtfInput): BtfValue | Uint8Array | (BtfValue | Uint8Array)[] | undefined {
    const bytes = this.lookupBytes(key);
    return bytes && this.#decodeValue(bytes);
  }

  /** @param value bytes, a value by BTF, or for per-CPU maps an array with one for each CPU (a single one goes to all) */
  update(key: BtfInput, value: BtfInput, flags: number = BPF_ANY): void {
    const kernel = this.requireLoaded();
    const attr = { map_fd: this.fd, key: this.encodeKey(key), value: this.#encodeValue(kernel, value), flags };
    const result = kernel.bpf('MAP_UPDATE_ELEM', attr);
    if (result < 0) throw this.#failed('update', result);
  }

  /** False if there was no such key. */
  delete(key: BtfInput): boolean {
    const kernel = this.requireLoaded();
    const result = kernel.bpf('MAP_DELETE_ELEM', { map_fd: this.fd, key: this.encodeKey(key) });
    if (result === -ERRNO.ENOENT) return false;
    if (result < 0) throw this.#failed('delete', result);
    return true;
  }

  /** Every key, as bytes, in the map's own order at this moment. */
  keyBytes(): Uint8Array[] {
    const kernel = this.requireLoaded();
    const keys: Uint8Array[] = [];
    for (let key = this.#nextKey(kernel, undefined); key; key = this.#nextKey(kernel, key)) keys.push(key);
    return keys;
  }

  /**
   * Keys and values, decoded, fetched a few at a time: elements that come or go meanwhile may be met or not. Those that were
   * yielded may be deleted.
   */
  *entries(): IterableIterator<[BtfValue | Uint8Array, BtfValue | Uint8Array | (BtfValue | Uint8Array)[]]> {
    for (const [key, value] of this.#elements()) {
      yield [this.#decode(key, this.codec().key), this.#decodeValue(value)];
    }
  }

  *#elements(): Generator<[key: Uint8Array, value: Uint8Array]> {
    const kernel = this.requireLoaded();
    const { keySize } = this.#def;
    const valueBytes = this.#valueBytes(kernel);
    let in_batch: Uint8Array | undefined;
    for (let room = BATCH; ; ) {
      const attr = {
        map_fd: this.fd,
        keys: new Uint8Array(room * keySize),
        values: new Uint8Array(room * valueBytes),
        out_batch: new Uint8Array(Math.max(keySize, 4)),
        count: room,
        ...(in_batch && { in_batch }),
      };
      const result = kernel.bpf('MAP_LOOKUP_BATCH', attr);
      if (result === -ERRNO.ENOTSUPP) {
        yield* this.#elementsByKey(kernel);
        return;
      }
      if (result === -ERRNO.ENOSPC) {
        // More elements in one bucket than there is room for.
        room *= 2;
        continue;
      }
      if (result < 0 && result !== -ERRNO.ENOENT) throw this.#failed('lookup of a batch', result);
      for (let i = 0; i < attr.count; i++) {
        const key = attr.keys.subarray(i * keySize, (i + 1) * keySize);
        yield [key, attr.values.subarray(i * valueBytes, (i + 1) * valueBytes)];
      }
      if (result === -ERRNO.ENOENT) return;
      in_batch = attr.out_batch;
    }
  }

  /** For maps without batch commands. The next key is asked for first: that of a deleted key is the first again. */
  *#elementsByKey(kernel: KernelDoor): Generator<[key: Uint8Array, value: Uint8Array]> {
    let key = this.#nextKey(kernel, undefined);
    while (key) {
      const next = this.#nextKey(kernel, key);
      const value = this.lookupBytes(key);
      if (value) yield [key, value];
      key = next;
    }
  }

  #nextKey(kernel: KernelDoor, key: Uint8Array | undefined): Uint8Array | undefined {
    const next = new Uint8Array(this.#def.keySize);
    const result = kernel.bpf('MAP_GET_NEXT_KEY', { map_fd: this.fd, next_key: next, ...(key && { key }) });
    if (result === -ERRNO.ENOENT) return undefined;
    if (result < 0) throw this.#failed('next key', result);
    return next;
  }

  /** Appends to a queue, stack or bloom filter. */
  push(value: BtfInput, flags: number = BPF_ANY): void {
    const kernel = this.requireLoaded();
    const result = kernel.bpf('MAP_UPDATE_ELEM', { map_fd: this.fd, value: this.#encodeValue(kernel, value), flags });
    if (result < 0) throw this.#failed('push', result);
  }

  /** Takes the next element of a queue or stack; undefined if it is empty. */
  pop(): BtfValue | Uint8Array | (BtfValue | Uint8Array)[] | undefined {
    const value = this.popBytes();
    return value && this.#decodeValue(value);
  }

  /** The same, as bytes. */
  popBytes(): Uint8Array | undefined {
    const kernel = this.requireLoaded();
    const value = new Uint8Array(this.#def.valueSize);
    const result = kernel.bpf('MAP_LOOKUP_AND_DELETE_ELEM', { map_fd: this.fd, value });
    if (result === -ERRNO.ENOENT) return undefined;
    if (result < 0) throw this.#failed('pop', result);
    return value;
  }

  /** Key bytes of a value by BTF, of a plain number for keys up to 8 bytes, or of bytes. */
  encodeKey(key: BtfInput): Uint8Array {
    const { btf, key: type } = this.codec();
    return within(`map "${this.name}" key`, () => encode(btf, type, this.#def.keySize, key));
  }

  #encodeValue(kernel: KernelDoor, value: BtfInput): Uint8Array {
    const { btf, value: type } = this.codec();
    const { valueSize } = this.#def;
    const one = (item: BtfInput) => within(`map "${this.name}" value`, () => encode(btf, type, valueSize, item));
    if (!this.isPerCpu) return one(value);
    const bytes = new Uint8Array(this.#valueBytes(kernel));
    if (value instanceof Uint8Array && value.length === bytes.length) return value;
    const stride = bytes.length / kernel.cpus;
    const values = Array.isArray(value) && value.length === kernel.cpus ? value : undefined;
    for (let cpu = 0; cpu < kernel.cpus; cpu++)
      bytes.set(one((values ? values[cpu] : value) as BtfInput), cpu * stride);
    return bytes;
  }

  #decodeValue(bytes: Uint8Array): BtfValue | Uint8Array | (BtfValue | Uint8Array)[] {
    const { value: type } = this.codec();
    const { valueSize } = this.#def;
    if (!this.isPerCpu) return this.#decode(bytes, type);
    const stride = Math.ceil(valueSize / 8) * 8;
    return Array.from({ length: bytes.length / stride }, (_, cpu) =>
      this.#decode(bytes.subarray(cpu * stride, cpu * stride + valueSize), type),
    );
  }

  #decode(bytes: Uint8Array, type: number): BtfValue | Uint8Array {
    const { btf } = this.codec();
    const kind = btf && type !== 0 ? btf.kindOf(btf.resolve(type)) : BTF_KIND.UNKN;
    if (btf && kind !== BTF_KIND.UNKN && kind !== BTF_KIND.DATASEC) {
      return decodeValue(btf, { type, bitOffset: 0, bitSize: 0 }, bytes);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    switch (bytes.length) {
      case 1:
        return view.getUint8(0);
      case 2:
        return view.getUint16(0, true);
      case 4:
        return view.getUint32(0, true);
      case 8:
        return view.getBigUint64(0, true);
      default:
        return bytes;
    }
  }

  #valueBytes(kernel: KernelDoor): number {
    const { valueSize } = this.#def;
    return this.isPerCpu ? Math.ceil(valueSize / 8) * 8 * kernel.cpus : valueSize;
  }

  #failed(what: string, result: number): ErrnoError {
    return new ErrnoError(-result, `map "${this.name}": ${what} failed`);
  }

  /**
   * Reads and writes global data: the initial image before load, the map's memory after.
   * @internal
   */
  readData(offset: number, bytes: number): Uint8Array {
    if (this.context.state === 'open' && this.#image) return this.#image.slice(offset, offset + bytes);
    if (this.memory) return this.memory.read(this.dataOffset + offset, bytes);
    return this.#wholeValue().slice(offset, offset + bytes);
  }

  /** @internal */
  writeData(offset: number, bytes: Uint8Array): void {
    if (this.context.state === 'open' && this.#image) {
      this.#image.set(bytes, offset);
    } else if (this.memory) {
      this.memory.write(this.dataOffset + offset, bytes);
    } else {
      const value = this.#wholeValue();
      value.set(bytes, offset);
      const attr = { map_fd: this.fd, key: new Uint8Array(4), value, flags: BPF_ANY };
      bpf(this.requireLoaded(), 'MAP_UPDATE_ELEM', attr, `map "${this.name}": write to global data`);
    }
  }

  #wholeValue(): Uint8Array {
    const value = this.lookupBytes(new Uint8Array(4));
    if (!value) throw new ErrnoError(ERRNO.ENOENT, `map "${this.name}": no value`);
    return value;
  }

  protected requireOpen(): void {
    requireOpen(this.context, `map "${this.name}"`);
  }

  protected requireLoaded(): KernelDoor {
    return requireLoaded(this.context, `map "${this.name}"`);
  }
}

function encode(btf: BtfView | undefined, type: number, size: number, value: BtfInput): Uint8Array {
  const bytes = new Uint8Array(size);
  if (value instanceof Uint8Array) {
    if (value.length !== size) throw new InputError(`${value.length} bytes, ${size} expected`);
    bytes.set(value);
  } else if (btf && type !== 0) {
    encodeValue(btf, { type, bitOffset: 0, bitSize: 0 }, value, bytes);
  } else if ((typeof value === 'number' && Number.isInteger(value)) || typeof value === 'bigint') {
    const bits = size * 8;
    const number = BigInt(value);
    if (BigInt.asUintN(bits, number) !== number && BigInt.asIntN(bits, number) !== number) {
      throw new InputError(`${value} does not fit in ${size} bytes`);
    }
    for (let i = 0, rest = BigInt.asUintN(bits, number); i < size; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  } else {
    throw new InputError('has no BTF type: bytes or an integer expected');
  }
  return bytes;
}

/** Kernel name of a global-data map (libbpf: internal_map_name): object name and section, or a custom section's own name. */
function internalName(object: string, section: string): string {
  const custom = section.includes('.', 1);
  const suffix = Math.max(7, section.length);
  const prefix = custom ? 0 : Math.max(0, Math.min(BPF_OBJ_NAME_LEN - suffix - 1, object.length));
  return (object.slice(0, prefix) + section).replace(/[^A-Za-z0-9_.]/g, '_');
}

/** Ring buffers are sized in pages, to a power of two (libbpf: adjust_ringbuf_sz). */
export function ringbufBytes(bytes: number): number {
  if (bytes === 0) return 0;
  for (let size = PAGE_BYTES; size <= 0xffffffff; size *= 2) if (size >= bytes) return size;
  return bytes;
}
