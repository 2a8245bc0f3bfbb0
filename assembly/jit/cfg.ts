// Control flow of a program: its functions (subprograms), their basic blocks, ordered and with their dominators (order.ts), and
// which registers live where. Everything works with explicit stacks in time that is nearly linear, whatever the program looks
// like.

import * as abi from '../abi';
import { heapAlloc, heapAllocZeroed, heapFree } from '../alloc';
import * as ops from '../ops';
import { ALL, Effects, effects } from './effects';
import { Order, SCRATCH_BYTES } from './order';

export const NONE: u32 = 0xffffffff;
/** Passes over a function after which liveness is given up. */
const MAX_PASSES: u32 = 40;
/** Rounds over all functions after which it is. */
const MAX_ROUNDS: u32 = 12;

// A block.
const B_FIRST: u32 = 0; // slots [first, end)
const B_END: u32 = 4;
const B_FALL: u32 = 8; // where it goes on: the next block or NONE
const B_TAKEN: u32 = 12; // and where its jump leads
const B_RPO: u32 = 16; // place in reverse postorder, or NONE if nothing leads here
const B_IDOM: u32 = 20; // immediate dominator
const B_PRE: u32 = 24; // preorder number in the dominator tree
const B_SIZE: u32 = 28; // blocks below it there, itself included
const B_EDGES: u32 = 32; // forward edges that lead here
const B_HEADER: u32 = 36; // a loop goes back here
const B_LABEL: u32 = 40; // label of its start
const B_LOOP: u32 = 44; // label of its loop
const B_MERGES: u32 = 48; // dominated blocks with more than one forward edge, last first
const B_NEXT: u32 = 52; // next of these
const B_LIVE: u32 = 56; // registers that live at its start
const B_NEXT_FREE: u32 = 60;
const B_LATCH: u32 = 64; // of a loop: place of the last block that goes back to it
const B_ROUND: u32 = 68; // the loop, plus 1, whose rounds are repeated and paid together (unroll.ts), or 0
const B_OWED: u32 = 72; // fuel that was used since this loop's start and is not yet paid
const B_PREPAID: u32 = 76; // at this loop's start: fuel that all its rounds use
const B_DISPATCH: u32 = 80; // chooses between the rounds of a loop that are checked together, and one alone (unroll.ts)
const B_MOVED: u32 = 84; // the dispatch, plus 1, that ways to this block lead to, or 0
export const BLOCK_BYTES: u32 = 88;

// A function.
const F_SLOT: u32 = 0; // slots [slot, end)
const F_END: u32 = 4;
const F_BLOCK: u32 = 8; // blocks [block, last)
const F_LAST: u32 = 12;
const F_LIVE: u32 = 16; // registers that live at its start
const F_ENTRY: u32 = 20; // its address is taken (INSN_TAKEN)
const F_USED: u32 = 24; // registers that it names
const F_LOUD: u32 = 28; // it may change what memory can be accessed
const FUNCTION_BYTES: u32 = 32;

export class Cfg {
  static prog: u32 = 0;
  static slots: u32 = 0;
  static slotCount: u32 = 0;
  static blocks: u32 = 0;
  static blockCount: u32 = 0;
  static functions: u32 = 0;
  static functionCount: u32 = 0;
  /** Block that starts at a slot, or NONE. */
  static blockAt: u32 = 0;
  /** Registers that live before each slot (u16). */
  static live: u32 = 0;
  /** Blocks of the current function in reverse postorder. */
  static order: u32 = 0;
  static reached: u32 = 0;
  /** Some loop of the current function is entered in two places. */
  static irreducible: bool = false;
  static loops: bool = false;
  /** Blocks of the current function, all that `blocks` means from analyse to release; those of the program. */
  static count: u32 = 0;
  private static all: u32 = 0;
  /** Number in the program of the first of them. */
  private static from: u32 = 0;
  /** Block that the current function begins with. */
  private static root: u32 = 0;
  private static scratch: u32 = 0;

  @inline static slot(i: u32): u32 {
    return Cfg.slots + i * abi.SLOT_BYTES;
  }
  @inline static index(slot: u32): u32 {
    return (slot - Cfg.slots) >> 4;
  }
  @inline static at(block: u32): u32 {
    return Cfg.blocks + block * BLOCK_BYTES;
  }
  @inline static first(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_FIRST);
  }
  @inline static end(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_END);
  }
  @inline static fall(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_FALL);
  }
  @inline static taken(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_TAKEN);
  }
  @inline static rpo(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_RPO);
  }
  @inline static idom(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_IDOM);
  }
  @inline static size(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_SIZE);
  }
  @inline static isHeader(block: u32): bool {
    return load<u32>(Cfg.at(block), B_HEADER) != 0;
  }
  @inline static isMerge(block: u32): bool {
    return load<u32>(Cfg.at(block), B_EDGES) > 1;
  }
  @inline static label(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_LABEL);
  }
  @inline static setLabel(block: u32, label: u32): void {
    store<u32>(Cfg.at(block), label, B_LABEL);
  }
  @inline static loopLabel(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_LOOP);
  }
  @inline static setLoopLabel(block: u32, label: u32): void {
    store<u32>(Cfg.at(block), label, B_LOOP);
  }
  @inline static latch(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_LATCH);
  }
  @inline static round(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_ROUND);
  }
  @inline static owed(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_OWED);
  }
  @inline static prepaid(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_PREPAID);
  }
  static setRound(block: u32, loop: u32, owed: u32, prepaid: u32): void {
    store<u32>(Cfg.at(block), loop + 1, B_ROUND);
    store<u32>(Cfg.at(block), owed, B_OWED);
    store<u32>(Cfg.at(block), prepaid, B_PREPAID);
  }
  @inline static isDispatch(block: u32): bool {
    return load<u32>(Cfg.at(block), B_DISPATCH) != 0;
  }
  /** Makes a block one without slots that goes to `slow` or `fast`. */
  static setDispatch(block: u32, slow: u32, fast: u32): void {
    Cfg.copy(block, slow);
    store<u32>(Cfg.at(block), Cfg.first(slow), B_END);
    store<u32>(Cfg.at(block), 1, B_DISPATCH);
    store<u32>(Cfg.at(slow), block + 1, B_MOVED);
    if (Cfg.root == slow) Cfg.root = block;
    Cfg.setNext(block, fast, slow);
  }
  /** All other ways to what dispatches go to lead to these. */
  static redirect(): void {
    for (let b: u32 = 0; b < Cfg.count; b++) {
      if (!Cfg.isDispatch(b)) Cfg.setNext(b, Cfg.moved(Cfg.fall(b)), Cfg.moved(Cfg.taken(b)));
    }
  }
  private static moved(b: u32): u32 {
    const to = b == NONE ? 0 : load<u32>(Cfg.at(b), B_MOVED);
    return to ? to - 1 : b;
  }
  static copy(to: u32, from: u32): void {
    memory.copy(Cfg.at(to), Cfg.at(from), BLOCK_BYTES);
  }
  @inline static setRpo(block: u32, place: u32): void {
    store<u32>(Cfg.at(block), place, B_RPO);
  }
  @inline static setIdom(block: u32, by: u32): void {
    store<u32>(Cfg.at(block), by, B_IDOM);
  }
  static setNext(block: u32, fall: u32, taken: u32): void {
    store<u32>(Cfg.at(block), fall, B_FALL);
    store<u32>(Cfg.at(block), taken, B_TAKEN);
  }
  /** Does the jump from one block to another lead backwards in the program? Such jumps cost fuel. */
  @inline static isBack(from: u32, to: u32): bool {
    return Cfg.first(to) < Cfg.end(from);
  }
  @inline static firstMerge(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_MERGES);
  }
  @inline static nextMerge(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_NEXT);
  }
  @inline static ordered(i: u32): u32 {
    return load<u32>(Cfg.order + i * 4);
  }
  /** Registers that live before a slot (index). */
  @inline static liveAt(i: u32): u32 {
    return load<u16>(Cfg.live + i * 2);
  }
  @inline static liveIn(block: u32): u32 {
    return load<u32>(Cfg.at(block), B_LIVE);
  }
  static dominates(a: u32, b: u32): bool {
    const pre = load<u32>(Cfg.at(a), B_PRE);
    return load<u32>(Cfg.at(b), B_PRE) - pre < load<u32>(Cfg.at(a), B_SIZE);
  }

  @inline static functionAt(f: u32): u32 {
    return Cfg.functions + f * FUNCTION_BYTES;
  }
  @inline static firstSlot(f: u32): u32 {
    return load<u32>(Cfg.functionAt(f), F_SLOT);
  }
  @inline static endSlot(f: u32): u32 {
    return load<u32>(Cfg.functionAt(f), F_END);
  }
  @inline static firstBlock(f: u32): u32 {
    return load<u32>(Cfg.functionAt(f), F_BLOCK);
  }
  @inline static lastBlock(f: u32): u32 {
    return load<u32>(Cfg.functionAt(f), F_LAST);
  }
  @inline static params(f: u32): u32 {
    return load<u32>(Cfg.functionAt(f), F_LIVE);
  }
  @inline static isEntry(f: u32): bool {
    return load<u32>(Cfg.functionAt(f), F_ENTRY) != 0;
  }
  /** Does a function, and all that it calls, change nothing about which memory can be accessed? */
  @inline static isQuiet(f: u32): bool {
    return !load<u32>(Cfg.functionAt(f), F_LOUD);
  }
  @inline static used(f: u32): u32 {
    return load<u32>(Cfg.functionAt(f), F_USED);
  }
  /** Function that starts at a slot (index). */
  static functionOf(slot: u32): u32 {
    let low: u32 = 0;
    let high = Cfg.functionCount;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (Cfg.firstSlot(middle) <= slot) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Slot (index) that the jump or call of a slot leads to. */
  @inline static target(slot: u32): u32 {
    return Cfg.index(slot + load<i32>(slot, abi.SLOT_OFF));
  }

  static free(): void {
    Cfg.release();
    if (Cfg.blocks) heapFree(Cfg.blocks);
    if (Cfg.functions) heapFree(Cfg.functions);
    if (Cfg.blockAt) heapFree(Cfg.blockAt);
    Cfg.blocks = Cfg.functions = Cfg.blockAt = 0;
  }

  /** Functions, blocks and liveness of a program. False: the heap has no room. */
  static build(prog: u32): bool {
    Cfg.prog = prog;
    Cfg.slots = load<u32>(prog, abi.PROG_SLOTS);
    Cfg.slotCount = load<u32>(prog, abi.PROG_SLOT_COUNT);
    Cfg.blockAt = heapAllocZeroed(Cfg.slotCount * 4);
    Cfg.live = load<u32>(prog, abi.PROG_LIVE);
    if (!Cfg.blockAt || !Cfg.findFunctions()) return false;
    Cfg.findLeaders();
    Cfg.blocks = heapAllocZeroed(Cfg.blockCount * BLOCK_BYTES);
    if (!Cfg.blocks) return false;
    Cfg.cut();
    Cfg.findLive();
    Cfg.findLoud();
    return true;
  }

  private static findFunctions(): bool {
    const insnSlot = load<u32>(Cfg.prog, abi.PROG_INSN_SLOT);
    const insns = load<u32>(Cfg.prog, abi.PROG_INSNS);
    let count: u32 = 0;
    for (let i: u32 = 0; i < insns; i++) if (load<u32>(insnSlot + i * 4) & abi.INSN_SUBPROG) count++;
    Cfg.functionCount = count;
    Cfg.functions = heapAllocZeroed(count * FUNCTION_BYTES);
    if (!Cfg.functions) return false;
    let f: u32 = 0;
    for (let i: u32 = 0; i < insns; i++) {
      const entry = load<u32>(insnSlot + i * 4);
      if (!(entry & abi.INSN_SUBPROG)) continue;
      const slot = entry & abi.INSN_NO_SLOT;
      if (f) store<u32>(Cfg.functionAt(f - 1), slot, F_END);
      store<u32>(Cfg.functionAt(f), slot, F_SLOT);
      store<u32>(Cfg.functionAt(f), entry & abi.INSN_TAKEN, F_ENTRY);
      f++;
    }
    store<u32>(Cfg.functionAt(f - 1), Cfg.slotCount, F_END);
    return true;
  }

  @inline static isJump(op: u32): bool {
    return (op >= <u32>ops.H_JEQ_K && op <= <u32>ops.H_JA) || op == ops.H_MAY_GOTO;
  }

  private static findLeaders(): void {
    for (let f: u32 = 0; f < Cfg.functionCount; f++) store<u32>(Cfg.blockAt + Cfg.firstSlot(f) * 4, 1);
    for (let i: u32 = 0; i < Cfg.slotCount; i++) {
      const slot = Cfg.slot(i);
      const op: u32 = load<u8>(slot, abi.SLOT_BASE);
      const jump = Cfg.isJump(op);
      if (jump) store<u32>(Cfg.blockAt + Cfg.target(slot) * 4, 1);
      if ((jump || op == ops.H_EXIT) && i + 1 < Cfg.slotCount) store<u32>(Cfg.blockAt + (i + 1) * 4, 1);
    }
    let count: u32 = 0;
    for (let i: u32 = 0; i < Cfg.slotCount; i++) {
      const at = Cfg.blockAt + i * 4;
      store<u32>(at, load<u32>(at) ? count++ : NONE);
    }
    Cfg.blockCount = count;
  }

  private static cut(): void {
    let f: u32 = 0;
    let block: u32 = 0;
    for (let i: u32 = 0; i < Cfg.slotCount; i++) {
      if (load<u32>(Cfg.blockAt + i * 4) != NONE) {
        block = load<u32>(Cfg.blockAt + i * 4);
        store<u32>(Cfg.at(block), i, B_FIRST);
        store<u32>(Cfg.at(block), NONE, B_RPO);
        if (i == Cfg.endSlot(f)) {
          store<u32>(Cfg.functionAt(f), block, F_LAST);
          f++;
        }
        if (i == Cfg.firstSlot(f)) store<u32>(Cfg.functionAt(f), block, F_BLOCK);
      }
      const next = i + 1;
      if (next < Cfg.slotCount && load<u32>(Cfg.blockAt + next * 4) == NONE) continue;
      const slot = Cfg.slot(i);
      const op: u32 = load<u8>(slot, abi.SLOT_BASE);
      const at = Cfg.at(block);
      store<u32>(at, next, B_END);
      store<u32>(at, Cfg.isJump(op) ? load<u32>(Cfg.blockAt + Cfg.target(slot) * 4) : NONE, B_TAKEN);
      store<u32>(at, op == ops.H_JA || op == ops.H_EXIT || next == Cfg.endSlot(f) ? NONE : block + 1, B_FALL);
    }
    store<u32>(Cfg.functionAt(f), Cfg.blockCount, F_LAST);
  }

  /** Marks functions that call anything but quiet ones, until there are no more; if that takes long, all. */
  private static findLoud(): void {
    for (let round: u32 = 0; ; round++) {
      let changed = false;
      for (let f: u32 = Cfg.functionCount; f-- > 0; ) {
        if (!Cfg.isQuiet(f) || (round < MAX_ROUNDS && !Cfg.isLoud(f))) continue;
        store<u32>(Cfg.functionAt(f), 1, F_LOUD);
        changed = true;
      }
      if (!changed) return;
    }
  }

  private static isLoud(f: u32): bool {
    for (let i = Cfg.firstSlot(f); i < Cfg.endSlot(f); i++) {
      const slot = Cfg.slot(i);
      const op: u32 = load<u8>(slot, abi.SLOT_BASE);
      if (op < <u32>ops.H_CALL || op > <u32>ops.H_CALLX) continue;
      if (op == ops.H_CALL_CORE && load<u32>(slot, abi.SLOT_OFF) == abi.FN_GET_SMP_PROCESSOR_ID) continue;
      if (op != ops.H_CALL || !Cfg.isQuiet(Cfg.functionOf(Cfg.target(slot)))) return true;
    }
    return false;
  }

  // ---- Liveness ----------------------------------------------------------------------------------------------------------

  /** Until what functions and code pointers read no longer changes. */
  private static findLive(): void {
    Effects.callees = 0;
    for (let round: u32 = 0; ; round++) {
      let changed = false;
      let callees: u32 = 0;
      for (let f: u32 = Cfg.functionCount; f-- > 0; ) {
        if (Cfg.liveOf(f)) changed = true;
        if (Cfg.isEntry(f)) callees |= Cfg.params(f);
      }
      if (callees != Effects.callees) changed = true;
      Effects.callees = callees;
      if (!changed) return;
      // Chains of calls and loops of them end soon; whatever does not is taken to read everything.
      if (round < MAX_ROUNDS) continue;
      Effects.callees = ALL;
      for (let f: u32 = 0; f < Cfg.functionCount; f++) Cfg.allLive(f);
      return;
    }
  }

  /** What the slot reads and writes, callees known. */
  static effectsOf(slot: u32): void {
    effects(slot);
    if (load<u8>(slot, abi.SLOT_BASE) == ops.H_CALL) {
      Effects.reads = load<u32>(Cfg.functionAt(Cfg.functionOf(Cfg.target(slot))), F_LIVE);
    }
  }

  /** Liveness in one function, backwards to a fixed point: each block changes at most ten times. */
  private static liveOf(f: u32): bool {
    const from = Cfg.firstBlock(f);
    const to = Cfg.lastBlock(f);
    let changed = true;
    let used: u32 = 0;
    let first = true;
    for (let pass: u32 = 0; changed; pass++) {
      if (pass == MAX_PASSES) return Cfg.allLive(f);
      changed = false;
      for (let b = to; b-- > from; ) {
        let live: u32 = 0;
        const fall = Cfg.fall(b);
        const taken = Cfg.taken(b);
        if (fall != NONE) live |= Cfg.liveIn(fall);
        if (taken != NONE) live |= Cfg.liveIn(taken);
        for (let i = Cfg.end(b); i-- > Cfg.first(b); ) {
          Cfg.effectsOf(Cfg.slot(i));
          live = (live & ~Effects.writes) | Effects.reads;
          store<u16>(Cfg.live + i * 2, live);
          if (first) used |= Effects.reads | Effects.writes;
        }
        if (live == Cfg.liveIn(b)) continue;
        store<u32>(Cfg.at(b), live, B_LIVE);
        changed = true;
      }
      first = false;
    }
    store<u32>(Cfg.functionAt(f), used, F_USED);
    const live = Cfg.liveIn(from);
    if (live == Cfg.params(f)) return false;
    store<u32>(Cfg.functionAt(f), live, F_LIVE);
    return true;
  }

  /** Gives up: everything lives everywhere in this function. */
  private static allLive(f: u32): bool {
    for (let i = Cfg.firstSlot(f); i < Cfg.endSlot(f); i++) store<u16>(Cfg.live + i * 2, ALL);
    for (let b = Cfg.firstBlock(f); b < Cfg.lastBlock(f); b++) store<u32>(Cfg.at(b), ALL, B_LIVE);
    store<u32>(Cfg.functionAt(f), ALL, F_USED);
    const changed = Cfg.params(f) != ALL;
    store<u32>(Cfg.functionAt(f), ALL, F_LIVE);
    return changed;
  }

  // ---- Order and dominators of one function ------------------------------------------------------------------------------

  /** Makes a function, from one of its blocks on, the current one: its blocks, numbered from 0, can be added to. False: the heap has no room. */
  static analyse(f: u32, root: u32): bool {
    Cfg.root = root;
    const from = Cfg.firstBlock(f);
    const n = Cfg.lastBlock(f) - from;
    const blocks = heapAlloc(n * BLOCK_BYTES);
    if (!blocks) return false;
    memory.copy(blocks, Cfg.at(from), n * BLOCK_BYTES);
    Cfg.all = Cfg.blocks;
    Cfg.from = from;
    Cfg.blocks = blocks;
    Cfg.count = n;
    for (let b: u32 = 0; b < n; b++) {
      const at = Cfg.at(b);
      if (Cfg.fall(b) != NONE) store<u32>(at, Cfg.fall(b) - from, B_FALL);
      if (Cfg.taken(b) != NONE) store<u32>(at, Cfg.taken(b) - from, B_TAKEN);
    }
    return Cfg.arrange();
  }

  /** Room for more blocks of the current function, which are `count` then. False: the heap has none. */
  static add(more: u32): bool {
    const blocks = heapAlloc((Cfg.count + more) * BLOCK_BYTES);
    if (!blocks) return false;
    memory.copy(blocks, Cfg.blocks, Cfg.count * BLOCK_BYTES);
    heapFree(Cfg.blocks);
    Cfg.blocks = blocks;
    Cfg.count += more;
    return true;
  }

  /** The block that one that was added begins like. */
  static original(block: u32): u32 {
    return load<u32>(Cfg.blockAt + Cfg.first(block) * 4) - Cfg.from;
  }

  /** Ends what analyse began. */
  static release(): void {
    if (!Cfg.all) return;
    heapFree(Cfg.blocks);
    if (Cfg.scratch) heapFree(Cfg.scratch);
    Cfg.blocks = Cfg.all;
    Cfg.all = Cfg.scratch = 0;
  }

  /** Order and dominators of the current function's blocks. False: the heap has no room. */
  static arrange(): bool {
    if (Cfg.scratch) heapFree(Cfg.scratch);
    Cfg.scratch = heapAlloc(Cfg.count * SCRATCH_BYTES + 64);
    if (!Cfg.scratch) return false;
    for (let b: u32 = 0; b < Cfg.count; b++) {
      const at = Cfg.at(b);
      store<u32>(at, NONE, B_RPO);
      store<u32>(at, 0, B_EDGES);
      store<u32>(at, 0, B_HEADER);
    }
    Order.walk(Cfg.scratch, Cfg.root, Cfg.count);
    Cfg.order = Order.order;
    Cfg.reached = Order.reached;
    Order.dominators();
    Cfg.numberTree();
    Cfg.irreducible = Cfg.loops = false;
    for (let i = Cfg.reached; i-- > 0; ) {
      const b = Cfg.ordered(i);
      Cfg.edge(b, Cfg.fall(b));
      Cfg.edge(b, Cfg.taken(b));
    }
    // Last first: each list then has the last in reverse postorder at its head.
    for (let i: u32 = 1; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      if (!Cfg.isMerge(b)) continue;
      const parent = Cfg.at(Cfg.idom(b));
      store<u32>(Cfg.at(b), load<u32>(parent, B_MERGES), B_NEXT);
      store<u32>(parent, b, B_MERGES);
    }
    return true;
  }

  private static edge(from: u32, to: u32): void {
    if (to == NONE) return;
    const at = Cfg.at(to);
    if (Cfg.rpo(to) > Cfg.rpo(from)) {
      // What a dispatch goes to otherwise starts behind the end of a Wasm block.
      const more: u32 = Cfg.isDispatch(from) && to == Cfg.taken(from) ? 2 : 1;
      store<u32>(at, load<u32>(at, B_EDGES) + more, B_EDGES);
      return;
    }
    if (!Cfg.isHeader(to)) store<u32>(at, Cfg.rpo(from), B_LATCH);
    store<u32>(at, 1, B_HEADER);
    Cfg.loops = true;
    if (!Cfg.dominates(to, from)) Cfg.irreducible = true;
  }

  /** Sizes and preorder numbers of the dominator tree: a block comes before what it dominates in reverse postorder. */
  private static numberTree(): void {
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const at = Cfg.at(Cfg.ordered(i));
      store<u32>(at, 1, B_SIZE);
      store<u32>(at, NONE, B_MERGES);
    }
    for (let i = Cfg.reached; i-- > 1; ) {
      const b = Cfg.ordered(i);
      const parent = Cfg.at(Cfg.idom(b));
      store<u32>(parent, load<u32>(parent, B_SIZE) + Cfg.size(b), B_SIZE);
    }
    const root = Cfg.at(Cfg.ordered(0));
    store<u32>(root, 0, B_PRE);
    store<u32>(root, 1, B_NEXT_FREE);
    for (let i: u32 = 1; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      const parent = Cfg.at(Cfg.idom(b));
      const pre = load<u32>(parent, B_NEXT_FREE);
      store<u32>(parent, pre + Cfg.size(b), B_NEXT_FREE);
      store<u32>(Cfg.at(b), pre, B_PRE);
      store<u32>(Cfg.at(b), pre + 1, B_NEXT_FREE);
    }
  }
}

/** Fills PROG_LIVE. False: the heap has no room. */
export function findLive(prog: u32): bool {
  const done = Cfg.build(prog);
  Cfg.free();
  return done;
}

/** Registers that may still be read before a slot (core address) of a program, bit by bit; r0 outside of it. */
export function liveRegisters(prog: u32, slot: u32): u32 {
  const index = (slot - load<u32>(prog, abi.PROG_SLOTS)) >> 4;
  return index < load<u32>(prog, abi.PROG_SLOT_COUNT) ? load<u16>(load<u32>(prog, abi.PROG_LIVE) + index * 2) : 1;
}
