// Under object checks: stretches of memory that are open for everything, as found out while a loop runs. Nothing that such a loop
// does changes which memory can be accessed. So what lies in the stretch needs no look at its shadow, however large it is: that is
// how a dispatch (unroll.ts) checks what its rounds access over more bytes than one comparison of shadow bytes serves. Accesses
// whose addresses were made from the same value share a span: first address and bytes, in locals, empty where the outermost such
// loop begins. A dispatch that misses it has the core look from there upwards and downwards, each time further, and only when so
// many rounds have passed that looking costs a few insns a round at most. That is done around the loop, not in it: registers are
// short there.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { heapAlloc, heapFree } from '../alloc';
import { Cfg, NONE } from './cfg';
import { Emit, IMPORT_LOOK } from './emit';
import { A_GROUP, G_BLOCK, G_FAMILY, G_HIGH, G_LOW, Groups, OBJECT_SPAN, Y_MEMORY, Y_ROOT } from './groups';
import { MEMORY, Values } from './values';
import * as w from './wasm';
import { Wasm } from './wasm';

/** Spans of a function at most: those of the innermost accesses. */
const MAX_SPANS: u32 = abi.MAX_SPANS;
/** Steps of 64 bytes that are looked at each way at most. */
const MAX_STEPS: u32 = 256;
/** Rounds that pass at most before the core looks again. */
const MAX_WAIT: u32 = 1 << 20;
/** Shadow of 64 bytes that are open. */
const OPEN: u64 = <u64>abi.SHADOW_RW * 0x0101010101010101;
const STEP: u32 = 8;
/** Steps that are looked at first; how they grow; how many of them are one round to wait. */
const FIRST_STEPS: u32 = 8;
const GROWTH: u32 = 4;
const STEPS_A_ROUND: u32 = 4;

// Of a block:
const S_OUTER: u32 = 0; // the outermost loop whose memory stays what it is, and that dominates it, or NONE
const S_LOOP: u32 = 4; // the innermost loop around it, or NONE
const S_AROUND: u32 = 8; // of a loop's start: the innermost loop around that one, or NONE
const S_DEPTH: u32 = 12; // loops around it
const S_GROW: u32 = 16; // and the label of where it goes to find more of its spans
const S_SPANS: u32 = 20; // of such an outermost loop: its spans
// A span: what its addresses are made from, depth of the innermost access. Depth 0: none.
const P_KEY: u32 = 0;
const P_DEPTH: u32 = 4;
const P_LOOPS: u32 = 8; // loops whose dispatches check what lies in it, by the lowest bits of their numbers
const SPAN_BYTES: u32 = 12;
const BLOCK_BYTES: u32 = S_SPANS + MAX_SPANS * SPAN_BYTES;

// Locals of a span, i64: first address, bytes.
const WIDE: u32 = 2;

export class Spans {
  private static blocks: u32 = 0;
  /** Spans that the current function needs locals for, and these. */
  static count: u32 = 0;
  static firstLocal: u32 = 0;

  static free(): void {
    if (Spans.blocks) heapFree(Spans.blocks);
    Spans.blocks = 0;
  }
  @inline private static at(b: u32): u32 {
    return Spans.blocks + b * BLOCK_BYTES;
  }
  /** i64 locals. */
  @inline static locals(): u32 {
    return Spans.count * WIDE;
  }
  @inline private static first(n: u32): u32 {
    return Spans.firstLocal + n * WIDE;
  }
  @inline private static bytes(n: u32): u32 {
    return Spans.firstLocal + n * WIDE + 1;
  }
  /** The record of a span. */
  @inline private static record(n: u32): u32 {
    return abi.SPANS + n * abi.SPAN_BYTES;
  }

  // ---- Which there are -------------------------------------------------------------------------------------------------------

  /** Chooses the spans of the current function's loops. False: the heap has no room. */
  static plan(): bool {
    Spans.free();
    Spans.count = 0;
    if (!Emit.object || !Cfg.loops || Cfg.irreducible) return true;
    Spans.blocks = heapAlloc(Cfg.count * BLOCK_BYTES);
    if (!Spans.blocks) return false;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      Spans.nest(b, i);
      for (let a = Groups.first(b); a < Groups.end(b); a++) Spans.choose(load<u32>(Groups.access(a), A_GROUP));
    }
    return true;
  }

  /** The loops around a block. */
  private static nest(b: u32, place: u32): void {
    const at = Spans.at(b);
    memory.fill(at, 0, BLOCK_BYTES);
    const above = place ? Spans.at(Cfg.idom(b)) : 0;
    let outer = above ? load<u32>(above, S_OUTER) : NONE;
    let loop = above ? load<u32>(above, S_LOOP) : NONE;
    while (loop != NONE && place > Cfg.latch(loop)) loop = load<u32>(Spans.at(loop), S_AROUND);
    let depth = loop == NONE ? 0 : load<u32>(Spans.at(loop), S_DEPTH);
    store<u32>(at, loop, S_AROUND);
    if (Cfg.isHeader(b)) {
      loop = b;
      depth++;
      if (Values.isInvariant(b, MEMORY) && (outer == NONE || Spans.memoryOf(outer) != Spans.memoryOf(b))) outer = b;
    }
    store<u32>(at, outer, S_OUTER);
    store<u32>(at, loop, S_LOOP);
    store<u32>(at, depth, S_DEPTH);
  }

  private static memoryOf(b: u32): u32 {
    return Values.rootAt(b, MEMORY);
  }

  private static choose(group: u32): void {
    const b = load<u32>(group, G_BLOCK);
    const key = Spans.keyOf(group);
    if (key == NONE) return;
    const at = Spans.at(load<u32>(Spans.at(b), S_OUTER)) + S_SPANS;
    const depth = load<u32>(Spans.at(b), S_DEPTH);
    let least = at;
    let n: u32 = 0;
    for (; n < MAX_SPANS; n++) {
      const span = at + n * SPAN_BYTES;
      if (!load<u32>(span, P_DEPTH) || load<u32>(span, P_KEY) == key) {
        least = span;
        break;
      }
      if (load<u32>(span, P_DEPTH) < load<u32>(least, P_DEPTH)) least = span;
    }
    if (n == MAX_SPANS && load<u32>(least, P_DEPTH) >= depth) return;
    if (n == MAX_SPANS || !load<u32>(least, P_DEPTH)) {
      store<u32>(least, 0, P_DEPTH);
      store<u32>(least, 0, P_LOOPS);
    }
    store<u32>(least, key, P_KEY);
    store<u32>(least, max(load<u32>(least, P_DEPTH), depth), P_DEPTH);
    store<u32>(least, load<u32>(least, P_LOOPS) | Spans.bit(b), P_LOOPS);
    Spans.count = max(Spans.count, (least - at) / SPAN_BYTES + 1);
  }

  @inline private static bit(loop: u32): u32 {
    return 1 << (loop & 31);
  }
  /** What the addresses of a group are made from, or NONE: it has no span. */
  private static keyOf(group: u32): u32 {
    if (!Groups.isWide(group) || load<i32>(group, G_HIGH) - load<i32>(group, G_LOW) <= OBJECT_SPAN) return NONE;
    const at = Spans.at(load<u32>(group, G_BLOCK));
    const outer = load<u32>(at, S_OUTER);
    if (outer == NONE || load<u32>(at, S_LOOP) == NONE) return NONE;
    const family = load<u32>(group, G_FAMILY);
    if (load<u32>(family, Y_MEMORY) != Spans.memoryOf(outer)) return NONE;
    return Values.source(outer, load<u32>(family, Y_ROOT));
  }

  /** The span of a group, or NONE. */
  static of(group: u32): u32 {
    if (!Spans.count) return NONE;
    const key = Spans.keyOf(group);
    if (key == NONE) return NONE;
    const at = Spans.at(load<u32>(Spans.at(load<u32>(group, G_BLOCK)), S_OUTER)) + S_SPANS;
    for (let n: u32 = 0; n < MAX_SPANS; n++) {
      const span = at + n * SPAN_BYTES;
      if (load<u32>(span, P_DEPTH) && load<u32>(span, P_KEY) == key) return n;
    }
    return NONE;
  }

  // ---- Emission --------------------------------------------------------------------------------------------------------------

  /** In front of a loop: its spans are empty. */
  static open(b: u32): void {
    if (!Spans.count || load<u32>(Spans.at(b), S_OUTER) != b) return;
    for (let n: u32 = 0; n < MAX_SPANS; n++) {
      if (!load<u32>(Spans.spanOf(b, n), P_DEPTH)) continue;
      Wasm.i64(0);
      Wasm.set(Spans.bytes(n));
      Spans.write(n, abi.SPAN_MISSED, 0);
      Spans.write(n, abi.SPAN_NEXT, i32.MAX_VALUE);
      Spans.write(n, abi.SPAN_STEPS, FIRST_STEPS);
    }
  }

  private static write(n: u32, at: u32, v: i32): void {
    Wasm.i32(0);
    Wasm.i32(v);
    Wasm.access(w.I32_STORE, Spans.record(n) + at);
  }

  @inline private static spanOf(outer: u32, n: u32): u32 {
    return Spans.at(outer) + S_SPANS + n * SPAN_BYTES;
  }

  /** Whether so many bytes at Emit.address are not all in a span. */
  static lacks(n: u32, bytes: u32): void {
    Wasm.get(Emit.address);
    Wasm.get(Spans.first(n));
    Wasm.op(w.I64_SUB);
    Wasm.tee(Emit.address);
    Wasm.get(Spans.bytes(n));
    Wasm.op(w.I64_GE_U);
    Wasm.get(Emit.address);
    Wasm.get(Spans.bytes(n));
    Wasm.i64(bytes);
    Wasm.op(w.I64_SUB);
    Wasm.op(w.I64_GT_S);
    Wasm.op(w.I32_OR);
  }

  /** What begins at the window offset in a local was. */
  static missAt(n: u32, local: u32): void {
    Wasm.i32(0);
    Wasm.get(local);
    Wasm.access(w.I32_STORE, Spans.record(n) + abi.SPAN_MISSED);
  }

  /** The span from a number on that a loop finds more of, or NONE. */
  private static next(b: u32, from: u32): u32 {
    const outer = Spans.count ? load<u32>(Spans.at(b), S_OUTER) : NONE;
    if (outer == NONE) return NONE;
    for (let n = from; n < MAX_SPANS; n++) {
      const span = Spans.spanOf(outer, n);
      if (load<u32>(span, P_DEPTH) && load<u32>(span, P_LOOPS) & Spans.bit(b)) return n;
    }
    return NONE;
  }

  /** Opens a loop and a block around the loop that starts at a block, if there are spans to look for. */
  static around(b: u32): bool {
    if (!Cfg.isDispatch(b) || Spans.next(b, 0) == NONE) return false;
    Wasm.loop();
    store<u32>(Spans.at(b), Wasm.block(), S_GROW);
    return true;
  }

  /** Goes out of a loop that starts at a block if it is time to look for more of a span. */
  static growIf(n: u32, b: u32): void {
    Wasm.get(Emit.FUEL);
    Wasm.fixed(Spans.record(n) + abi.SPAN_NEXT);
    Wasm.op(w.I32_LE_S);
    Wasm.brIf(load<u32>(Spans.at(b), S_GROW));
  }

  /** Behind a loop: where it goes to have the core look for more, and then on from its start. */
  static grow(b: u32): void {
    Wasm.end();
    for (let n = Spans.next(b, 0); n != NONE; n = Spans.next(b, n + 1)) {
      Wasm.fixed(Spans.record(n) + abi.SPAN_MISSED);
      Wasm.if_();
      Wasm.i32(n);
      Wasm.get(Emit.FUEL);
      Wasm.call(IMPORT_LOOK);
      Spans.take(n, abi.SPAN_FIRST, Spans.first(n));
      Spans.take(n, abi.SPAN_SIZE, Spans.bytes(n));
      Wasm.end();
    }
    Wasm.br(Wasm.depth);
    Wasm.end();
  }

  private static take(n: u32, at: u32, local: u32): void {
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD, Spans.record(n) + at);
    Wasm.set(local);
  }
}

/**
 * Looks for more of a span, around the access that missed it: SPAN_FIRST, SPAN_SIZE. All shadow is read anew: what the record says
 * may be of another loop.
 */
export function jitLook(n: u32, fuel: i32): void {
  const at = abi.SPANS + n * abi.SPAN_BYTES;
  const shadow = load<u32>(abi.SHADOW_START);
  const granules = load<u32>(abi.WINDOW_BYTES) >> 3;
  const steps = load<u32>(at, abi.SPAN_STEPS);
  let first = min(load<u32>(at, abi.SPAN_MISSED) >> 3, granules);
  let end = first;
  for (let left = min(steps, MAX_STEPS), open: u32 = STEP; left && open == STEP && end + STEP <= granules; left--) {
    open = <u32>(ctz(load<u64>(shadow + end) ^ OPEN) >> 3);
    end += open;
  }
  for (let left = min(steps, MAX_STEPS), open: u32 = STEP; left && open == STEP && first >= STEP; left--) {
    open = <u32>(clz(load<u64>(shadow + first - STEP) ^ OPEN) >> 3);
    first -= open;
  }
  store<u64>(at, GUEST_BASE + ((<u64>first) << 3), abi.SPAN_FIRST);
  store<u64>(at, (end - first) << 3, abi.SPAN_SIZE);
  store<u32>(at, 0, abi.SPAN_MISSED);
  store<u32>(at, min(steps * GROWTH, MAX_WAIT), abi.SPAN_STEPS);
  store<i32>(at, fuel - <i32>(steps / STEPS_A_ROUND), abi.SPAN_NEXT);
}
