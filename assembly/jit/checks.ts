// Checks of accesses, as few as will do. Accesses by one root (values.ts) form groups: under isolate checks all of a function
// that lie close together, since an address that is checked stays good; under object checks those of one block between two
// calls, which are all carried out if the first is. A group is checked as a whole at its first access, and no more where
// that check dominates. A check that fails leaves to the interpreter at that slot: whether an access of the group is really
// bad, and which, is found out there.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { heapAlloc, heapAllocZeroed, heapFree } from '../alloc';
import * as isa from '../isa';
import * as ops from '../ops';
import { masksOf } from '../shadow';
import { Cfg, NONE } from './cfg';
import { Constants } from './constants';
import { Effects } from './effects';
import { Emit } from './emit';
import { FRAME_ROOT, MEMORY, Values, WINDOW_ROOT } from './values';
import * as w from './wasm';
import { Wasm } from './wasm';

/** Bytes that a group spans at most. Under object checks their shadow, and that of what shares granules with them, is 8 bytes. */
const ISOLATE_SPAN: i32 = 32768;
const OBJECT_SPAN: i32 = 57;
/** Groups of a function at most that have their window offset in a local, because their base registers differ. */
const MAX_INDEXES: u32 = 16;
/** Checks that are looked at for one that will do. */
const MAX_FACTS: u32 = 8;

// An access, in the order in which blocks and slots are gone through.
const A_GROUP: u32 = 0;
const A_NEXT: u32 = 4; // of the group
const A_START: u32 = 8; // first byte: distance from the root
const A_WIDTH: u32 = 12; // FAULT_WRITE_BIT set: a store
const A_FACT_BLOCK: u32 = 16; // the group was checked in this block, at this access; next of the family
const A_FACT_NEXT: u32 = 20;
const ACCESS_BYTES: u32 = 24;

// A group: bytes that it accesses, and those together with what base registers point to.
const G_FAMILY: u32 = 0;
const G_BLOCK: u32 = 4;
const G_FIRST: u32 = 8; // accesses
const G_LAST: u32 = 12;
const G_LOW: u32 = 16;
const G_HIGH: u32 = 20;
const G_REACH: u32 = 24; // lowest of all these
const G_BASE: u32 = 28; // distance of the first base register
const G_INDEX: u32 = 32; // local that has the window offset of the reach, counted from 1, or 0
const GROUP_BYTES: u32 = 36;

// A family: accesses by one root, under object checks between the same calls.
const Y_ROOT: u32 = 0;
const Y_MEMORY: u32 = 4;
const Y_GROUP: u32 = 8; // the last one
const Y_FACT: u32 = 12; // access at which a group was checked last
const FAMILY_BYTES: u32 = 16;

/** What a slot accesses. */
class Accessed {
  static base: u32 = 0;
  static offset: i32 = 0;
  static width: u32 = 0;

  /** Fills the fields, unless the slot accesses no memory or its frame, statically. */
  static of(slot: u32): bool {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    if (op < <u32>ops.H_LDX_B || (op > <u32>ops.H_ST_DW && op != ops.H_ATOMIC)) return false;
    Accessed.base = Effects.dst(slot);
    Accessed.offset = <i32>(load<i64>(slot, abi.SLOT_IMM) + GUEST_BASE);
    if (op <= <u32>ops.H_LDX_SW) {
      Accessed.base = Effects.src(slot);
      Accessed.width = 1 << (op - (op >= <u32>ops.H_LDX_SB ? ops.H_LDX_SB : ops.H_LDX_B));
    } else if (op <= <u32>ops.H_ST_DW) {
      Accessed.width = (1 << (op - (op >= <u32>ops.H_ST_B ? ops.H_ST_B : ops.H_STX_B))) | abi.FAULT_WRITE_BIT;
    } else {
      const what = load<u32>(slot, abi.SLOT_OFF);
      Accessed.width = 1 << (what >> 16);
      if ((what & 0xffff) == isa.ATOMIC_LOAD_ACQ) Accessed.base = Effects.src(slot);
      else Accessed.width |= abi.FAULT_WRITE_BIT;
    }
    return true;
  }
}

export class Checks {
  private static accesses: u32 = 0;
  private static groups: u32 = 0;
  private static families: u32 = 0;
  private static hash: u32 = 0;
  private static hashMask: u32 = 0;
  private static firsts: u32 = 0; // of each block: first access, and the one behind the last
  private static groupCount: u32 = 0;
  private static familyCount: u32 = 0;
  /** Locals of groups: how many, the first one, and that of the last access that was checked (where in it), or 0. */
  static indexes: u32 = 0;
  static firstIndex: u32 = 0;
  static index: u32 = 0;
  static place: u32 = 0;
  /** The next access. */
  private static at: u32 = 0;
  private static block: u32 = 0;
  private static reads: u32 = 0; // tables of masks
  private static writes: u32 = 0;

  static free(): void {
    if (Checks.accesses) heapFree(Checks.accesses);
    if (Checks.hash) heapFree(Checks.hash);
    Checks.accesses = Checks.hash = 0;
  }

  /** Groups the accesses of the current function. False: the heap has no room. */
  static plan(): bool {
    let count: u32 = 0;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      for (let s = Cfg.first(b); s < Cfg.end(b); s++) if (Accessed.of(Cfg.slot(s))) count++;
    }
    let size: u32 = 16;
    while (size < 2 * count) size *= 2;
    Checks.hashMask = size - 1;
    Checks.accesses = heapAlloc(count * (ACCESS_BYTES + GROUP_BYTES + FAMILY_BYTES) + Cfg.count * 8);
    Checks.hash = heapAllocZeroed(size * 4);
    if (!Checks.accesses || !Checks.hash) return false;
    Checks.groups = Checks.accesses + count * ACCESS_BYTES;
    Checks.families = Checks.groups + count * GROUP_BYTES;
    Checks.firsts = Checks.families + count * FAMILY_BYTES;
    Checks.groupCount = Checks.familyCount = Checks.at = Checks.indexes = 0;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      store<u32>(Checks.firsts + b * 8, Checks.at);
      Values.enter(b);
      for (let s = Cfg.first(b); s < Cfg.end(b); s++) {
        const slot = Cfg.slot(s);
        if (Accessed.of(slot) && !Checks.isConstant(slot)) Checks.add(b);
        Values.step(slot);
      }
      store<u32>(Checks.firsts + b * 8, Checks.at, 4);
    }
    return true;
  }

  private static isConstant(slot: u32): bool {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    return op >= <u32>ops.H_LDX_B && op <= <u32>ops.H_LDX_SW && Constants.isLoad(slot, op);
  }

  @inline private static access(i: u32): u32 {
    return Checks.accesses + i * ACCESS_BYTES;
  }

  private static familyOf(root: u32, memory: u32): u32 {
    let h = ((root * 0x9e3779b1) ^ (memory * 0x85ebca6b)) >> 7;
    while (true) {
      h &= Checks.hashMask;
      const place = Checks.hash + h * 4;
      let family = load<u32>(place);
      if (!family) {
        family = Checks.families + Checks.familyCount++ * FAMILY_BYTES;
        store<u32>(place, family);
        store<u32>(family, root, Y_ROOT);
        store<u32>(family, memory, Y_MEMORY);
        store<u32>(family, 0, Y_GROUP);
        store<u32>(family, NONE, Y_FACT);
        return family;
      }
      if (load<u32>(family, Y_ROOT) == root && load<u32>(family, Y_MEMORY) == memory) return family;
      h++;
    }
  }

  /** The next access, in block b. */
  private static add(b: u32): void {
    const base = Values.distance(Accessed.base);
    const start = base + Accessed.offset;
    const end = start + (Accessed.width & 15);
    const reach = min(base, start);
    const at = Checks.access(Checks.at);
    const family = Checks.familyOf(Values.root(Accessed.base), Emit.object ? Values.root(MEMORY) : 0);
    let group = load<u32>(family, Y_GROUP);
    if (!group || !Checks.fits(group, b, start, end, reach)) {
      group = Checks.groups + Checks.groupCount++ * GROUP_BYTES;
      store<u32>(family, group, Y_GROUP);
      store<u32>(group, family, G_FAMILY);
      store<u32>(group, b, G_BLOCK);
      store<u32>(group, Checks.at, G_FIRST);
      store<i32>(group, start, G_LOW);
      store<i32>(group, end, G_HIGH);
      store<i32>(group, reach, G_REACH);
      store<i32>(group, base, G_BASE);
      store<u32>(group, 0, G_INDEX);
    } else {
      if (load<i32>(group, G_BASE) != base && !load<u32>(group, G_INDEX) && Checks.indexes < MAX_INDEXES) {
        store<u32>(group, ++Checks.indexes, G_INDEX);
      }
      store<u32>(Checks.access(load<u32>(group, G_LAST)), Checks.at, A_NEXT);
      store<i32>(group, min(start, load<i32>(group, G_LOW)), G_LOW);
      store<i32>(group, max(end, load<i32>(group, G_HIGH)), G_HIGH);
      store<i32>(group, min(reach, load<i32>(group, G_REACH)), G_REACH);
    }
    store<u32>(group, Checks.at, G_LAST);
    store<u32>(at, group, A_GROUP);
    store<u32>(at, NONE, A_NEXT);
    store<i32>(at, start, A_START);
    store<u32>(at, Accessed.width, A_WIDTH);
    Checks.at++;
  }

  private static fits(group: u32, b: u32, start: i32, end: i32, reach: i32): bool {
    if (Emit.object) {
      if (load<u32>(group, G_BLOCK) != b) return false;
      if (max(end, load<i32>(group, G_HIGH)) - min(start, load<i32>(group, G_LOW)) > OBJECT_SPAN) return false;
    }
    return max(end, load<i32>(group, G_HIGH)) - min(reach, load<i32>(group, G_REACH)) <= ISOLATE_SPAN;
  }

  // ---- Emission: blocks in any order in which dominators come first --------------------------------------------------------

  /** Goes to the start of a block. */
  static enter(b: u32): void {
    Values.enter(b);
    Checks.block = b;
    Checks.at = load<u32>(Checks.firsts + b * 8);
  }

  /** Checks the access of slot i (index), unless that is done; what follows may rely on it. */
  static check(i: u32): void {
    Accessed.of(Cfg.slot(i));
    const at = Checks.access(Checks.at++);
    Checks.index = 0;
    if (Checks.isKnown(at)) return;
    const group = load<u32>(at, A_GROUP);
    let by = Checks.checkOf(group);
    if (!by) {
      Checks.emit(i, group, Accessed.base);
      Checks.remember(Checks.at - 1);
      by = group;
    }
    const index = load<u32>(by, G_INDEX);
    if (!index) return;
    Checks.index = Checks.firstIndex + index - 1;
    Checks.place = load<i32>(at, A_START) - load<i32>(by, G_REACH);
  }

  /** In the frame, or a constant inside of the window. */
  private static isKnown(at: u32): bool {
    const root = Values.root(Accessed.base);
    const start = load<i32>(at, A_START);
    const width: i32 = load<u32>(at, A_WIDTH) & 15;
    if (root == FRAME_ROOT) {
      return min(start, Values.distance(Accessed.base)) >= -(<i32>isa.STACK_BYTES) && start + width <= 0;
    }
    if (root != WINDOW_ROOT || Emit.object) return false;
    return min(start, Values.distance(Accessed.base)) >= 0 && <u64>(start + width) <= Emit.window;
  }

  private static remember(access: u32): void {
    const at = Checks.access(access);
    const family = load<u32>(load<u32>(at, A_GROUP), G_FAMILY);
    store<u32>(at, Checks.block, A_FACT_BLOCK);
    store<u32>(at, load<u32>(family, Y_FACT), A_FACT_NEXT);
    store<u32>(family, access, Y_FACT);
  }

  /** The group whose check dominates this block and covers all that this one accesses, or 0. */
  private static checkOf(group: u32): u32 {
    let fact = load<u32>(load<u32>(group, G_FAMILY), Y_FACT);
    for (let n: u32 = 0; fact != NONE && n < MAX_FACTS; n++) {
      const at = Checks.access(fact);
      if (Cfg.dominates(load<u32>(at, A_FACT_BLOCK), Checks.block)) {
        const by = load<u32>(at, A_GROUP);
        if (by == group || Checks.covers(by, group)) return by;
      }
      fact = load<u32>(at, A_FACT_NEXT);
    }
    return 0;
  }

  private static covers(by: u32, group: u32): bool {
    if (load<i32>(by, G_REACH) > load<i32>(group, G_REACH)) return false;
    if (load<i32>(by, G_HIGH) < load<i32>(group, G_HIGH)) return false;
    if (!Emit.object) return true;
    let n: u32 = 0;
    for (let a = load<u32>(group, G_FIRST); a != NONE; a = load<u32>(Checks.access(a), A_NEXT)) {
      if (++n > MAX_FACTS || !Checks.coversAccess(by, Checks.access(a))) return false;
    }
    return true;
  }

  private static coversAccess(by: u32, access: u32): bool {
    const start = load<i32>(access, A_START);
    const width = load<u32>(access, A_WIDTH);
    let n: u32 = 0;
    for (let a = load<u32>(by, G_FIRST); a != NONE && n < MAX_FACTS; a = load<u32>(Checks.access(a), A_NEXT)) {
      n++;
      const at = Checks.access(a);
      const have = load<u32>(at, A_WIDTH);
      const distance = start - load<i32>(at, A_START);
      if (distance < 0 || distance + <i32>(width & 15) > <i32>(have & 15)) continue;
      if (!(width & abi.FAULT_WRITE_BIT) || have & abi.FAULT_WRITE_BIT) return true;
    }
    return false;
  }

  /** Leaves at slot i (index) if the program may not access what a group does; `base` holds a value of its root. */
  private static emit(i: u32, group: u32, base: u32): void {
    const reach = load<i32>(group, G_REACH);
    const span = load<i32>(group, G_HIGH) - reach;
    Emit.get(base);
    Checks.toOffset(reach - Values.distance(base));
    const index = load<u32>(group, G_INDEX);
    if (Emit.object || index) Wasm.tee(Emit.address);
    Wasm.i64(Emit.window - span);
    Wasm.op(w.I64_GT_U);
    Wasm.if_();
    Emit.leave(i);
    Wasm.end();
    if (index) {
      Wasm.get(Emit.address);
      Wasm.op(w.I32_WRAP);
      Wasm.set(Checks.firstIndex + index - 1);
    }
    if (Emit.object) Checks.emitShadow(i, group);
  }

  /** An address to a window offset, this far away. */
  private static toOffset(distance: i32): void {
    if (!Emit.bias) {
      Wasm.i64(<i64>distance - GUEST_BASE);
      Wasm.op(w.I64_ADD);
      return;
    }
    Wasm.get(Emit.bias);
    Wasm.op(w.I64_ADD);
    if (!distance) return;
    Wasm.i64(distance);
    Wasm.op(w.I64_ADD);
  }

  /** Emit.address is the window offset of the group's reach. */
  private static emitShadow(i: u32, group: u32): void {
    const low = load<i32>(group, G_LOW);
    const span = load<i32>(group, G_HIGH) - low;
    const at = low - load<i32>(group, G_REACH);
    const fine = Wasm.block();
    // Granules that the bytes may touch, all of them open for everything: most objects.
    Checks.granule(at);
    if (span == 1) {
      Wasm.access(w.I32_LOAD8_U, Emit.shadow);
      Wasm.i32(abi.SHADOW_RW);
      Wasm.op(w.I32_EQ);
    } else if (span <= 9) {
      Wasm.access(w.I32_LOAD16_U, Emit.shadow);
      Wasm.i32(abi.SHADOW_RW * 0x0101);
      Wasm.op(w.I32_EQ);
    } else if (span <= 25) {
      Wasm.access(w.I32_LOAD, Emit.shadow);
      Wasm.i32(abi.SHADOW_RW * 0x01010101);
      Wasm.op(w.I32_EQ);
    } else {
      Wasm.access(w.I64_LOAD, Emit.shadow);
      Wasm.i64(<i64>abi.SHADOW_RW * 0x0101010101010101);
      Wasm.op(w.I64_EQ);
    }
    Wasm.brIf(fine);
    // Otherwise access by access, byte by byte: a mask of 8 bits for each granule.
    const bad = Wasm.block();
    for (let a = load<u32>(group, G_FIRST); a != NONE; a = load<u32>(Checks.access(a), A_NEXT)) {
      Checks.emitMasks(Checks.access(a), load<i32>(group, G_REACH));
      Wasm.brIf(bad);
    }
    Wasm.br(fine);
    Wasm.end();
    Emit.leave(i);
    Wasm.end();
  }

  /** Number of the granule at a distance from Emit.address. */
  private static granule(at: i32): void {
    Checks.pushPlace(at);
    Wasm.i32(3);
    Wasm.op(w.I32_SHR_U);
  }
  private static pushPlace(at: i32): void {
    Wasm.get(Emit.address);
    Wasm.op(w.I32_WRAP);
    if (!at) return;
    Wasm.i32(at);
    Wasm.op(w.I32_ADD);
  }

  /** Leaves on the stack whether one of an access's bytes is closed. */
  private static emitMasks(access: u32, reach: i32): void {
    const at = load<i32>(access, A_START) - reach;
    const what = load<u32>(access, A_WIDTH);
    const width = what & 15;
    const masks = what & abi.FAULT_WRITE_BIT ? Checks.writes : Checks.reads;
    Checks.granule(at);
    Wasm.access(w.I32_LOAD8_U, Emit.shadow);
    Wasm.access(w.I32_LOAD8_U, masks);
    if (width > 1) {
      Checks.granule(at);
      Wasm.access(w.I32_LOAD8_U, Emit.shadow + 1);
      Wasm.access(w.I32_LOAD8_U, masks);
      Wasm.i32(8);
      Wasm.op(w.I32_SHL);
      Wasm.op(w.I32_OR);
    }
    Checks.pushPlace(at);
    Wasm.i32(7);
    Wasm.op(w.I32_AND);
    Wasm.op(w.I32_SHR_U);
    const all = (1 << width) - 1;
    Wasm.i32(all);
    Wasm.op(w.I32_AND);
    Wasm.i32(all);
    Wasm.op(w.I32_NE);
  }

  // ---- Loops -----------------------------------------------------------------------------------------------------------------

  /** In front of a loop: checks that its first block would make in every round alike. Leaves at the block's start. */
  static hoist(b: u32): void {
    if (Emit.object && !Values.isInvariant(b, MEMORY)) return;
    const end = load<u32>(Checks.firsts + b * 8, 4);
    for (; Checks.at < end; Checks.at++) {
      const at = Checks.access(Checks.at);
      const group = load<u32>(at, A_GROUP);
      const family = load<u32>(group, G_FAMILY);
      if (Emit.object && (load<u32>(family, Y_MEMORY) != Values.root(MEMORY) || load<u32>(group, G_FIRST) != Checks.at))
        continue;
      const root = load<u32>(family, Y_ROOT);
      if (root == FRAME_ROOT || root == WINDOW_ROOT) continue;
      const base = Checks.holderOf(b, root);
      if (base == NONE || Checks.checkOf(group)) continue;
      Checks.emit(Cfg.first(b), group, base);
      Checks.remember(Checks.at);
    }
  }

  /** A register that lives at the start of a loop and holds a value of this root, made outside of it, or NONE. */
  private static holderOf(b: u32, root: u32): u32 {
    const live = Cfg.liveIn(b);
    for (let r: u32 = 0; r < 10; r++) {
      if ((live >> r) & 1 && Values.root(r) == root && Values.isInvariant(b, r)) return r;
    }
    return NONE;
  }

  /** The tables of the program's masks. False: the heap has no room. */
  static program(prog: u32): bool {
    if (!Emit.object) return true;
    Checks.reads = masksOf(false, 0);
    Checks.writes = masksOf(true, load<u32>(prog, abi.PROG_WRITE_CLASSES));
    return Checks.reads != 0 && Checks.writes != 0;
  }
}
