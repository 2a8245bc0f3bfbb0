// Loads, stores and atomics, and their checks.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import * as isa from '../isa';
import * as ops from '../ops';
import { Checks } from './checks';
import { Constants } from './constants';
import { Effects } from './effects';
import { Emit } from './emit';
import { Stack } from './stack';
import { Values } from './values';
import * as w from './wasm';
import { Wasm } from './wasm';

export class Access {
  private static base: u32 = 0;
  private static local: u32 = 0;
  private static at: u32 = 0;
  /** Slot (index). */
  private static slot: u32 = 0;

  /** Checks the access of slot i (index): what is Access.at away from index() may be accessed then. */
  private static checked(i: u32, slot: u32, base: u32): void {
    Checks.check(i);
    Access.local = Checks.index;
    Access.at = abi.WINDOW_BASE + (Access.local ? Checks.place : <u32>(Emit.imm(slot) + GUEST_BASE));
    Access.base = base;
    Access.slot = i;
  }

  private static index(): void {
    if (Access.local) Wasm.get(Access.local);
    else if (Access.base == isa.REG_FP) Wasm.get(Emit.FRAME);
    // A sum that no check needs is made in 32 bits.
    else if (Checks.made || !Values.makeLow(Access.base, Access.slot)) Emit.get32(Access.base);
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
    if (Constants.isLoad(slot, op)) {
      Wasm.i64(Constants.value(op));
      Emit.set(Effects.dst(slot));
      return;
    }
    Access.checked(i, slot, Effects.src(slot));
    Access.index();
    Wasm.access(Access.loadOf(size, signed), Access.at);
    Emit.set(Effects.dst(slot));
  }

  static store(i: u32, slot: u32, op: u32): void {
    const immediate = op >= <u32>ops.H_ST_B;
    const size = op - (immediate ? ops.H_ST_B : ops.H_STX_B);
    Access.checked(i, slot, Effects.dst(slot));
    Access.index();
    if (immediate) Wasm.i64(load<i32>(slot, abi.SLOT_OFF));
    else Emit.get(Effects.src(slot));
    Wasm.access(Access.storeOf(size), Access.at);
  }

  /** Of the frame, statically inside it. */
  static frame(slot: u32, op: u32): void {
    const size = (op - ops.H_LDF_B) & 3;
    const at = abi.WINDOW_BASE + Emit.imm32(slot);
    const isLoad = op <= <u32>ops.H_LDF_DW;
    const local = Stack.local(slot, !isLoad);
    if (isLoad) {
      if (local) {
        Wasm.get(local);
      } else {
        Wasm.get(Emit.FRAME);
        Wasm.access(Access.loadOf(size, false), at);
      }
      Emit.set(Effects.dst(slot));
      return;
    }
    if (!local) Wasm.get(Emit.FRAME);
    if (op >= <u32>ops.H_STF_B) Wasm.i64(load<i32>(slot, abi.SLOT_OFF));
    else Emit.get(Effects.src(slot));
    if (!local) {
      Wasm.access(Access.storeOf(size), at);
      return;
    }
    if (size < 3) {
      Wasm.i64(((<i64>1) << (8 << size)) - 1);
      Wasm.op(w.I64_AND);
    }
    Wasm.set(local);
  }

  /** Units of the frame that are locals go to memory. */
  static spill(): void {
    for (let left = Stack.all(); left; left &= left - 1) {
      const u = <u32>ctz(left);
      Wasm.get(Emit.FRAME);
      Wasm.get(Stack.isLocal(u));
      Wasm.access(Access.storeOf(Stack.size(u)), abi.WINDOW_BASE + Stack.distance(u));
    }
  }

  /** Of them, those that nobody reads any more are 0. */
  static forget(): void {
    for (let left = Stack.dead(); left; left &= left - 1) {
      Wasm.i64(0);
      Wasm.set(Stack.isLocal(<u32>ctz(left)));
    }
  }

  static atomic(i: u32, slot: u32): void {
    const what = load<u32>(slot, abi.SLOT_OFF);
    const op = what & 0xffff;
    const size = what >> 16;
    const d = Effects.dst(slot);
    const s = Effects.src(slot);
    if (op == isa.ATOMIC_LOAD_ACQ) {
      Access.checked(i, slot, s);
      Access.index();
      Wasm.access(Access.loadOf(size, false), Access.at);
      Emit.set(d);
      return;
    }
    Access.checked(i, slot, d);
    if (op == isa.ATOMIC_STORE_REL) {
      Access.index();
      Emit.get(s);
      Wasm.access(Access.storeOf(size), Access.at);
      return;
    }
    if (op == isa.ATOMIC_CMPXCHG) {
      Access.exchangeIfEqual(s, size);
      return;
    }
    Access.index();
    if (op == isa.ATOMIC_XCHG) {
      Emit.get(s);
    } else {
      Access.old(size);
      Emit.get(s);
      Wasm.op(Access.combination(op & ~isa.ATOMIC_FETCH));
    }
    if (!(op & isa.ATOMIC_FETCH)) {
      Wasm.access(Access.storeOf(size), Access.at);
      return;
    }
    // src may be the value that is stored: the old one is loaded before, and set after.
    Access.old(size);
    Emit.set(s);
    Wasm.access(Access.storeOf(size), Access.at);
  }

  /** What memory holds, zero-extended. */
  private static old(size: u32): void {
    Access.index();
    Wasm.access(Access.loadOf(size, false), Access.at);
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
    Access.index();
    Emit.get(s);
    Wasm.access(Access.storeOf(size), Access.at);
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
