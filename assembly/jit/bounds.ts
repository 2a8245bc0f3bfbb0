// What registers hold at least and at most, as unsigned numbers: of constants, masks, shifts, narrow loads, and of comparisons
// that were passed. Programs that a verifier accepts bound every index like this. Both bounds are u32: WORD stands for any number
// that has 32 bits at most, ANY for all others.

import * as abi from '../abi';
import * as ops from '../ops';
import { Effects } from './effects';

const WORD: u32 = 0xfffffffe;
const ANY: u32 = 0xffffffff;
const MAX_WORD: u64 = 0xffffffff;
const MAX: u64 = 0xffffffffffffffff;
const REGISTERS: u32 = 10;
/** How what a loop changes is widened: by a step, or at once. */
export const WIDEN: u32 = 1;
export const GIVE_UP: u32 = 2;
/** Bytes of the bounds of all registers. */
export const BOUNDS_BYTES: u32 = REGISTERS * 8;

/** What is known here. */
const NOW: usize = memory.data(80);
const KEPT: usize = memory.data(80);

/** Comparisons, as the conditions of jumps are numbered. */
const EQ: u32 = 0;
const NE: u32 = 1;
const GT: u32 = 2;
const GE: u32 = 3;
const LT: u32 = 4;
const LE: u32 = 5;

export class Bounds {
  @inline static low(r: u32): u64 {
    return r < REGISTERS ? load<u32>(NOW + r * 8) : 0;
  }
  static high(r: u32): u64 {
    const high: u32 = r < REGISTERS ? load<u32>(NOW + r * 8, 4) : ANY;
    return high == ANY ? MAX : high == WORD ? MAX_WORD : high;
  }
  private static set(r: u32, low: u64, high: u64): void {
    store<u32>(NOW + r * 8, <u32>min(low, MAX_WORD));
    store<u32>(NOW + r * 8, high < WORD ? <u32>high : high <= MAX_WORD ? WORD : ANY, 4);
  }
  static forget(r: u32): void {
    Bounds.set(r, 0, MAX);
  }
  static forgetAll(): void {
    for (let r: u32 = 0; r < REGISTERS; r++) Bounds.forget(r);
  }
  /** As memory.copy, which is a call that takes longer. */
  static copy(to: u32, from: u32): void {
    for (let i: u32 = 0; i < BOUNDS_BYTES; i += 8) store<u64>(to + i, load<u64>(from + i));
  }
  @inline static take(at: u32): void {
    Bounds.copy(<u32>NOW, <u32>at);
  }
  @inline static give(at: u32): void {
    Bounds.copy(<u32>at, <u32>NOW);
  }
  @inline static keep(): void {
    Bounds.copy(<u32>KEPT, <u32>NOW);
  }
  @inline static back(): void {
    Bounds.copy(<u32>NOW, <u32>KEPT);
  }

  /** Bounds that no way has brought yet; those of anything. */
  static none(at: u32): void {
    for (let r: u32 = 0; r < REGISTERS * 8; r += 8) {
      store<u32>(at + r, ANY);
      store<u32>(at + r, 0, 4);
    }
  }
  static any(at: u32): void {
    for (let r: u32 = 0; r < REGISTERS * 8; r += 8) {
      store<u32>(at + r, 0);
      store<u32>(at + r, ANY, 4);
    }
  }

  /** Makes what is at `at` true of what is known now, too; nothing is said of what does not live. Has it changed? `widen`: 0, or how what changes is given up. */
  static join(at: u32, live: u32, widen: u32): bool {
    let changed = false;
    for (let r: u32 = 0; r < REGISTERS * 8; r += 8) {
      if (!((live >> (r >> 3)) & 1)) {
        store<u64>(at + r, (<u64>ANY) << 32);
        continue;
      }
      const low = load<u32>(NOW + r);
      const high = load<u32>(NOW + r, 4);
      if (low < load<u32>(at + r)) {
        store<u32>(at + r, widen == GIVE_UP ? 0 : widen ? min<u32>(low, 1) : low);
        changed = true;
      }
      if (high > load<u32>(at + r, 4)) {
        store<u32>(at + r, !widen ? high : widen == GIVE_UP || high == ANY ? ANY : WORD, 4);
        changed = true;
      }
    }
    return changed;
  }

  // ---- Slots -----------------------------------------------------------------------------------------------------------------

  /** A slot that is no call writes this register. */
  static step(slot: u32, op: u32): void {
    const d = Effects.dst(slot);
    if (op >= <u32>ops.H_LDX_B) {
      const width = op <= <u32>ops.H_LDX_DW ? op - ops.H_LDX_B : op - ops.H_LDF_B;
      if (op <= <u32>ops.H_LDX_DW || (op >= <u32>ops.H_LDF_B && op <= <u32>ops.H_LDF_DW)) {
        Bounds.set(d, 0, MAX >> (64 - (8 << width)));
      } else {
        Bounds.forget(d);
      }
      return;
    }
    const s = Effects.src(slot);
    const imm = load<i64>(slot, abi.SLOT_IMM);
    const low = Bounds.low(d);
    const high = Bounds.high(d);
    switch (op) {
      case ops.H_NOP:
        return;
      case ops.H_MOV_K:
        Bounds.set(d, imm, imm);
        return;
      case ops.H_MOV_X:
        Bounds.set(d, Bounds.low(s), Bounds.high(s));
        return;
      case ops.H_ADD_K:
        Bounds.add(d, low, high, imm, imm, MAX);
        return;
      case ops.H_ADD_X:
        Bounds.add(d, low, high, Bounds.low(s), Bounds.high(s), MAX);
        return;
      case ops.H_AND_K:
        Bounds.set(d, 0, min(high, <u64>imm));
        return;
      case ops.H_AND_X:
        Bounds.set(d, 0, min(high, Bounds.high(s)));
        return;
      case ops.H_OR_K:
      case ops.H_XOR_K:
        Bounds.set(d, 0, Bounds.ones(high | <u64>imm));
        return;
      case ops.H_OR_X:
      case ops.H_XOR_X:
        Bounds.set(d, 0, Bounds.ones(high | Bounds.high(s)));
        return;
      case ops.H_LSH_K:
        Bounds.shift(d, low, high, <u32>imm & 63, MAX);
        return;
      case ops.H_RSH_K:
        Bounds.set(d, low >> (<u64>imm & 63), high >> (<u64>imm & 63));
        return;
      default:
        Bounds.narrow(slot, op, d, s);
    }
  }

  /** 32-bit arithmetic; of the rest, nothing is known. */
  private static narrow(slot: u32, op: u32, d: u32, s: u32): void {
    let low = Bounds.low(d);
    let high = Bounds.high(d);
    if (high > MAX_WORD) {
      low = 0;
      high = MAX_WORD;
    }
    let ofLow = Bounds.low(s);
    let ofHigh = Bounds.high(s);
    if (ofHigh > MAX_WORD) {
      ofLow = 0;
      ofHigh = MAX_WORD;
    }
    const imm = <u64>load<u32>(slot, abi.SLOT_IMM);
    switch (op) {
      case ops.H_MOV32_X:
        Bounds.set(d, ofLow, ofHigh);
        return;
      case ops.H_ADD32_K:
        Bounds.add(d, low, high, <i64>load<i32>(slot, abi.SLOT_IMM), <i64>load<i32>(slot, abi.SLOT_IMM), MAX_WORD);
        return;
      case ops.H_ADD32_X:
        Bounds.add(d, low, high, ofLow, ofHigh, MAX_WORD);
        return;
      case ops.H_AND32_K:
        Bounds.set(d, 0, min(high, imm));
        return;
      case ops.H_AND32_X:
        Bounds.set(d, 0, min(high, ofHigh));
        return;
      case ops.H_OR32_K:
      case ops.H_XOR32_K:
        Bounds.set(d, 0, Bounds.ones(high | imm));
        return;
      case ops.H_OR32_X:
      case ops.H_XOR32_X:
        Bounds.set(d, 0, Bounds.ones(high | ofHigh));
        return;
      case ops.H_LSH32_K:
        Bounds.shift(d, low, high, <u32>imm & 31, MAX_WORD);
        return;
      case ops.H_RSH32_K:
        Bounds.set(d, low >> (imm & 31), high >> (imm & 31));
        return;
      case ops.H_MUL32_K:
        if (high * imm <= MAX_WORD) Bounds.set(d, low * imm, high * imm);
        else Bounds.set(d, 0, MAX_WORD);
        return;
      case ops.H_LSH32_X:
      case ops.H_RSH32_X:
      case ops.H_MUL32_X:
      case ops.H_SUB32_X:
      case ops.H_NEG32:
        Bounds.set(d, 0, MAX_WORD);
        return;
      case ops.H_ZEXT16:
      case ops.H_BSWAP16:
        Bounds.set(d, 0, 0xffff);
        return;
      default:
        Bounds.forget(d);
    }
  }

  /** A number between two bounds plus one between two others; those may both be one negative number. `most`: the largest result. */
  private static add(r: u32, low: u64, high: u64, ofLow: u64, ofHigh: u64, most: u64): void {
    if (ofLow == ofHigh && <i64>ofLow < 0) {
      const less = -ofLow;
      if (low >= less) Bounds.set(r, low - less, high == MAX ? MAX : high - less);
      else Bounds.set(r, 0, most);
      return;
    }
    if (high <= MAX_WORD && ofHigh <= MAX_WORD && high + ofHigh <= most) Bounds.set(r, low + ofLow, high + ofHigh);
    else Bounds.set(r, 0, most);
  }

  private static shift(r: u32, low: u64, high: u64, by: u32, most: u64): void {
    if (high <= MAX_WORD && by < 32 && high << by <= most) Bounds.set(r, low << by, high << by);
    else Bounds.set(r, 0, most);
  }

  /** The largest number that has as many bits. */
  private static ones(v: u64): u64 {
    return v ? MAX >> clz(v) : 0;
  }

  // ---- Comparisons -----------------------------------------------------------------------------------------------------------

  /** The conditional jump of a slot was taken, or not. */
  static pass(slot: u32, taken: bool): void {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    const wide = op <= <u32>ops.H_JSET_X;
    let kind = op - (wide ? ops.H_JEQ_K : ops.H_JEQ32_K);
    const forms: u32 = ops.H_JEQ_X - ops.H_JEQ_K;
    const k = kind < forms;
    if (!k) kind -= forms;
    if (kind > LE) return;
    if (!taken) kind = kind == EQ ? NE : kind == NE ? EQ : GT + LE - kind;
    const d = Effects.dst(slot);
    if (!wide && Bounds.high(d) > MAX_WORD) return;
    if (k) {
      const v: u64 = wide ? load<u64>(slot, abi.SLOT_IMM) : load<u32>(slot, abi.SLOT_IMM);
      Bounds.passed(d, kind, v, v);
      return;
    }
    const s = Effects.src(slot);
    if (!wide && Bounds.high(s) > MAX_WORD) return;
    const low = Bounds.low(d);
    const high = Bounds.high(d);
    Bounds.passed(d, kind, Bounds.low(s), Bounds.high(s));
    if (kind >= GT) kind = kind <= GE ? kind + 2 : kind - 2;
    Bounds.passed(s, kind, low, high);
  }

  /** A register compares so with a number between two bounds. */
  private static passed(r: u32, kind: u32, ofLow: u64, ofHigh: u64): void {
    if (r >= REGISTERS) return;
    let low = Bounds.low(r);
    let high = Bounds.high(r);
    switch (kind) {
      case EQ:
        low = max(low, ofLow);
        high = min(high, ofHigh);
        break;
      case NE:
        if (ofLow != ofHigh) return;
        if (low == ofLow) low++;
        if (high == ofLow) high--;
        break;
      case GT:
        if (ofLow == MAX) return;
        low = max(low, ofLow + 1);
        break;
      case GE:
        low = max(low, ofLow);
        break;
      case LT:
        if (!ofHigh) return;
        high = min(high, ofHigh - 1);
        break;
      default:
        high = min(high, ofHigh);
    }
    // Never both: nobody gets there.
    if (low <= high) Bounds.set(r, low, high);
  }
}
