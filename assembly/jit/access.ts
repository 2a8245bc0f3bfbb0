// Loads, stores and atomics, and their checks.

import * as abi from '../abi';
import * as isa from '../isa';
import * as ops from '../ops';
import { Effects } from './effects';
import { Emit, IMPORT_CHECK } from './emit';
import * as w from './wasm';
import { Wasm } from './wasm';

export class Access {
  /** Checks an access and leaves its window offset (i32) on the stack. */
  private static checked(i: u32, base: u32, distance: i64, width: u32, write: bool): void {
    Emit.get(base);
    Wasm.i64(distance);
    Wasm.op(w.I64_ADD);
    Wasm.set(Emit.address);
    if (Emit.object) {
      const fine = Wasm.block();
      const slow = Wasm.block();
      Access.isOutside(width);
      Wasm.brIf(slow);
      Wasm.get(Emit.address);
      Wasm.op(w.I32_WRAP);
      Wasm.i32(3);
      Wasm.op(w.I32_SHR_U);
      Wasm.access(w.I32_LOAD8_U, Emit.shadow);
      Wasm.i32(abi.SHADOW_RW);
      Wasm.op(w.I32_NE);
      if (width > 1) {
        Wasm.get(Emit.address);
        Wasm.op(w.I32_WRAP);
        Wasm.i32(7);
        Wasm.op(w.I32_AND);
        Wasm.i32(8 - width);
        Wasm.op(w.I32_GT_U);
        Wasm.op(w.I32_OR);
      }
      Wasm.op(w.I32_EQZ);
      Wasm.brIf(fine);
      Wasm.end();
      Wasm.get(Emit.address);
      Wasm.i32(width | (write ? abi.FAULT_WRITE_BIT : 0));
      Wasm.call(IMPORT_CHECK);
      Wasm.op(w.I32_EQZ);
      Wasm.brIf(fine);
      Emit.leave(i);
      Wasm.end();
    } else {
      Access.isOutside(width);
      Wasm.if_();
      Emit.leave(i);
      Wasm.end();
    }
    Wasm.get(Emit.address);
    Wasm.op(w.I32_WRAP);
  }

  private static isOutside(width: u32): void {
    Wasm.get(Emit.address);
    Wasm.i64(Emit.window - width);
    Wasm.op(w.I64_GT_U);
  }

  private static loadOf(size: u32, signed: bool): u32 {
    switch (size) {
      case 0:
        return signed ? w.I64_LOAD8_S : w.I64_LOAD8_U;
      case 1:
        return signed ? w.I64_LOAD16_S : w.I64_LOAD16_U;
      case 2:
        return signed ? w.I64_LOAD32_S : w.I64_LOAD32_U;
      default:
        return w.I64_LOAD;
    }
  }

  private static storeOf(size: u32): u32 {
    return size == 3 ? w.I64_STORE : w.I64_STORE8 + size;
  }

  static load(i: u32, slot: u32, op: u32): void {
    const signed = op >= <u32>ops.H_LDX_SB;
    const size = op - (signed ? ops.H_LDX_SB : ops.H_LDX_B);
    Access.checked(i, Effects.src(slot), Emit.imm(slot), 1 << size, false);
    Wasm.access(Access.loadOf(size, signed), abi.WINDOW_BASE);
    Emit.set(Effects.dst(slot));
  }

  static store(i: u32, slot: u32, op: u32): void {
    const immediate = op >= <u32>ops.H_ST_B;
    const size = op - (immediate ? ops.H_ST_B : ops.H_STX_B);
    Access.checked(i, Effects.dst(slot), Emit.imm(slot), 1 << size, true);
    if (immediate) Wasm.i64(load<i32>(slot, abi.SLOT_OFF));
    else Emit.get(Effects.src(slot));
    Wasm.access(Access.storeOf(size), abi.WINDOW_BASE);
  }

  /** Of the frame, statically inside it. */
  static frame(slot: u32, op: u32): void {
    const size = (op - ops.H_LDF_B) & 3;
    const at = abi.WINDOW_BASE + Emit.imm32(slot);
    Wasm.get(Emit.FRAME);
    if (op <= <u32>ops.H_LDF_DW) {
      Wasm.access(Access.loadOf(size, false), at);
      Emit.set(Effects.dst(slot));
      return;
    }
    if (op >= <u32>ops.H_STF_B) Wasm.i64(load<i32>(slot, abi.SLOT_OFF));
    else Emit.get(Effects.src(slot));
    Wasm.access(Access.storeOf(size), at);
  }

  static atomic(i: u32, slot: u32): void {
    const what = load<u32>(slot, abi.SLOT_OFF);
    const op = what & 0xffff;
    const size = what >> 16;
    const d = Effects.dst(slot);
    const s = Effects.src(slot);
    if (op == isa.ATOMIC_LOAD_ACQ) {
      Access.checked(i, s, Emit.imm(slot), 1 << size, false);
      Wasm.access(Access.loadOf(size, false), abi.WINDOW_BASE);
      Emit.set(d);
      return;
    }
    Access.checked(i, d, Emit.imm(slot), 1 << size, true);
    if (op == isa.ATOMIC_STORE_REL) {
      Emit.get(s);
      Wasm.access(Access.storeOf(size), abi.WINDOW_BASE);
      return;
    }
    // The offset is needed again: as the address of the store.
    Wasm.op(w.I64_EXTEND_U);
    Wasm.set(Emit.address);
    if (op == isa.ATOMIC_CMPXCHG) {
      Access.exchangeIfEqual(s, size);
      return;
    }
    Access.offset();
    if (op == isa.ATOMIC_XCHG) {
      Emit.get(s);
    } else {
      Access.old(size);
      Emit.get(s);
      Wasm.op(Access.combination(op & ~isa.ATOMIC_FETCH));
    }
    if (!(op & isa.ATOMIC_FETCH)) {
      Wasm.access(Access.storeOf(size), abi.WINDOW_BASE);
      return;
    }
    // src may be the value that is stored: the old one is loaded before, and set after.
    Access.old(size);
    Emit.set(s);
    Wasm.access(Access.storeOf(size), abi.WINDOW_BASE);
  }

  @inline private static offset(): void {
    Wasm.get(Emit.address);
    Wasm.op(w.I32_WRAP);
  }
  /** What memory holds, zero-extended. */
  private static old(size: u32): void {
    Access.offset();
    Wasm.access(Access.loadOf(size, false), abi.WINDOW_BASE);
  }

  private static exchangeIfEqual(s: u32, size: u32): void {
    Access.old(size);
    Emit.get(0);
    if (size == 2) {
      Wasm.i64(0xffffffff);
      Wasm.op(w.I64_AND);
    }
    Wasm.op(w.I64_EQ);
    Wasm.ifValue(w.I64);
    Access.old(size);
    Access.offset();
    Emit.get(s);
    Wasm.access(Access.storeOf(size), abi.WINDOW_BASE);
    Wasm.else_();
    Access.old(size);
    Wasm.end();
    Emit.set(0);
  }

  private static combination(op: u32): u32 {
    switch (op) {
      case isa.ATOMIC_ADD:
        return w.I64_ADD;
      case isa.ATOMIC_OR:
        return w.I64_OR;
      case isa.ATOMIC_AND:
        return w.I64_AND;
      default:
        return w.I64_XOR;
    }
  }
}
