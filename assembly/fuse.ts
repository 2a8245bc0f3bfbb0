// Chooses fused handlers. A slot's op may stand for a group: this insn and up to four after it, carried out by one handler
// that reads all their slots. The slots behind the first keep their own handlers, so that jumps into a group work.

import * as abi from './abi';
import { COSTS, GROUP_STARTS, GROUPS, HANDLERS, ROLES } from './fused';

// Roles of an operation's registers, as scripts/fuse.mjs writes them.
const READS_DST: u32 = 1;
const READS_SRC: u32 = 2;
const WRITES_DST: u32 = 4;

const MAX_GROUP: u32 = 5;
const ELEMENT: u32 = 3; // operation, two operands
const HEADER: u32 = 3; // handler, length, cost
const NONE: u8 = 255;

/** The window of insns that starts at a slot: operation and operands of each, as groups have them. */
const WINDOW = memory.data(16);
/** Last operation of the window that wrote each register. */
const WRITERS = memory.data(16);

/** Fills WINDOW from `slot` on; how many insns it holds. Groups end before the program does. */
function look(slot: usize, left: u32): u32 {
  const n = min(left, MAX_GROUP);
  memory.fill(WRITERS, NONE, 16);
  for (let k: u32 = 0; k < n; k++) {
    const at = slot + k * abi.SLOT_BYTES;
    const op = load<u8>(at, abi.SLOT_BASE);
    const dst = load<u8>(at, abi.SLOT_DST) >> 3;
    const roles: u32 = load<u8>(ROLES + op);
    const element = WINDOW + k * ELEMENT;
    store<u8>(element, op);
    let next = element + 1;
    store<u16>(next, 0xffff);
    if (roles & READS_DST) store<u8>(next++, load<u8>(WRITERS + dst));
    if (roles & READS_SRC) store<u8>(next, load<u8>(WRITERS + (load<u8>(at, abi.SLOT_SRC) >> 3)));
    if (roles & WRITES_DST) store<u8>(WRITERS + dst, k as u8);
  }
  return n;
}

/**
 * Gives every slot the group that makes the rest of its straight line cheapest. `costs`: count + 1 u32 of scratch.
 */
export function fuse(slots: usize, count: u32, costs: usize): void {
  store<u32>(costs + count * 4, 0);
  for (let i: u32 = count; i-- > 0; ) {
    const slot = slots + i * abi.SLOT_BYTES;
    const base: u32 = load<u8>(slot, abi.SLOT_BASE);
    let best: u32 = load<u8>(COSTS + base) + load<u32>(costs + (i + 1) * 4);
    let op: u32 = load<u8>(HANDLERS + base);
    const n = look(slot, count - i);
    const end = GROUPS + load<u16>(GROUP_STARTS + base * 2, 2);
    let group = GROUPS + load<u16>(GROUP_STARTS + base * 2);
    while (group < end) {
      const length: u32 = load<u8>(group, 1);
      // Every group has two insns or more; most differ from the window in the second.
      const near = length <= n && load<u8>(group + HEADER + ELEMENT) == load<u8>(WINDOW + ELEMENT);
      if (near && memory.compare(group + HEADER, WINDOW, length * ELEMENT) == 0) {
        const cost: u32 = load<u8>(group, 2) + load<u32>(costs + (i + length) * 4);
        if (cost < best) {
          best = cost;
          op = load<u8>(group);
        }
      }
      group += HEADER + length * ELEMENT;
    }
    store<u8>(slot, op as u8, abi.SLOT_OP);
    store<u32>(costs + i * 4, best);
  }
}
