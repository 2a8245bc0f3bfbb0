// The function of a module that the host calls: main, entered as invoke of ctx.ts enters it, on IDLE_CTX. Of the run's record it
// writes what functions of the core and the host look at, and nothing if the program calls none: the rest is put together when it
// is left. So it is only for a run that no other one goes on below.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { Cfg } from './cfg';
import { Emit, IMPORT_GIVE, IMPORT_INVOKE, IMPORT_LEFT } from './emit';
import * as w from './wasm';
import { Wasm } from './wasm';

/** A main of more slots is called, not emitted once more. */
const MAX_INLINE: u32 = 256;

export class Invoke {
  // Parameters: the fuel is where functions have it, the CPU where they have their frame, and kept in CUR_CPU.
  private static readonly CPU: u32 = 1;
  private static readonly ARG: u32 = 2;
  /** Two halves of each slot of the context (PROG_CONTEXT). */
  private static readonly SLOTS: u32 = 3;
  private static ctx: u32 = 0;
  /** The first local behind the parameters of either function that has main's code. */
  static first: u32 = 0;
  /** Functions of the core or the host see the run: known when all others are emitted, main itself included. */
  static calls: bool = false;
  /** Label of where main's code leads when it returns. */
  static out: u32 = 0;

  private static slots(): u32 {
    return load<u32>(Cfg.prog, abi.PROG_CONTEXT);
  }

  static parameters(): u32 {
    return Invoke.SLOTS + Invoke.slots() * 2;
  }

  /** Whether main's own code becomes the function. */
  static inline(): bool {
    return Cfg.endSlot(0) - Cfg.firstSlot(0) <= MAX_INLINE;
  }

  static prepare(): void {
    Invoke.ctx = Invoke.parameters();
    Invoke.first = max(Invoke.ctx + 1, Emit.FIRST + popcnt(Cfg.params(0)));
    Invoke.calls = false;
  }

  /** (fuel, cpu, arg, slots) to RUN_*: the function around a main that is called. */
  static around(): void {
    const params = Cfg.params(0);
    const r0 = Invoke.first;
    w.Out.unsigned(2);
    w.Out.pair(Invoke.first - Invoke.ctx, w.I32);
    w.Out.pair(1, w.I64);
    Wasm.depth = 0;
    Invoke.begin();
    Wasm.get(Emit.FUEL);
    Wasm.get(Emit.FRAME);
    for (let r: u32 = 0; r < 10; r++) {
      if (!((params >> r) & 1)) continue;
      if (r == 1) Invoke.argument();
      else Wasm.i64(0);
    }
    Wasm.call(Emit.main);
    Wasm.set(Emit.FUEL);
    Wasm.set(r0);
    Wasm.get(Emit.FUEL);
    Wasm.i32(0);
    Wasm.op(w.I32_LT_S);
    Wasm.if_();
    Invoke.left();
    Wasm.end();
    Invoke.end(r0);
    Wasm.endFunction();
  }

  /** In front of main's code where others call it: r1 to r5, which are parameters, and the block that a return leads out of. */
  static beginTwin(params: u32): void {
    Invoke.out = Wasm.block();
    let param = Emit.FIRST;
    for (let r: u32 = 0; r < 10; r++) {
      if (!((params >> r) & 1)) continue;
      Wasm.get(param++);
      Emit.set(r);
    }
  }

  /** The record of the run, r10 and r1; opens the block that a return leads out of. */
  static begin(): void {
    const prog = Cfg.prog;
    for (let i: u32 = 0; i < Invoke.slots(); i++) {
      Wasm.get(Invoke.ARG);
      Wasm.get(Invoke.SLOTS + i * 2);
      Wasm.op(w.I64_EXTEND_U);
      Wasm.get(Invoke.SLOTS + i * 2 + 1);
      Wasm.op(w.I64_EXTEND_U);
      Wasm.i64(32);
      Wasm.op(w.I64_SHL);
      Wasm.op(w.I64_OR);
      Wasm.access(w.I64_STORE, abi.WINDOW_BASE + i * 8);
    }
    Wasm.fixed(abi.IDLE_CTX);
    Wasm.tee(Invoke.ctx);
    Wasm.op(w.I32_EQZ);
    Wasm.if_();
    Wasm.i32(prog);
    Wasm.get(Invoke.ARG);
    Wasm.get(Invoke.CPU);
    Wasm.get(Emit.FUEL);
    Wasm.call(IMPORT_INVOKE);
    Wasm.return_();
    Wasm.end();
    Invoke.fix(abi.CUR_CPU, Invoke.CPU);
    if (Emit.counts) {
      Wasm.i32(0);
      Wasm.i64(0);
      Wasm.access(w.I64_STORE, abi.RUN_INSNS);
    }
    if (Invoke.calls) {
      Invoke.clear(abi.IDLE_CTX);
      Invoke.fix(abi.CUR_CTX, Invoke.ctx);
      Wasm.i32(0);
      Wasm.i32(prog);
      Wasm.access(w.I32_STORE, abi.CUR_PROG);
    }
    Wasm.fixed(abi.BASE_R10);
    Wasm.set(Emit.FRAME);
    Invoke.out = Wasm.block();
    if (!Emit.twin || !((Emit.used >> 1) & 1)) return;
    Invoke.argument();
    Emit.set(1);
  }

  /** r1: a guest pointer, or NULL. */
  private static argument(): void {
    Wasm.get(Invoke.ARG);
    Wasm.op(w.I64_EXTEND_U);
    Wasm.i64(GUEST_BASE);
    Wasm.i64(0);
    Wasm.get(Invoke.ARG);
    Wasm.op(w.SELECT);
    Wasm.op(w.I64_ADD);
  }

  /** Main was left, which has written its registers and frame. */
  static left(): void {
    Wasm.i32(Cfg.prog);
    Wasm.fixed(abi.CUR_CPU);
    Wasm.call(IMPORT_LEFT);
    Wasm.return_();
  }

  /** Main returned, with its result in a local. */
  static end(r0: u32): void {
    Wasm.end();
    Wasm.i32(0);
    Wasm.get(r0);
    Wasm.access(w.I64_STORE, abi.RESULT);
    if (Emit.counts) {
      Wasm.i32(0);
      Wasm.i32(0);
      Wasm.access(w.I64_LOAD, abi.RUN_INSNS);
      Wasm.access(w.I64_STORE, abi.INVOKE_INSNS);
    }
    if (Invoke.calls) {
      Wasm.fixed(abi.CTX_FREE);
      Wasm.get(Invoke.ctx);
      Wasm.op(w.I32_NE);
      Wasm.if_();
      Wasm.get(Invoke.ctx);
      Wasm.call(IMPORT_GIVE);
      Wasm.end();
      Invoke.clear(abi.CUR_CTX);
      Invoke.fix(abi.IDLE_CTX, Invoke.ctx);
    }
    Wasm.i32(abi.RUN_DONE);
  }

  private static clear(at: u32): void {
    Wasm.i32(0);
    Wasm.i32(0);
    Wasm.access(w.I32_STORE, at);
  }

  private static fix(at: u32, local: u32): void {
    Wasm.i32(0);
    Wasm.get(local);
    Wasm.access(w.I32_STORE, at);
  }
}
