// Slots to Wasm. Registers are i64 locals, r10 follows from the frame, whose window offset is a parameter. Code that cannot
// go on leaves: the function writes its registers, pc and fuel into the fixed records, its callers write their frames, and
// the interpreter goes on from there. So a check that fails only has to say where, and what is rare is not compiled at all.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import * as isa from '../isa';
import * as ops from '../ops';
import { Access } from './access';
import { Alu } from './alu';
import { Call } from './call';
import { Callback } from './callback';
import { Cfg, NONE } from './cfg';
import { Checks } from './checks';
import { Constants } from './constants';
import { Groups } from './groups';
import { Invoke } from './invoke';
import { Ramp } from './ramp';
import { Spans } from './spans';
import { Stack } from './stack';
import { Values } from './values';
import * as w from './wasm';
import { Wasm } from './wasm';

// Functions that a module may import, in this order (imports.ts); then come its own.
export const IMPORT_CORE: u32 = 0;
export const IMPORT_CAST_KERN: u32 = 1;
export const IMPORT_CAST_USER: u32 = 2;
export const IMPORT_INVOKE: u32 = 3;
export const IMPORT_LEFT: u32 = 4;
export const IMPORT_GIVE: u32 = 5;
export const IMPORT_ITER_CHECK: u32 = 6;
export const IMPORT_ITER_NEXT: u32 = 7;
export const IMPORT_HASH_LOOKUP: u32 = 8;
export const IMPORT_LOOK: u32 = 9;
/** Then the host functions that the program calls. */
export const IMPORTS: u32 = 10;

/** Blocks of a loop that are searched for calls. */
const MAX_LOOK: u32 = 64;
/** Local of each register. */
const LOCALS: usize = memory.data(16);

export class Emit {
  // Locals: parameters first.
  static readonly FUEL: u32 = 0;
  static readonly FRAME: u32 = 1; // window offset of r10
  static readonly FIRST: u32 = 2;
  static address: u32 = 0; // i64
  static bias: u32 = 0; // i64: BIAS, in functions with loops that call no others, or 0
  static pc: u32 = 0;
  static state: u32 = 0; // block to go on at, in irreducible functions; a condition, in others; where code ends, whether it left
  static loops: u32 = 0; // may_goto
  private static less: u32 = 0; // insns that were counted and are not executed here, in code that counts
  // Labels.
  static left: u32 = 0;
  static unwound: u32 = 0;
  // The program.
  static object: bool = false;
  /** Its code counts insns: those of a block at the block's start, less what is behind an insn where it is left. */
  static counts: bool = false;
  /** Slot (index) up to which insns are counted, or NONE. */
  private static counted: u32 = NONE;
  static window: u64 = 0;
  static shadow: u32 = 0;
  static arena: u32 = 0;
  /** Fuel that is to be paid where code leaves. */
  private static owed: u32 = 0;
  static used: u32 = 0;
  /** Numbers of the program's second function, and of its first one: main comes last, before itself once more (invoke.ts). */
  static functions: u32 = 0;
  static main: u32 = 0;
  /** This is main, and its code is used twice: once more for main as the host enters it (invoke.ts). */
  static twin: bool = false;
  private static mayGoto: bool = false;
  /** i64 locals; where the code begins that is used twice, and how long it is. */
  private static i64s: u32 = 0;
  private static code: u32 = 0;
  private static codeBytes: u32 = 0;

  // ---- Functions ---------------------------------------------------------------------------------------------------------

  static indexOf(f: u32): u32 {
    return f ? Emit.functions + f - 1 : Emit.main;
  }

  /** False: the heap has no room. */
  static program(prog: u32): bool {
    Emit.object = (load<u32>(prog, abi.PROG_FLAGS) & abi.PROG_OBJECT) != 0;
    Emit.counts = (load<u32>(prog, abi.PROG_FLAGS) & abi.PROG_COUNTS) != 0;
    Emit.counted = NONE;
    Emit.window = load<u32>(abi.WINDOW_BYTES);
    Emit.shadow = load<u32>(abi.SHADOW_START);
    Emit.arena = load<u32>(prog, abi.PROG_ARENA);
    Constants.find(prog);
    Callback.program();
    return Checks.program(prog);
  }

  /** Locals, and the blocks that leaving branches out of. `own`: registers that it takes. */
  static begin(f: u32, own: u32): void {
    Emit.used = Cfg.used(f) | own | (Emit.twin ? 1 : 0);
    // Code that is used twice has the same locals both times, none of them a parameter of one function only.
    const params = Emit.twin ? 0 : own;
    let next = Emit.twin ? Invoke.first : Emit.FIRST;
    for (let r: u32 = 0; r < 10; r++) if ((params >> r) & 1) store<u8>(LOCALS + r, next++);
    const first = next;
    for (let r: u32 = 0; r < 10; r++) if (((Emit.used & ~params) >> r) & 1) store<u8>(LOCALS + r, next++);
    Emit.address = next++;
    Stack.first = next;
    next += Stack.count;
    Emit.bias = Emit.loopsAlone() ? next++ : 0;
    Spans.firstLocal = next;
    next += Spans.locals();
    Emit.i64s = next - first;
    Emit.pc = next++;
    Emit.state = next++;
    Emit.loops = next++;
    if (Emit.counts) Emit.less = next++;
    Checks.firstIndex = next;
    Emit.locals(Emit.twin ? Invoke.first - Emit.FIRST - popcnt(own) : 0);
    Emit.mayGoto = false;
    for (let i = Cfg.firstSlot(f); i < Cfg.endSlot(f); i++) {
      if (load<u8>(Cfg.slot(i), abi.SLOT_BASE) == ops.H_MAY_GOTO) Emit.mayGoto = true;
    }
    Wasm.depth = 0;
    Emit.owed = 0;
    if (Emit.twin) Invoke.beginTwin(own);
    Emit.openWays();
    if (Emit.mayGoto && Ramp.at != NONE) {
      Emit.frameRecord();
      Wasm.access(w.I32_LOAD, abi.FRAME_MAY_GOTO);
      Wasm.set(Emit.loops);
    }
    // A call that is one too many stops the run behind it.
    Wasm.get(Emit.FUEL);
    Wasm.i32(0);
    Wasm.op(w.I32_LT_S);
    Emit.leaveIf(Ramp.first(f));
    Emit.code = w.Out.at - w.Out.start;
  }

  /** Locals that are no parameters: so many i32, registers and the like, i32 again. */
  private static locals(first: u32): void {
    w.Out.unsigned(3);
    w.Out.pair(first, w.I32);
    w.Out.unsigned(Emit.i64s);
    w.Out.byte(w.I64);
    w.Out.unsigned((Emit.counts ? 4 : 3) + Groups.indexes);
    w.Out.byte(w.I32);
  }

  private static openWays(): void {
    Emit.unwound = Wasm.block();
    Emit.left = Wasm.block();
    // As a constant, engines would add it to a copy of each address: one insn more than for two values that they do not know.
    if (!Emit.bias) return;
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD, abi.BIAS);
    Wasm.set(Emit.bias);
  }

  /** Main once more, as the host enters it: behind it, which was emitted last. */
  static again(): void {
    Emit.locals(Invoke.first - Invoke.parameters());
    Wasm.depth = 0;
    Invoke.begin();
    Emit.openWays();
    w.Out.repeat(Emit.code, Emit.codeBytes);
    Wasm.depth = Invoke.out;
    Invoke.left();
    Invoke.end(load<u8>(LOCALS));
    Wasm.endFunction();
  }

  /** Is there a loop without calls of other functions, or at least none soon? A local would be put away over each of them. */
  private static loopsAlone(): bool {
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      if (!Cfg.isHeader(b)) continue;
      const last = min(Cfg.latch(b), i + MAX_LOOK);
      let place = i;
      while (place <= last && !Emit.calls(Cfg.ordered(place))) place++;
      if (place > last) return true;
    }
    return false;
  }

  private static calls(b: u32): bool {
    for (let i = Cfg.first(b); i < Cfg.end(b); i++) if (load<u8>(Cfg.slot(i), abi.SLOT_BASE) == ops.H_CALL) return true;
    return false;
  }

  /**
   * The ways out that are no return: of this frame, and of those around a frame that was left. Both end in the same block: what
   * only they need, engines would otherwise compute where a function begins, for both.
   */
  static finish(): void {
    Wasm.end();
    Wasm.i32(1);
    Wasm.set(Emit.state);
    Wasm.end();
    Access.spill();
    Emit.uncount();
    Emit.frameRecord();
    if (Emit.mayGoto) Wasm.get(Emit.loops);
    else Wasm.i32(0);
    Wasm.access(w.I32_STORE, abi.FRAME_MAY_GOTO);
    Wasm.get(Emit.state);
    Wasm.if_();
    Emit.leaveFrame();
    Wasm.else_();
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
    Wasm.end();
    Emit.codeBytes = w.Out.at - w.Out.start - Emit.code;
    Wasm.i64(0);
    Wasm.i32(-1);
    Wasm.return_();
    if (Emit.twin) {
      Wasm.end();
      Emit.result();
    }
    Wasm.endFunction();
  }

  /** This frame is where the interpreter goes on. */
  private static leaveFrame(): void {
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
  }

  /** Core address of this frame's record. */
  static frameRecord(): void {
    Wasm.get(Emit.FRAME);
    Wasm.i32(1);
    Wasm.op(w.I32_SHR_U);
    Wasm.fixed(abi.FRAME_BIAS);
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
    Emit.leaveFor(slot, Emit.owed);
  }

  /** Leaves if what is on the stack is not 0. */
  static leaveIf(slot: u32): void {
    Wasm.if_();
    Emit.leave(slot);
    Wasm.end();
  }

  /** As leave, where this much fuel is to be paid. */
  static leaveFor(slot: u32, owed: u32): void {
    if (owed) {
      Wasm.get(Emit.FUEL);
      Wasm.i32(owed);
      Wasm.op(w.I32_SUB);
      Wasm.set(Emit.FUEL);
    }
    const dead = Emit.used & ~Cfg.liveAt(slot);
    for (let r: u32 = 0; r < 10; r++) {
      if (!((dead >> r) & 1)) continue;
      Wasm.i64(0);
      Emit.set(r);
    }
    Access.forget();
    Emit.before(slot);
    Wasm.i32(Cfg.slot(slot));
    Wasm.set(Emit.pc);
    Wasm.br(Emit.left);
  }

  // ---- Counting of insns -------------------------------------------------------------------------------------------------

  /** The insns of a block, at its start. */
  private static count(b: u32): void {
    const insns = Cfg.end(b) - Cfg.first(b);
    if (!Emit.counts || !insns) return;
    Emit.counted = Cfg.end(b);
    Wasm.i32(0);
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD, abi.RUN_INSNS);
    Wasm.i64(insns);
    Wasm.op(w.I64_ADD);
    Wasm.access(w.I64_STORE, abi.RUN_INSNS);
  }

  /** The function ends before a slot (index): in code that leaves. */
  static before(slot: u32): void {
    if (!Emit.counts || Emit.counted == NONE || slot == Emit.counted) return;
    Wasm.i32(Emit.counted - slot);
    Wasm.set(Emit.less);
  }

  private static uncount(): void {
    if (!Emit.counts) return;
    Wasm.i32(0);
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD, abi.RUN_INSNS);
    Wasm.get(Emit.less);
    Wasm.op(w.I64_EXTEND_U);
    Wasm.op(w.I64_SUB);
    Wasm.access(w.I64_STORE, abi.RUN_INSNS);
  }

  // ---- Registers ---------------------------------------------------------------------------------------------------------

  static get(r: u32): void {
    if (r == isa.REG_FP) {
      Wasm.get(Emit.FRAME);
      Wasm.op(w.I64_EXTEND_U);
      Wasm.i64(GUEST_BASE);
      Wasm.op(w.I64_ADD);
      return;
    }
    Wasm.get(load<u8>(LOCALS + r));
  }
  static get32(r: u32): void {
    Emit.get(r);
    Wasm.op(w.I32_WRAP);
  }
  @inline static set(r: u32): void {
    Wasm.set(load<u8>(LOCALS + r));
  }
  static set32(r: u32): void {
    Wasm.op(w.I64_EXTEND_U);
    Emit.set(r);
  }
  @inline static imm(slot: u32): i64 {
    return load<i64>(slot, abi.SLOT_IMM);
  }
  @inline static imm32(slot: u32): i32 {
    return load<i32>(slot, abi.SLOT_IMM);
  }

  // ---- Blocks ------------------------------------------------------------------------------------------------------------

  /** Goes to the start of a block. */
  static enter(b: u32): void {
    Emit.owed = Cfg.owed(b);
    Checks.enter(b);
    Stack.enter(b);
  }

  /** The slots of a block but its jump; gives its last slot. */
  static block(b: u32): u32 {
    const end = Cfg.end(b);
    Emit.enter(b);
    Emit.count(b);
    for (let i = Cfg.first(b); i < end; i++) {
      const slot = Cfg.slot(i);
      if (i + 1 < end && Alu.isCut(slot)) {
        Alu.cut(slot);
        Values.step(slot);
        Values.step(Cfg.slot(++i));
        continue;
      }
      Emit.slot(i);
      Values.step(slot);
    }
    Emit.counted = NONE;
    return Cfg.slot(end - 1);
  }

  static slot(i: u32): void {
    const slot = Cfg.slot(i);
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    if (op < <u32>ops.H_DIV) Alu.wide(slot, op);
    else if (op <= <u32>ops.H_SMOD32) Alu.division(slot, op);
    else if (op < <u32>ops.H_ZEXT16) Alu.narrow(slot, op);
    else if (op <= <u32>ops.H_BSWAP64) Alu.swap(slot, op);
    else if (op <= <u32>ops.H_LDX_SW) Access.load(i, slot, op);
    else if (op <= <u32>ops.H_ST_DW) Access.store(i, slot, op);
    else if (op <= <u32>ops.H_STF_DW) Access.frame(slot, op);
    else if (op == ops.H_EXIT) Emit.exit();
    else if (op > <u32>ops.H_MAY_GOTO) Call.other(i, slot, op);
  }

  private static exit(): void {
    if (Emit.twin) {
      Wasm.br(Invoke.out);
      return;
    }
    Emit.result();
    Wasm.return_();
  }

  private static result(): void {
    Emit.get(0);
    Wasm.get(Emit.FUEL);
  }
}
