// Calls of functions of the program by code pointer: callx, and the callbacks of bpf_loop and bpf_for_each_map_elem, which are
// loops around a call here. When a callback is left, its frame gets the state of the loop as call.ts keeps it, and the
// interpreter goes on with that.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import * as ops from '../ops';
import { codeTarget } from '../prog';
import { Call } from './call';
import { Cfg, NONE } from './cfg';
import { argsOf, Effects } from './effects';
import { Emit, IMPORT_ITER_CHECK, IMPORT_ITER_NEXT } from './emit';
import { FRAME_ROOT, Values, WINDOW_ROOT } from './values';
import * as w from './wasm';
import { Wasm } from './wasm';

/** Functions that callx compares a code pointer with at most; which: u32 each. */
const MAX_TARGETS: u32 = 16;
const TARGETS: usize = memory.data(64);
/** Slots that are looked at for what a register holds. */
const MAX_BACK: u32 = 256;
const MAX_LOOPS: u32 = 8388608; // kernel: BPF_MAX_LOOPS

export class Callback {
  private static targets: u32 = 0;
  /** There is a function, main included, whose address the program takes. */
  private static taken: bool = false;

  /** Finds the functions whose address the program takes. */
  static program(): void {
    Callback.targets = 0;
    Callback.taken = Cfg.isEntry(0);
    for (let f: u32 = 1; f < Cfg.functionCount && Callback.targets < MAX_TARGETS; f++) {
      if (Cfg.isEntry(f)) store<u32>(TARGETS + Callback.targets++ * 4, f);
    }
    if (Callback.targets) Callback.taken = true;
  }

  /** Slot that a register has its value from in front of slot `at` (index), copies apart; 0: farther away, or out of another block. */
  private static giver(at: u32, register: u32): u32 {
    let r = register;
    const last = at > MAX_BACK ? at - MAX_BACK : 0;
    for (let i = at; i != last && load<u32>(Cfg.blockAt + i * 4) == NONE; ) {
      const slot = Cfg.slot(--i);
      Cfg.effectsOf(slot);
      if (!((Effects.writes >> r) & 1)) continue;
      if (load<u8>(slot, abi.SLOT_BASE) != ops.H_MOV_X) return slot;
      r = Effects.src(slot);
    }
    return 0;
  }

  /** Function whose code pointer a register holds at a slot, as far as the block tells; or NONE. */
  private static target(at: u32, register: u32): u32 {
    const slot = Callback.giver(at, register);
    if (!slot || load<u8>(slot, abi.SLOT_BASE) != ops.H_MOV_K) return NONE;
    const first = codeTarget(Cfg.prog, load<u64>(slot, abi.SLOT_IMM));
    return first ? Cfg.functionOf(Cfg.index(first)) : NONE;
  }

  /** May an argument of the host function that is called at slot i (index) be a code pointer? Values are those in front of it. */
  static mayBeGiven(i: u32): bool {
    if (!Callback.taken) return false;
    const args = argsOf(Cfg.slot(i));
    for (let r: u32 = 1; r <= 5; r++) if ((args >> r) & 1 && Callback.mayBe(i, r)) return true;
    return false;
  }

  private static mayBe(at: u32, register: u32): bool {
    const root = Values.root(register);
    if (root == FRAME_ROOT || root == WINDOW_ROOT) return false;
    const slot = Callback.giver(at, register);
    if (!slot) return true;
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    if (op == ops.H_MOV_K) return codeTarget(Cfg.prog, load<u64>(slot, abi.SLOT_IMM)) != 0;
    // What is narrow, and what the core gives, is none.
    return !(op >= <u32>ops.H_LDX_B && op <= <u32>ops.H_LDX_W) && op != ops.H_CALL_CORE && op != ops.H_MOV32_X;
  }

  /** The code pointer of a function. */
  private static pointer(f: u32): u64 {
    const insn = load<u32>(load<u32>(Cfg.prog, abi.PROG_SLOT_INSN) + Cfg.firstSlot(f) * 4);
    const id = load<u32>(Cfg.prog, abi.PROG_ID);
    return ((<u64>abi.CODE_BASE_HI) << 32) + ((<u64>id) << abi.CODE_PROG_SHIFT) + ((<u64>insn) << abi.CODE_INSN_SHIFT);
  }

  /** callx: of functions whose address the program takes; what else it may be, the interpreter finds out. */
  static register(i: u32, slot: u32): void {
    const r = Effects.dst(slot);
    Call.frame();
    Emit.leaveIf(i);
    const done = Wasm.block();
    for (let k: u32 = 0; k < Callback.targets; k++) {
      const f = load<u32>(TARGETS + k * 4);
      Emit.get(r);
      Wasm.i64(Callback.pointer(f));
      Wasm.op(w.I64_EQ);
      Wasm.if_();
      Call.subprogram(i, f);
      Call.clobber(i);
      Wasm.br(done);
      Wasm.end();
    }
    Emit.leave(i);
    Wasm.end();
  }

  // The registers of arguments serve as the loop's variables: the program finds 0 there afterwards.

  /** long bpf_loop(n, callback, context, flags) */
  static loop(i: u32, slot: u32): void {
    const f = Callback.target(i, 2);
    if (f == NONE) {
      Emit.leave(i);
      return;
    }
    const n: u32 = 1;
    const context: u32 = 3;
    const step: u32 = 4;
    Emit.get32(n);
    Wasm.i32(MAX_LOOPS);
    Wasm.op(w.I32_GT_U);
    Callback.start(i);
    Emit.get32(n);
    Emit.set32(n);
    const done = Wasm.block();
    Emit.get(n);
    Wasm.op(w.I64_EQZ);
    Wasm.if_();
    Wasm.i64(0);
    Emit.set(0);
    Wasm.br(done);
    Wasm.end();
    const again = Wasm.loop();
    Call.begin();
    const params = Cfg.params(f);
    for (let r: u32 = 0; r < 10; r++) {
      if (!((params >> r) & 1)) continue;
      if (r == 1) Emit.get(step);
      else if (r == 2) Emit.get(context);
      else if (r >= 3 && r <= 5) Wasm.i64(0);
      else Emit.get(r);
    }
    Call.finish(f);
    Callback.state(slot, f);
    Callback.keep(abi.FRAME_LOOP_I, step);
    Callback.keep(abi.FRAME_LOOP_N, n);
    Callback.keep(abi.FRAME_LOOP_CTX, context);
    Wasm.i32(abi.LOOP_SLOT);
    Call.unwind(i);
    Callback.count(step);
    Emit.get(0);
    Wasm.op(w.I64_EQZ);
    Emit.get(step);
    Emit.get(n);
    Wasm.op(w.I64_NE);
    Wasm.op(w.I32_AND);
    Wasm.brIf(again);
    Wasm.end();
    Emit.get(step);
    Emit.set(0);
    Wasm.end();
    Call.clobber(i);
  }

  /** long bpf_for_each_map_elem(map, callback, context, flags) */
  static forEach(i: u32, slot: u32): void {
    const f = Callback.target(i, 2);
    if (f == NONE) {
      Emit.leave(i);
      return;
    }
    const map: u32 = 1;
    const cursor: u32 = 2;
    const context: u32 = 3;
    const visited: u32 = 4;
    Emit.get(map);
    Wasm.call(IMPORT_ITER_CHECK);
    Callback.start(i);
    Wasm.i64(0);
    Emit.set(cursor);
    Callback.next(map, cursor);
    const done = Wasm.block();
    const again = Wasm.loop();
    Emit.get(cursor);
    Wasm.op(w.I64_EQZ);
    Wasm.brIf(done);
    Call.begin();
    const params = Cfg.params(f);
    for (let r: u32 = 0; r < 10; r++) {
      if (!((params >> r) & 1)) continue;
      if (r == 2) Callback.address(abi.ITER_KEY);
      else if (r == 3) Callback.address(abi.ITER_VALUE);
      else if (r == 4) Emit.get(context);
      else if (r == 5) Wasm.i64(0);
      else Emit.get(r);
    }
    Call.finish(f);
    Callback.state(slot, f);
    Callback.keep(abi.FRAME_LOOP_I, cursor);
    Callback.keep(abi.FRAME_LOOP_N, map);
    Callback.keep(abi.FRAME_LOOP_CTX, context);
    Callback.keep(abi.FRAME_LOOP_DONE, visited);
    Wasm.i32(abi.FOR_EACH_SLOT);
    Call.unwind(i);
    Callback.count(visited);
    Emit.get(0);
    Wasm.op(w.I64_EQZ);
    Wasm.if_();
    Callback.next(map, cursor);
    Wasm.br(again);
    Wasm.end();
    Wasm.end();
    Wasm.end();
    Emit.get(visited);
    Emit.set(0);
    Call.clobber(i);
  }

  /** Leaves if what is on the stack is not 0, or there is a reason that all callbacks have: flags, a lock, no frame. */
  private static start(i: u32): void {
    Emit.get(4);
    Wasm.i64(0);
    Wasm.op(w.I64_NE);
    Wasm.op(w.I32_OR);
    Wasm.fixed(abi.CUR_LOCKS);
    Wasm.op(w.I32_OR);
    Call.frame();
    Wasm.op(w.I32_OR);
    Emit.leaveIf(i);
  }

  private static count(r: u32): void {
    Emit.get(r);
    Wasm.i64(1);
    Wasm.op(w.I64_ADD);
    Emit.set(r);
  }

  private static next(map: u32, cursor: u32): void {
    Emit.get(map);
    Emit.get(cursor);
    Wasm.get(Emit.FRAME);
    Wasm.call(IMPORT_ITER_NEXT);
    Emit.set(cursor);
  }

  private static address(at: u32): void {
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD32_U, at);
    Wasm.i64(GUEST_BASE);
    Wasm.op(w.I64_ADD);
  }

  /** What the callback's frame knows of the call. */
  private static state(slot: u32, f: u32): void {
    Emit.frameRecord();
    Wasm.i32(slot + abi.SLOT_BYTES);
    Wasm.access(w.I32_STORE, abi.FRAME_BYTES + abi.FRAME_LOOP_RET);
    Emit.frameRecord();
    Wasm.i32(Cfg.slot(Cfg.firstSlot(f)));
    Wasm.access(w.I32_STORE, abi.FRAME_BYTES + abi.FRAME_LOOP_FN);
  }

  private static keep(at: u32, r: u32): void {
    Emit.frameRecord();
    Emit.get(r);
    Wasm.access(w.I64_STORE, abi.FRAME_BYTES + at);
  }
}
