// The one place that knows Wasm's binary format. Code is appended to a buffer of the core heap through named methods;
// structured control flow is counted here, so that a label is the depth at which it was opened.

import { heapAlloc, heapFree } from '../alloc';
import { Imports } from './imports';

export const I32: u32 = 0x7f;
export const I64: u32 = 0x7e;
const VOID: u32 = 0x40;
const FIRST_BYTES: u32 = 4096;
/** There is always room for an instruction with its immediates. */
const ROOM: u32 = 24;
/** Sizes that are known later take this many bytes. */
const PADDED: u32 = 5;

export class Out {
  static start: u32 = 0;
  static at: u32 = 0;
  /** Where the room for an instruction begins that must be there. */
  private static last: u32 = 0;
  /** The heap had no room: what is written goes over what was written. */
  static full: bool = false;

  /** False: the heap has no room. */
  static begin(): bool {
    Out.start = heapAlloc(FIRST_BYTES);
    Out.at = Out.start;
    Out.last = Out.start + FIRST_BYTES - ROOM;
    Out.full = Out.start == 0;
    return !Out.full;
  }

  static drop(): void {
    if (Out.start) heapFree(Out.start);
    Out.start = 0;
  }

  private static grow(): void {
    const bytes = (Out.last + ROOM - Out.start) * 2;
    const larger = Out.full ? 0 : heapAlloc(bytes);
    if (!larger) {
      Out.full = true;
      Out.at = Out.start;
      return;
    }
    const used = Out.at - Out.start;
    memory.copy(larger, Out.start, used);
    heapFree(Out.start);
    Out.start = larger;
    Out.at = larger + used;
    Out.last = larger + bytes - ROOM;
  }

  /** Makes room for an instruction, and gives where it begins. */
  @inline static room(): u32 {
    if (Out.at > Out.last) Out.grow();
    return Out.at;
  }

  /** Writes what was written before, so many bytes at a distance, once more. */
  static repeat(from: u32, bytes: u32): void {
    while (!Out.full && Out.at + bytes > Out.last) Out.grow();
    if (Out.full) return;
    memory.copy(Out.at, Out.start + from, bytes);
    Out.at += bytes;
  }

  @inline static byte(b: u32): void {
    store<u8>(Out.room(), b);
    Out.at++;
  }

  static unsigned(v: u32): void {
    Out.at = Out.putUnsigned(Out.room(), v);
  }

  /** Writes a number at a place where there is room; where it ends. */
  static putUnsigned(at: u32, v: u32): u32 {
    while (v >= 128) {
      store<u8>(at++, (v & 127) | 128);
      v >>= 7;
    }
    store<u8>(at, v);
    return at + 1;
  }

  static putSigned(at: u32, v: i64): u32 {
    while (true) {
      const low = <u32>v & 127;
      v >>= 7;
      if ((v == 0 && !(low & 64)) || (v == -1 && low & 64)) {
        store<u8>(at, low);
        return at + 1;
      }
      store<u8>(at++, low | 128);
    }
  }

  /** An instruction with an unsigned number. */
  static withUnsigned(op: u32, v: u32): void {
    const at = Out.room();
    store<u16>(at, op | (v << 8));
    if (v < 128) Out.at = at + 2;
    else Out.at = Out.putUnsigned(at + 1, v);
  }

  static withSigned(op: u32, v: i64): void {
    const at = Out.room();
    store<u8>(at, op);
    Out.at = Out.putSigned(at + 1, v);
  }

  static pair(a: u32, b: u32): void {
    store<u16>(Out.room(), a | (b << 8));
    Out.at += 2;
  }

  /** Leaves room for a size; where it is, as a distance. */
  static openSize(): u32 {
    const at = Out.at - Out.start;
    for (let i: u32 = 0; i < PADDED; i++) Out.byte(0);
    return at;
  }

  /** Fills in the bytes since openSize. */
  static closeSize(at: u32): void {
    if (Out.full) return;
    const size = Out.at - Out.start - at - PADDED;
    const to = Out.start + at;
    for (let i: u32 = 0; i < PADDED; i++) {
      store<u8>(to + i, ((size >> (7 * i)) & 127) | (i + 1 < PADDED ? 128 : 0));
    }
  }
}

/** One method for each instruction that the translator uses. */
export class Wasm {
  /** Open blocks of the function. */
  static depth: u32 = 0;

  // ---- Control -----------------------------------------------------------------------------------------------------------

  static block(): u32 {
    Out.pair(0x02, VOID);
    return ++Wasm.depth;
  }
  static loop(): u32 {
    Out.pair(0x03, VOID);
    return ++Wasm.depth;
  }
  static if_(): void {
    Out.pair(0x04, VOID);
    Wasm.depth++;
  }
  static ifValue(type: u32): void {
    Out.pair(0x04, type);
    Wasm.depth++;
  }
  static else_(): void {
    Out.byte(0x05);
  }
  static end(): void {
    Out.byte(0x0b);
    Wasm.depth--;
  }
  static br(label: u32): void {
    Out.withUnsigned(0x0c, Wasm.depth - label);
  }
  static brIf(label: u32): void {
    Out.withUnsigned(0x0d, Wasm.depth - label);
  }
  /** Table of `count` labels, the first of them innermost; the rest goes to the last. */
  static brTable(count: u32): void {
    Out.byte(0x0e);
    Out.unsigned(count - 1);
    for (let i: u32 = 0; i < count; i++) Out.unsigned(i);
  }
  static return_(): void {
    Out.byte(0x0f);
  }
  /** A function by its number (imports.ts). */
  static call(fn: u32): void {
    Out.withUnsigned(0x10, Imports.index(fn));
  }
  static endFunction(): void {
    Out.byte(0x0b);
  }

  // ---- Locals, constants, memory -----------------------------------------------------------------------------------------

  static get(local: u32): void {
    Out.withUnsigned(0x20, local);
  }
  static set(local: u32): void {
    Out.withUnsigned(0x21, local);
  }
  static tee(local: u32): void {
    Out.withUnsigned(0x22, local);
  }
  static i32(v: i32): void {
    Out.withSigned(0x41, v);
  }
  static i64(v: i64): void {
    Out.withSigned(0x42, v);
  }
  /** A load or store by its opcode (LOAD_*, STORE_*) at a static distance from the i32 on the stack. */
  static access(op: u32, distance: u32): void {
    const at = Out.room();
    store<u16>(at, op);
    Out.at = Out.putUnsigned(at + 2, distance);
  }
  /** Loads an u32 from a fixed place. */
  static fixed(at: u32): void {
    Wasm.i32(0);
    Wasm.access(I32_LOAD, at);
  }
  /** An instruction without immediates. */
  @inline static op(op: u32): void {
    Out.byte(op);
  }
}

export const DROP: u32 = 0x1a;
export const SELECT: u32 = 0x1b;
export const I32_LOAD: u32 = 0x28;
export const I64_LOAD: u32 = 0x29;
export const F64_LOAD: u32 = 0x2b;
export const I32_LOAD8_U: u32 = 0x2d;
export const I32_LOAD16_U: u32 = 0x2f;
export const I64_LOAD8_S: u32 = 0x30;
export const I64_LOAD8_U: u32 = 0x31;
export const I64_LOAD16_S: u32 = 0x32;
export const I64_LOAD16_U: u32 = 0x33;
export const I64_LOAD32_S: u32 = 0x34;
export const I64_LOAD32_U: u32 = 0x35;
export const I32_STORE: u32 = 0x36;
export const I64_STORE: u32 = 0x37;
export const I64_STORE8: u32 = 0x3c;
export const I64_STORE16: u32 = 0x3d;
export const I64_STORE32: u32 = 0x3e;

export const I32_EQZ: u32 = 0x45;
export const I32_EQ: u32 = 0x46;
export const I32_NE: u32 = 0x47;
export const I32_LT_S: u32 = 0x48;
export const I32_LT_U: u32 = 0x49;
export const I32_GT_S: u32 = 0x4a;
export const I32_GT_U: u32 = 0x4b;
export const I32_LE_S: u32 = 0x4c;
export const I32_LE_U: u32 = 0x4d;
export const I32_GE_S: u32 = 0x4e;
export const I32_GE_U: u32 = 0x4f;
export const I64_EQZ: u32 = 0x50;
export const I64_EQ: u32 = 0x51;
export const I64_NE: u32 = 0x52;
export const I64_LT_S: u32 = 0x53;
export const I64_LT_U: u32 = 0x54;
export const I64_GT_S: u32 = 0x55;
export const I64_GT_U: u32 = 0x56;
export const I64_LE_S: u32 = 0x57;
export const I64_LE_U: u32 = 0x58;
export const I64_GE_S: u32 = 0x59;
export const I64_GE_U: u32 = 0x5a;

export const I32_ADD: u32 = 0x6a;
export const I32_SUB: u32 = 0x6b;
export const I32_MUL: u32 = 0x6c;
export const I32_DIV_S: u32 = 0x6d;
export const I32_DIV_U: u32 = 0x6e;
export const I32_REM_S: u32 = 0x6f;
export const I32_REM_U: u32 = 0x70;
export const I32_AND: u32 = 0x71;
export const I32_OR: u32 = 0x72;
export const I32_XOR: u32 = 0x73;
export const I32_SHL: u32 = 0x74;
export const I32_SHR_S: u32 = 0x75;
export const I32_SHR_U: u32 = 0x76;
export const I32_ROTL: u32 = 0x77;
export const I64_CLZ: u32 = 0x79;
export const I64_CTZ: u32 = 0x7a;
export const I64_ADD: u32 = 0x7c;
export const I64_SUB: u32 = 0x7d;
export const I64_MUL: u32 = 0x7e;
export const I64_DIV_S: u32 = 0x7f;
export const I64_DIV_U: u32 = 0x80;
export const I64_REM_S: u32 = 0x81;
export const I64_REM_U: u32 = 0x82;
export const I64_AND: u32 = 0x83;
export const I64_OR: u32 = 0x84;
export const I64_XOR: u32 = 0x85;
export const I64_SHL: u32 = 0x86;
export const I64_SHR_S: u32 = 0x87;
export const I64_SHR_U: u32 = 0x88;
export const I64_ROTL: u32 = 0x89;
export const F64_ADD: u32 = 0xa0;
export const F64_DIV: u32 = 0xa3;
export const I32_WRAP: u32 = 0xa7;
export const I64_TRUNC_F64_S: u32 = 0xb0;
export const I64_EXTEND_S: u32 = 0xac;
export const I64_EXTEND_U: u32 = 0xad;
export const I32_EXTEND8_S: u32 = 0xc0;
export const I32_EXTEND16_S: u32 = 0xc1;
export const I64_EXTEND8_S: u32 = 0xc2;
export const I64_EXTEND16_S: u32 = 0xc3;
export const I64_EXTEND32_S: u32 = 0xc4;

/** Names are numbers, half a byte a letter. */
const NAME_BYTES: u32 = 5;

/** Sections and their entries, in the order in which a module has them. */
export class Module {
  static header(): void {
    const magic: u64 = 0x000000016d736100;
    for (let i: u64 = 0; i < 64; i += 8) Out.byte(<u32>(magic >> i) & 0xff);
  }
  static types(count: u32): u32 {
    return Module.section(1, count);
  }
  /** Parameters of these types, the third for all that follow; no result, one, or two with the second an i32. */
  static type(params: u32, a: u32, b: u32, rest: u32, results: u32, result: u32): void {
    Out.byte(0x60);
    Out.unsigned(params);
    for (let i: u32 = 0; i < params; i++) Out.byte(i == 0 ? a : i == 1 ? b : rest);
    Out.unsigned(results);
    if (results) Out.byte(result);
    if (results > 1) Out.byte(I32);
  }
  static imports(count: u32): u32 {
    return Module.section(2, count);
  }
  /** Import `name` (one letter) of module `c`. */
  static importFunction(name: u32, type: u32): void {
    Module.importName(name);
    Out.byte(0);
    Out.unsigned(type);
  }
  /** Import of a number, half a byte a letter, of a module (one letter). */
  static importNumbered(module: u32, n: u32, type: u32): void {
    Out.byte(1);
    Out.byte(module);
    Module.number(n);
    Out.byte(0);
    Out.unsigned(type);
  }
  private static number(n: u32): void {
    Out.byte(NAME_BYTES);
    for (let i: u32 = 0; i < NAME_BYTES; i++) Out.byte(97 + ((n >> (4 * i)) & 15));
  }
  static importMemory(name: u32): void {
    Module.importName(name);
    Out.byte(2);
    Out.byte(0);
    Out.unsigned(0);
  }
  private static importName(name: u32): void {
    Out.byte(1);
    Out.byte(99);
    Out.byte(1);
    Out.byte(name);
  }
  static functions(count: u32): u32 {
    return Module.section(3, count);
  }
  static exports(count: u32): u32 {
    return Module.section(7, count);
  }
  /** Exports a function; the host takes exports by their order, so that the name says nothing. */
  static exportFunction(nth: u32, index: u32): void {
    Module.number(nth);
    Out.byte(0);
    Out.unsigned(index);
  }
  static codes(count: u32): u32 {
    return Module.section(10, count);
  }
  private static section(id: u32, count: u32): u32 {
    Out.byte(id);
    const size = Out.openSize();
    Out.unsigned(count);
    return size;
  }
}
