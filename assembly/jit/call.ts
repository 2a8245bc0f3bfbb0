// Calls, and what is left to the interpreter.

import * as abi from '../abi';
import * as ops from '../ops';
import { Access } from './access';
import { Callback } from './callback';
import { Cfg } from './cfg';
import { Direct } from './direct';
import { ALL, argsOf, Effects } from './effects';
import { Emit, IMPORT_CAST_KERN, IMPORT_CAST_USER, IMPORT_CORE, IMPORTS } from './emit';
import { Hosts } from './hosts';
import { Invoke } from './invoke';
import { Lookup } from './lookup';
import * as w from './wasm';
import { Wasm } from './wasm';

export class Call {
  static other(i: u32, slot: u32, op: u32): void {
    switch (op) {
      case ops.H_CALL:
        Call.call(i, slot);
        break;
      case ops.H_CALL_HOST:
        // Compiled callers have no frames in memory that a host function could look at.
        if (load<u32>(slot, abi.SLOT_IMM) & abi.HOST_WALKS) Emit.leave(i);
        else Direct.emit(i, slot);
        break;
      case ops.H_CALL_CORE:
        Call.core(i, slot);
        break;
      case ops.H_CALLX:
        Callback.register(i, slot);
        break;
      case ops.H_ATOMIC:
        Access.atomic(i, slot);
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

  /** r1 to r5 are 0 behind a call. */
  static clobber(i: u32): void {
    const live = i + 1 < Cfg.slotCount ? Cfg.liveAt(i + 1) : ALL;
    for (let r: u32 = 1; r <= 5; r++) {
      if (!(((live & Emit.used) >> r) & 1)) continue;
      Wasm.i64(0);
      Emit.set(r);
    }
  }

  private static call(i: u32, slot: u32): void {
    Call.frame();
    Emit.leaveIf(i);
    Call.subprogram(i, Cfg.functionOf(Cfg.target(slot)));
    Call.clobber(i);
  }

  /** Leaves on the stack whether this is the last frame. */
  static frame(): void {
    Wasm.get(Emit.FRAME);
    Wasm.fixed(abi.LAST_FRAME);
    Wasm.op(w.I32_EQ);
  }

  /** A function of the program, called by a slot, with the registers as they are. */
  static subprogram(i: u32, f: u32): void {
    Call.begin();
    const params = Cfg.params(f);
    for (let r: u32 = 0; r < 10; r++) if ((params >> r) & 1) Emit.get(r);
    Call.finish(f);
    Wasm.i32(Cfg.slot(i + 1));
    Call.unwind(i);
  }

  /** Fuel and frame of a function that is called. */
  static begin(): void {
    Wasm.get(Emit.FUEL);
    Wasm.i32(1);
    Wasm.op(w.I32_SUB);
    Wasm.get(Emit.FRAME);
    Wasm.i32(abi.STACK_STRIDE);
    Wasm.op(w.I32_ADD);
  }

  /** Calls it, takes its result, and opens what is done if it was left. */
  static finish(f: u32): void {
    Wasm.call(Emit.indexOf(f));
    Wasm.set(Emit.FUEL);
    if (Emit.used & 1) Emit.set(0);
    else Wasm.op(w.DROP);
    Wasm.get(Emit.FUEL);
    Wasm.i32(0);
    Wasm.op(w.I32_LT_S);
    Wasm.if_();
  }

  /** The function that slot i (index) called was left; the slot that it returns to is on the stack. */
  static unwind(i: u32): void {
    Wasm.set(Emit.pc);
    Emit.before(i + 1);
    Wasm.i32(0);
    Wasm.set(Emit.state);
    Access.forget();
    Wasm.br(Emit.unwound);
    Wasm.end();
  }

  /** A function of the host, or the core's, with arguments and result in the fixed record. */
  static away(i: u32, slot: u32): void {
    if (load<u8>(slot, abi.SLOT_BASE) == ops.H_CALL_HOST) Call.host(i, slot);
    else Call.coreFunction(i, slot, load<u32>(slot, abi.SLOT_OFF));
  }

  /** What it returns is 0 to go on. */
  private static host(i: u32, slot: u32): void {
    Call.pass(slot);
    Wasm.i32(0);
    Wasm.i64(0);
    Wasm.access(w.I64_STORE, abi.REG_R0);
    Wasm.call(IMPORTS + Hosts.place(load<u32>(slot, abi.SLOT_OFF)));
    Call.leaveIf(i);
    // Written in halves: a processor that reads them at once would wait for both stores.
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD32_U, abi.REG_R0);
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD32_U, abi.REG_R0 + 4);
    Wasm.i64(32);
    Wasm.op(w.I64_SHL);
    Wasm.op(w.I64_OR);
    Emit.set(0);
  }

  private static core(i: u32, slot: u32): void {
    const fn = load<u32>(slot, abi.SLOT_OFF);
    switch (fn) {
      case abi.FN_LOOP:
        Callback.loop(i, slot);
        return;
      case abi.FN_FOR_EACH_MAP_ELEM:
        Callback.forEach(i, slot);
        return;
      case abi.FN_THROW:
        Emit.leave(i);
        return;
      case abi.FN_GET_SMP_PROCESSOR_ID:
        Call.unlocked(i);
        Wasm.i32(0);
        Wasm.access(w.I64_LOAD32_U, abi.CUR_CPU);
        Emit.set(0);
        Call.clobber(i);
        return;
      default:
        if (!Lookup.emit(i, fn)) Direct.emit(i, slot);
    }
  }

  /** No function of the core is called while a lock is held: the interpreter says so. */
  static unlocked(i: u32): void {
    Wasm.fixed(abi.CUR_LOCKS);
    Emit.leaveIf(i);
  }

  /** As a host function. */
  private static coreFunction(i: u32, slot: u32, fn: u32): void {
    Call.pass(slot);
    Wasm.i32(fn);
    Wasm.call(IMPORT_CORE);
    Call.leaveIf(i);
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD, abi.REG_R0);
    Emit.set(0);
  }

  private static pass(slot: u32): void {
    Invoke.calls = true;
    const args = argsOf(slot);
    for (let r: u32 = 1; r <= 5; r++) {
      if (!((args >> r) & 1)) continue;
      Wasm.i32(0);
      Emit.get(r);
      Wasm.access(w.I64_STORE, abi.REGS + r * 8);
    }
    Wasm.i32(0);
    Wasm.i32(slot);
    Wasm.access(w.I32_STORE, abi.RUN_PC);
  }

  /** Leaves with what the function asks for, if that is not 0. */
  private static leaveIf(i: u32): void {
    Wasm.tee(Emit.pc);
    Wasm.if_();
    Wasm.i32(0);
    Wasm.get(Emit.pc);
    Wasm.access(w.I32_STORE, abi.JIT_STATUS);
    Emit.leave(i);
    Wasm.end();
  }
}
