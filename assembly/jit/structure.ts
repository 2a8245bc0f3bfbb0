// Structured control flow from the dominator tree (Ramsey, "Beyond Relooper", 2022): a block that several forward edges lead
// to starts behind the end of a Wasm block that its dominator opened, a loop header opens a Wasm loop, everything else is
// nested where it is reached. The side of a branch with fewer blocks below it is the one that nests, so that depth stays
// logarithmic but for blocks opened for merges. What is left to do is kept on a stack of our own.
//
// A function with a loop that is entered in two places is a loop around a br_table over all its blocks.

import { JIT_REASON, JIT_TOO_LARGE } from '../abi';
import { heapAlloc, heapFree } from '../alloc';
import { Cfg, NONE } from './cfg';
import { Checks } from './checks';
import { Emit } from './emit';
import { Jump } from './jump';
import { Select } from './select';
import { Spans } from './spans';
import { Stack } from './stack';
import { I32_EQZ, I32_LT_S, I32_SUB, Wasm } from './wasm';

// What is left to do.
const TREE: u32 = 0; // a block and what it dominates
const END: u32 = 1; // of a Wasm block
const FALL: u32 = 2; // the way on from a block
const TAKEN: u32 = 3; // and that of its jump
const GROW: u32 = 4; // what stands behind a loop (spans.ts)
const KIND: u32 = 7;
const KIND_BITS: u32 = 3;

/** V8 takes no larger table. */
const MAX_TABLE: u32 = 65000;

export class Structure {
  private static stack: u32 = 0;
  private static top: u32 = 0;
  private static dispatch: u32 = 0; // label of the loop around the table, if there is one

  /** The body of the current function. False: it cannot be done. */
  static emit(): bool {
    if (Cfg.irreducible) return Structure.table();
    Structure.dispatch = 0;
    // A block puts its merges, their ends, the ends of its loop and the one around it, its branch's end and both ways on onto the stack.
    Structure.stack = heapAlloc(Cfg.reached * 7 * 4 + 64);
    if (!Structure.stack) return false;
    Structure.top = Structure.stack;
    Structure.push(TREE, Cfg.ordered(0));
    while (Structure.top != Structure.stack) {
      Structure.top -= 4;
      const what = load<u32>(Structure.top);
      const b = what >> KIND_BITS;
      switch (what & KIND) {
        case END:
          Wasm.end();
          break;
        case TREE:
          Structure.tree(b);
          break;
        case GROW:
          Spans.grow(b);
          break;
        case FALL:
          Structure.edge(b, Cfg.fall(b), false);
          break;
        default:
          Structure.edge(b, Cfg.taken(b), true);
      }
    }
    heapFree(Structure.stack);
    return true;
  }

  @inline private static push(what: u32, block: u32): void {
    store<u32>(Structure.top, (block << KIND_BITS) | what);
    Structure.top += 4;
  }

  private static tree(b: u32): void {
    if (Cfg.isHeader(b)) {
      Emit.enter(b);
      Spans.open(b);
      Checks.hoist(b);
      if (Spans.around(b)) Structure.push(GROW, b);
      Cfg.setLoopLabel(b, Wasm.loop());
      Structure.push(END, b);
      Structure.prepay(b);
    }
    for (let m = Cfg.firstMerge(b); m != NONE; m = Cfg.nextMerge(m)) {
      Cfg.setLabel(m, Wasm.block());
      Structure.push(TREE, m);
      Structure.push(END, m);
    }
    const last = Emit.block(b);
    const fall = Cfg.fall(b);
    const taken = Cfg.taken(b);
    if (Cfg.isDispatch(b)) {
      Checks.dispatch(b, Cfg.label(taken));
      Structure.edge(b, fall, false);
      return;
    }
    if (taken == NONE) {
      if (fall != NONE) Structure.edge(b, fall, false);
      return;
    }
    if (fall == NONE) {
      Structure.edge(b, taken, true);
      return;
    }
    if (!Emit.counts && Select.fits(b)) {
      Select.emit(b, last);
      Structure.edge(b, taken, true);
      return;
    }
    Jump.condition(last);
    if (Structure.isLabelled(b, taken) && !Structure.costs(b, taken, true)) {
      Wasm.brIf(Structure.labelOf(b, taken));
      Structure.edge(b, fall, false);
    } else if (Structure.isLabelled(b, fall) && !Structure.costs(b, fall, false)) {
      Wasm.op(I32_EQZ);
      Wasm.brIf(Structure.labelOf(b, fall));
      Structure.edge(b, taken, true);
    } else {
      // What is smaller nests.
      const nests = Structure.sizeOf(b, taken) <= Structure.sizeOf(b, fall);
      if (!nests) Wasm.op(I32_EQZ);
      Wasm.if_();
      Structure.push(nests ? FALL : TAKEN, b);
      Structure.push(END, b);
      Structure.edge(b, nests ? taken : fall, nests);
    }
  }

  private static isLabelled(b: u32, to: u32): bool {
    return Structure.dispatch != 0 || Cfg.rpo(to) <= Cfg.rpo(b) || Cfg.isMerge(to);
  }

  private static labelOf(b: u32, to: u32): u32 {
    return Cfg.rpo(to) <= Cfg.rpo(b) ? Cfg.loopLabel(to) : Cfg.label(to);
  }

  private static sizeOf(b: u32, to: u32): u32 {
    return Structure.isLabelled(b, to) ? 0 : Cfg.size(to);
  }

  /** From a block to the next, by its jump or not. */
  private static edge(b: u32, to: u32, jump: bool): void {
    Structure.settle(b, to, jump);
    if (Structure.isLabelled(b, to)) Wasm.br(Structure.labelOf(b, to));
    else Structure.push(TREE, to);
  }

  // ---- Fuel: a jump backwards in the program costs one unit, and stops the run behind it if there is none ------------------

  /** Are both blocks of the same rounds (unroll.ts)? */
  private static together(b: u32, to: u32): bool {
    return Cfg.round(b) != 0 && Cfg.round(b) == Cfg.round(to);
  }

  /** Is there something to pay between two blocks? */
  private static costs(b: u32, to: u32, jump: bool): bool {
    if (Structure.together(b, to)) return Cfg.prepaid(to) != 0;
    return Cfg.owed(b) != 0 || (jump && Cfg.isBack(b, to));
  }

  private static settle(b: u32, to: u32, jump: bool): void {
    if (Structure.together(b, to)) {
      Structure.spend(Cfg.prepaid(to));
      return;
    }
    Structure.spend(Cfg.owed(b));
    if (jump && Cfg.isBack(b, to)) Structure.pay(to);
  }

  private static pay(to: u32): void {
    Wasm.get(Emit.FUEL);
    Wasm.op(I32_EQZ);
    Wasm.if_();
    Wasm.i32(-1);
    Wasm.set(Emit.FUEL);
    Stack.enter(to);
    Emit.leaveFor(Cfg.first(to), 0);
    Wasm.end();
    Structure.spend(1);
  }

  private static spend(fuel: u32): void {
    if (!fuel) return;
    Wasm.get(Emit.FUEL);
    Wasm.i32(fuel);
    Wasm.op(I32_SUB);
    Wasm.set(Emit.FUEL);
  }

  /** At the start of a loop whose rounds are paid together: leaves if there is not enough for all. */
  private static prepay(b: u32): void {
    const fuel = Cfg.prepaid(b);
    if (!fuel) return;
    Wasm.get(Emit.FUEL);
    Wasm.i32(fuel);
    Wasm.op(I32_LT_S);
    Emit.leaveIf(Cfg.first(b));
  }

  // ---- Irreducible functions ---------------------------------------------------------------------------------------------

  private static table(): bool {
    const n = Cfg.reached;
    if (n > MAX_TABLE) {
      store<u32>(JIT_REASON, JIT_TOO_LARGE);
      return false;
    }
    Structure.dispatch = Wasm.loop();
    for (let i: u32 = 0; i < n; i++) Wasm.block();
    Wasm.get(Emit.state);
    Wasm.brTable(n);
    for (let i: u32 = 0; i < n; i++) {
      Wasm.end();
      const b = Cfg.ordered(i);
      const last = Emit.block(b);
      const fall = Cfg.fall(b);
      const taken = Cfg.taken(b);
      if (taken != NONE) {
        if (fall != NONE) {
          Jump.condition(last);
          Wasm.if_();
        }
        Structure.dispatchTo(taken, Cfg.isBack(b, taken));
        if (fall != NONE) Wasm.end();
      }
      if (fall != NONE && Cfg.rpo(fall) != i + 1) Structure.dispatchTo(fall, false);
    }
    Wasm.end();
    return true;
  }

  private static dispatchTo(to: u32, paid: bool): void {
    if (paid) Structure.pay(to);
    Wasm.i32(Cfg.rpo(to));
    Wasm.set(Emit.state);
    Wasm.br(Structure.dispatch);
  }
}
