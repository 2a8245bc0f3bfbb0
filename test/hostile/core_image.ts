import * as abi from '../../assembly/abi.js';
import type { Vm } from '../../src/vm/vm.js';

/** The last block's header at the end of the heap (assembly/alloc.ts). */
const SENTINEL_BYTES = 16;
const ROOM = 256 << 10;

/** Bytes of the core's memory, [start, end). */
type Range = readonly [start: number, end: number];

/**
 * The core's own memory, all that is not guest window, as it was when this was made: statics, records, shadow, heap with
 * decoded programs, their tables, maps and contexts, up to `top`. Optionally the window too.
 */
export class CoreImage {
  private readonly copy: Uint8Array;
  private readonly length: number;
  private readonly ranges: readonly Range[];

  constructor(
    private readonly vm: Vm,
    private readonly top: number,
    withWindow = false,
  ) {
    this.length = vm.core.u8.length;
    this.copy = vm.core.u8.slice(0, top);
    const window: Range = [abi.WINDOW_BASE, abi.WINDOW_BASE + vm.core.windowBytes];
    this.ranges = outside(top, withWindow ? changing(vm) : [...changing(vm), window]);
  }

  /** The first byte that is not what it was, in words; undefined if all are. */
  difference(): string | undefined {
    const { u8 } = this.vm.core;
    if (u8.length !== this.length) return `the core's memory grew from ${this.length} to ${u8.length} bytes`;
    const was = Buffer.from(this.copy.buffer);
    const is = Buffer.from(u8.buffer, 0, this.top);
    for (const [start, end] of this.ranges) {
      if (was.compare(is, start, end, start, end) === 0) continue;
      let at = start;
      while (was[at] === is[at]) at++;
      return `byte 0x${at.toString(16)} of the core's memory changed from ${was[at]} to ${is[at]}: ${this.place(at)}`;
    }
    return undefined;
  }

  private place(at: number): string {
    const { windowBytes } = this.vm.core;
    if (at < abi.STATICS_END) return 'statics';
    if (at < abi.MEMORY_RECORDS) return `execution records + ${at - abi.EXEC_RECORDS}`;
    if (at < abi.RECORDS_END) return `memory records + ${at - abi.MEMORY_RECORDS}`;
    if (at < abi.WINDOW_BASE) return 'between records and window';
    const offset = at - abi.WINDOW_BASE;
    if (offset < windowBytes) return `guest offset 0x${offset.toString(16)}`;
    const shadow = at - this.vm.memory.u32At(abi.SHADOW_START);
    return shadow < windowBytes / 8 ? `shadow of guest offset 0x${(shadow * 8).toString(16)}` : 'heap';
  }
}

/** The end of what was ever used of the core's memory, with room for what is used next: behind it all is 0. */
export function usedTop({ core }: Vm): number {
  const { u8 } = core;
  let top = u8.length - SENTINEL_BYTES;
  while (u8[top - 1] === 0) top--;
  return Math.min(u8.length - SENTINEL_BYTES, top + ROOM);
}

/** A byte behind `top` that is not 0 any more, in words. */
export function usedBehind({ core }: Vm, top: number): string | undefined {
  const at = core.u8.subarray(top, core.u8.length - SENTINEL_BYTES).findIndex((byte) => byte !== 0);
  return at < 0 ? undefined : `byte 0x${(top + at).toString(16)} of unused heap is ${core.u8[top + at]}`;
}

/** What running a program changes in the core by right. */
function changing({ core, memory }: Vm): Range[] {
  const ranges: Range[] = [
    // Registers, the current context and call, RESULT; then the interpreter's state. Between them lie VERIFY_*, CTX_FREE,
    // PROG_TABLE and the slots that belong to no program, which stay.
    [abi.REGS, abi.RESULT + 8],
    [abi.RUN_PC, abi.RESULT_CTX + 4],
    // Where frames lie, what a function called by compiled code asked for, and what its loops found out about memory.
    [abi.FRAME_BIAS, abi.JIT_STATUS + 4],
    [abi.BASE_CTX, abi.BASE_R10 + 4],
    [abi.SPANS, abi.SPANS + abi.MAX_SPANS * abi.SPAN_BYTES],
    // Answers of objectAt when a fault is described, what checkArg refused, where an iteration stands.
    [abi.NEAR_START, abi.ITER_VALUE + 4],
    // Keys and values of map calls that the host makes.
    [abi.KEY_SCRATCH, abi.VALUE_SCRATCH + abi.VALUE_SCRATCH_BYTES],
  ];
  // Contexts: all but their links and the places of their stacks. The pool holds every one while nothing runs.
  for (let ctx = memory.u32At(abi.CTX_FREE); ctx !== 0; ctx = memory.u32At(ctx + abi.CTX_NEXT)) {
    ranges.push([ctx + abi.CTX_STATE, ctx + abi.CTX_STACK], [ctx + abi.CTX_PARENT, ctx + abi.CTX_BYTES]);
  }
  // Counters of loads that read 0: a u32 for each slot of each program.
  const table = memory.u32At(abi.PROG_TABLE);
  for (let id = 1; id < memory.u32At(abi.PROG_TABLE_SIZE); id++) {
    const prog = memory.u32At(table + id * 4);
    if (prog === 0) continue;
    const counters = memory.u32At(prog + abi.PROG_ZEROED);
    ranges.push([counters, counters + memory.u32At(prog + abi.PROG_SLOT_COUNT) * 4]);
    ranges.push([prog + abi.PROG_RAMP_MISSES, prog + abi.PROG_RAMP_MISSES + 4]);
  }
  return ranges.filter(([start, end]) => start < end && end <= core.u8.length);
}

/** Runs make ways into compiled code where they miss them (assembly/jit/ramp.ts), at once or never: that is translation, not a run. */
export function setRamps(vm: Vm, on: boolean): void {
  vm.memory.setU32At(abi.RAMP_AFTER, on ? 1 : 0xffffffff);
}

/** What of [0, end) is in none of the ranges. */
function outside(end: number, ranges: readonly Range[]): Range[] {
  const rest: Range[] = [];
  let at = 0;
  for (const [from, to] of [...ranges].sort(([a], [b]) => a - b)) {
    if (from > at) rest.push([at, from]);
    at = Math.max(at, to);
  }
  if (at < end) rest.push([at, end]);
  return rest;
}
