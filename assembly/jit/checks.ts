// Checks of accesses, as few as will do. A group (groups.ts) is checked as a whole at its first access, and no more where that
// check dominates. A check that fails leaves to the interpreter at that slot: whether an access of the group is really bad, and
// which, is found out there. Blocks may be emitted in any order in which dominators come first.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { masksOf } from '../shadow';
import { Cfg, NONE } from './cfg';
import { Emit } from './emit';
import {
  A_BASE,
  A_FACT_BLOCK,
  A_FACT_NEXT,
  A_GROUP,
  A_NEAR,
  A_NEXT,
  A_SLACK,
  A_START,
  A_WIDTH,
  Accessed,
  G_FAMILY,
  G_FIRST,
  G_HIGH,
  G_INDEX,
  G_LOW,
  G_REACH,
  G_WIDE,
  Groups,
  OBJECT_SPAN,
  Y_FACT,
  Y_MEMORY,
  Y_ROOT,
} from './groups';
import { Spans } from './spans';
import { FRAME_ROOT, MEMORY, Values, WINDOW_ROOT } from './values';
import * as w from './wasm';
import { Wasm } from './wasm';

/** Checks that are looked at for one that will do. */
const MAX_FACTS: u32 = 8;

export class Checks {
  /** First local of a group's window offset; that of the last access that was checked (where in it), or 0. */
  static firstIndex: u32 = 0;
  static index: u32 = 0;
  static place: u32 = 0;
  /** The last access was checked by code of its own. */
  static made: bool = false;
  /** The next access. */
  private static at: u32 = 0;
  private static block: u32 = 0;
  private static reads: u32 = 0; // tables of masks
  private static writes: u32 = 0;

  /** Goes to the start of a block. */
  static enter(b: u32): void {
    Values.enter(b);
    Checks.block = b;
    Checks.at = Groups.first(b);
  }

  /** Checks the access of slot i (index), unless that is done; what follows may rely on it. */
  static check(i: u32): void {
    Accessed.of(Cfg.slot(i));
    const at = Groups.access(Checks.at++);
    Checks.index = 0;
    Checks.made = false;
    if (Checks.isKnown(at)) return;
    const group = load<u32>(at, A_GROUP);
    const near = load<u32>(at, A_NEAR) != 0;
    let by = Groups.isWide(group) ? group : Checks.checkOf(group);
    if (!by) {
      Checks.emit(i, group, near ? Values.holder(load<u32>(load<u32>(group, G_FAMILY), Y_ROOT), i) : Accessed.base);
      Checks.remember(Checks.at - 1);
      Checks.made = true;
      by = group;
    }
    const index = load<u32>(by, G_INDEX);
    if (!index || near) return;
    Checks.index = Checks.firstIndex + index - 1;
    Checks.place = load<i32>(at, A_START) - load<i32>(by, G_REACH);
  }

  /** In the frame, or a constant inside of the window. */
  private static isKnown(at: u32): bool {
    const root = load<u32>(load<u32>(load<u32>(at, A_GROUP), G_FAMILY), Y_ROOT);
    const base = load<i32>(at, A_BASE);
    return Groups.isInside(
      root,
      base,
      load<i32>(at, A_START) - base,
      (load<u32>(at, A_WIDTH) & 15) + load<u32>(at, A_SLACK),
    );
  }

  private static remember(access: u32): void {
    const at = Groups.access(access);
    const family = load<u32>(load<u32>(at, A_GROUP), G_FAMILY);
    store<u32>(at, Checks.block, A_FACT_BLOCK);
    store<u32>(at, load<u32>(family, Y_FACT), A_FACT_NEXT);
    store<u32>(family, access, Y_FACT);
  }

  /** The group whose check dominates this block and covers all that this one accesses, or 0. */
  private static checkOf(group: u32): u32 {
    let fact = load<u32>(load<u32>(group, G_FAMILY), Y_FACT);
    for (let n: u32 = 0; fact != NONE && n < MAX_FACTS; n++) {
      const at = Groups.access(fact);
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
    for (let a = load<u32>(group, G_FIRST); a != NONE; a = load<u32>(Groups.access(a), A_NEXT)) {
      if (++n > MAX_FACTS || !Checks.coversAccess(by, Groups.access(a))) return false;
    }
    return true;
  }

  private static coversAccess(by: u32, access: u32): bool {
    const start = load<i32>(access, A_START);
    const width = load<u32>(access, A_WIDTH);
    let n: u32 = 0;
    for (let a = load<u32>(by, G_FIRST); a != NONE && n < MAX_FACTS; a = load<u32>(Groups.access(a), A_NEXT)) {
      n++;
      const at = Groups.access(a);
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
    Emit.leaveIf(i);
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
    Checks.isOpen(at, span);
    Wasm.brIf(fine);
    // Otherwise access by access, byte by byte: a mask of 8 bits for each granule.
    const bad = Wasm.block();
    for (let a = load<u32>(group, G_FIRST); a != NONE; a = load<u32>(Groups.access(a), A_NEXT)) {
      Checks.emitMasks(Groups.access(a), load<i32>(group, G_REACH));
      Wasm.brIf(bad);
    }
    Wasm.br(fine);
    Wasm.end();
    Emit.leave(i);
    Wasm.end();
  }

  /** Whether the granules that so many bytes at a distance from Emit.address may touch are open for everything: most objects. */
  private static isOpen(at: i32, span: i32): void {
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
    const end = Groups.end(b);
    for (; Checks.at < end; Checks.at++) {
      const at = Groups.access(Checks.at);
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

  /** At a dispatch: goes to a label if what all rounds access is not known to be open. */
  static dispatch(b: u32, slow: u32): void {
    for (let group = Groups.firstWide(b); group; group = load<u32>(group, G_WIDE)) {
      const reach = load<i32>(group, G_REACH);
      const bytes = load<i32>(group, G_HIGH) - reach;
      const index = load<u32>(group, G_INDEX);
      Values.make(b, load<u32>(load<u32>(group, G_FAMILY), Y_ROOT));
      if (reach) {
        Wasm.i64(reach);
        Wasm.op(w.I64_ADD);
      }
      Wasm.set(Emit.address);
      if (index) {
        Wasm.get(Emit.address);
        Wasm.op(w.I32_WRAP);
        Wasm.set(Checks.firstIndex + index - 1);
      }
      const span = Spans.of(group);
      if (span == NONE) {
        Checks.test(group, slow);
        continue;
      }
      if (!index) {
        Wasm.get(Emit.address);
        Wasm.op(w.I32_WRAP);
        Wasm.set(Emit.state);
      }
      Spans.lacks(span, bytes);
      Wasm.if_();
      Spans.missAt(span, index ? Checks.firstIndex + index - 1 : Emit.state);
      Spans.growIf(span, b);
      Wasm.br(slow);
      Wasm.end();
    }
  }

  /** Goes to a label if not all of a group at Emit.address is open for everything. */
  private static test(group: u32, label: u32): void {
    const reach = load<i32>(group, G_REACH);
    const low = load<i32>(group, G_LOW);
    const high = load<i32>(group, G_HIGH);
    if (high - low > OBJECT_SPAN) {
      Wasm.br(label);
      return;
    }
    Wasm.get(Emit.address);
    Wasm.i64(-GUEST_BASE);
    Wasm.op(w.I64_ADD);
    Wasm.i64(Emit.window - (high - reach));
    Wasm.op(w.I64_GT_U);
    Wasm.brIf(label);
    Checks.isOpen(low - reach, high - low);
    Wasm.op(w.I32_EQZ);
    Wasm.brIf(label);
  }

  /** The tables of the program's masks. False: the heap has no room. */
  static program(prog: u32): bool {
    if (!Emit.object) return true;
    Checks.reads = masksOf(false, 0);
    Checks.writes = masksOf(true, load<u32>(prog, abi.PROG_WRITE_CLASSES));
    return Checks.reads != 0 && Checks.writes != 0;
  }
}
