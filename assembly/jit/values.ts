// What registers hold, as far as addresses are concerned: each value is a root plus a constant distance from it. Two registers
// with the same root hold values whose difference is known, wherever in the function they are looked at: a root is made where
// a register is written, or at the start of a block that paths lead to with different values; sums of the same two roots are one.
// Which blocks join different values is found by going over the function until no loop brings another one.
//
// A register may also be near a root: a sum of a pointer and an index, or of several, that is at least and at most so far away.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { heapAlloc, heapAllocZeroed, heapFree } from '../alloc';
import * as isa from '../isa';
import * as ops from '../ops';
import { BOUNDS_BYTES, Bounds, GIVE_UP, WIDEN } from './bounds';
import { Cfg, NONE } from './cfg';
import { Effects, effects } from './effects';
import { Emit } from './emit';
import { Lookup } from './lookup';
import { Stack, TRACKED } from './stack';
import { I32_ADD, I32_SHL, I64_ADD, I64_SHL, I64_SUB, Wasm } from './wasm';

/** Root of the frame's end, r10. */
export const FRAME_ROOT: u32 = 1;
/** Root of constants: distances are window offsets. */
export const WINDOW_ROOT: u32 = 2;
const FIRST_ROOT: u32 = 16;
/** In place of the second root of a sum: the first one, shifted left by this less SHIFT. */
const SHIFT: u32 = 0x3f000000;
/** Roots of sums of two roots: this, and place in the table of sums. */
const SUM: u32 = 0x40000000;
/** Roots of blocks: this, and number of the block and the register below it. */
const JOINED: u32 = 0x80000000;

/** Beside the registers: what a call may have changed about which memory can be accessed. */
export const MEMORY: u32 = 11;
/** Behind it, units of the frame that are locals (stack.ts), as far as they are known. */
const UNIT: u32 = 12;
const COUNT: u32 = UNIT + TRACKED;
const UNIT_MASK: u32 = ((1 << TRACKED) - 1) << UNIT;

/** Registers that can be near something. */
const NEAR_REGISTERS: u32 = 10;
/** Bytes that what is near a root may be apart. */
const MAX_SLACK: u64 = 16384;

// Of a block of the function: what is held at its start (root, distance), and
const E_JOINED: u32 = COUNT * 8; // of these: joined here
const E_SEEN: u32 = E_JOINED + 4; // in this pass
const E_NEXT: u32 = E_JOINED + 8; // first root that the block makes
const E_APART: u32 = E_JOINED + 12; // registers that are near different things on different ways
const E_NEAR: u32 = E_JOINED + 16; // what registers are near
const E_BOUNDS: u32 = E_NEAR + NEAR_REGISTERS * 12;
const E_LOOP: u32 = E_BOUNDS + BOUNDS_BYTES; // of a loop's start: bounds on all ways there, so far
const E_WAYS: u32 = E_LOOP + BOUNDS_BYTES; // and on those of this pass
const ENTRY_BYTES: u32 = E_WAYS + BOUNDS_BYTES;

/** Passes after which bounds that a loop changes are given up at once. */
const MAX_BOUND_PASSES: u32 = 3;
/** Passes after which every block with more than one way to it joins everything. */
const MAX_PASSES: u32 = 16;
/** Sums that are taken apart for one value. */
const MAX_PARTS: u32 = 12;
/** Distances stay below this: with the offsets of accesses, the difference of any two is an i32. */
const FAR: i64 = 1 << 29;

/** What is held here. */
const NOW: usize = memory.data(224);
/** Root, least distance, and what may be added to it; root 0: nothing is known. */
const NEAR: usize = memory.data(120);

export class Values {
  private static entries: u32 = 0;
  private static sums: u32 = 0;
  private static sumMask: u32 = 0;
  private static next: u32 = 0;
  private static all: bool = false;
  /** Units of the frame are followed; what registers are near, and their bounds, which only isolate checks ask for. */
  private static units: bool = false;
  private static bounded: bool = false;
  private static held: u32 = 0;
  /** Sums that may still be taken apart. */
  private static parts: u32 = 0;

  static root(r: u32): u32 {
    return r == isa.REG_FP ? FRAME_ROOT : load<u32>(NOW + r * 8);
  }
  static distance(r: u32): i32 {
    return r == isa.REG_FP ? 0 : load<i32>(NOW + r * 8, 4);
  }
  private static set(r: u32, root: u32, distance: i32): void {
    store<u32>(NOW + r * 8, root);
    store<i32>(NOW + r * 8, distance, 4);
  }
  private static fresh(r: u32): void {
    Values.set(r, Values.next++, 0);
    if (r < NEAR_REGISTERS) Values.setNear(r, 0, 0, 0);
  }

  /** Root that a register is near, or 0; it is `nearest` to `nearest + slack` away. */
  static near(r: u32): u32 {
    return r < NEAR_REGISTERS ? load<u32>(NEAR + r * 12) : 0;
  }
  static nearest(r: u32): i32 {
    return load<i32>(NEAR + r * 12, 4);
  }
  static slack(r: u32): u32 {
    return load<u32>(NEAR + r * 12, 8);
  }
  private static setNear(r: u32, root: u32, distance: i64, slack: u64): void {
    if (!Values.bounded) return;
    const known = root != 0 && distance > -FAR && distance < FAR && slack <= MAX_SLACK;
    store<u32>(NEAR + r * 12, known ? root : 0);
    store<i32>(NEAR + r * 12, known ? <i32>distance : 0, 4);
    store<u32>(NEAR + r * 12, known ? <u32>slack : 0, 8);
  }

  /** A register that lives before a slot (index) and holds a value of this root, or NONE. What is held by others is not joined. */
  static holder(root: u32, slot: u32): u32 {
    if (root == FRAME_ROOT) return isa.REG_FP;
    const live = Cfg.liveAt(slot);
    for (let r: u32 = 0; r < 10; r++) if ((live >> r) & 1 && Values.root(r) == root) return r;
    return NONE;
  }

  @inline private static at(b: u32): u32 {
    return Values.entries + b * ENTRY_BYTES;
  }
  @inline private static joinedRoot(b: u32, r: u32): u32 {
    return JOINED | (b << 5) | r;
  }

  static free(): void {
    if (Values.entries) heapFree(Values.entries);
    if (Values.sums) heapFree(Values.sums);
    Values.entries = Values.sums = 0;
  }

  private static makeSums(): bool {
    let count: u32 = 0;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      for (let s = Cfg.first(b); s < Cfg.end(b); s++) {
        const op = load<u8>(Cfg.slot(s), abi.SLOT_BASE);
        if (op == ops.H_ADD_X || op == ops.H_LSH_K) count++;
      }
    }
    let size: u32 = 16;
    while (size < 2 * count) size *= 2;
    Values.sumMask = size - 1;
    Values.sums = heapAlloc(size * 8);
    return Values.sums != 0;
  }

  /** Root of the sum of two roots: the same for the same two. */
  private static sumOf(a: u32, b: u32): u32 {
    const key = <u64>min(a, b) | ((<u64>max(a, b)) << 32);
    let h = <u32>((key * 0x9e3779b97f4a7c15) >> 40);
    while (true) {
      h &= Values.sumMask;
      const found = load<u64>(Values.sums + h * 8);
      if (!found) store<u64>(Values.sums + h * 8, key);
      if (!found || found == key) return SUM | h;
      h++;
    }
  }

  /**
   * What the current function's registers hold at the start of each block; with `units`, those of its frame, too, which Stack has
   * chosen; if `bounded`, what registers are near, too. False: the heap has no room.
   */
  static analyse(units: bool, bounded: bool): bool {
    Values.free();
    Values.units = units;
    Values.bounded = bounded;
    Values.held = units ? COUNT : UNIT;
    return Values.begin() && Values.passes(!Cfg.loops || !bounded);
  }

  /**
   * The same once more, when blocks were added that copy others (unroll.ts): from what the loops were found to join, so that one pass
   * mostly does. `before`: how many blocks there were.
   */
  static spread(before: u32): bool {
    const old = Values.entries;
    Values.entries = 0;
    Values.free();
    const begun = Values.begin();
    for (let b: u32 = 0; begun && b < Cfg.count; b++) {
      if (!Cfg.isHeader(b)) continue;
      const from = old + (b < before ? b : Cfg.original(b)) * ENTRY_BYTES;
      const to = Values.at(b);
      store<u32>(to, load<u32>(from, E_JOINED), E_JOINED);
      store<u32>(to, load<u32>(from, E_APART), E_APART);
      if (Values.bounded) Bounds.copy(to + E_LOOP, from + E_LOOP);
    }
    heapFree(old);
    return begun && Values.passes(!Cfg.loops || !Values.bounded);
  }

  private static begin(): bool {
    const bytes = Cfg.count * ENTRY_BYTES;
    Values.entries = heapAllocZeroed(bytes);
    if (!Values.entries || !Values.makeSums()) return false;
    store<u32>(Values.at(Cfg.ordered(0)), (1 << COUNT) - 1, E_JOINED);
    if (Values.bounded) for (let b: u32 = 0; b < Cfg.count; b++) Bounds.none(Values.at(b) + E_LOOP);
    return true;
  }

  /** Goes over the function until no loop brings anything new. `narrowed`: no bounds are to be taken back that were given up too early. */
  private static passes(narrowed: bool): bool {
    const bounded = Values.bounded;
    const first = Cfg.ordered(0);
    let again = true;
    for (let pass: u32 = 1; again; pass++) {
      Values.all = pass > MAX_PASSES;
      again = false;
      Values.next = FIRST_ROOT;
      memory.fill(Values.sums, 0, (Values.sumMask + 1) * 8);
      memory.fill(NEAR, 0, NEAR_REGISTERS * 12);
      Bounds.forgetAll();
      Values.arrive(first, pass, 0);
      for (let i: u32 = 0; i < Cfg.reached; i++) {
        const b = Cfg.ordered(i);
        store<u32>(Values.at(b), Values.next, E_NEXT);
        Values.enter(b);
        for (let s = Cfg.first(b); s < Cfg.end(b); s++) Values.step(Cfg.slot(s));
        const fall = Cfg.fall(b);
        const taken = Cfg.taken(b);
        const choice = bounded && fall != NONE && taken != NONE;
        if (choice) Bounds.keep();
        if (fall != NONE) {
          if (choice) Bounds.pass(Cfg.slot(Cfg.end(b) - 1), false);
          if (Values.arrive(fall, pass, i) && Cfg.rpo(fall) <= i) again = true;
        }
        if (taken == NONE) continue;
        if (choice) {
          Bounds.back();
          Bounds.pass(Cfg.slot(Cfg.end(b) - 1), true);
        }
        if (Values.arrive(taken, pass, i) && Cfg.rpo(taken) <= i) again = true;
      }
      if (again || narrowed || pass > MAX_PASSES) continue;
      narrowed = true;
      again = Values.narrow();
    }
    return true;
  }

  /** Takes back what was given up too early: all ways of this pass are still within what it was. Has anything changed? */
  private static narrow(): bool {
    let changed = false;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      const at = Values.at(b);
      if (!Cfg.isHeader(b) || !memory.compare(at + E_LOOP, at + E_WAYS, BOUNDS_BYTES)) continue;
      Bounds.copy(at + E_LOOP, at + E_WAYS);
      changed = true;
    }
    return changed;
  }

  /** A way into a block, with what is held now, behind the block at place `from`. Is there something that the block did not yet join? */
  private static arrive(b: u32, pass: u32, from: u32): bool {
    const at = Values.at(b);
    let joined = load<u32>(at, E_JOINED);
    const first = load<u32>(at, E_SEEN) != pass;
    const changed = Values.bounded && Values.arriveNear(b, at, pass, first, from);
    if (first) {
      store<u32>(at, pass, E_SEEN);
      if (Values.all && (Cfg.isMerge(b) || Cfg.isHeader(b))) joined = (1 << COUNT) - 1;
      store<u32>(at, joined, E_JOINED);
      memory.copy(at, NOW, Values.held * 8);
      for (let left = joined & ((1 << Values.held) - 1); left; left &= left - 1) Values.join(at, b, ctz(left));
      return changed;
    }
    const before = joined;
    // A register that nobody reads before it is written has nothing to be joined for.
    const live = Cfg.liveIn(b) | (1 << MEMORY) | UNIT_MASK;
    for (let r: u32 = 0; r < Values.held; r++) {
      if ((joined >> r) & 1 || load<u64>(at + r * 8) == load<u64>(NOW + r * 8)) continue;
      Values.join(at, b, r);
      if ((live >> r) & 1) joined |= 1 << r;
    }
    store<u32>(at, joined, E_JOINED);
    return changed || joined != before;
  }

  /** The same of bounds, and what registers are near. */
  private static arriveNear(b: u32, at: u32, pass: u32, first: bool, from: u32): bool {
    let changed = false;
    const live = Cfg.liveIn(b);
    if (Cfg.isHeader(b)) {
      const back = !first || (Cfg.rpo(b) <= from && pass > 1);
      changed = Bounds.join(at + E_LOOP, live, back && pass > 1 ? (pass > MAX_BOUND_PASSES ? GIVE_UP : WIDEN) : 0);
      if (first) Bounds.none(at + E_WAYS);
      Bounds.join(at + E_WAYS, live, 0);
      if (Values.all) Bounds.any(at + E_LOOP);
      Bounds.copy(at + E_BOUNDS, at + E_LOOP);
    } else if (first) {
      Bounds.give(at + E_BOUNDS);
    } else {
      Bounds.join(at + E_BOUNDS, live, 0);
    }
    const before = load<u32>(at, E_APART);
    let apart = Values.all && (Cfg.isMerge(b) || Cfg.isHeader(b)) ? live : before;
    for (let r: u32 = 0; r < NEAR_REGISTERS; r++) {
      const near = at + E_NEAR + r * 12;
      const here = NEAR + r * 12;
      if (!first && (load<u64>(near) != load<u64>(here) || load<u32>(near, 8) != load<u32>(here, 8)))
        apart |= (1 << r) & live;
      // Calls for so few bytes would take longer than all else here.
      if (((apart | ~live) >> r) & 1) {
        store<u64>(near, 0);
        store<u32>(near, 0, 8);
      } else if (first) {
        store<u64>(near, load<u64>(here));
        store<u32>(near, load<u32>(here, 8), 8);
      }
    }
    store<u32>(at, apart, E_APART);
    return changed || apart != before;
  }

  private static join(at: u32, b: u32, r: u32): void {
    store<u32>(at + r * 8, Values.joinedRoot(b, r));
    store<i32>(at + r * 8, 0, 4);
  }

  /** Goes to the start of a block. */
  static enter(b: u32): void {
    memory.copy(NOW, Values.at(b), Values.held * 8);
    if (Values.bounded) {
      memory.copy(NEAR, Values.at(b) + E_NEAR, NEAR_REGISTERS * 12);
      Bounds.take(Values.at(b) + E_BOUNDS);
    }
    Values.next = load<u32>(Values.at(b), E_NEXT);
  }

  /** Is what this register (or MEMORY) holds at the start of a loop the same in each round? */
  static isInvariant(b: u32, r: u32): bool {
    return !((load<u32>(Values.at(b), E_JOINED) >> r) & 1);
  }

  /** Root of what this register (or MEMORY) holds at the start of a block. */
  static rootAt(b: u32, r: u32): u32 {
    return load<u32>(Values.at(b) + r * 8);
  }

  // ---- Values that are made again from others ---------------------------------------------------------------------------------

  /** A register that holds a value of a root at the start of a block, r10, or NONE. */
  private static heldAt(b: u32, root: u32): u32 {
    if (root == FRAME_ROOT) return isa.REG_FP;
    const live = Cfg.liveIn(b);
    for (let r: u32 = 0; r < 10; r++) if ((live >> r) & 1 && Values.rootAt(b, r) == root) return r;
    return NONE;
  }

  /** Can a value of this root be made at the start of a block, of what registers hold there? */
  static isMadeAt(b: u32, root: u32): bool {
    Values.parts = MAX_PARTS;
    return Values.isMade(b, root);
  }
  private static isMade(b: u32, root: u32): bool {
    if (root == WINDOW_ROOT || Values.heldAt(b, root) != NONE) return true;
    if (root < SUM || root >= JOINED || !Values.parts) return false;
    Values.parts--;
    const low = load<u32>(Values.sums + (root - SUM) * 8);
    const high = load<u32>(Values.sums + (root - SUM) * 8, 4);
    return (Values.isShift(low) || Values.isMade(b, low)) && (Values.isShift(high) || Values.isMade(b, high));
  }

  @inline private static isShift(root: u32): bool {
    return root - SHIFT < 32;
  }

  /** Makes it, at distance 0, on the stack. */
  static make(b: u32, root: u32): void {
    if (root == WINDOW_ROOT) {
      Wasm.i64(GUEST_BASE);
      return;
    }
    const r = Values.heldAt(b, root);
    if (r != NONE) {
      Emit.get(r);
      const distance = r == isa.REG_FP ? 0 : load<i32>(Values.at(b) + r * 8, 4);
      if (!distance) return;
      Wasm.i64(distance);
      Wasm.op(I64_SUB);
      return;
    }
    const low = load<u32>(Values.sums + (root - SUM) * 8);
    const high = load<u32>(Values.sums + (root - SUM) * 8, 4);
    const shift = Values.isShift(low) ? low : Values.isShift(high) ? high : 0;
    Values.make(b, shift == low ? high : low);
    if (shift) Wasm.i64(shift - SHIFT);
    else Values.make(b, high);
    Wasm.op(shift ? I64_SHL : I64_ADD);
  }

  /** Makes the lower half of what a register holds before a slot (index) of what others hold, on the stack. False: there is none such. */
  static makeLow(r: u32, slot: u32): bool {
    const root = Values.root(r);
    if (root < SUM || root >= JOINED) return false;
    const low = load<u32>(Values.sums + (root - SUM) * 8);
    const high = load<u32>(Values.sums + (root - SUM) * 8, 4);
    if (Values.isShift(low) || Values.isShift(high)) return false;
    const a = Values.shiftedHolder(low, slot);
    const b = Values.shiftedHolder(high, slot);
    if (a == NONE || b == NONE) return false;
    let distance = Values.distance(r);
    distance -= Values.getLow(low, a);
    distance -= Values.getLow(high, b);
    Wasm.op(I32_ADD);
    if (!distance) return true;
    Wasm.i32(distance);
    Wasm.op(I32_ADD);
    return true;
  }

  /** A register that lives before a slot (index) and holds a value of a root, or of the root that this one shifts. */
  private static shiftedHolder(root: u32, slot: u32): u32 {
    const r = Values.holder(root, slot);
    if (r != NONE || root < SUM || root >= JOINED) return r;
    const low = load<u32>(Values.sums + (root - SUM) * 8);
    const high = load<u32>(Values.sums + (root - SUM) * 8, 4);
    if (Values.isShift(low)) return Values.holder(high, slot);
    return Values.isShift(high) ? Values.holder(low, slot) : NONE;
  }

  /** Its lower half on the stack, which is a value of the root this far away. */
  private static getLow(root: u32, r: u32): i32 {
    Emit.get32(r);
    if (Values.root(r) == root) return Values.distance(r);
    const low = load<u32>(Values.sums + (root - SUM) * 8);
    const by = (Values.isShift(low) ? low : load<u32>(Values.sums + (root - SUM) * 8, 4)) - SHIFT;
    Wasm.i32(by);
    Wasm.op(I32_SHL);
    return Values.distance(r) << by;
  }

  // ---- Sources: of addresses in a loop, what they were made of ---------------------------------------------------------------

  /**
   * Of the parts of a sum, the one that changes least in a loop: one that comes from outside of it, else what it carries from round
   * to round, of its outermost loops first. NONE: there is none such.
   */
  static source(loop: u32, root: u32): u32 {
    Values.parts = MAX_PARTS;
    return Values.sourceOf(loop, root);
  }

  private static sourceOf(loop: u32, root: u32): u32 {
    if (root < SUM || root >= JOINED) return Values.changes(loop, root) == NONE ? NONE : root;
    const sum = Values.sums + (root - SUM) * 8;
    const low = load<u32>(sum);
    const high = load<u32>(sum, 4);
    // A number that was shifted is an index.
    if (!Values.parts || Values.isShift(low) || Values.isShift(high)) return NONE;
    Values.parts--;
    const a = Values.sourceOf(loop, low);
    const b = Values.sourceOf(loop, high);
    if (a == NONE || b == NONE) return a == NONE ? b : a;
    return Values.changes(loop, a) <= Values.changes(loop, b) ? a : b;
  }

  /** 0: a root of outside of a loop; else place of the block in it that joins different values, from 1 on, or NONE. */
  private static changes(loop: u32, root: u32): u32 {
    if (root < SUM) return root < load<u32>(Values.at(loop), E_NEXT) ? 0 : NONE;
    const place = Cfg.rpo((root & ~JOINED) >> 5);
    return place < Cfg.rpo(loop) ? 0 : place + 1;
  }

  /** Goes over a slot. */
  static step(slot: u32): void {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    if (op <= <u32>ops.H_LDX_SW || (op >= <u32>ops.H_LDF_B && op <= <u32>ops.H_LDF_DW)) {
      const unit = op == ops.H_LDF_DW ? Values.unitOf(slot) : NONE;
      if (unit != NONE) Values.copy(Effects.dst(slot), unit);
      else if (!Values.move(slot, op) && op != ops.H_NOP) Values.fresh(Effects.dst(slot));
      if (Values.bounded) Bounds.step(slot, op);
      return;
    }
    if (op == ops.H_STXF_DW || op == ops.H_STF_DW) {
      const unit = Values.unitOf(slot);
      if (unit == NONE) return;
      if (op == ops.H_STXF_DW) Values.set(unit, Values.root(Effects.src(slot)), Values.distance(Effects.src(slot)));
      else Values.fresh(unit);
      return;
    }
    effects(slot);
    let writes = Effects.writes;
    if (op >= <u32>ops.H_CALL && op <= <u32>ops.H_CALLX && !Values.leavesMemory(slot, op)) writes |= 1 << MEMORY;
    for (let r: u32 = 0; writes; r++) {
      if (writes & 1) {
        Values.fresh(r);
        if (Values.bounded && r < NEAR_REGISTERS) Bounds.forget(r);
      }
      writes >>= 1;
    }
  }

  /** Where a unit of the frame is held that a slot accesses, or NONE. */
  private static unitOf(slot: u32): u32 {
    const unit = Values.units ? Stack.tracked(slot) : NONE;
    return unit == NONE ? NONE : UNIT + unit;
  }

  /** A register gets what a unit of the frame holds. */
  private static copy(d: u32, unit: u32): void {
    Values.set(d, Values.root(unit), Values.distance(unit));
    Values.setNear(d, 0, 0, 0);
  }

  /** Does a call change nothing about which memory can be accessed? */
  private static leavesMemory(slot: u32, op: u32): bool {
    if (op == ops.H_CALL) return Cfg.isQuiet(Cfg.functionOf(Cfg.target(slot)));
    if (op != ops.H_CALL_CORE) return false;
    const fn = load<u32>(slot, abi.SLOT_OFF);
    return fn == abi.FN_GET_SMP_PROCESSOR_ID || Lookup.find(fn) != 0;
  }

  /** A slot whose result has a root that is known: true, and that is held now. */
  private static move(slot: u32, op: u32): bool {
    const d = Effects.dst(slot);
    const s = Effects.src(slot);
    const imm = load<i64>(slot, abi.SLOT_IMM);
    switch (op) {
      case ops.H_MOV_X:
        if (s < NEAR_REGISTERS) Values.setNear(d, Values.near(s), Values.nearest(s), Values.slack(s));
        else Values.setNear(d, 0, 0, 0);
        Values.set(d, Values.root(s), Values.distance(s));
        return true;
      case ops.H_ADD_K:
        return Values.add(d, Values.root(d), imm);
      case ops.H_ADD_X:
        return Values.addRegister(d, s);
      case ops.H_LSH_K: {
        const by = <u32>imm & 63;
        if (by > 31) return false;
        const distance = (<i64>Values.distance(d)) << by;
        if (distance <= -FAR || distance >= FAR) return false;
        Values.set(d, Values.sumOf(Values.root(d), SHIFT + by), <i32>distance);
        Values.setNear(d, 0, 0, 0);
        return true;
      }
      case ops.H_OR_K:
        // Bits that are all 0 before.
        if (imm < 0 || imm >= FAR || imm >> Values.zeros(Values.root(d)) || <i64>Values.distance(d) & imm) return false;
        return Values.add(d, Values.root(d), imm);
      case ops.H_MOV_K: {
        const offset = imm - GUEST_BASE;
        if (offset < 0 || offset >= FAR) return false;
        Values.set(d, WINDOW_ROOT, <i32>offset);
        Values.setNear(d, 0, 0, 0);
        return true;
      }
      default:
        return false;
    }
  }

  /** Does a register keep its root when a constant is added? */
  static reaches(r: u32, more: i64): bool {
    const distance = <i64>Values.distance(r) + more;
    return distance > -FAR && distance < FAR;
  }

  /** Adds a constant to a register, which becomes a sum of this root. */
  private static add(d: u32, root: u32, more: i64): bool {
    if (!Values.reaches(d, more)) return false;
    Values.set(d, root, Values.distance(d) + <i32>more);
    Values.setNear(d, Values.near(d), <i64>Values.nearest(d) + more, Values.slack(d));
    return true;
  }

  private static addRegister(d: u32, s: u32): bool {
    const root = Values.sumOf(Values.root(d), Values.root(s));
    const distance = <i64>Values.distance(d) + Values.distance(s);
    if (Values.bounded) Values.addIndex(d, s);
    if (distance <= -FAR || distance >= FAR) return false;
    Values.set(d, root, <i32>distance);
    return true;
  }

  /** Of a sum, one part is an index, whose bounds are near each other, the other is none. */
  private static addIndex(d: u32, s: u32): void {
    const indexD = Bounds.high(d) - Bounds.low(d) <= MAX_SLACK;
    const indexS = Bounds.high(s) - Bounds.low(s) <= MAX_SLACK;
    if (indexD == indexS) {
      Values.setNear(d, 0, 0, 0);
    } else {
      const index = indexD ? d : s;
      const base = indexD ? s : d;
      const near = Values.near(base);
      const from = near ? Values.nearest(base) : Values.distance(base);
      const slack = near ? <u64>Values.slack(base) : 0;
      const low = Bounds.low(index);
      const more = Bounds.high(index) - low;
      if (low < <u64>FAR) Values.setNear(d, near ? near : Values.root(base), <i64>from + <i64>low, slack + more);
      else Values.setNear(d, 0, 0, 0);
    }
  }

  /** Low bits of a root that are 0. */
  private static zeros(root: u32): u32 {
    if (root < SUM || root >= JOINED) return 0;
    const sum = Values.sums + (root - SUM) * 8;
    const low = load<u32>(sum) - SHIFT;
    const high = load<u32>(sum, 4) - SHIFT;
    return low < 32 ? low : high < 32 ? high : 0;
  }
}
