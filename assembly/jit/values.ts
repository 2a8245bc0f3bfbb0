// What registers hold, as far as addresses are concerned: each value is a root plus a constant distance from it. Two registers
// with the same root hold values whose difference is known, wherever in the function they are looked at: a root is made where
// a register is written, or at the start of a block that paths lead to with different values; sums of the same two roots are one.
// Which blocks join different values is found by going over the function until no loop brings another one.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { heapAlloc, heapFree } from '../alloc';
import * as isa from '../isa';
import * as ops from '../ops';
import { Cfg, NONE } from './cfg';
import { Effects, effects } from './effects';

/** Root of the frame's end, r10. */
export const FRAME_ROOT: u32 = 1;
/** Root of constants: distances are window offsets. */
export const WINDOW_ROOT: u32 = 2;
const FIRST_ROOT: u32 = 16;
/** Roots of sums of two roots: this, and place in the table of sums. */
const SUM: u32 = 0x40000000;
/** Roots of blocks: this, and place of the block and register below it. */
const JOINED: u32 = 0x80000000;

/** Beside the registers: what a call may have changed about which memory can be accessed. */
export const MEMORY: u32 = 11;
const COUNT: u32 = 12;

// Of a block of the function: what is held at its start (root, distance), and
const E_JOINED: u32 = COUNT * 8; // of these: joined here
const E_SEEN: u32 = E_JOINED + 4; // in this pass
const E_NEXT: u32 = E_JOINED + 8; // first root that the block makes
const ENTRY_BYTES: u32 = E_JOINED + 12;

/** Passes after which every block with more than one way to it joins everything. */
const MAX_PASSES: u32 = 8;
/** Distances stay below this: with the offsets of accesses, the difference of any two is an i32. */
const FAR: i64 = 1 << 29;

/** What is held here. */
const NOW: usize = memory.data(96);

export class Values {
  private static entries: u32 = 0;
  private static sums: u32 = 0;
  private static sumMask: u32 = 0;
  private static next: u32 = 0;
  private static all: bool = false;

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
  }

  @inline private static at(b: u32): u32 {
    return Values.entries + b * ENTRY_BYTES;
  }
  @inline private static joinedRoot(b: u32, r: u32): u32 {
    return JOINED | (b << 4) | r;
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
      for (let s = Cfg.first(b); s < Cfg.end(b); s++) if (load<u8>(Cfg.slot(s), abi.SLOT_BASE) == ops.H_ADD_X) count++;
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

  /** What the current function's registers hold at the start of each block. False: the heap has no room. */
  static analyse(): bool {
    const bytes = Cfg.count * ENTRY_BYTES;
    Values.entries = heapAlloc(bytes);
    if (!Values.entries) return false;
    memory.fill(Values.entries, 0, bytes);
    if (!Values.makeSums()) return false;
    const first = Cfg.ordered(0);
    Values.all = false;
    store<u32>(Values.at(first), (1 << COUNT) - 1, E_JOINED);
    let again = true;
    for (let pass: u32 = 1; again; pass++) {
      Values.all = pass > MAX_PASSES;
      again = false;
      Values.next = FIRST_ROOT;
      memory.fill(Values.sums, 0, (Values.sumMask + 1) * 8);
      Values.arrive(first, pass);
      for (let i: u32 = 0; i < Cfg.reached; i++) {
        const b = Cfg.ordered(i);
        store<u32>(Values.at(b), Values.next, E_NEXT);
        Values.enter(b);
        for (let s = Cfg.first(b); s < Cfg.end(b); s++) Values.step(Cfg.slot(s));
        const fall = Cfg.fall(b);
        const taken = Cfg.taken(b);
        if (fall != NONE && Values.arrive(fall, pass) && Cfg.rpo(fall) <= i) again = true;
        if (taken != NONE && Values.arrive(taken, pass) && Cfg.rpo(taken) <= i) again = true;
      }
    }
    return true;
  }

  /** A way into a block, with what is held now. Is there something that the block did not yet join? */
  private static arrive(b: u32, pass: u32): bool {
    const at = Values.at(b);
    let joined = load<u32>(at, E_JOINED);
    if (load<u32>(at, E_SEEN) != pass) {
      store<u32>(at, pass, E_SEEN);
      if (Values.all && (Cfg.isMerge(b) || Cfg.isHeader(b))) joined = (1 << COUNT) - 1;
      store<u32>(at, joined, E_JOINED);
      memory.copy(at, NOW, COUNT * 8);
      for (let r: u32 = 0; r < COUNT; r++) if ((joined >> r) & 1) Values.join(at, b, r);
      return false;
    }
    const before = joined;
    // A register that nobody reads before it is written has nothing to be joined for.
    const live = Cfg.liveIn(b) | (1 << MEMORY);
    for (let r: u32 = 0; r < COUNT; r++) {
      if ((joined >> r) & 1 || load<u64>(at + r * 8) == load<u64>(NOW + r * 8)) continue;
      Values.join(at, b, r);
      if ((live >> r) & 1) joined |= 1 << r;
    }
    store<u32>(at, joined, E_JOINED);
    return joined != before;
  }

  private static join(at: u32, b: u32, r: u32): void {
    store<u32>(at + r * 8, Values.joinedRoot(b, r));
    store<i32>(at + r * 8, 0, 4);
  }

  /** Goes to the start of a block. */
  static enter(b: u32): void {
    memory.copy(NOW, Values.at(b), COUNT * 8);
    Values.next = load<u32>(Values.at(b), E_NEXT);
  }

  /** Is what this register (or MEMORY) holds at the start of a loop the same in each round? */
  static isInvariant(b: u32, r: u32): bool {
    return !((load<u32>(Values.at(b), E_JOINED) >> r) & 1);
  }

  /** Goes over a slot. */
  static step(slot: u32): void {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    const d = Effects.dst(slot);
    if (op == ops.H_MOV_X) {
      const s = Effects.src(slot);
      Values.set(d, Values.root(s), Values.distance(s));
      return;
    }
    if (op == ops.H_ADD_K) {
      const distance = <i64>Values.distance(d) + load<i64>(slot, abi.SLOT_IMM);
      if (distance > -FAR && distance < FAR) Values.set(d, Values.root(d), <i32>distance);
      else Values.fresh(d);
      return;
    }
    if (op == ops.H_ADD_X) {
      const s = Effects.src(slot);
      const distance = <i64>Values.distance(d) + Values.distance(s);
      if (distance > -FAR && distance < FAR) Values.set(d, Values.sumOf(Values.root(d), Values.root(s)), <i32>distance);
      else Values.fresh(d);
      return;
    }
    if (op == ops.H_MOV_K) {
      const offset = load<i64>(slot, abi.SLOT_IMM) - GUEST_BASE;
      if (offset >= 0 && offset < FAR) Values.set(d, WINDOW_ROOT, <i32>offset);
      else Values.fresh(d);
      return;
    }
    effects(slot);
    let writes = Effects.writes;
    if (op >= <u32>ops.H_CALL && op <= <u32>ops.H_CALLX) writes |= 1 << MEMORY;
    for (let r: u32 = 0; writes; r++) {
      if (writes & 1) Values.fresh(r);
      writes >>= 1;
    }
  }
}
