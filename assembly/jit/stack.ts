// Parts of the stack frame that are locals: aligned units of 8 bytes that the function accesses by r10 alone, always the same
// bytes of them, that no pointer reaches, and that nobody reads before they are written. Memory gets them when the function
// is left. What pointers reach: those that the function keeps to itself, the bytes that it accesses by them; those that it
// hands to a helper or kfunc that cannot be given a callback, everything from there upwards; all others, the whole frame. What such a
// function gives back may lead to where the pointer does, or above it (HostTraits.address).

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { heapAlloc, heapFree } from '../alloc';
import * as isa from '../isa';
import * as ops from '../ops';
import { Callback } from './callback';
import { Cfg, NONE } from './cfg';
import { callsBack, Effects } from './effects';
import { Ramp } from './ramp';
import { FRAME_ROOT, Values } from './values';

const UNITS: u32 = isa.STACK_BYTES / 8;
/** Locals that a function has for them at most: engines copy all of them at each branch while they compile. */
const MAX_LOCALS: u32 = 24;
/** Roots of what functions of the host gave, when they were handed pointers into the frame: u32 each. */
const MAX_GIVEN: u32 = 8;
const GIVEN: usize = memory.data(32);
/** Of them, whole ones, those whose values are followed (values.ts). */
export const TRACKED: u32 = 16;
/** Passes over a function after which its frame stays in memory. */
const MAX_PASSES: u32 = 40;

// A unit: what is accessed of it, (first byte + 1) << 4 | log of the width, or 0; and its local, counted from 1, or 0.
const WHAT: usize = memory.data(64);
const LOCAL: usize = memory.data(64);

// Of a block: units that it reads before it writes them, that it writes, that live at its start.
const L_READ: u32 = 0;
const L_WRITTEN: u32 = 8;
const L_LIVE: u32 = 16;
const BLOCK_BYTES: u32 = 24;

export class Stack {
  private static blocks: u32 = 0;
  /** Units that are locals; of them, those that may matter here. */
  private static units: u64 = 0;
  private static live: u64 = 0;
  /** How many there are, and the first local. */
  static count: u32 = 0;
  static first: u32 = 0;
  /** What pointers reach: from this distance of r10 upwards; these units. */
  private static reached: i32 = 0;
  private static touched: u64 = 0;
  private static given: u32 = 0;

  static free(): void {
    if (Stack.blocks) heapFree(Stack.blocks);
    Stack.blocks = 0;
  }

  @inline private static at(b: u32): u32 {
    return Stack.blocks + b * BLOCK_BYTES;
  }

  @inline private static isFrame(op: u32): bool {
    return op >= <u32>ops.H_LDF_B && op <= <u32>ops.H_STF_DW;
  }
  @inline private static isLoad(op: u32): bool {
    return op <= <u32>ops.H_LDF_DW;
  }
  @inline private static unitOf(slot: u32): u32 {
    return <u32>(load<i32>(slot, abi.SLOT_IMM) + isa.STACK_BYTES) >> 3;
  }

  /** Does the current function access its frame at all? */
  static isUsed(): bool {
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      for (let s = Cfg.first(b); s < Cfg.end(b); s++)
        if (Stack.isFrame(load<u8>(Cfg.slot(s), abi.SLOT_BASE))) return true;
    }
    return false;
  }

  /** Chooses the units of the current function that become locals. False: the heap has no room. */
  static plan(): bool {
    Stack.free();
    Stack.count = 0;
    Stack.units = 0;
    Stack.live = ~(<u64>0);
    memory.fill(WHAT, 0, UNITS);
    memory.fill(LOCAL, 0, UNITS);
    if (Ramp.at != NONE) return true;
    Stack.reached = 0;
    Stack.touched = 0;
    Stack.given = 0;
    let accesses: u32 = 0;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      Values.enter(b);
      for (let s = Cfg.first(b); s < Cfg.end(b); s++) {
        const slot = Cfg.slot(s);
        if (Stack.isFrame(load<u8>(slot, abi.SLOT_BASE))) accesses++;
        const gives = Stack.look(s, slot);
        Values.step(slot);
        if (gives) Stack.give();
      }
      Stack.joins(Cfg.fall(b));
      Stack.joins(Cfg.taken(b));
      if (Stack.reached <= -(<i32>isa.STACK_BYTES)) return true;
    }
    if (!accesses) return true;
    for (let u: u32 = 0; u < UNITS; u++) {
      const end = <i32>(u * 8 + 8) - <i32>isa.STACK_BYTES;
      if (load<u8>(WHAT + u) && !((Stack.touched >> u) & 1) && end <= Stack.reached) Stack.units |= (<u64>1) << u;
    }
    if (!Stack.units) return true;
    Stack.blocks = heapAlloc(Cfg.count * BLOCK_BYTES);
    if (!Stack.blocks) return false;
    Stack.units = Stack.findLive() ? Stack.units & ~load<u64>(Stack.at(Cfg.ordered(0)), L_LIVE) : 0;
    for (let u: u32 = 0; u < UNITS; u++) {
      if (!((Stack.units >> u) & 1)) continue;
      if (Stack.count == MAX_LOCALS) Stack.units &= ~((<u64>1) << u);
      else store<u8>(LOCAL + u, ++Stack.count);
    }
    return true;
  }

  /** The current function has more blocks than were looked at, copies of those. False: the heap has no room. */
  static spread(before: u32): bool {
    if (!Stack.units) return true;
    const blocks = heapAlloc(Cfg.count * BLOCK_BYTES);
    if (!blocks) return false;
    for (let b: u32 = 0; b < Cfg.count; b++) {
      const like = b < before ? b : Cfg.original(b);
      store<u64>(blocks + b * BLOCK_BYTES, load<u64>(Stack.at(like), L_LIVE), L_LIVE);
    }
    Stack.free();
    Stack.blocks = blocks;
    return true;
  }

  // ---- Pointers into the frame -----------------------------------------------------------------------------------------------

  @inline private static isPointer(r: u32): bool {
    return Values.root(r) == FRAME_ROOT;
  }
  @inline private static escapes(): void {
    Stack.reached = -(<i32>isa.STACK_BYTES);
  }
  private static escapesIf(r: u32): void {
    if (Stack.isPointer(r) || Stack.isGiven(r)) Stack.escapes();
  }

  /** r0 may be a pointer into the frame, no lower than one that was handed out. */
  private static give(): void {
    if (Stack.given == MAX_GIVEN) Stack.escapes();
    else store<u32>(GIVEN + Stack.given++ * 4, Values.root(0));
  }
  private static isGiven(r: u32): bool {
    for (let i: u32 = 0; i < Stack.given; i++) if (load<u32>(GIVEN + i * 4) == Values.root(r)) return true;
    return false;
  }

  /** Pointers that become one value of several at the start of a block are no longer known there. */
  private static joins(b: u32): void {
    if (b == NONE) return;
    const live = Cfg.liveIn(b);
    for (let r: u32 = 0; r < 10; r++) {
      if ((live >> r) & 1 && !Values.isInvariant(b, r)) Stack.escapesIf(r);
    }
  }

  /** True: r0 may be a pointer into the frame behind this slot. */
  private static look(i: u32, slot: u32): bool {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    const d = Effects.dst(slot);
    const s = Effects.src(slot);
    let gives = false;
    if (op == ops.H_MOV_X || Cfg.isJump(op)) return false;
    if (op == ops.H_ADD_K) {
      if (!Values.reaches(d, load<i64>(slot, abi.SLOT_IMM))) Stack.escapesIf(d);
      return false;
    }
    if (Stack.isFrame(op)) {
      if (op >= <u32>ops.H_STXF_B && op <= <u32>ops.H_STXF_DW) Stack.escapesIf(s);
      Stack.note(slot, (op - ops.H_LDF_B) & 3);
    } else if (op >= <u32>ops.H_LDX_B && op <= <u32>ops.H_LDX_SW) {
      Stack.touch(slot, s);
    } else if (op >= <u32>ops.H_STX_B && op <= <u32>ops.H_ST_DW) {
      Stack.touch(slot, d);
      if (op <= <u32>ops.H_STX_DW) Stack.escapesIf(s);
    } else if ((op == ops.H_CALL_CORE && !callsBack(load<u32>(slot, abi.SLOT_OFF))) || op == ops.H_CALL_HOST) {
      // A callback may go below what it is given.
      const all = op == ops.H_CALL_HOST && Callback.mayBeGiven(i);
      const address = op == ops.H_CALL_HOST && !(load<u32>(slot, abi.SLOT_IMM) & abi.HOST_NO_ADDRESS);
      for (let r: u32 = 1; r <= 5; r++) {
        if (Stack.isPointer(r)) Stack.reached = all ? -(<i32>isa.STACK_BYTES) : min(Stack.reached, Values.distance(r));
        else if (!Stack.isGiven(r)) continue;
        else if (all || Values.distance(r) < 0) Stack.escapes();
        gives = gives || address;
      }
    } else {
      Cfg.effectsOf(slot);
      if (Effects.frame) Stack.escapes();
      for (let r: u32 = 0; r < 10; r++) if ((Effects.reads >> r) & 1) Stack.escapesIf(r);
    }
    return gives;
  }

  /** An access by a pointer. */
  private static touch(slot: u32, base: u32): void {
    const isGiven = Stack.isGiven(base);
    if (!isGiven && !Stack.isPointer(base)) return;
    const distance = <i64>Values.distance(base) + load<i64>(slot, abi.SLOT_IMM) + GUEST_BASE;
    if (isGiven) {
      if (distance < 0) Stack.escapes();
      return;
    }
    const start = distance + isa.STACK_BYTES;
    for (let at = start >> 3; at <= (start + 7) >> 3; at++) {
      if (at >= 0 && at < <i64>UNITS) Stack.touched |= (<u64>1) << at;
    }
  }

  /** An access by r10. */
  private static note(slot: u32, size: u32): void {
    const first = <u32>(load<i32>(slot, abi.SLOT_IMM) + isa.STACK_BYTES);
    const unit = first >> 3;
    const last = (first + (1 << size) - 1) >> 3;
    const what = (((first & 7) + 1) << 4) | size;
    if (!load<u8>(WHAT + unit)) store<u8>(WHAT + unit, what);
    if (load<u8>(WHAT + unit) != what) Stack.touched |= (<u64>1) << unit;
    if (last != unit) Stack.touched |= (<u64>3) << unit;
  }

  // ---- Liveness --------------------------------------------------------------------------------------------------------------

  private static findLive(): bool {
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      let read: u64 = 0;
      let written: u64 = 0;
      for (let s = Cfg.first(b); s < Cfg.end(b); s++) {
        const slot = Cfg.slot(s);
        const op: u32 = load<u8>(slot, abi.SLOT_BASE);
        if (!Stack.isFrame(op)) continue;
        const unit = ((<u64>1) << Stack.unitOf(slot)) & Stack.units;
        if (Stack.isLoad(op)) read |= unit & ~written;
        else written |= unit;
      }
      store<u64>(Stack.at(b), read, L_READ);
      store<u64>(Stack.at(b), written, L_WRITTEN);
      store<u64>(Stack.at(b), read, L_LIVE);
    }
    let changed = true;
    for (let pass: u32 = 0; changed; pass++) {
      if (pass == MAX_PASSES) return false;
      changed = false;
      for (let i = Cfg.reached; i-- > 0; ) {
        const b = Cfg.ordered(i);
        const at = Stack.at(b);
        const live = load<u64>(at, L_READ) | (Stack.liveAfter(b) & ~load<u64>(at, L_WRITTEN));
        if (live == load<u64>(at, L_LIVE)) continue;
        store<u64>(at, live, L_LIVE);
        changed = true;
      }
    }
    return true;
  }

  private static liveAfter(b: u32): u64 {
    const fall = Cfg.fall(b);
    const taken = Cfg.taken(b);
    let live: u64 = 0;
    if (fall != NONE) live |= load<u64>(Stack.at(fall), L_LIVE);
    if (taken != NONE) live |= load<u64>(Stack.at(taken), L_LIVE);
    return live;
  }

  // ---- Emission --------------------------------------------------------------------------------------------------------------

  /** Goes to the start of a block. */
  static enter(b: u32): void {
    if (Stack.units) Stack.live = load<u64>(Stack.at(b), L_LIVE);
  }

  /** Local that a slot accesses in place of the frame, or 0. */
  static local(slot: u32, writes: bool): u32 {
    const unit = Stack.unitOf(slot);
    if (writes) Stack.live |= ((<u64>1) << unit) & Stack.units;
    return Stack.isLocal(unit);
  }

  static isLocal(unit: u32): u32 {
    const local: u32 = load<u8>(LOCAL + unit);
    return local ? Stack.first + local - 1 : 0;
  }

  /** Number of the unit whose eight bytes a slot accesses, if it is a local and its value is followed; or NONE. */
  static tracked(slot: u32): u32 {
    const unit = Stack.unitOf(slot);
    const local: u32 = load<u8>(LOCAL + unit);
    return local && local <= TRACKED && Stack.size(unit) == 3 ? local - 1 : NONE;
  }

  /** Those that are locals, bit by bit; of them, those that nobody reads any more. */
  @inline static all(): u64 {
    return Stack.units;
  }
  @inline static dead(): u64 {
    return Stack.units & ~Stack.live;
  }
  /** Of a unit that is a local: distance from r10, and log of the width. */
  static distance(unit: u32): i32 {
    return <i32>(unit * 8 + (load<u8>(WHAT + unit) >> 4) - 1) - <i32>isa.STACK_BYTES;
  }
  static size(unit: u32): u32 {
    return load<u8>(WHAT + unit) & 15;
  }
}
