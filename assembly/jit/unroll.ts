// Small loops without calls, their bodies one after the other several times: fuel is looked at once for all of these rounds,
// and checks of addresses that differ by a constant from round to round become one. Every way through a round must cost the
// same fuel; so it is known at every block what is owed since the loop's start. It is paid where the loop is left, and at the
// end of the last round; the interpreter takes over at the loop's start if there may not be enough for all rounds.
//
// Under object checks what these rounds access together may be more than the program ever does. So the loop stays as it is beside
// them, and its start becomes a dispatch: to the rounds if all that is known to be accessed there may be, or to a single one.

import * as abi from '../abi';
import * as ops from '../ops';
import { Cfg, NONE } from './cfg';
import { Emit } from './emit';

/** Slots and blocks of a loop that is small, and slots that its rounds have together at most. */
const MAX_SLOTS: u32 = 64;
const MAX_BLOCKS: u32 = 16;
const ALL_SLOTS: u32 = 128;
const MAX_ROUNDS: u32 = 8;
/** Places in reverse postorder that it may be spread over. */
const MAX_SPREAD: u32 = 32;
const UNKNOWN: u32 = 0xffffffff;

// For each place from the loop's start on: number of the block in the loop, or NONE; what is owed there.
const MEMBER: usize = memory.data(128);
const OWED: usize = memory.data(128);
// The loop's blocks.
const BLOCKS: usize = memory.data(64);

export class Unroll {
  private static first: u32 = 0; // place of the loop's start
  private static spread: u32 = 0;
  private static blocks: u32 = 0;
  private static rounds: u32 = 0;
  private static cost: u32 = 0; // fuel of a round
  /** The next copy. */
  private static next: u32 = 0;

  /** Repeats the small loops of the current function. False: the heap has no room. */
  static apply(): bool {
    if (Cfg.irreducible) return true;
    let copies: u32 = 0;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      if (Cfg.isHeader(b) && Unroll.look(b)) copies += Unroll.copies();
    }
    if (!copies) return true;
    Unroll.next = Cfg.count;
    if (!Cfg.add(copies)) return false;
    for (let i: u32 = 0; i < Cfg.reached; i++) {
      const b = Cfg.ordered(i);
      if (Cfg.isHeader(b) && Unroll.look(b)) Unroll.repeat(b);
    }
    if (Emit.object) Cfg.redirect();
    return Cfg.arrange();
  }

  /** Blocks that are added for the loop that is looked at. */
  private static copies(): u32 {
    return Emit.object ? Unroll.blocks * Unroll.rounds + 1 : Unroll.blocks * (Unroll.rounds - 1);
  }

  /** Number of a block in the loop that is looked at, or NONE. */
  private static member(b: u32): u32 {
    if (b == NONE) return NONE;
    const place = Cfg.rpo(b) - Unroll.first;
    return place < Unroll.spread ? load<u32>(MEMBER + place * 4) : NONE;
  }

  /** Is the loop that starts at a block small, innermost, without calls and of one cost? */
  private static look(header: u32): bool {
    const first = Cfg.rpo(header);
    const spread = Cfg.latch(header) - first + 1;
    if (spread > MAX_SPREAD) return false;
    Unroll.first = first;
    Unroll.spread = spread;
    memory.fill(MEMBER, 255, spread * 4);
    Unroll.blocks = 0;
    let slots: u32 = 0;
    for (let place = spread; place-- > 0; ) {
      const b = Cfg.ordered(first + place);
      if (place && !Unroll.stays(b, header, place)) continue;
      if (Unroll.blocks == MAX_BLOCKS || (place && Cfg.isHeader(b))) return false;
      for (let i = Cfg.first(b); i < Cfg.end(b); i++) {
        const op: u32 = load<u8>(Cfg.slot(i), abi.SLOT_BASE);
        if (op > <u32>ops.H_MAY_GOTO && op != ops.H_ATOMIC) return false;
      }
      slots += Cfg.end(b) - Cfg.first(b);
      store<u32>(BLOCKS + Unroll.blocks * 4, b);
      store<u32>(MEMBER + place * 4, Unroll.blocks++);
    }
    if (slots > MAX_SLOTS) return false;
    Unroll.rounds = min(MAX_ROUNDS, ALL_SLOTS / slots);
    return Unroll.findCost(header);
  }

  /** Does a way from this block lead back to the loop's start? */
  private static stays(b: u32, header: u32, place: u32): bool {
    const fall = Cfg.fall(b);
    const taken = Cfg.taken(b);
    if (fall == header || taken == header) return true;
    return Unroll.isLater(fall, place) || Unroll.isLater(taken, place);
  }
  private static isLater(b: u32, place: u32): bool {
    return b != NONE && Cfg.rpo(b) - Unroll.first > place && Unroll.member(b) != NONE;
  }

  private static findCost(header: u32): bool {
    memory.fill(OWED, 255, Unroll.spread * 4);
    store<u32>(OWED, 0);
    Unroll.cost = UNKNOWN;
    for (let n = Unroll.blocks; n-- > 0; ) {
      const b = load<u32>(BLOCKS + n * 4);
      if (!Unroll.carry(header, b, Cfg.fall(b), 0)) return false;
      const taken = Cfg.taken(b);
      if (taken != NONE && !Unroll.carry(header, b, taken, Cfg.isBack(b, taken) ? 1 : 0)) return false;
    }
    return Unroll.cost != 0;
  }

  /** Is what is owed behind an edge the same on all ways? */
  private static carry(header: u32, from: u32, to: u32, cost: u32): bool {
    if (Unroll.member(to) == NONE) return true;
    const owed = load<u32>(OWED + (Cfg.rpo(from) - Unroll.first) * 4) + cost;
    if (to == header) {
      if (Unroll.cost != UNKNOWN && Unroll.cost != owed) return false;
      Unroll.cost = owed;
      return true;
    }
    const at = OWED + (Cfg.rpo(to) - Unroll.first) * 4;
    if (load<u32>(at) != UNKNOWN && load<u32>(at) != owed) return false;
    store<u32>(at, owed);
    return true;
  }

  private static repeat(header: u32): void {
    const copies = Unroll.next;
    Unroll.next += Unroll.copies();
    const prepaid = Unroll.rounds * Unroll.cost;
    // The first of the rounds is the loop itself, or a copy, too.
    const own = !Emit.object;
    const start = own ? header : Unroll.next - 1;
    // Copies first: they are made of what the blocks are now.
    for (let round = Unroll.rounds; round-- > 0; ) {
      for (let n: u32 = 0; n < Unroll.blocks; n++) {
        const b = load<u32>(BLOCKS + n * 4);
        const copy = Unroll.copyOf(copies, b, n, round);
        const fall = Unroll.inRound(copies, header, start, Cfg.fall(b), round);
        const taken = Unroll.inRound(copies, header, start, Cfg.taken(b), round);
        const owed = load<u32>(OWED + (Cfg.rpo(b) - Unroll.first) * 4) + round * Unroll.cost;
        if (copy != b) Cfg.copy(copy, b);
        Cfg.setNext(copy, fall, taken);
        Cfg.setRound(copy, start, owed, copy == start ? prepaid : 0);
      }
    }
    if (own) return;
    Cfg.setDispatch(start, header, Unroll.copyOf(copies, header, Unroll.member(header), 0));
    Cfg.setRound(start, start, 0, prepaid);
  }

  /** The nth block of the loop in a round. */
  private static copyOf(copies: u32, b: u32, n: u32, round: u32): u32 {
    if (Emit.object) return copies + round * Unroll.blocks + n;
    return round ? copies + (round - 1) * Unroll.blocks + n : b;
  }

  /** Where an edge to a block leads from a round. */
  private static inRound(copies: u32, header: u32, start: u32, to: u32, round: u32): u32 {
    const n = Unroll.member(to);
    if (n == NONE) return to;
    if (to == header) return round + 1 == Unroll.rounds ? start : Unroll.copyOf(copies, to, n, round + 1);
    return Unroll.copyOf(copies, to, n, round);
  }
}
