import {
  ALU_MOV,
  ATOMIC_CMPXCHG,
  ATOMIC_FETCH,
  CALL_SUBPROG,
  CLASS_ALU,
  CLASS_ALU64,
  CLASS_JMP,
  CLASS_JMP32,
  CLASS_LD,
  CLASS_LDX,
  CLASS_MASK,
  CLASS_ST,
  CLASS_STX,
  CODE_MASK,
  JMP_CALL,
  JMP_EXIT,
  JMP_JA,
  MODE_ATOMIC,
  MODE_MASK,
  MODE_MEM,
  OP_LD_IMM64,
  PSEUDO_FUNC,
  REG_FP,
  SIZE_DW,
  SIZE_MASK,
  SRC_MASK,
  STACK_BYTES,
} from '../../../assembly/isa.js';
import type { Insn } from '../../asm/insn.js';
import { InsnFlow } from './insn_flow.js';

/**
 * Which registers and spill slots hold the context pointer for certain. bpf_verifier.h calls that PTR_TO_CTX; here it is
 * followed through moves, spills and calls of subprograms only. Spill slots are taken to be written by r10-relative stores
 * alone, as compilers do.
 */
interface State {
  /** Bit r: register r. */
  regs: number;
  /** Bit k: the 8 bytes at r10 - 8 * (k + 1). */
  slots: bigint;
}

const NOTHING: State = { regs: 0, slots: 0n };
const ARGUMENTS = 0b111110;
const SCRATCHED = 0b111111;

/** Insns that load through the context pointer (r1 of the main program), however they are reached. */
export function contextLoads(bytes: Uint8Array, subprogs: readonly number[]): number[] {
  const flow = new Flow(bytes, subprogs);
  flow.run();
  return flow.loads();
}

class Flow extends InsnFlow<State> {
  constructor(
    bytes: Uint8Array,
    private readonly subprogs: readonly number[],
  ) {
    super(bytes);
  }

  run(): void {
    this.walk(this.subprogs[0] ?? 0, { regs: 1 << 1, slots: 0n });
  }

  loads(): number[] {
    return this.insns.flatMap((insn, i) => {
      const state = this.states[i];
      const load = (insn.op & CLASS_MASK) === CLASS_LDX && (insn.op & MODE_MASK) === MODE_MEM;
      return state && load && (state.regs & (1 << insn.src)) !== 0 ? [i] : [];
    });
  }

  /** What holds on every path remains. */
  protected override join(known: State, state: State): State | undefined {
    const joined = { regs: known.regs & state.regs, slots: known.slots & state.slots };
    return joined.regs === known.regs && joined.slots === known.slots ? undefined : joined;
  }

  protected override step(at: number, insn: Insn, state: State): void {
    switch (insn.op & CLASS_MASK) {
      case CLASS_ALU:
      case CLASS_ALU64:
        this.reach(at + 1, alu(insn, state));
        return;
      case CLASS_LD:
        this.#load64(at, insn, state);
        return;
      case CLASS_LDX:
        this.reach(at + 1, set(state, insn.dst, fills(insn, state)));
        return;
      case CLASS_ST:
      case CLASS_STX:
        this.reach(at + 1, store(insn, state));
        return;
      case CLASS_JMP:
      case CLASS_JMP32:
        this.#jump(at, insn, state);
        return;
    }
  }

  #load64(at: number, insn: Insn, state: State): void {
    if (insn.op !== OP_LD_IMM64) {
      this.reach(at + 1, set(state, 0, false));
      return;
    }
    // A callback gets what the helper that calls it passes.
    if (insn.src === PSEUDO_FUNC) this.reach(at + insn.imm + 1, NOTHING);
    this.reach(at + 2, set(state, insn.dst, false));
  }

  #jump(at: number, insn: Insn, state: State): void {
    switch (insn.op & CODE_MASK) {
      case JMP_EXIT:
        return;
      case JMP_CALL:
        if (insn.src === CALL_SUBPROG && (insn.op & SRC_MASK) === 0) {
          this.reach(at + insn.imm + 1, { regs: state.regs & ARGUMENTS, slots: 0n });
        }
        this.reach(at + 1, { ...state, regs: state.regs & ~SCRATCHED });
        return;
      case JMP_JA:
        this.reach(this.jumpTarget(at, insn), state);
        return;
      default:
        this.reach(at + 1 + insn.off, state);
        this.reach(at + 1, state);
    }
  }
}

function set(state: State, register: number, holds: boolean): State {
  const bit = 1 << register;
  return { ...state, regs: holds ? state.regs | bit : state.regs & ~bit };
}

function alu(insn: Insn, state: State): State {
  const plainMove =
    (insn.op & CLASS_MASK) === CLASS_ALU64 &&
    (insn.op & CODE_MASK) === ALU_MOV &&
    (insn.op & SRC_MASK) !== 0 &&
    insn.off === 0;
  return set(state, insn.dst, plainMove && (state.regs & (1 << insn.src)) !== 0);
}

/** Spill slot of an r10-relative access, or -1. */
function slotOf(offset: number): number {
  return offset < 0 && offset >= -STACK_BYTES ? Math.floor((-offset - 1) / 8) : -1;
}

function fills(insn: Insn, state: State): boolean {
  if (insn.src !== REG_FP || (insn.op & SIZE_MASK) !== SIZE_DW || insn.off % 8 !== 0) return false;
  const slot = slotOf(insn.off);
  return slot >= 0 && (state.slots & (1n << BigInt(slot))) !== 0n;
}

function store(insn: Insn, state: State): State {
  if ((insn.op & MODE_MASK) === MODE_ATOMIC) {
    const fetched = insn.imm === ATOMIC_CMPXCHG ? 0 : (insn.imm & ATOMIC_FETCH) !== 0 ? insn.src : -1;
    return fetched < 0 ? state : set(state, fetched, false);
  }
  if (insn.dst !== REG_FP) return state;
  const slot = slotOf(insn.off);
  if (slot < 0) return state;
  const spill =
    (insn.op & CLASS_MASK) === CLASS_STX &&
    (insn.op & SIZE_MASK) === SIZE_DW &&
    insn.off % 8 === 0 &&
    (state.regs & (1 << insn.src)) !== 0;
  const bit = 1n << BigInt(slot);
  return { ...state, slots: spill ? state.slots | bit : state.slots & ~bit };
}
