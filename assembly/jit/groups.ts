// Accesses by one root (values.ts) form groups: under isolate checks all of a function that lie close together, since an address
// that is checked stays good; under object checks those of one block between two calls, which are all carried out if the first is.

import * as abi from '../abi';
import { accessWidth, GUEST_BASE } from '../access';
import { heapAlloc, heapAllocZeroed, heapFree } from '../alloc';
import * as isa from '../isa';
import * as ops from '../ops';
import { Cfg, NONE } from './cfg';
import { Constants } from './constants';
import { Effects } from './effects';
import { Emit } from './emit';
import { FRAME_ROOT, MEMORY, Values, WINDOW_ROOT } from './values';

/** Bytes that a group spans at most. Under object checks their shadow, and that of what shares granules with them, is 8 bytes. */
const ISOLATE_SPAN: i32 = 32768;
export const OBJECT_SPAN: i32 = 57;
/** Those that are checked at a dispatch (unroll.ts), and how many of these there are at most. */
const WIDE_SPAN: i32 = 2048;
const MAX_WIDE: u32 = 8;
/** Groups of a function at most that have their window offset in a local, because their base registers differ. */
const MAX_INDEXES: u32 = 16;

// An access, in the order in which blocks and slots are gone through.
export const A_GROUP: u32 = 0;
export const A_NEXT: u32 = 4; // of the group
export const A_START: u32 = 8; // first byte: distance from the root
export const A_WIDTH: u32 = 12; // FAULT_WRITE_BIT set: a store
export const A_FACT_BLOCK: u32 = 16; // the group was checked in this block, at this access; next of the family
export const A_FACT_NEXT: u32 = 20;
export const A_SLACK: u32 = 24; // bytes that it may lie higher
export const A_BASE: u32 = 28; // least distance of the base register
export const A_NEAR: u32 = 32; // its root is not that of the base register, which is only near it
const ACCESS_BYTES: u32 = 36;

// A group: bytes that it accesses, and those together with what base registers point to.
export const G_FAMILY: u32 = 0;
export const G_BLOCK: u32 = 4;
export const G_FIRST: u32 = 8; // accesses
export const G_LAST: u32 = 12;
export const G_LOW: u32 = 16;
export const G_HIGH: u32 = 20;
export const G_REACH: u32 = 24; // lowest of all these
export const G_BASE: u32 = 28; // distance of the first base register
export const G_INDEX: u32 = 32; // local that has the window offset of the reach, counted from 1, or 0
export const G_WIDE: u32 = 36; // of those of a dispatch, the next one, or 0
const GROUP_BYTES: u32 = 40;

// A family: accesses by one root, under object checks between the same calls.
export const Y_ROOT: u32 = 0;
export const Y_MEMORY: u32 = 4;
export const Y_GROUP: u32 = 8; // the last one
export const Y_FACT: u32 = 12; // access at which a group was checked last
const FAMILY_BYTES: u32 = 16;

/** What a slot accesses. */
export class Accessed {
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
      Accessed.width = accessWidth(op);
    } else if (op <= <u32>ops.H_ST_DW) {
      Accessed.width = accessWidth(op) | abi.FAULT_WRITE_BIT;
    } else {
      const what = load<u32>(slot, abi.SLOT_OFF);
      Accessed.width = 1 << (what >> 16);
      if ((what & 0xffff) == isa.ATOMIC_LOAD_ACQ) Accessed.base = Effects.src(slot);
      else Accessed.width |= abi.FAULT_WRITE_BIT;
    }
    return true;
  }
}

export class Groups {
  private static accesses: u32 = 0;
  private static groups: u32 = 0;
  private static families: u32 = 0;
  private static hash: u32 = 0;
  private static hashMask: u32 = 0;
  private static firsts: u32 = 0; // of each block: first access, and the one behind the last; first group of a dispatch, how many
  private static groupCount: u32 = 0;
  private static familyCount: u32 = 0;
  private static count: u32 = 0;
  /** Groups that have their window offset in a local. */
  static indexes: u32 = 0;

  static free(): void {
    if (Groups.accesses) heapFree(Groups.accesses);
    if (Groups.hash) heapFree(Groups.hash);
    Groups.accesses = Groups.hash = 0;
  }

  /** Does the current function access memory at all? */
  static isNeeded(): bool {
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      for (let s = Cfg.first(b); s < Cfg.end(b); s++) if (Accessed.of(Cfg.slot(s))) return true;
    }
    return false;
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
    Groups.hashMask = size - 1;
    Groups.accesses = heapAlloc(count * (ACCESS_BYTES + GROUP_BYTES + FAMILY_BYTES) + Cfg.count * 16);
    Groups.hash = heapAllocZeroed(size * 4);
    if (!Groups.accesses || !Groups.hash) return false;
    Groups.groups = Groups.accesses + count * ACCESS_BYTES;
    Groups.families = Groups.groups + count * GROUP_BYTES;
    Groups.firsts = Groups.families + count * FAMILY_BYTES;
    memory.fill(Groups.firsts, 0, Cfg.count * 16);
    Groups.groupCount = Groups.familyCount = Groups.count = Groups.indexes = 0;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      store<u32>(Groups.firsts + b * 16, Groups.count);
      Values.enter(b);
      for (let s = Cfg.first(b); s < Cfg.end(b); s++) {
        const slot = Cfg.slot(s);
        if (Accessed.of(slot) && !Groups.isConstant(slot)) Groups.add(b, s);
        Values.step(slot);
      }
      store<u32>(Groups.firsts + b * 16, Groups.count, 4);
    }
    return true;
  }

  private static isConstant(slot: u32): bool {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    return op >= <u32>ops.H_LDX_B && op <= <u32>ops.H_LDX_SW && Constants.isLoad(slot, op);
  }

  @inline static access(i: u32): u32 {
    return Groups.accesses + i * ACCESS_BYTES;
  }

  private static familyOf(root: u32, memory: u32): u32 {
    let h = ((root * 0x9e3779b1) ^ (memory * 0x85ebca6b)) >> 7;
    while (true) {
      h &= Groups.hashMask;
      const place = Groups.hash + h * 4;
      let family = load<u32>(place);
      if (!family) {
        family = Groups.families + Groups.familyCount++ * FAMILY_BYTES;
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

  /** The next access, of a slot (index) in block b. */
  private static add(b: u32, slot: u32): void {
    const near = Groups.isNear(slot);
    const root = near ? Values.near(Accessed.base) : Values.root(Accessed.base);
    const base = near ? Values.nearest(Accessed.base) : Values.distance(Accessed.base);
    const slack = near ? Values.slack(Accessed.base) : 0;
    const start = base + Accessed.offset;
    const end = start + (Accessed.width & 15) + <i32>slack;
    const reach = min(base, start);
    const at = Groups.access(Groups.count);
    store<u32>(at, slack, A_SLACK);
    store<i32>(at, base, A_BASE);
    store<u32>(at, near ? 1 : 0, A_NEAR);
    const family = Groups.familyOf(root, Emit.object ? Values.root(MEMORY) : 0);
    let group = load<u32>(family, Y_GROUP);
    let block = near ? b : Groups.wideAt(b, root);
    let limit = block == b ? OBJECT_SPAN : WIDE_SPAN;
    if (
      block != b &&
      !(group && Groups.fits(group, block, start, end, reach, limit)) &&
      Groups.isFull(block, start, end)
    ) {
      block = b;
      limit = OBJECT_SPAN;
    }
    if (!group || !Groups.fits(group, block, start, end, reach, limit)) {
      group = Groups.groups + Groups.groupCount++ * GROUP_BYTES;
      store<u32>(family, group, Y_GROUP);
      store<u32>(group, family, G_FAMILY);
      store<u32>(group, block, G_BLOCK);
      store<u32>(group, 0, G_WIDE);
      if (block != b) Groups.addWide(block, group);
      store<u32>(group, Groups.count, G_FIRST);
      store<i32>(group, start, G_LOW);
      store<i32>(group, end, G_HIGH);
      store<i32>(group, reach, G_REACH);
      store<i32>(group, base, G_BASE);
      store<u32>(group, 0, G_INDEX);
    } else {
      if (!near && load<i32>(group, G_BASE) != base && !load<u32>(group, G_INDEX) && Groups.indexes < MAX_INDEXES) {
        store<u32>(group, ++Groups.indexes, G_INDEX);
      }
      store<u32>(Groups.access(load<u32>(group, G_LAST)), Groups.count, A_NEXT);
      store<i32>(group, min(start, load<i32>(group, G_LOW)), G_LOW);
      store<i32>(group, max(end, load<i32>(group, G_HIGH)), G_HIGH);
      store<i32>(group, min(reach, load<i32>(group, G_REACH)), G_REACH);
    }
    store<u32>(group, Groups.count, G_LAST);
    store<u32>(at, group, A_GROUP);
    store<u32>(at, NONE, A_NEXT);
    store<i32>(at, start, A_START);
    store<u32>(at, Accessed.width, A_WIDTH);
    Groups.count++;
  }

  /**
   * Is the access one of a sum of what has a register of its own and an index, and does a check of all places that it may be at
   * do? Under object checks only if none is needed.
   */
  private static isNear(slot: u32): bool {
    const r = Accessed.base;
    const root = Values.near(r);
    if (!root) return false;
    if (Groups.isInside(root, Values.nearest(r), Accessed.offset, (Accessed.width & 15) + Values.slack(r))) return true;
    return !Emit.object && Values.holder(root, slot) != NONE;
  }

  /** Is an access of so many bytes in the frame, or a constant inside of the window, its base register, too? */
  static isInside(root: u32, base: i32, offset: i32, width: u32): bool {
    const start = base + offset;
    if (root == FRAME_ROOT) return min(start, base) >= -(<i32>isa.STACK_BYTES) && start + <i32>width <= 0;
    if (root != WINDOW_ROOT || Emit.object) return false;
    return min(start, base) >= 0 && <u64>(start + <i32>width) <= Emit.window;
  }

  /** The dispatch at which an access by a root in a block can be checked, or the block. */
  private static wideAt(b: u32, root: u32): u32 {
    const dispatch = Cfg.round(b) - 1;
    if (!Cfg.round(b) || !Cfg.isDispatch(dispatch)) return b;
    return Values.rootAt(dispatch, MEMORY) == Values.root(MEMORY) && Values.isMadeAt(dispatch, root) ? dispatch : b;
  }
  private static isFull(dispatch: u32, start: i32, end: i32): bool {
    return end - start > WIDE_SPAN || load<u32>(Groups.firsts + dispatch * 16, 12) == MAX_WIDE;
  }
  private static addWide(dispatch: u32, group: u32): void {
    const at = Groups.firsts + dispatch * 16;
    store<u32>(group, load<u32>(at, 8), G_WIDE);
    store<u32>(at, group, 8);
    store<u32>(at, load<u32>(at, 12) + 1, 12);
  }
  /** The first group that is checked at a dispatch, or 0. */
  static firstWide(dispatch: u32): u32 {
    return load<u32>(Groups.firsts + dispatch * 16, 8);
  }
  /** Was a group checked at a dispatch? All its accesses lie in the rounds that this leads to. */
  static isWide(group: u32): bool {
    return Cfg.isDispatch(load<u32>(group, G_BLOCK));
  }

  private static fits(group: u32, b: u32, start: i32, end: i32, reach: i32, limit: i32): bool {
    if (Emit.object) {
      if (load<u32>(group, G_BLOCK) != b) return false;
      if (max(end, load<i32>(group, G_HIGH)) - min(start, load<i32>(group, G_LOW)) > limit) return false;
    }
    return max(end, load<i32>(group, G_HIGH)) - min(reach, load<i32>(group, G_REACH)) <= ISOLATE_SPAN;
  }

  /** First access of a block; and the one behind its last. */
  static first(b: u32): u32 {
    return load<u32>(Groups.firsts + b * 16);
  }
  static end(b: u32): u32 {
    return load<u32>(Groups.firsts + b * 16, 4);
  }
}
