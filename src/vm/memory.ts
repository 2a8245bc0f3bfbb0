import {
  ACCESS_NONE,
  ACCESS_RW,
  GUEST_BASE_HI,
  MAP_REGION,
  NEAR_SIZE,
  NEAR_START,
  NEAR_STATE,
  NEAR_TAG,
  NULL_PAGE,
  OBJECT_LIVE,
  SHADOW_START,
  STAT_HEAP_USED,
  STAT_HELD_BYTES,
  STAT_LIVE_BYTES,
  STAT_LIVE_OBJECTS,
  STAT_MAPS,
  STAT_PAGE_BYTES,
  STAT_PATTERNS,
  TAG_ARENA,
  WINDOW_BASE,
} from '../../assembly/abi.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { VmtableError } from '../errors.js';
import type { Core } from './core.js';
import type { AccessClass, AllocOptions, GuestMemory, GuestPtr } from './types.js';

export const GUEST_BASE = BigInt(GUEST_BASE_HI) << 32n;

const TWO_32 = 2 ** 32;
const OUT_OF_PATTERNS = 'out of shadow patterns: more than 256 different layouts of access classes within 8 bytes';

/** Where an address lies: the object at or nearest to it. */
export interface Location {
  /** What the object is called, e.g. `map "stats" value`. */
  name: string;
  start: GuestPtr;
  size: number;
  /** Live, or freed and not yet reused. */
  live: boolean;
}

/** Narrows an object of a map or an arena down to the part that `ptr` is in or next to; or names a map's struct. */
export type Narrow = (ptr: GuestPtr, object: Location, isStruct: boolean) => Location;

/** Bytes in use: of the core heap, and of the window (live objects, freed ones in quarantine, pages behind both). */
export interface MemoryUsage {
  heapBytes: number;
  liveBytes: number;
  liveObjects: number;
  quarantineBytes: number;
  pageBytes: number;
  shadowPatterns: number;
  maps: number;
}

/** The guest window. Views are the core's, and looked up at each access. */
export class CoreMemory implements GuestMemory {
  readonly base = GUEST_BASE;
  readonly windowBytes: number;
  readonly core: Core;
  private readonly names = new Map<GuestPtr, string>();
  private readonly narrows = new Map<number, Narrow>();
  private arenaTags = 0;

  constructor(core: Core) {
    this.core = core;
    this.windowBytes = core.windowBytes;
  }

  /** Linear-memory address of n bytes at ptr; throws if they do not all lie in the window, above the NULL page. */
  private at(ptr: GuestPtr, n: number): number {
    if (ptr >>> 0 !== ptr || ptr < NULL_PAGE || ptr + n > this.core.limit) this.outside(ptr, n);
    return ptr + WINDOW_BASE;
  }

  private outside(ptr: GuestPtr, n: number): never {
    if (this.core.disposed) throw new VmtableError('guest memory used after its kernel object was disposed');
    const bytes = `${n} byte${n === 1 ? '' : 's'}`;
    if (!Number.isInteger(ptr) || !Number.isInteger(n) || n < 0)
      throw new VmtableError(`no guest pointer: ${ptr}, ${bytes}`);
    const where = ptr >= 0 && ptr < NULL_PAGE ? nearNull(ptr) : `offset 0x${ptr.toString(16)} of the guest window`;
    throw new VmtableError(`host access of ${bytes} at ${where} (${this.windowBytes} bytes) is out of range`);
  }

  // ---- Objects -------------------------------------------------------------------------------------------------------

  alloc(bytes: number, options: AllocOptions): GuestPtr {
    const { align = 16, access = ACCESS_RW, name } = options;
    this.alive();
    if (!(Number.isInteger(bytes) && bytes > 0)) throw new VmtableError(`${name}: cannot allocate ${bytes} bytes`);
    if (!(Number.isInteger(align) && align > 0 && (align & (align - 1)) === 0)) {
      throw new VmtableError(`${name}: alignment ${align} is not a power of two`);
    }
    this.checkClass(access);
    const ptr = bytes > this.windowBytes ? 0 : this.core.exports.windowAlloc(bytes, align, access, 0) >>> 0;
    if (ptr === 0) {
      throw new ErrnoError(
        ERRNO.ENOMEM,
        `${name}: no ${bytes} bytes left in a guest window of ${this.windowBytes} bytes`,
      );
    }
    if (ptr === 1) throw new VmtableError(`${name}: ${OUT_OF_PATTERNS}`);
    this.names.set(ptr, name);
    return ptr;
  }

  free(ptr: GuestPtr): void {
    this.alive();
    const { exports } = this.core;
    const own = ptr >>> 0 === ptr && exports.objectAt(ptr) && this.u32At(NEAR_TAG) === 0;
    if (!own || !exports.windowFree(ptr)) {
      throw new VmtableError(`free of what is no live object: ${this.describe(ptr)}`);
    }
  }

  setAccess(ptr: GuestPtr, bytes: number, access: AccessClass): void {
    this.at(ptr, bytes);
    this.checkClass(access);
    if (bytes === 0) return;
    const { exports } = this.core;
    const held = exports.slotAt(ptr) ? this.withinNear(ptr, bytes) : exports.insideObject(ptr, bytes);
    if (!held) {
      throw new VmtableError(`setAccess of ${bytes} bytes that no live object holds: ${this.describe(ptr)}`);
    }
    if (!exports.setAccess(ptr, bytes, access)) throw new VmtableError(OUT_OF_PATTERNS);
  }

  accessPattern(ptr: GuestPtr, bytes: number): Uint8Array {
    const at = this.shadowAt(ptr, bytes);
    return this.core.u8.slice(at, at + Math.ceil(bytes / 8));
  }

  stampAccess(ptr: GuestPtr, pattern: Uint8Array): void {
    this.core.u8.set(pattern, this.shadowAt(ptr, pattern.length * 8 - 7));
  }

  /** Address of the shadow byte of the first of these bytes, which a live object begins with. */
  private shadowAt(ptr: GuestPtr, bytes: number): number {
    this.at(ptr, bytes);
    if (!this.core.exports.objectAt(ptr) || this.u32At(NEAR_START) !== ptr || !this.withinNear(ptr, bytes)) {
      throw new VmtableError(`access of ${bytes} bytes that no live object begins with: ${this.describe(ptr)}`);
    }
    return this.u32At(SHADOW_START) + (ptr >>> 3);
  }

  accessAt(ptr: GuestPtr): AccessClass {
    this.alive();
    return ptr >>> 0 === ptr && ptr < this.windowBytes ? this.core.exports.accessAt(ptr) : ACCESS_NONE;
  }

  canAccess(ptr: GuestPtr, bytes: number, write: boolean, writeClasses = 0): boolean {
    this.alive();
    if (ptr >>> 0 !== ptr || bytes >>> 0 !== bytes || ptr + bytes > this.windowBytes) return false;
    return this.core.exports.checkSlow(ptr, bytes, write, writeClasses) === 0;
  }

  /** Does the live object in NEAR_* hold all these bytes? */
  private withinNear(ptr: GuestPtr, bytes: number): boolean {
    const end = this.u32At(NEAR_START) + this.u32At(NEAR_SIZE);
    return this.u32At(NEAR_STATE) === OBJECT_LIVE && ptr + bytes <= end;
  }

  private checkClass(access: AccessClass): void {
    if (!Number.isInteger(access) || !this.core.exports.isAccess(access)) {
      throw new VmtableError(`${access} is no access class`);
    }
  }

  private alive(): void {
    if (this.core.disposed) this.outside(0, 0);
  }

  // ---- Descriptions --------------------------------------------------------------------------------------------------

  /** How objects with this tag (map id, arena handle) are called. */
  nameTag(tag: number, narrow: Narrow): void {
    this.narrows.set(tag, narrow);
  }

  newArenaTag(): number {
    return TAG_ARENA + this.arenaTags++;
  }

  /** Forgets a tag. */
  dropTag(tag: number): void {
    this.narrows.delete(tag);
  }

  /** The object at or nearest to ptr, if there is one within 4 KiB. */
  locate(ptr: GuestPtr): Location | undefined {
    if (this.core.disposed || ptr >>> 0 !== ptr || ptr >= this.windowBytes) return undefined;
    const { exports } = this.core;
    const isStruct = ptr >= MAP_REGION && exports.slotAt(ptr) !== 0;
    if (!isStruct && !exports.objectAt(ptr)) return undefined;
    const start = this.u32At(NEAR_START);
    const tag = this.u32At(NEAR_TAG);
    const object = {
      name: this.names.get(start) ?? 'object',
      start,
      size: this.u32At(NEAR_SIZE),
      live: this.u32At(NEAR_STATE) === OBJECT_LIVE,
    };
    if (tag === 0) return object;
    const narrow = this.narrows.get(tag);
    return narrow ? narrow(ptr, object, isStruct) : { ...object, name: 'map memory' };
  }

  /** The live object that an address lies in; `tag` is the id of its map, 0 for the host's own. */
  objectOf(ptr: GuestPtr): { start: GuestPtr; size: number; tag: number } | undefined {
    if (this.core.disposed || ptr >>> 0 !== ptr || ptr >= this.windowBytes || !this.core.exports.objectAt(ptr)) {
      return undefined;
    }
    const start = this.u32At(NEAR_START);
    const size = this.u32At(NEAR_SIZE);
    const live = this.u32At(NEAR_STATE) === OBJECT_LIVE && ptr >= start && ptr < start + size;
    return live ? { start, size, tag: this.u32At(NEAR_TAG) } : undefined;
  }

  describe(ptr: GuestPtr): string {
    if (ptr >= 0 && ptr < NULL_PAGE) return nearNull(ptr);
    if (!(ptr >= 0 && ptr < this.windowBytes)) return 'outside the guest window';
    const object = this.locate(ptr);
    if (!object) return 'nowhere near an object';
    const { start, size, live } = object;
    const name = live ? object.name : `freed ${object.name}`;
    const whole = live ? `${name} (${size} byte${size === 1 ? '' : 's'})` : name;
    if (ptr < start) return `${count(start - ptr)} before ${whole}`;
    if (ptr < start + size) return `${count(ptr - start)} inside ${whole}`;
    return `${count(ptr - start - size)} past the end of ${whole}`;
  }

  get usage(): MemoryUsage {
    this.alive();
    return {
      heapBytes: this.u32At(STAT_HEAP_USED),
      liveBytes: this.u32At(STAT_LIVE_BYTES),
      liveObjects: this.u32At(STAT_LIVE_OBJECTS),
      quarantineBytes: this.u32At(STAT_HELD_BYTES),
      pageBytes: this.u32At(STAT_PAGE_BYTES),
      shadowPatterns: this.u32At(STAT_PATTERNS),
      maps: this.u32At(STAT_MAPS),
    };
  }

  // ---- Addresses -----------------------------------------------------------------------------------------------------

  address(ptr: GuestPtr): bigint {
    return ptr === 0 ? 0n : GUEST_BASE + BigInt(ptr);
  }

  fromAddress(address: bigint): GuestPtr {
    return this.fromHalves(Number(address & 0xffffffffn), Number(BigInt.asUintN(64, address) >> 32n));
  }

  /** fromAddress of an address in two unsigned halves. */
  fromHalves(lo: number, hi: number): GuestPtr {
    if (hi === GUEST_BASE_HI && lo !== 0 && lo < this.windowBytes) return lo;
    return lo === 0 && hi === 0 ? 0 : -1;
  }

  // ---- Bytes ---------------------------------------------------------------------------------------------------------

  u8(ptr: GuestPtr): number {
    return this.core.view.getUint8(this.at(ptr, 1));
  }

  u16(ptr: GuestPtr): number {
    return this.core.view.getUint16(this.at(ptr, 2), true);
  }

  u32(ptr: GuestPtr): number {
    return this.core.view.getUint32(this.at(ptr, 4), true);
  }

  s32(ptr: GuestPtr): number {
    return this.core.view.getInt32(this.at(ptr, 4), true);
  }

  u64(ptr: GuestPtr): bigint {
    return this.core.view.getBigUint64(this.at(ptr, 8), true);
  }

  u64n(ptr: GuestPtr): number {
    const at = this.at(ptr, 8);
    return this.core.view.getUint32(at + 4, true) * TWO_32 + this.core.view.getUint32(at, true);
  }

  setU8(ptr: GuestPtr, value: number): void {
    this.core.view.setUint8(this.at(ptr, 1), value);
  }

  setU16(ptr: GuestPtr, value: number): void {
    this.core.view.setUint16(this.at(ptr, 2), value, true);
  }

  setU32(ptr: GuestPtr, value: number): void {
    this.core.view.setUint32(this.at(ptr, 4), value, true);
  }

  setU64(ptr: GuestPtr, value: bigint): void {
    this.core.view.setBigUint64(this.at(ptr, 8), BigInt.asUintN(64, value), true);
  }

  setU64n(ptr: GuestPtr, value: number): void {
    if (!Number.isSafeInteger(value))
      throw new VmtableError(`${value} is no integer that a u64 can take from a Number`);
    const at = this.at(ptr, 8);
    this.core.view.setUint32(at, value >>> 0, true);
    this.core.view.setUint32(at + 4, Math.floor(value / TWO_32) >>> 0, true);
  }

  ptr(ptr: GuestPtr): GuestPtr {
    const at = this.at(ptr, 8);
    return this.fromHalves(this.core.view.getUint32(at, true), this.core.view.getUint32(at + 4, true));
  }

  setPtr(ptr: GuestPtr, value: GuestPtr): void {
    const at = this.at(ptr, 8);
    if (value >>> 0 !== value || value >= this.windowBytes) this.outside(value, 0);
    this.core.view.setUint32(at, value, true);
    this.core.view.setUint32(at + 4, value === 0 ? 0 : GUEST_BASE_HI, true);
  }

  copy(to: GuestPtr, from: GuestPtr, bytes: number): void {
    if (bytes >>> 0 !== bytes) this.outside(to, bytes);
    const target = this.at(to, bytes);
    const source = this.at(from, bytes);
    this.core.u8.copyWithin(target, source, source + bytes);
  }

  bytes(ptr: GuestPtr, length: number): Uint8Array {
    if (length >>> 0 !== length) this.outside(ptr, length);
    const at = this.at(ptr, length);
    return this.core.u8.subarray(at, at + length);
  }

  cstring(ptr: GuestPtr, max: number): string {
    const bytes = this.bytes(ptr, Math.min(max, this.windowBytes - ptr));
    const end = bytes.indexOf(0);
    if (end < 0 && bytes.length < max) this.outside(ptr, max);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  // ---- Core memory, for the core's host side --------------------------------------------------------------------------

  /** A u32 anywhere in linear memory. */
  u32At(address: number): number {
    return this.core.view.getUint32(address, true);
  }

  setU32At(address: number, value: number): void {
    this.core.view.setUint32(address, value, true);
  }

  u64At(address: number): bigint {
    return this.core.view.getBigUint64(address, true);
  }

  setU64At(address: number, value: bigint): void {
    this.core.view.setBigUint64(address, value, true);
  }

  /** Bytes anywhere in linear memory; valid until memory grows. */
  bytesAt(address: number, length: number): Uint8Array {
    return this.core.u8.subarray(address, address + length);
  }
}

function nearNull(ptr: number): string {
  return ptr === 0 ? 'NULL' : `NULL + ${ptr}`;
}

function count(bytes: number): string {
  return `${bytes} byte${bytes === 1 ? '' : 's'}`;
}
