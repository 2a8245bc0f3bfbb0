// Which registers a slot reads and writes, as bits 0 to 9; r10 is nobody's: it follows from the frame.

import * as abi from '../abi';
import * as isa from '../isa';
import * as ops from '../ops';

/** r1 to r5: what a call may read, and what is 0 after it. */
export const ARGS: u32 = 0x3e;
const R0: u32 = 1;
export const ALL: u32 = 0x3ff;

export class Effects {
  /** Of the last slot that was looked at. */
  static reads: u32 = 0;
  static writes: u32 = 0;
  /** It reads r10. */
  static frame: bool = false;
  /** What a called code pointer may read beside its arguments. */
  static callees: u32 = 0;

  @inline static dst(slot: u32): u32 {
    return load<u8>(slot, abi.SLOT_DST) >> 3;
  }
  @inline static src(slot: u32): u32 {
    return load<u8>(slot, abi.SLOT_SRC) >> 3;
  }
}

/** Does a division take a register, or the immediate of its slot? */
export function dividesByRegister(slot: u32): bool {
  return load<u32>(slot, abi.SLOT_OFF) != slot + abi.SLOT_IMM;
}

function isRegisterForm(op: u32): bool {
  switch (op) {
    case ops.H_ADD_X:
    case ops.H_SUB_X:
    case ops.H_MUL_X:
    case ops.H_OR_X:
    case ops.H_AND_X:
    case ops.H_LSH_X:
    case ops.H_RSH_X:
    case ops.H_ARSH_X:
    case ops.H_XOR_X:
    case ops.H_ADD32_X:
    case ops.H_SUB32_X:
    case ops.H_MUL32_X:
    case ops.H_OR32_X:
    case ops.H_AND32_X:
    case ops.H_LSH32_X:
    case ops.H_RSH32_X:
    case ops.H_ARSH32_X:
    case ops.H_XOR32_X:
      return true;
    default:
      return false;
  }
}

/** Does this function of the core call functions of the program? */
export function callsBack(fn: u32): bool {
  return fn == abi.FN_LOOP || fn == abi.FN_FOR_EACH_MAP_ELEM || fn == abi.FN_THROW;
}

/** Registers that the called function of the host or the core takes arguments from. */
export function argsOf(slot: u32): u32 {
  return ((1 << argumentCount(slot)) - 1) << 1;
}

function argumentCount(slot: u32): u32 {
  if (load<u8>(slot, abi.SLOT_BASE) == ops.H_CALL_HOST) {
    return (load<u32>(slot, abi.SLOT_IMM) >> abi.HOST_ARGS_SHIFT) & abi.HOST_ARGS_MASK;
  }
  switch (load<u32>(slot, abi.SLOT_OFF)) {
    case abi.FN_GET_SMP_PROCESSOR_ID:
      return 0;
    case abi.FN_MAP_LOOKUP_ELEM:
    case abi.FN_MAP_DELETE_ELEM:
    case abi.FN_MAP_POP_ELEM:
    case abi.FN_MAP_PEEK_ELEM:
      return 2;
    case abi.FN_MAP_LOOKUP_PERCPU_ELEM:
    case abi.FN_MAP_PUSH_ELEM:
      return 3;
    case abi.FN_MAP_UPDATE_ELEM:
    case abi.FN_FOR_EACH_MAP_ELEM:
    case abi.FN_LOOP:
      return 4;
    default:
      return 5;
  }
}

/** Fills Effects.reads and Effects.writes. A subprogram's call reads what the caller adds. */
export function effects(slot: u32): void {
  const op: u32 = load<u8>(slot, abi.SLOT_BASE);
  const dst: u32 = 1 << Effects.dst(slot);
  const src: u32 = 1 << Effects.src(slot);
  let reads: u32 = 0;
  let writes: u32 = 0;
  if (op < <u32>ops.H_LDX_B) {
    writes = dst;
    switch (op) {
      case ops.H_NOP:
        writes = 0;
        break;
      case ops.H_MOV_K:
        break;
      case ops.H_MOV_X:
      case ops.H_MOVSX8:
      case ops.H_MOVSX16:
      case ops.H_MOVSX32:
      case ops.H_MOV32_X:
      case ops.H_MOVSX32_8:
      case ops.H_MOVSX32_16:
        reads = src;
        break;
      default:
        reads = dst;
        if (op >= <u32>ops.H_DIV && op <= <u32>ops.H_SMOD32) {
          if (dividesByRegister(slot)) reads |= src;
        } else if (isRegisterForm(op)) {
          reads |= src;
        }
    }
  } else if (op <= <u32>ops.H_LDX_SW) {
    reads = src;
    writes = dst;
  } else if (op <= <u32>ops.H_STX_DW) {
    reads = src | dst;
  } else if (op <= <u32>ops.H_ST_DW) {
    reads = dst;
  } else if (op <= <u32>ops.H_LDF_DW) {
    writes = dst;
  } else if (op <= <u32>ops.H_STXF_DW) {
    reads = src;
  } else if (op <= <u32>ops.H_STF_DW) {
    reads = 0;
  } else if (op <= <u32>ops.H_JSET32_X) {
    const k = op <= <u32>ops.H_JSET_K || (op >= <u32>ops.H_JEQ32_K && op <= <u32>ops.H_JSET32_K);
    reads = k ? dst : dst | src;
  } else {
    switch (op) {
      case ops.H_CALL:
        writes = R0 | ARGS;
        break;
      case ops.H_CALLX:
        reads = ARGS | dst | Effects.callees;
        writes = R0 | ARGS;
        break;
      case ops.H_CALL_CORE:
        reads = argsOf(slot) | (callsBack(load<u32>(slot, abi.SLOT_OFF)) ? Effects.callees : 0);
        writes = R0 | ARGS;
        break;
      case ops.H_CALL_HOST:
        // r0 is 0 when the function is called, and so for what it has the core call back.
        reads = argsOf(slot) | (Effects.callees & ~R0);
        writes = R0 | ARGS;
        break;
      case ops.H_EXIT:
        reads = R0;
        break;
      case ops.H_ATOMIC:
        atomicEffects(slot, dst, src);
        return;
      case ops.H_CAST_KERN:
      case ops.H_CAST_USER:
        reads = src;
        writes = dst;
        break;
      default:
        break;
    }
  }
  Effects.frame = ((reads >> isa.REG_FP) & 1) != 0;
  Effects.reads = reads & ALL;
  Effects.writes = writes & ALL;
}

function atomicEffects(slot: u32, dst: u32, src: u32): void {
  const op = load<u32>(slot, abi.SLOT_OFF) & 0xffff;
  let reads = dst | src;
  let writes: u32 = 0;
  if (op == isa.ATOMIC_LOAD_ACQ) {
    reads = src;
    writes = dst;
  } else if (op == isa.ATOMIC_CMPXCHG) {
    reads |= R0;
    writes = R0;
  } else if (op != isa.ATOMIC_STORE_REL && op & isa.ATOMIC_FETCH) {
    writes = src;
  }
  Effects.frame = ((reads >> isa.REG_FP) & 1) != 0;
  Effects.reads = reads & ALL;
  Effects.writes = writes & ALL;
}
