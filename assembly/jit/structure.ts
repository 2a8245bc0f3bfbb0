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
import { I32_EQZ, I32_SUB, Wasm } from './wasm';

// What is left to do.
const TREE: u32 = 0; // a block and what it dominates
const END: u32 = 1; // of a Wasm block

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
    // A block puts its merges, their ends, its loop's end and at most two of its successors onto the stack.
    Structure.stack = heapAlloc(Cfg.reached * 6 * 4 + 64);
    if (!Structure.stack) return false;
    Structure.top = Structure.stack;
    Structure.push(TREE, Cfg.ordered(0));
    while (Structure.top != Structure.stack) {
      Structure.top -= 4;
      const what = load<u32>(Structure.top);
      if (what & END) Wasm.end();
      else Structure.tree(what >> 1);
    }
    heapFree(Structure.stack);
    return true;
  }

  @inline private static push(what: u32, block: u32): void {
    store<u32>(Structure.top, (block << 1) | what);
    Structure.top += 4;
  }

  private static tree(b: u32): void {
    if (Cfg.isHeader(b)) {
      Emit.enter(b);
      Checks.hoist(b);
      Cfg.setLoopLabel(b, Wasm.loop());
      Structure.push(END, b);
    }
    for (let m = Cfg.firstMerge(b); m != NONE; m = Cfg.nextMerge(m)) {
      Cfg.setLabel(m, Wasm.block());
      Structure.push(TREE, m);
      Structure.push(END, m);
    }
    const last = Emit.block(b);
    const fall = Cfg.fall(b);
    const taken = Cfg.taken(b);
    if (taken == NONE) {
      if (fall != NONE) Structure.go(b, fall);
      return;
    }
    if (fall == NONE) {
      Structure.jump(b, taken);
      return;
    }
    Jump.condition(last);
    if (Structure.isLabelled(b, taken)) {
      if (Structure.isBack(b, taken)) {
        Wasm.if_();
        Structure.jump(b, taken);
        Wasm.end();
      } else {
        Wasm.brIf(Structure.labelOf(b, taken));
      }
      Structure.go(b, fall);
    } else if (Structure.isLabelled(b, fall)) {
      Wasm.op(I32_EQZ);
      Wasm.brIf(Structure.labelOf(b, fall));
      Structure.jump(b, taken);
    } else if (Structure.isBack(b, taken) || Cfg.size(taken) <= Cfg.size(fall)) {
      Wasm.if_();
      Structure.push(TREE, fall);
      Structure.push(END, b);
      Structure.jump(b, taken);
    } else {
      Wasm.op(I32_EQZ);
      Wasm.if_();
      Structure.push(TREE, taken);
      Structure.push(END, b);
      Structure.push(TREE, fall);
    }
  }

  /** Does the jump of b lead backwards in the program? Such jumps cost fuel. */
  private static isBack(b: u32, to: u32): bool {
    return Cfg.first(to) < Cfg.end(b);
  }

  private static isLabelled(b: u32, to: u32): bool {
    return Structure.dispatch != 0 || Cfg.rpo(to) <= Cfg.rpo(b) || Cfg.isMerge(to);
  }

  private static labelOf(b: u32, to: u32): u32 {
    return Cfg.rpo(to) <= Cfg.rpo(b) ? Cfg.loopLabel(to) : Cfg.label(to);
  }

  /** On to a block without a jump of the program. */
  private static go(b: u32, to: u32): void {
    if (Structure.isLabelled(b, to)) Wasm.br(Structure.labelOf(b, to));
    else Structure.push(TREE, to);
  }

  /** A jump of the program: backwards it is paid, and stops the run when there is no fuel left. */
  private static jump(b: u32, to: u32): void {
    if (Structure.isBack(b, to)) Structure.pay(to);
    Structure.go(b, to);
  }

  /** One unit of fuel for a jump; if there is none, the run stops behind it. */
  private static pay(to: u32): void {
    Wasm.get(Emit.FUEL);
    Wasm.op(I32_EQZ);
    Wasm.if_();
    Wasm.i32(-1);
    Wasm.set(Emit.FUEL);
    Emit.leave(Cfg.first(to));
    Wasm.end();
    Wasm.get(Emit.FUEL);
    Wasm.i32(1);
    Wasm.op(I32_SUB);
    Wasm.set(Emit.FUEL);
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
        Structure.dispatchTo(taken, Structure.isBack(b, taken));
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
