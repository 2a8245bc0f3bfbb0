// Arithmetic, division and byte order: slots to Wasm.

import * as abi from '../abi';
import * as ops from '../ops';
import { dividesByRegister, Effects } from './effects';
import { Emit } from './emit';
import * as w from './wasm';
import { Wasm } from './wasm';

export class Alu {
  static wide(slot: u32, op: u32): void {
    const d = Effects.dst(slot);
    const s = Effects.src(slot);
    switch (op) {
      case ops.H_NOP:
        return;
      case ops.H_MOV_K:
        Wasm.i64(Emit.imm(slot));
        Emit.set(d);
        return;
      case ops.H_MOV_X:
        Emit.get(s);
        Emit.set(d);
        return;
      case ops.H_MOVSX8:
      case ops.H_MOVSX16:
      case ops.H_MOVSX32:
        Emit.get(s);
        Wasm.op(w.I64_EXTEND8_S + (op - ops.H_MOVSX8));
        Emit.set(d);
        return;
      case ops.H_NEG:
        Wasm.i64(0);
        Emit.get(d);
        Wasm.op(w.I64_SUB);
        Emit.set(d);
        return;
      case ops.H_SUB_X:
        Emit.get(d);
        Emit.get(s);
        Wasm.op(w.I64_SUB);
        Emit.set(d);
        return;
      default:
        break;
    }
    // Pairs of immediate and register from here on.
    Emit.get(d);
    const k = op == ops.H_ADD_K || (op >= <u32>ops.H_MUL_K && !((op - ops.H_MUL_K) & 1));
    if (k) Wasm.i64(Emit.imm(slot));
    else Emit.get(s);
    Wasm.op(Alu.operation64(op));
    Emit.set(d);
  }

  /** Do a slot and the next one shift a register left and right by the same? */
  static isCut(slot: u32): bool {
    if (load<u8>(slot, abi.SLOT_BASE) != ops.H_LSH_K) return false;
    const next = slot + abi.SLOT_BYTES;
    const op: u32 = load<u8>(next, abi.SLOT_BASE);
    const by = <u32>Emit.imm(slot) & 63;
    if (Effects.dst(next) != Effects.dst(slot) || (<u32>Emit.imm(next) & 63) != by) return false;
    return op == ops.H_RSH_K ? by > 0 : op == ops.H_ARSH_K && (by == 32 || by == 48 || by == 56);
  }

  /** Both: bits above some become 0 or those of the sign. */
  static cut(slot: u32): void {
    const d = Effects.dst(slot);
    const by = <u32>Emit.imm(slot) & 63;
    const signed = load<u8>(slot + abi.SLOT_BYTES, abi.SLOT_BASE) == ops.H_ARSH_K;
    if (signed) {
      Emit.get(d);
      Wasm.op(by == 32 ? w.I64_EXTEND32_S : by == 48 ? w.I64_EXTEND16_S : w.I64_EXTEND8_S);
      Emit.set(d);
    } else if (by == 32) {
      Emit.get32(d);
      Emit.set32(d);
    } else {
      Emit.get(d);
      Wasm.i64(<i64>(~(<u64>0) >> by));
      Wasm.op(w.I64_AND);
      Emit.set(d);
    }
  }

  private static operation64(op: u32): u32 {
    switch (op) {
      case ops.H_ADD_K:
      case ops.H_ADD_X:
        return w.I64_ADD;
      case ops.H_MUL_K:
      case ops.H_MUL_X:
        return w.I64_MUL;
      case ops.H_OR_K:
      case ops.H_OR_X:
        return w.I64_OR;
      case ops.H_AND_K:
      case ops.H_AND_X:
        return w.I64_AND;
      case ops.H_LSH_K:
      case ops.H_LSH_X:
        return w.I64_SHL;
      case ops.H_RSH_K:
      case ops.H_RSH_X:
        return w.I64_SHR_U;
      case ops.H_ARSH_K:
      case ops.H_ARSH_X:
        return w.I64_SHR_S;
      default:
        return w.I64_XOR;
    }
  }

  static narrow(slot: u32, op: u32): void {
    const d = Effects.dst(slot);
    const s = Effects.src(slot);
    switch (op) {
      case ops.H_MOV32_X:
        Emit.get32(s);
        Emit.set32(d);
        return;
      case ops.H_MOVSX32_8:
      case ops.H_MOVSX32_16:
        Emit.get32(s);
        Wasm.op(w.I32_EXTEND8_S + (op - ops.H_MOVSX32_8));
        Emit.set32(d);
        return;
      case ops.H_NEG32:
        Wasm.i32(0);
        Emit.get32(d);
        Wasm.op(w.I32_SUB);
        Emit.set32(d);
        return;
      case ops.H_SUB32_X:
        Emit.get32(d);
        Emit.get32(s);
        Wasm.op(w.I32_SUB);
        Emit.set32(d);
        return;
      default:
        break;
    }
    Emit.get32(d);
    const k = op == ops.H_ADD32_K || (op >= <u32>ops.H_MUL32_K && !((op - ops.H_MUL32_K) & 1));
    if (k) Wasm.i32(Emit.imm32(slot));
    else Emit.get32(s);
    Wasm.op(Alu.operation32(op));
    Emit.set32(d);
  }

  private static operation32(op: u32): u32 {
    switch (op) {
      case ops.H_ADD32_K:
      case ops.H_ADD32_X:
        return w.I32_ADD;
      case ops.H_MUL32_K:
      case ops.H_MUL32_X:
        return w.I32_MUL;
      case ops.H_OR32_K:
      case ops.H_OR32_X:
        return w.I32_OR;
      case ops.H_AND32_K:
      case ops.H_AND32_X:
        return w.I32_AND;
      case ops.H_LSH32_K:
      case ops.H_LSH32_X:
        return w.I32_SHL;
      case ops.H_RSH32_K:
      case ops.H_RSH32_X:
        return w.I32_SHR_U;
      case ops.H_ARSH32_K:
      case ops.H_ARSH32_X:
        return w.I32_SHR_S;
      default:
        return w.I32_XOR;
    }
  }

  // ---- Division: RFC 9669 section 4.1, by zero gives 0 (the dividend as rest), MIN / -1 gives MIN (rest 0) -------------------

  static division(slot: u32, op: u32): void {
    const d = Effects.dst(slot);
    const wide = op < <u32>ops.H_DIV32;
    const kind = op - (wide ? ops.H_DIV : ops.H_DIV32);
    const signed = kind == 1 || kind == 3;
    const type = wide ? w.I64 : w.I32;
    Alu.divisor(slot, wide);
    Wasm.op(wide ? w.I64_EQZ : w.I32_EQZ);
    Wasm.ifValue(type);
    if (kind < 2) Alu.constant(wide, 0);
    else Alu.dividend(d, wide);
    Wasm.else_();
    if (signed) {
      Alu.divisor(slot, wide);
      Alu.constant(wide, -1);
      Wasm.op(wide ? w.I64_EQ : w.I32_EQ);
      Wasm.ifValue(type);
      Alu.constant(wide, 0);
      if (kind == 1) {
        Alu.dividend(d, wide);
        Wasm.op(wide ? w.I64_SUB : w.I32_SUB);
      }
      Wasm.else_();
    }
    Alu.dividend(d, wide);
    Alu.divisor(slot, wide);
    const divide = (wide ? w.I64_DIV_S : w.I32_DIV_S) + (kind < 2 ? 0 : 2);
    Wasm.op(divide + (signed ? 0 : 1));
    if (signed) Wasm.end();
    Wasm.end();
    if (wide) Emit.set(d);
    else Emit.set32(d);
  }

  static constant(wide: bool, v: i32): void {
    if (wide) Wasm.i64(v);
    else Wasm.i32(v);
  }
  static dividend(d: u32, wide: bool): void {
    if (wide) Emit.get(d);
    else Emit.get32(d);
  }
  private static divisor(slot: u32, wide: bool): void {
    if (dividesByRegister(slot)) Alu.dividend(Effects.src(slot), wide);
    else if (wide) Wasm.i64(Emit.imm(slot));
    else Wasm.i32(Emit.imm32(slot));
  }

  // ---- Byte order --------------------------------------------------------------------------------------------------------

  static swap(slot: u32, op: u32): void {
    const d = Effects.dst(slot);
    switch (op) {
      case ops.H_ZEXT16:
        Emit.get(d);
        Wasm.i64(0xffff);
        Wasm.op(w.I64_AND);
        break;
      case ops.H_BSWAP16:
        // Both bytes out of x * 0x10001 shifted by a byte.
        Emit.get32(d);
        Wasm.i32(0xffff);
        Wasm.op(w.I32_AND);
        Wasm.i32(0x10001);
        Wasm.op(w.I32_MUL);
        Wasm.i32(8);
        Wasm.op(w.I32_SHR_U);
        Wasm.i32(0xffff);
        Wasm.op(w.I32_AND);
        Wasm.op(w.I64_EXTEND_U);
        break;
      case ops.H_BSWAP32:
        Emit.get32(d);
        Wasm.i32(8);
        Wasm.op(w.I32_ROTL);
        Wasm.i32(0x00ff00ff);
        Wasm.op(w.I32_AND);
        Emit.get32(d);
        Wasm.i32(24);
        Wasm.op(w.I32_ROTL);
        Wasm.i32(<i32>0xff00ff00);
        Wasm.op(w.I32_AND);
        Wasm.op(w.I32_OR);
        Wasm.op(w.I64_EXTEND_U);
        break;
      default:
        Alu.exchange(d, 8, 0x00ff00ff00ff00ff);
        Alu.exchange(d, 16, 0x0000ffff0000ffff);
        Emit.get(d);
        Wasm.i64(32);
        Wasm.op(w.I64_ROTL);
    }
    Emit.set(d);
  }

  /** Exchanges neighbouring parts of `bits` bits. */
  private static exchange(d: u32, bits: u32, low: i64): void {
    Emit.get(d);
    Wasm.i64(bits);
    Wasm.op(w.I64_SHR_U);
    Wasm.i64(low);
    Wasm.op(w.I64_AND);
    Emit.get(d);
    Wasm.i64(low);
    Wasm.op(w.I64_AND);
    Wasm.i64(bits);
    Wasm.op(w.I64_SHL);
    Wasm.op(w.I64_OR);
    Emit.set(d);
  }
}
