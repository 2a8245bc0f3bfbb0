// Conditions of jumps.

import * as abi from '../abi';
import * as ops from '../ops';
import { Alu } from './alu';
import { Effects } from './effects';
import { Emit } from './emit';
import * as w from './wasm';
import { Wasm } from './wasm';

export class Jump {
  /** Whether a block's conditional jump is taken. */
  static condition(slot: u32): void {
    const op: u32 = load<u8>(slot, abi.SLOT_BASE);
    if (op == ops.H_MAY_GOTO) {
      Jump.mayGotoEnds();
      return;
    }
    const wide = op <= <u32>ops.H_JSET_X;
    let kind = op - (wide ? ops.H_JEQ_K : ops.H_JEQ32_K);
    const forms: u32 = ops.H_JEQ_X - ops.H_JEQ_K;
    const k = kind < forms;
    if (!k) kind -= forms;
    Alu.dividend(Effects.dst(slot), wide);
    if (!k) Alu.dividend(Effects.src(slot), wide);
    else if (wide) Wasm.i64(Emit.imm(slot));
    else Wasm.i32(Emit.imm32(slot));
    if (kind == ops.H_JSET_K - ops.H_JEQ_K) {
      Wasm.op(wide ? w.I64_AND : w.I32_AND);
      Alu.constant(wide, 0);
      Wasm.op(wide ? w.I64_NE : w.I32_NE);
      return;
    }
    Wasm.op((wide ? w.I64_EQ : w.I32_EQ) + Jump.comparison(kind));
  }

  /** Of a condition, its distance from EQ among Wasm's comparisons. */
  private static comparison(kind: u32): u32 {
    switch (kind + ops.H_JEQ_K) {
      case ops.H_JEQ_K:
        return 0;
      case ops.H_JNE_K:
        return w.I64_NE - w.I64_EQ;
      case ops.H_JGT_K:
        return w.I64_GT_U - w.I64_EQ;
      case ops.H_JGE_K:
        return w.I64_GE_U - w.I64_EQ;
      case ops.H_JLT_K:
        return w.I64_LT_U - w.I64_EQ;
      case ops.H_JLE_K:
        return w.I64_LE_U - w.I64_EQ;
      case ops.H_JSGT_K:
        return w.I64_GT_S - w.I64_EQ;
      case ops.H_JSGE_K:
        return w.I64_GE_S - w.I64_EQ;
      case ops.H_JSLT_K:
        return w.I64_LT_S - w.I64_EQ;
      default:
        return w.I64_LE_S - w.I64_EQ;
    }
  }

  private static mayGotoEnds(): void {
    Wasm.get(Emit.loops);
    Wasm.i32(abi.MAY_GOTO_LOOPS);
    Wasm.op(w.I32_EQ);
    Wasm.get(Emit.loops);
    Wasm.get(Emit.loops);
    Wasm.i32(abi.MAY_GOTO_LOOPS);
    Wasm.op(w.I32_NE);
    Wasm.op(w.I32_ADD);
    Wasm.set(Emit.loops);
  }
}
