// Slots to Wasm. Registers are i64 locals, r10 follows from the frame, whose window offset is a parameter. Code that cannot
// go on leaves: the function writes its registers, pc and fuel into the fixed records, its callers write their frames, and
// the interpreter goes on from there. So a check that fails only has to say where, and what is rare is not compiled at all.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import * as isa from '../isa';
import * as ops from '../ops';
import { Cfg } from './cfg';
import { ALL, dividesByRegister, Effects } from './effects';
import * as w from './wasm';
import { Wasm } from './wasm';

// Functions that a module imports, in this order; then come its own.
export const IMPORT_HOST: u32 = 0;
export const IMPORT_CORE: u32 = 1;
export const IMPORT_CHECK: u32 = 2;
export const IMPORT_CAST_KERN: u32 = 3;
export const IMPORT_CAST_USER: u32 = 4;
export const IMPORTS: u32 = 5;

/** Local of each register. */
const LOCALS: usize = memory.data(16);

export class Emit {
  // Locals: parameters first.
  static readonly FUEL: u32 = 0;
  static readonly FRAME: u32 = 1; // window offset of r10
  static readonly FIRST: u32 = 2;
  static address: u32 = 0; // i64
  static pc: u32 = 0;
  static state: u32 = 0; // block to go on at, in irreducible functions
  static loops: u32 = 0; // may_goto
  // Labels.
  static left: u32 = 0;
  static unwound: u32 = 0;
  // The program.
  static object: bool = false;
  static window: u64 = 0;
  static shadow: u32 = 0;
  static arena: u32 = 0;
  private static used: u32 = 0;
  private static mayGoto: bool = false;

  // ---- Functions ---------------------------------------------------------------------------------------------------------

  static program(prog: u32): void {
    Emit.object = (load<u32>(prog, abi.PROG_FLAGS) & abi.PROG_OBJECT) != 0;
    Emit.window = load<u32>(abi.WINDOW_BYTES);
    Emit.shadow = load<u32>(abi.SHADOW_START);
    Emit.arena = load<u32>(prog, abi.PROG_ARENA);
  }

  /** Locals, and the blocks that leaving branches out of. */
  static begin(f: u32): void {
    const params = Cfg.params(f);
    Emit.used = Cfg.used(f) | params;
    let next = Emit.FIRST;
    for (let r: u32 = 0; r < 10; r++) if ((params >> r) & 1) store<u8>(LOCALS + r, next++);
    const first = next;
    for (let r: u32 = 0; r < 10; r++) if (((Emit.used & ~params) >> r) & 1) store<u8>(LOCALS + r, next++);
    Emit.address = next++;
    const i64s = next - first;
    Emit.pc = next++;
    Emit.state = next++;
    Emit.loops = next++;
    w.Out.unsigned(2);
    w.Out.unsigned(i64s);
    w.Out.byte(w.I64);
    w.Out.unsigned(3);
    w.Out.byte(w.I32);
    Emit.mayGoto = false;
    for (let i = Cfg.firstSlot(f); i < Cfg.endSlot(f); i++) {
      if (load<u8>(Cfg.slot(i), abi.SLOT_BASE) == ops.H_MAY_GOTO) Emit.mayGoto = true;
    }
    Wasm.depth = 0;
    Emit.unwound = Wasm.block();
    Emit.left = Wasm.block();
    // A call that is one too many stops the run behind it.
    Wasm.get(Emit.FUEL);
    Wasm.i32(0);
    Wasm.op(w.I32_LT_S);
    Wasm.if_();
    Emit.leave(Cfg.firstSlot(f));
    Wasm.end();
  }

  /** The ways out that are no return: of this frame, and of those around a frame that was left. */
  static finish(): void {
    Wasm.end();
    for (let r: u32 = 0; r < 10; r++) {
      if (!((Emit.used >> r) & 1)) continue;
      Wasm.i32(0);
      Emit.get(r);
      Wasm.access(w.I64_STORE, abi.REGS + r * 8);
    }
    Wasm.i32(0);
    Emit.get(isa.REG_FP);
    Wasm.access(w.I64_STORE, abi.REG_R10);
    Wasm.i32(0);
    Wasm.get(Emit.pc);
    Wasm.access(w.I32_STORE, abi.RUN_PC);
    Wasm.i32(0);
    Wasm.get(Emit.FUEL);
    Wasm.access(w.I32_STORE, abi.RUN_FUEL);
    Wasm.i32(0);
    Emit.frameRecord();
    Wasm.access(w.I32_STORE, abi.CUR_FRAME);
    Emit.ownFrame();
    Wasm.end();
    // The frame of the function that was called: what this one gets back.
    Emit.frameRecord();
    Wasm.get(Emit.pc);
    Wasm.access(w.I32_STORE, abi.FRAME_BYTES + abi.FRAME_RET);
    for (let r: u32 = 6; r < 10; r++) {
      if (!((Emit.used >> r) & 1)) continue;
      Emit.frameRecord();
      Emit.get(r);
      Wasm.access(w.I64_STORE, abi.FRAME_BYTES + abi.FRAME_R6 + (r - 6) * 8);
    }
    Emit.ownFrame();
    Wasm.endFunction();
  }

  /** What a frame knows of itself; and the result of a function that was left. */
  private static ownFrame(): void {
    Emit.frameRecord();
    if (Emit.mayGoto) Wasm.get(Emit.loops);
    else Wasm.i32(0);
    Wasm.access(w.I32_STORE, abi.FRAME_MAY_GOTO);
    Wasm.i64(0);
    Wasm.i32(-1);
    Wasm.return_();
  }

  /** Core address of this frame's record. */
  private static frameRecord(): void {
    Wasm.get(Emit.FRAME);
    Wasm.i32(1);
    Wasm.op(w.I32_SHR_U);
    Wasm.i32(0);
    Wasm.access(w.I32_LOAD, abi.FRAME_BIAS);
    Wasm.op(w.I32_ADD);
  }

  /** Function that the core calls: parameters and result in the fixed record, (frame, fuel) to fuel, below 0 when left. */
  static entry(fn: u32, params: u32): void {
    w.Out.unsigned(1);
    w.Out.unsigned(1);
    w.Out.byte(w.I64);
    Wasm.depth = 0;
    Wasm.get(1);
    Wasm.get(0);
    for (let r: u32 = 0; r < 10; r++) {
      if (!((params >> r) & 1)) continue;
      Wasm.i32(0);
      Wasm.access(w.I64_LOAD, abi.REGS + r * 8);
    }
    Wasm.call(fn);
    Wasm.set(1);
    Wasm.set(2);
    Wasm.get(1);
    Wasm.i32(0);
    Wasm.op(w.I32_GE_S);
    Wasm.if_();
    Wasm.i32(0);
    Wasm.get(2);
    Wasm.access(w.I64_STORE, abi.REG_R0);
    Wasm.end();
    Wasm.get(1);
    Wasm.endFunction();
  }

  /** Leaves for the interpreter at a slot (index). Registers that nobody reads any more are 0 then. */
  static leave(slot: u32): void {
    const dead = Emit.used & ~Cfg.liveAt(slot);
    for (let r: u32 = 0; r < 10; r++) {
      if (!((dead >> r) & 1)) continue;
      Wasm.i64(0);
      Emit.set(r);
    }
    Wasm.i32(Cfg.slot(slot));
    Wasm.set(Emit.pc);
    Wasm.br(Emit.left);
  }

  // ---- Registers ---------------------------------------------------------------------------------------------------------

  private static get(r: u32): void {
    if (r == isa.REG_FP) {
      Wasm.get(Emit.FRAME);
      Wasm.op(w.I64_EXTEND_U);
      Wasm.i64(GUEST_BASE);
      Wasm.op(w.I64_ADD);
      return;
    }
    Wasm.get(load<u8>(LOCALS + r));
  }
  private static get32(r: u32): void {
    Emit.get(r);
    Wasm.op(w.I32_WRAP);
  }
  @inline private static set(r: u32): void {
    Wasm.set(load<u8>(LOCALS + r));
  }
  private static set32(r: u32): void {
    Wasm.op(w.I64_EXTEND_U);
    Emit.set(r);
  }
  @inline private static imm(slot: u32): i64 {
    return load<i64>(slot, abi.SLOT_IMM);
  }
  @inline private static imm32(slot: u32): i32 {
    return load<i32>(slot, abi.SLOT_IMM);
  }

  // ---- Blocks ------------------------------------------------------------------------------------------------------------

  /** The slots of a block but its jump; gives its last slot. */
  static block(b: u32): u32 {
    const end = Cfg.end(b);
    for (let i = Cfg.first(b); i < end; i++) Emit.slot(i);
    return Cfg.slot(end - 1);
  }

  private static slot(i: u32): void {
    const slot = Cfg.slot(i);
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    if (op < <u32>ops.H_DIV) Emit.alu64(slot, op);
    else if (op <= <u32>ops.H_SMOD32) Emit.division(slot, op);
    else if (op < <u32>ops.H_ZEXT16) Emit.alu32(slot, op);
    else if (op <= <u32>ops.H_BSWAP64) Emit.swap(slot, op);
    else if (op <= <u32>ops.H_LDX_SW) Emit.load(i, slot, op);
    else if (op <= <u32>ops.H_ST_DW) Emit.store(i, slot, op);
    else if (op <= <u32>ops.H_STF_DW) Emit.frameAccess(slot, op);
    else if (op == ops.H_EXIT) Emit.exit();
    else if (op > <u32>ops.H_MAY_GOTO) Emit.other(i, slot, op);
  }

  private static exit(): void {
    Emit.get(0);
    Wasm.get(Emit.FUEL);
    Wasm.return_();
  }

  // ---- Arithmetic --------------------------------------------------------------------------------------------------------

  private static alu64(slot: u32, op: u32): void {
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
    Wasm.op(Emit.operation64(op));
    Emit.set(d);
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

  private static alu32(slot: u32, op: u32): void {
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
    Wasm.op(Emit.operation32(op));
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

  private static division(slot: u32, op: u32): void {
    const d = Effects.dst(slot);
    const wide = op < <u32>ops.H_DIV32;
    const kind = op - (wide ? ops.H_DIV : ops.H_DIV32);
    const signed = kind == 1 || kind == 3;
    const type = wide ? w.I64 : w.I32;
    Emit.divisor(slot, wide);
    Wasm.op(wide ? w.I64_EQZ : w.I32_EQZ);
    Wasm.ifValue(type);
    if (kind < 2) Emit.constant(wide, 0);
    else Emit.dividend(d, wide);
    Wasm.else_();
    if (signed) {
      Emit.divisor(slot, wide);
      Emit.constant(wide, -1);
      Wasm.op(wide ? w.I64_EQ : w.I32_EQ);
      Wasm.ifValue(type);
      Emit.constant(wide, 0);
      if (kind == 1) {
        Emit.dividend(d, wide);
        Wasm.op(wide ? w.I64_SUB : w.I32_SUB);
      }
      Wasm.else_();
    }
    Emit.dividend(d, wide);
    Emit.divisor(slot, wide);
    const divide = (wide ? w.I64_DIV_S : w.I32_DIV_S) + (kind < 2 ? 0 : 2);
    Wasm.op(divide + (signed ? 0 : 1));
    if (signed) Wasm.end();
    Wasm.end();
    if (wide) Emit.set(d);
    else Emit.set32(d);
  }

  private static constant(wide: bool, v: i32): void {
    if (wide) Wasm.i64(v);
    else Wasm.i32(v);
  }
  private static dividend(d: u32, wide: bool): void {
    if (wide) Emit.get(d);
    else Emit.get32(d);
  }
  private static divisor(slot: u32, wide: bool): void {
    if (dividesByRegister(slot)) Emit.dividend(Effects.src(slot), wide);
    else if (wide) Wasm.i64(Emit.imm(slot));
    else Wasm.i32(Emit.imm32(slot));
  }

  // ---- Byte order --------------------------------------------------------------------------------------------------------

  private static swap(slot: u32, op: u32): void {
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
        Emit.exchange(d, 8, 0x00ff00ff00ff00ff);
        Emit.exchange(d, 16, 0x0000ffff0000ffff);
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

  // ---- Memory ------------------------------------------------------------------------------------------------------------

  /** Checks an access and leaves its window offset (i32) on the stack. */
  private static checked(i: u32, base: u32, distance: i64, width: u32, write: bool): void {
    Emit.get(base);
    Wasm.i64(distance);
    Wasm.op(w.I64_ADD);
    Wasm.set(Emit.address);
    if (Emit.object) {
      const fine = Wasm.block();
      const slow = Wasm.block();
      Emit.isOutside(width);
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
      Emit.isOutside(width);
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

  private static load(i: u32, slot: u32, op: u32): void {
    const signed = op >= <u32>ops.H_LDX_SB;
    const size = op - (signed ? ops.H_LDX_SB : ops.H_LDX_B);
    Emit.checked(i, Effects.src(slot), Emit.imm(slot), 1 << size, false);
    Wasm.access(Emit.loadOf(size, signed), abi.WINDOW_BASE);
    Emit.set(Effects.dst(slot));
  }

  private static store(i: u32, slot: u32, op: u32): void {
    const immediate = op >= <u32>ops.H_ST_B;
    const size = op - (immediate ? ops.H_ST_B : ops.H_STX_B);
    Emit.checked(i, Effects.dst(slot), Emit.imm(slot), 1 << size, true);
    if (immediate) Wasm.i64(load<i32>(slot, abi.SLOT_OFF));
    else Emit.get(Effects.src(slot));
    Wasm.access(Emit.storeOf(size), abi.WINDOW_BASE);
  }

  /** Of the frame, statically inside it. */
  private static frameAccess(slot: u32, op: u32): void {
    const size = (op - ops.H_LDF_B) & 3;
    const at = abi.WINDOW_BASE + Emit.imm32(slot);
    Wasm.get(Emit.FRAME);
    if (op <= <u32>ops.H_LDF_DW) {
      Wasm.access(Emit.loadOf(size, false), at);
      Emit.set(Effects.dst(slot));
      return;
    }
    if (op >= <u32>ops.H_STF_B) Wasm.i64(load<i32>(slot, abi.SLOT_OFF));
    else Emit.get(Effects.src(slot));
    Wasm.access(Emit.storeOf(size), at);
  }

  private static atomic(i: u32, slot: u32): void {
    const what = load<u32>(slot, abi.SLOT_OFF);
    const op = what & 0xffff;
    const size = what >> 16;
    const d = Effects.dst(slot);
    const s = Effects.src(slot);
    if (op == isa.ATOMIC_LOAD_ACQ) {
      Emit.checked(i, s, Emit.imm(slot), 1 << size, false);
      Wasm.access(Emit.loadOf(size, false), abi.WINDOW_BASE);
      Emit.set(d);
      return;
    }
    Emit.checked(i, d, Emit.imm(slot), 1 << size, true);
    if (op == isa.ATOMIC_STORE_REL) {
      Emit.get(s);
      Wasm.access(Emit.storeOf(size), abi.WINDOW_BASE);
      return;
    }
    // The offset is needed again: as the address of the store.
    Wasm.op(w.I64_EXTEND_U);
    Wasm.set(Emit.address);
    if (op == isa.ATOMIC_CMPXCHG) {
      Emit.exchangeIfEqual(s, size);
      return;
    }
    Emit.offset();
    if (op == isa.ATOMIC_XCHG) {
      Emit.get(s);
    } else {
      Emit.old(size);
      Emit.get(s);
      Wasm.op(Emit.combination(op & ~isa.ATOMIC_FETCH));
    }
    if (!(op & isa.ATOMIC_FETCH)) {
      Wasm.access(Emit.storeOf(size), abi.WINDOW_BASE);
      return;
    }
    // src may be the value that is stored: the old one is loaded before, and set after.
    Emit.old(size);
    Emit.set(s);
    Wasm.access(Emit.storeOf(size), abi.WINDOW_BASE);
  }

  @inline private static offset(): void {
    Wasm.get(Emit.address);
    Wasm.op(w.I32_WRAP);
  }
  /** What memory holds, zero-extended. */
  private static old(size: u32): void {
    Emit.offset();
    Wasm.access(Emit.loadOf(size, false), abi.WINDOW_BASE);
  }

  private static exchangeIfEqual(s: u32, size: u32): void {
    Emit.old(size);
    Emit.get(0);
    if (size == 2) {
      Wasm.i64(0xffffffff);
      Wasm.op(w.I64_AND);
    }
    Wasm.op(w.I64_EQ);
    Wasm.ifValue(w.I64);
    Emit.old(size);
    Emit.offset();
    Emit.get(s);
    Wasm.access(Emit.storeOf(size), abi.WINDOW_BASE);
    Wasm.else_();
    Emit.old(size);
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

  // ---- Jumps -------------------------------------------------------------------------------------------------------------

  /** Whether a block's conditional jump is taken. */
  static condition(slot: u32): void {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    if (op == ops.H_MAY_GOTO) {
      Emit.mayGotoEnds();
      return;
    }
    const wide = op <= <u32>ops.H_JSET_X;
    let kind = op - (wide ? ops.H_JEQ_K : ops.H_JEQ32_K);
    const forms: u32 = ops.H_JEQ_X - ops.H_JEQ_K;
    const k = kind < forms;
    if (!k) kind -= forms;
    Emit.dividend(Effects.dst(slot), wide);
    if (!k) Emit.dividend(Effects.src(slot), wide);
    else if (wide) Wasm.i64(Emit.imm(slot));
    else Wasm.i32(Emit.imm32(slot));
    if (kind == ops.H_JSET_K - ops.H_JEQ_K) {
      Wasm.op(wide ? w.I64_AND : w.I32_AND);
      Emit.constant(wide, 0);
      Wasm.op(wide ? w.I64_NE : w.I32_NE);
      return;
    }
    Wasm.op((wide ? w.I64_EQ : w.I32_EQ) + Emit.comparison(kind));
  }

  /** Of a condition, its distance from EQ among Wasm's comparisons. */
  private static comparison(kind: u32): u32 {
    switch (kind + ops.H_JEQ_K) {
      case ops.H_JEQ_K:
        return 0;
      case ops.H_JNE_K:
        return w.I64_NE - w.I64_EQ;
      case ops.H_JGT_K:
        return w.I64_GT_U - w.I64_EQ;
      case ops.H_JGE_K:
        return w.I64_GE_U - w.I64_EQ;
      case ops.H_JLT_K:
        return w.I64_LT_U - w.I64_EQ;
      case ops.H_JLE_K:
        return w.I64_LE_U - w.I64_EQ;
      case ops.H_JSGT_K:
        return w.I64_GT_S - w.I64_EQ;
      case ops.H_JSGE_K:
        return w.I64_GE_S - w.I64_EQ;
      case ops.H_JSLT_K:
        return w.I64_LT_S - w.I64_EQ;
      default:
        return w.I64_LE_S - w.I64_EQ;
    }
  }

  private static mayGotoEnds(): void {
    Wasm.get(Emit.loops);
    Wasm.i32(abi.MAY_GOTO_LOOPS);
    Wasm.op(w.I32_EQ);
    Wasm.get(Emit.loops);
    Wasm.get(Emit.loops);
    Wasm.i32(abi.MAY_GOTO_LOOPS);
    Wasm.op(w.I32_NE);
    Wasm.op(w.I32_ADD);
    Wasm.set(Emit.loops);
  }

  // ---- Calls and the rest ------------------------------------------------------------------------------------------------

  private static other(i: u32, slot: u32, op: u32): void {
    switch (op) {
      case ops.H_CALL:
        Emit.call(i, slot);
        break;
      case ops.H_CALL_HOST:
        // Compiled callers have no frames in memory that a host function could look at.
        if (load<u64>(slot, abi.SLOT_IMM)) Emit.leave(i);
        else Emit.callOut(i, slot, IMPORT_HOST);
        break;
      case ops.H_CALL_CORE:
        if (Emit.callsBack(load<u32>(slot, abi.SLOT_OFF))) Emit.leave(i);
        else Emit.callOut(i, slot, IMPORT_CORE);
        break;
      case ops.H_ATOMIC:
        Emit.atomic(i, slot);
        break;
      case ops.H_CAST_KERN:
      case ops.H_CAST_USER:
        Wasm.i32(Emit.arena);
        Emit.get(Effects.src(slot));
        Wasm.call(op == ops.H_CAST_KERN ? IMPORT_CAST_KERN : IMPORT_CAST_USER);
        Emit.set(Effects.dst(slot));
        break;
      default:
        Emit.leave(i);
    }
  }

  private static callsBack(fn: u32): bool {
    return fn == abi.FN_LOOP || fn == abi.FN_FOR_EACH_MAP_ELEM || fn == abi.FN_THROW;
  }

  /** r1 to r5 are 0 behind a call. */
  private static clobber(i: u32): void {
    const live = i + 1 < Cfg.slotCount ? Cfg.liveAt(i + 1) : ALL;
    for (let r: u32 = 1; r <= 5; r++) {
      if (!(((live & Emit.used) >> r) & 1)) continue;
      Wasm.i64(0);
      Emit.set(r);
    }
  }

  private static call(i: u32, slot: u32): void {
    const f = Cfg.functionOf(Cfg.target(slot));
    const params = Cfg.params(f);
    Wasm.get(Emit.FRAME);
    Wasm.i32(0);
    Wasm.access(w.I32_LOAD, abi.LAST_FRAME);
    Wasm.op(w.I32_EQ);
    Wasm.if_();
    Emit.leave(i);
    Wasm.end();
    Wasm.get(Emit.FUEL);
    Wasm.i32(1);
    Wasm.op(w.I32_SUB);
    Wasm.get(Emit.FRAME);
    Wasm.i32(abi.STACK_STRIDE);
    Wasm.op(w.I32_ADD);
    for (let r: u32 = 0; r < 10; r++) if ((params >> r) & 1) Emit.get(r);
    Wasm.call(IMPORTS + f);
    Wasm.set(Emit.FUEL);
    if (Emit.used & 1) Emit.set(0);
    else Wasm.op(0x1a);
    Wasm.get(Emit.FUEL);
    Wasm.i32(0);
    Wasm.op(w.I32_LT_S);
    Wasm.if_();
    Wasm.i32(Cfg.slot(i + 1));
    Wasm.set(Emit.pc);
    Wasm.br(Emit.unwound);
    Wasm.end();
    Emit.clobber(i);
  }

  /** A function of the core or the host: arguments and result in the fixed record; what it returns is 0 to go on. */
  private static callOut(i: u32, slot: u32, fn: u32): void {
    for (let r: u32 = 1; r <= 5; r++) {
      Wasm.i32(0);
      Emit.get(r);
      Wasm.access(w.I64_STORE, abi.REGS + r * 8);
    }
    Wasm.i32(0);
    Wasm.i32(slot);
    Wasm.access(w.I32_STORE, abi.RUN_PC);
    Wasm.i32(load<u32>(slot, abi.SLOT_OFF));
    Wasm.call(fn);
    Wasm.if_();
    Emit.leave(i);
    Wasm.end();
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD, abi.REG_R0);
    Emit.set(0);
    Emit.clobber(i);
  }
}
