// Execution contexts: records (abi.ts CTX_*) that hold everything a run needs while it does not run. While it does,
// registers lie at REGS and the rest at CUR_* and RUN_*; a run inside a host function of another run parks that one first.

import * as abi from './abi';
import { firstFrame, GUEST_BASE } from './access';
import { heapAllocZeroed, heapFree } from './alloc';
import { hot } from './env';
import { HANDLERS } from './fused';
import { interpret } from './interp';
import * as isa from './isa';
import { enter, enterAt, entryAt, left } from './jit/enter';
import { wantRamp } from './jit/ramp';
import * as ops from './ops';
import { codeTarget } from './prog';

/** Slots that belong to no program. */
export function ctxInit(): void {
  store<u32>(abi.BASE_CTX, abi.NO_BASE);
  store<u32>(abi.RAMP_AFTER, 16);
  fixedSlot(abi.RETURN_SLOT, ops.H_RETURN);
  fixedSlot(abi.LOOP_SLOT, ops.H_LOOP_NEXT);
  fixedSlot(abi.FOR_EACH_SLOT, ops.H_FOR_EACH_NEXT);
  fixedSlot(abi.TAIL_RETURN_SLOT, ops.H_TAIL_RETURN);
  fixedSlot(abi.SLOW_SLOT, ops.H_SLOW);
}

function fixedSlot(slot: u32, op: u32): void {
  store<u8>(slot, load<u8>(HANDLERS + op), abi.SLOT_OP);
  store<u8>(slot, op, abi.SLOT_BASE);
}

/** A context whose frames lie at guest offset `stack`, STACK_STRIDE apart; 0 without memory. */
export function ctxNew(stack: u32): u32 {
  const ctx = heapAllocZeroed(abi.CTX_BYTES);
  if (!ctx) return 0;
  store<u32>(ctx, stack, abi.CTX_STACK);
  store<u32>(ctx + abi.CTX_FRAMES, abi.RETURN_SLOT, abi.FRAME_RET);
  return ctx;
}

export function ctxFree(ctx: u32): void {
  store<u32>(abi.IDLE_CTX, 0);
  if (load<u32>(abi.BASE_CTX) == ctx) store<u32>(abi.BASE_CTX, abi.NO_BASE);
  heapFree(ctx);
}

/** Puts a context into the pool that invoke and callbacks draw from: without flags, tail calls and fault. */
export function ctxGive(ctx: u32): void {
  store<u32>(ctx, 0, abi.CTX_FLAGS);
  store<u32>(ctx, 0, abi.CTX_TAIL_CALLS);
  store<u32>(ctx, 0, abi.CTX_FAULT);
  Pool.remove(load<u32>(abi.CUR_CTX));
  give(ctx);
}

/** The run on a context that Pool.remove may have taken out of the pool is over. */
export function give(ctx: u32): void {
  if (load<u32>(abi.CTX_FREE) == ctx) return;
  store<u32>(abi.IDLE_CTX, 0);
  store<u32>(ctx, load<u32>(abi.CTX_FREE), abi.CTX_NEXT);
  store<u32>(abi.CTX_FREE, ctx);
}

class Pool {
  /** invoke leaves the context that it runs on at the pool's head: this takes it from there. */
  @inline static remove(ctx: u32): void {
    if (!ctx || load<u32>(abi.CTX_FREE) != ctx) return;
    store<u32>(abi.CTX_FREE, load<u32>(ctx, abi.CTX_NEXT));
    store<u32>(abi.IDLE_CTX, 0);
  }
}

/** An idle context of the pool, or 0. */
export function ctxTake(): u32 {
  Pool.remove(load<u32>(abi.CUR_CTX));
  const ctx = load<u32>(abi.CTX_FREE);
  Pool.remove(ctx);
  return ctx;
}

/**
 * Makes a context ready to run a program from its start, or from a code pointer of it (`code` not 0). Arguments are the
 * host's: it stores r1..r5 into CTX_REGS afterwards. 0, or FAULT_BAD_CODE_POINTER.
 */
export function ctxStart(ctx: u32, prog: u32, code: u64, cpu: u32, flags: u32): u32 {
  let slot = load<u32>(prog, abi.PROG_SLOTS);
  if (code) {
    slot = codeTarget(prog, code);
    if (!slot) return abi.FAULT_BAD_CODE_POINTER;
  }
  memory.fill(ctx + abi.CTX_REGS, 0, abi.REGS_BYTES);
  prepare(ctx, prog, slot, cpu, flags);
  return abi.FAULT_NONE;
}

/** Everything but registers r0..r9. */
function prepare(ctx: u32, prog: u32, slot: u32, cpu: u32, flags: u32): void {
  store<u32>(ctx, abi.CTX_READY, abi.CTX_STATE);
  store<u32>(ctx, prog, abi.CTX_PROG);
  store<u32>(ctx, slot, abi.CTX_PC);
  store<u32>(ctx, slot, abi.CTX_BLOCK);
  store<i32>(ctx, 0, abi.CTX_FUEL);
  store<u32>(ctx, cpu, abi.CTX_CPU);
  store<u32>(ctx, flags, abi.CTX_FLAGS);
  store<u32>(ctx, 0, abi.CTX_TAIL_CALLS);
  store<u64>(ctx, 0, abi.CTX_INSNS);
  store<u32>(ctx, 0, abi.CTX_FAULT);
  const frame = ctx + abi.CTX_FRAMES;
  store<u32>(ctx, frame, abi.CTX_FRAME);
  store<u32>(frame, abi.RETURN_SLOT, abi.FRAME_RET);
  store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
  store<u64>(ctx, firstFrame(ctx), abi.CTX_R10);
}

/** Copies a register file of REGS_BYTES. */
class Regs {
  @inline static copy(to: u32, from: u32): void {
    for (let i: u32 = 0; i < <u32>abi.REGS_BYTES; i += 8) store<u64>(to + i, load<u64>(from + i));
  }
}

/** Parks the context that runs until another one, which begins inside of it, is over. */
function park(ctx: u32): void {
  Pool.remove(ctx);
  Regs.copy(ctx + abi.CTX_REGS, abi.REGS);
  save(ctx);
  store<u32>(abi.NEST_DEPTH, load<u32>(abi.NEST_DEPTH) + 1);
}

/** The record of a context whose run stopped, as its status says. */
function stopped(ctx: u32, status: u32): void {
  Regs.copy(ctx + abi.CTX_REGS, abi.REGS);
  save(ctx);
  store<u32>(
    ctx,
    status == abi.RUN_DONE ? abi.CTX_DONE : status == abi.RUN_PAUSED ? abi.CTX_READY : abi.CTX_FAULTED,
    abi.CTX_STATE,
  );
}

/** State that is neither registers nor result: from CUR_* and RUN_* into the record. */
function save(ctx: u32): void {
  store<u32>(ctx, load<u32>(abi.CUR_FRAME), abi.CTX_FRAME);
  store<u32>(ctx, load<u32>(abi.CUR_PROG), abi.CTX_PROG);
  store<u32>(ctx, load<u32>(abi.CUR_CPU), abi.CTX_CPU);
  store<u32>(ctx, load<u32>(abi.RUN_PC), abi.CTX_PC);
  store<i32>(ctx, load<i32>(abi.RUN_FUEL), abi.CTX_FUEL);
  store<u64>(ctx, load<u64>(abi.RUN_INSNS), abi.CTX_INSNS);
  store<u32>(ctx, load<u32>(abi.RUN_BLOCK), abi.CTX_BLOCK);
}

/** What runs from here on, and what follows from it. */
function current(ctx: u32, prog: u32, frame: u32, cpu: u32): void {
  store<u32>(abi.IDLE_CTX, 0);
  store<u32>(abi.CUR_CTX, ctx);
  store<u32>(abi.CUR_FRAME, frame);
  store<u32>(abi.CUR_PROG, prog);
  store<u32>(abi.CUR_CPU, cpu);
  if (load<u32>(abi.BASE_CTX) != ctx) base(ctx);
}

/** What follows from a context alone. */
function base(ctx: u32): void {
  store<u32>(abi.BASE_CTX, ctx);
  store<u32>(abi.FRAMES_END, ctx + abi.CTX_FRAMES + isa.MAX_CALL_FRAMES * abi.FRAME_BYTES);
  const r10 = load<u32>(ctx, abi.CTX_STACK) + isa.STACK_BYTES;
  store<u32>(abi.BASE_R10, r10);
  store<u32>(abi.FRAME_BIAS, ctx + abi.CTX_FRAMES - (r10 >> 1));
  store<u32>(abi.LAST_FRAME, r10 + (isa.MAX_CALL_FRAMES - 1) * abi.STACK_STRIDE);
}

/** The same way back. */
function restore(ctx: u32): void {
  current(ctx, load<u32>(ctx, abi.CTX_PROG), load<u32>(ctx, abi.CTX_FRAME), load<u32>(ctx, abi.CTX_CPU));
  store<u32>(abi.RUN_PC, load<u32>(ctx, abi.CTX_PC));
  store<i32>(abi.RUN_FUEL, load<i32>(ctx, abi.CTX_FUEL));
  store<u64>(abi.RUN_INSNS, load<u64>(ctx, abi.CTX_INSNS));
  store<u32>(abi.RUN_BLOCK, load<u32>(ctx, abi.CTX_BLOCK));
}

/** Goes on with the context that was running before, 0 for none. */
function unpark(outer: u32): void {
  if (outer) {
    Regs.copy(abi.REGS, outer + abi.CTX_REGS);
    restore(outer);
    store<u32>(abi.NEST_DEPTH, load<u32>(abi.NEST_DEPTH) - 1);
  } else {
    store<u32>(abi.CUR_CTX, 0);
  }
}

/**
 * The host caught an exception that left runs behind: `outer` is the context that was running when it called in, or 0.
 */
export function abandon(outer: u32): void {
  unpark(outer);
  let depth: u32 = 0;
  if (outer) for (let ctx = load<u32>(outer, abi.CTX_PARENT); ctx; ctx = load<u32>(ctx, abi.CTX_PARENT)) depth++;
  store<u32>(abi.NEST_DEPTH, depth);
}

/** Runs a ready context on for at most `fuel` back-edges and calls: RUN_*. Its result or fault is in the record. */
export function resume(ctx: u32, fuel: i32): u32 {
  if (load<u32>(ctx, abi.CTX_STATE) != abi.CTX_READY) return abi.RUN_FAULT;
  const outer = load<u32>(abi.CUR_CTX);
  if (outer) park(outer);
  store<u32>(ctx, outer, abi.CTX_PARENT);
  Regs.copy(abi.REGS, ctx + abi.CTX_REGS);
  restore(ctx);
  store<u32>(ctx, abi.CTX_RUNNING, abi.CTX_STATE);
  const sum = load<i32>(abi.RUN_FUEL) + fuel;
  store<i32>(abi.RUN_FUEL, sum);
  const status: u32 =
    sum < 0 ? abi.RUN_PAUSED : Engine.run(ctx, outer, load<u32>(ctx, abi.CTX_FLAGS), load<u32>(abi.RUN_PC), sum);
  stopped(ctx, status);
  unpark(outer);
  return status;
}

/** Runs compiled code where there is some, and goes on with the programs that tail calls switch to. */
function mixed(ctx: u32, flags: u32): u32 {
  return goOn(ctx, flags, enterIn(flags & abi.CTX_COUNT_INSNS));
}

/** May a run that counts insns, or does not, be in a program's compiled code? */
function serves(prog: u32, counting: u32): bool {
  return !counting || (load<u32>(prog, abi.PROG_FLAGS) & abi.PROG_COUNTS) != 0;
}

function enterIn(counting: u32): u32 {
  const prog = load<u32>(abi.CUR_PROG);
  return serves(prog, counting) ? enter(prog) : <u32>abi.RUN_INTERPRET;
}

/** The same, from where compiled code said how to go on. */
function goOn(ctx: u32, flags: u32, how: u32): u32 {
  const counting = flags & abi.CTX_COUNT_INSNS;
  let status = how;
  Stretch.fuel = 0;
  while (true) {
    if (status == abi.RUN_INTERPRET) status = Stretch.run(ctx, counting);
    else if (status == abi.RUN_SWITCH) status = enterIn(counting);
    else break;
  }
  if (status == abi.RUN_DONE) {
    store<u32>(ctx, 0, abi.CTX_TAIL_CALLS);
    store<u32>(ctx, load<u32>(ctx, abi.CTX_FLAGS) & ~abi.CTX_STAY, abi.CTX_FLAGS);
  }
  return status;
}

/** The interpreter goes on, as long as there is fuel. */
function all(counting: u32): u32 {
  const flags = load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_FLAGS);
  return interpret(flags, counting, load<u32>(abi.RUN_PC), load<i32>(abi.RUN_FUEL));
}

/**
 * A run of a compiled program that the interpreter goes on with: until the next jump back or call, where compiled code may be
 * entered again. Where there is no way in, or it leads back at once, later and later.
 */
class Stretch {
  /** Back-edges and calls until the next look. */
  static fuel: i32 = 0;
  private static readonly MOST: i32 = 1024;
  /** What is left before it was worth to be entered: fuel that it used. */
  private static readonly LITTLE: i32 = 4;

  private static longer(by: i32): void {
    Stretch.fuel = min(Stretch.fuel * 2 + by, Stretch.MOST);
  }

  static run(ctx: u32, counting: u32): u32 {
    const prog = load<u32>(abi.CUR_PROG);
    const rest = load<i32>(abi.RUN_FUEL) - Stretch.fuel;
    if (
      rest <= 0 ||
      !load<u32>(prog, abi.PROG_CODE) ||
      load<u32>(ctx, abi.CTX_FLAGS) & abi.CTX_STAY ||
      !serves(prog, counting)
    ) {
      return all(counting);
    }
    const status = interpret(load<u32>(prog, abi.PROG_FLAGS), counting, load<u32>(abi.RUN_PC), Stretch.fuel);
    const fuel = load<i32>(abi.RUN_FUEL) + rest;
    store<i32>(abi.RUN_FUEL, fuel);
    if (status != abi.RUN_PAUSED) return status;
    const now = load<u32>(abi.CUR_PROG);
    const pc = load<u32>(abi.RUN_PC);
    const code = serves(now, counting) ? entryAt(now, pc) : 0;
    if (!code) {
      Stretch.longer(1);
      if (load<u32>(now, abi.PROG_CODE) && wantRamp(now, pc)) hot(now);
      return abi.RUN_INTERPRET;
    }
    const how = enterAt(code);
    // A function that returned has done what it was entered for.
    if (how == abi.RUN_INTERPRET && load<u32>(abi.RUN_PC) == pc && fuel - load<i32>(abi.RUN_FUEL) < Stretch.LITTLE) {
      Stretch.longer(16);
    } else {
      Stretch.fuel = 0;
    }
    return how;
  }
}

/** So many runs of a program that is interpreted: the last one that it takes makes it hot. */
function warm(prog: u32, runs: u32): void {
  const left = load<u32>(prog, abi.PROG_HEAT);
  if (!left) return;
  if (left > runs) {
    store<u32>(prog, left - runs, abi.PROG_HEAT);
    return;
  }
  store<u32>(prog, 0, abi.PROG_HEAT);
  hot(prog);
}

class Engine {
  /** Makes a context of the pool the current one, at the start of a program. 0: the pool is empty. */
  @inline static begin(outer: u32, prog: u32, arg: u32, cpu: u32, fuel: i32): u32 {
    Pool.remove(outer);
    const ctx = load<u32>(abi.CTX_FREE);
    if (!ctx) return 0;
    if (outer) park(outer);
    store<u32>(ctx, outer, abi.CTX_PARENT);
    const frame = ctx + abi.CTX_FRAMES;
    // What the program reads before it writes it is 0.
    if (!load<u32>(prog, abi.PROG_START)) {
      store<u64>(abi.REGS, 0, 0);
      for (let r: u32 = 16; r < 80; r += 8) store<u64>(abi.REGS + r, 0);
    }
    store<u64>(abi.REG_R1, arg ? GUEST_BASE + arg : 0);
    store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
    current(ctx, prog, frame, cpu);
    store<u64>(abi.REG_R10, GUEST_BASE + load<u32>(abi.BASE_R10));
    store<u32>(abi.RUN_PC, load<u32>(prog, abi.PROG_SLOTS));
    store<i32>(abi.RUN_FUEL, fuel);
    return ctx;
  }

  /** The end of a run on a context of the pool, for now at least. */
  @inline static over(ctx: u32, outer: u32, status: u32): u32 {
    store<u64>(abi.RESULT, load<u64>(abi.REG_R0));
    if (status != abi.RUN_DONE) {
      store<u32>(abi.RESULT_CTX, ctx);
      stopped(ctx, status);
      Pool.remove(ctx);
    } else {
      give(ctx);
    }
    if (outer) {
      unpark(outer);
      return status;
    }
    store<u32>(abi.CUR_CTX, 0);
    if (status == abi.RUN_DONE && load<u32>(abi.BASE_CTX) == ctx) {
      store<u32>(ctx + abi.CTX_FRAMES, 0, abi.FRAME_MAY_GOTO);
      store<u32>(abi.IDLE_CTX, ctx);
    }
    return status;
  }

  /** Runs the current context from RUN_PC with RUN_FUEL. */
  @inline static run(ctx: u32, outer: u32, flags: u32, pc: u32, fuel: i32): u32 {
    if (outer && load<u32>(abi.NEST_DEPTH) == abi.MAX_NESTING) {
      store<u32>(ctx, abi.FAULT_NESTING, abi.CTX_FAULT);
      return abi.RUN_FAULT;
    }
    const prog = load<u32>(abi.CUR_PROG);
    if (load<u32>(prog, abi.PROG_HEAT)) warm(prog, 1);
    if (load<u32>(prog, abi.PROG_CODE)) return mixed(ctx, flags);
    const status = interpret(load<u32>(prog, abi.PROG_FLAGS), flags & abi.CTX_COUNT_INSNS, pc, fuel);
    if (status == abi.RUN_PAUSED) warm(prog, abi.HOT_RUNS - 1);
    return status == abi.RUN_SWITCH ? mixed(ctx, flags) : status;
  }
}

/**
 * Runs a program from its start with r1 a guest pointer (0: NULL), on a context of the pool: the way of every struct_ops
 * callback. RUN_DONE: RESULT holds r0. Otherwise RESULT_CTX is the context, which the host gives back when it is done with
 * it.
 */
export function invoke(prog: u32, arg: u32, cpu: u32, fuel: i32): u32 {
  const outer = load<u32>(abi.CUR_CTX);
  const ctx = Engine.begin(outer, prog, arg, cpu, fuel);
  if (!ctx) return abi.RUN_NO_CTX;
  return Engine.over(ctx, outer, Engine.run(ctx, outer, 0, load<u32>(abi.RUN_PC), fuel));
}

/** The same, counted: INVOKE_INSNS is how many insns it executed, CTX_INSNS if it is not RUN_DONE. Code that does not count is interpreted. */
export function invokeCounted(prog: u32, arg: u32, cpu: u32, fuel: i32): u32 {
  const outer = load<u32>(abi.CUR_CTX);
  const ctx = Engine.begin(outer, prog, arg, cpu, fuel);
  if (!ctx) return abi.RUN_NO_CTX;
  const pc = load<u32>(abi.RUN_PC);
  store<u32>(ctx, abi.CTX_COUNT_INSNS, abi.CTX_FLAGS);
  store<u64>(abi.RUN_INSNS, 0);
  store<u32>(abi.RUN_BLOCK, pc);
  const status = Engine.run(ctx, outer, abi.CTX_COUNT_INSNS, pc, fuel);
  counted(ctx, status);
  return Engine.over(ctx, outer, status);
}

/** A run that was counted has stopped. */
function counted(ctx: u32, status: u32): void {
  if (status != abi.RUN_DONE) return;
  store<u32>(ctx, 0, abi.CTX_FLAGS);
  store<u64>(abi.INVOKE_INSNS, load<u64>(abi.RUN_INSNS));
}

/** What the interpreter's quick way in leaves: its run ended in another way than in RUN_DONE, or somebody took its context. */
export function quickLeft(ctx: u32, prog: u32, status: u32): u32 {
  if (status == abi.RUN_PAUSED) warm(prog, abi.HOT_RUNS - 1);
  return Engine.over(ctx, 0, status == abi.RUN_SWITCH ? mixed(ctx, 0) : status);
}

/** Compiled code that the host entered, on the context at the pool's head, was left: as the end of invoke. */
export function invokeLeft(prog: u32, cpu: u32): u32 {
  const ctx = load<u32>(abi.BASE_CTX);
  store<u32>(abi.IDLE_CTX, 0);
  store<u32>(abi.CUR_CTX, ctx);
  store<u32>(abi.CUR_PROG, prog);
  store<u32>(abi.CUR_CPU, cpu);
  const counting = load<u32>(prog, abi.PROG_FLAGS) & abi.PROG_COUNTS ? abi.CTX_COUNT_INSNS : 0;
  if (counting) store<u32>(ctx, counting, abi.CTX_FLAGS);
  const status = goOn(ctx, counting, left());
  if (counting) counted(ctx, status);
  return Engine.over(ctx, 0, status);
}
