// A jump over one or two cheap insns, as compilers make it of `c ? a : b`: both values are computed and one is taken. Such jumps
// are often hard to foresee, and a wrong guess costs more than the insns.

import * as abi from '../abi';
import * as ops from '../ops';
import { Cfg, NONE } from './cfg';
import { Effects } from './effects';
import { Emit } from './emit';
import { Jump } from './jump';
import { SELECT, Wasm } from './wasm';

const MAX_SLOTS: u32 = 2;

export class Select {
  /** Does the jump of a block lead over its next block alone, and is that one cheap? Both ways cost the same fuel then. */
  static fits(b: u32): bool {
    const over = Cfg.fall(b);
    const to = Cfg.taken(b);
    if (over == NONE || to == NONE || over == to || Cfg.isMerge(over) || Cfg.isHeader(over)) return false;
    if (load<u8>(Cfg.slot(Cfg.end(b) - 1), abi.SLOT_BASE) == ops.H_MAY_GOTO) return false;
    const byJump = Cfg.fall(over) == NONE;
    if ((byJump ? Cfg.taken(over) : Cfg.fall(over)) != to || (!byJump && Cfg.taken(over) != NONE)) return false;
    if (Cfg.isBack(b, to) != (byJump && Cfg.isBack(over, to))) return false;
    const last = Cfg.end(over) - (byJump ? 1 : 0);
    if (last == Cfg.first(over) || last - Cfg.first(over) > MAX_SLOTS) return false;
    for (let i = Cfg.first(over); i < last; i++)
      if (!Select.isCheap(load<u8>(Cfg.slot(i), abi.SLOT_BASE))) return false;
    return true;
  }

  private static isCheap(op: u32): bool {
    if (op == ops.H_MUL_K || op == ops.H_MUL_X || op == ops.H_MUL32_K || op == ops.H_MUL32_X) return false;
    if (op == ops.H_MOV_K) return false;
    return (op > <u32>ops.H_NOP && op < <u32>ops.H_DIV) || (op > <u32>ops.H_SMOD32 && op <= <u32>ops.H_ZEXT16);
  }

  /** The end of block b, whose last slot is given, and the block that it leads over. */
  static emit(b: u32, last: u32): void {
    Jump.condition(last);
    Wasm.set(Emit.state);
    const over = Cfg.fall(b);
    for (let i = Cfg.first(over); i < Cfg.end(over); i++) {
      const slot = Cfg.slot(i);
      if (Cfg.isJump(load<u8>(slot, abi.SLOT_BASE))) break;
      const d = Effects.dst(slot);
      Emit.get(d);
      Emit.slot(i);
      Emit.get(d);
      Wasm.get(Emit.state);
      Wasm.op(SELECT);
      Emit.set(d);
    }
  }
}
