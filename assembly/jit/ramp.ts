// Ways into compiled code in the middle of a function, at the start of a loop: for runs that the interpreter goes on with, and
// that stay in a loop. Each is the function once more, as far as it can be reached from there; what its frame holds and who points
// into it is not known, so all of it stays in memory. Which loops get one says the interpreter: those that it was seen in.

import * as abi from '../abi';
import { Cfg, NONE } from './cfg';

export class Ramp {
  /** Slot (index) that the function which is being emitted begins at; NONE: at its start, as it should. */
  static at: u32 = NONE;

  static count(): u32 {
    return load<u32>(Cfg.prog, abi.PROG_RAMPS);
  }
  /** Slot (index) of a ramp: the start of a block. */
  static slot(i: u32): u32 {
    return Cfg.index(load<u32>(Cfg.prog + abi.PROG_RAMPS + 4 + i * 4));
  }
  static functionOf(i: u32): u32 {
    return Cfg.functionOf(Ramp.slot(i));
  }
  /** Registers that its function takes. */
  static params(i: u32): u32 {
    return Cfg.liveAt(Ramp.slot(i));
  }

  /** Block of the current function that it begins with. */
  static block(f: u32): u32 {
    return Ramp.at == NONE ? 0 : load<u32>(Cfg.blockAt + Ramp.at * 4) - Cfg.firstBlock(f);
  }
  static first(f: u32): u32 {
    return Ramp.at == NONE ? Cfg.firstSlot(f) : Ramp.at;
  }
}

/** A run of a compiled program was seen at a slot without a way in. True: it has one when the program is compiled again. */
export function wantRamp(prog: u32, slot: u32): bool {
  const misses = load<u32>(prog, abi.PROG_RAMP_MISSES);
  const count = load<u32>(prog, abi.PROG_RAMPS);
  if (count == abi.MAX_RAMPS || misses == abi.NO_RAMPS) return false;
  // Slots of the core's own are none of the program's.
  if (slot - load<u32>(prog, abi.PROG_SLOTS) >= load<u32>(prog, abi.PROG_SLOT_COUNT) * abi.SLOT_BYTES) return false;
  const enough = misses + 1 >= load<u32>(abi.RAMP_AFTER);
  store<u32>(prog, enough ? 0 : misses + 1, abi.PROG_RAMP_MISSES);
  if (!enough) return false;
  store<u32>(prog + abi.PROG_RAMPS + 4 + count * 4, slot);
  store<u32>(prog, count + 1, abi.PROG_RAMPS);
  return true;
}
