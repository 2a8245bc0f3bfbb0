import {
  ALU_ADD,
  ALU_AND,
  ALU_ARSH,
  ALU_LSH,
  ALU_MOV,
  ALU_MUL,
  ALU_OR,
  ALU_RSH,
  ALU_SUB,
  ALU_XOR,
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
  JMP_JEQ,
  JMP_JGE,
  JMP_JGT,
  JMP_JLE,
  JMP_JLT,
  JMP_JNE,
  JMP_JSET,
  JMP_JSGE,
  JMP_JSGT,
  JMP_JSLE,
  JMP_JSLT,
  MODE_ATOMIC,
  MODE_MASK,
  MODE_MEM,
  OP_LD_IMM64,
  PSEUDO_FUNC,
  REG_COUNT,
  REG_FP,
  SRC_MASK,
  STACK_BYTES,
} from '../../../assembly/isa.js';
import { accessBytes, type Insn } from '../../asm/insn.js';
import { InsnFlow } from './insn_flow.js';

/** What is the same on every way to an insn: values of registers, and of 8-byte spills by their address in the frame. */
interface State {
  regs: (bigint | undefined)[];
  slots: ReadonlyMap<bigint, bigint>;
}

/** What r10 holds: every frame ends here, as no address leads from one to another. */
const FRAME_END = 1n << 61n;
const isStack = (value: bigint | undefined): value is bigint =>
  value !== undefined && value < FRAME_END + BigInt(STACK_BYTES) && value >= FRAME_END - BigInt(STACK_BYTES);

/** `bytes` bytes at an address that can never change, or undefined. */
export type ReadConstant = (address: bigint, bytes: number) => bigint | undefined;

/**
 * Which insns a program can get to, as far as constants decide (kernel: what is left of the verifier's pruning of branches
 * without ranges): addresses of what does not exist are 0, frozen read-only maps have their values. Insns must have their LD_IMM64
 * resolved. An insn that no constant rules out counts as one that the program gets to.
 */
export function reachableInsns(bytes: Uint8Array, read: ReadConstant): (insn: number) => boolean {
  const flow = new Flow(bytes, read);
  flow.run();
  return (insn) => flow.reached(insn);
}

class Flow extends InsnFlow<State> {
  /** An indirect jump leaves open where it goes. */
  #open = false;
  /** Lowest address in a frame from which on some pointer leads that is not followed: spills there are not believed. */
  #lost = FRAME_END;

  constructor(
    bytes: Uint8Array,
    private readonly read: ReadConstant,
  ) {
    super(bytes);
  }

  run(): void {
    for (let lost: bigint | undefined; lost !== this.#lost; ) {
      lost = this.#lost;
      this.states.fill(undefined);
      this.walk(0, unknown());
    }
  }

  reached(insn: number): boolean {
    return this.#open || this.states[insn] !== undefined;
  }

  /** What an insn does not have in common with the other ways to it is no longer known. */
  protected override join(known: State, state: State): State | undefined {
    let changed = false;
    const regs = known.regs.map((value, r) => {
      const other = state.regs[r];
      if (value === other) return value;
      this.#lose(value);
      this.#lose(other);
      if (value !== undefined) changed = true;
      return undefined;
    });
    const slots = new Map<bigint, bigint>();
    for (const [at, value] of known.slots) {
      if (state.slots.get(at) === value && at < this.#lost) slots.set(at, value);
      else {
        this.#lose(value);
        changed = true;
      }
    }
    return changed ? { regs, slots } : undefined;
  }

  /** A pointer into the frame is no longer followed: what it may be used for is not known from there on. */
  #lose(value: bigint | undefined): void {
    if (isStack(value) && value !== FRAME_END && value < this.#lost) this.#lost = value;
  }

  protected override step(at: number, insn: Insn, before: State): void {
    const state = [...before.regs];
    let { slots } = before;
    const { op, dst, src, off } = insn;
    switch (op & CLASS_MASK) {
      case CLASS_ALU:
      case CLASS_ALU64: {
        const value = alu(insn, state[dst], state[src]);
        if (value === undefined) this.#lose((op & SRC_MASK) !== 0 && isStack(state[src]) ? state[src] : state[dst]);
        state[dst] = value;
        break;
      }
      case CLASS_LD:
        if (op === OP_LD_IMM64) {
          this.#loadImm64(at, insn, { regs: state, slots });
          return;
        }
        // LD_ABS and LD_IND scratch like calls.
        state.fill(undefined, 0, 6);
        break;
      case CLASS_LDX: {
        const base = state[src];
        const plain = (op & MODE_MASK) === MODE_MEM && base !== undefined;
        state[dst] = plain ? this.#read(BigInt.asUintN(64, base + BigInt(off)), accessBytes(op), slots) : undefined;
        break;
      }
      case CLASS_ST:
      case CLASS_STX: {
        const atomic = (op & CLASS_MASK) === CLASS_STX && (op & MODE_MASK) === MODE_ATOMIC;
        const value = (op & CLASS_MASK) === CLASS_STX && !atomic ? state[src] : undefined;
        const base = state[dst];
        if (isStack(base)) slots = this.#spill(slots, base + BigInt(off), accessBytes(op), value);
        else this.#lose(value);
        if (atomic) {
          state[src] = undefined;
          state[0] = undefined;
        }
        break;
      }
      case CLASS_JMP:
      case CLASS_JMP32:
        this.#jump(at, insn, { regs: state, slots });
        return;
      default:
    }
    this.reach(at + 1, { regs: state, slots });
  }

  #read(address: bigint, bytes: number, slots: State['slots']): bigint | undefined {
    if (!isStack(address)) return this.read(address, bytes);
    return bytes === 8 ? slots.get(address) : undefined;
  }

  #spill(slots: State['slots'], address: bigint, bytes: number, value: bigint | undefined): State['slots'] {
    const kept = new Map(slots);
    for (const at of slots.keys()) if (at < address + BigInt(bytes) && at + 8n > address) kept.delete(at);
    if (value !== undefined && bytes === 8 && address < this.#lost) kept.set(address, value);
    else this.#lose(value);
    return kept;
  }

  /** What a call may write through pointers into the frame: from each of them on, and through pointers that lie there. */
  #called({ regs, slots }: State): State {
    const pointers = [...regs.slice(1, 6), ...slots.values()].filter(isStack);
    const passed = regs.slice(1, 6).some(isStack);
    const low = pointers.reduce((least, value) => (value < least ? value : least), FRAME_END);
    const kept = passed ? new Map([...slots].filter(([at]) => at + 8n <= low)) : slots;
    return { regs: regs.map((value, r) => (r < 6 ? undefined : value)), slots: kept };
  }

  #loadImm64(at: number, { dst, src, imm }: Insn, state: State): void {
    const { regs } = state;
    if (src === PSEUDO_FUNC) {
      this.reach(at + imm + 1, unknown());
      regs[dst] = undefined;
    } else {
      const high = (this.insns[at + 1]?.imm ?? 0) >>> 0;
      regs[dst] = src === 0 ? (BigInt(high) << 32n) | BigInt(imm >>> 0) : undefined;
    }
    this.reach(at + 2, state);
  }

  #jump(at: number, insn: Insn, state: State): void {
    const { op, dst, src, off, imm } = insn;
    const wide = (op & CLASS_MASK) === CLASS_JMP;
    switch (op & CODE_MASK) {
      case JMP_EXIT:
        return;
      case JMP_CALL:
        if (src === CALL_SUBPROG) this.reach(at + imm + 1, unknown());
        this.reach(at + 1, this.#called(state));
        return;
      case JMP_JA:
        if ((op & SRC_MASK) !== 0) this.#open = true;
        this.reach(this.jumpTarget(at, insn), state);
        return;
      default:
    }
    const operand = (op & SRC_MASK) !== 0 ? state.regs[src] : BigInt.asUintN(64, BigInt(imm));
    const taken = compare(op & CODE_MASK, state.regs[dst], operand, wide ? 64 : 32);
    if (taken !== false) this.reach(at + 1 + off, state);
    if (taken !== true) this.reach(at + 1, state);
  }
}

function unknown(): State {
  const regs = new Array<bigint | undefined>(REG_COUNT).fill(undefined);
  regs[REG_FP] = FRAME_END;
  return { regs, slots: new Map() };
}

function alu({ op, off, imm }: Insn, left: bigint | undefined, reg: bigint | undefined): bigint | undefined {
  const bits = (op & CLASS_MASK) === CLASS_ALU64 ? 64 : 32;
  const right = (op & SRC_MASK) !== 0 ? reg : BigInt(imm);
  const code = op & CODE_MASK;
  // Sign-extending moves, signed division and addr_space_cast have an offset.
  if (right === undefined || off !== 0) return undefined;
  if (code === ALU_MOV) return BigInt.asUintN(bits, right);
  if (left === undefined) return undefined;
  const shift = right & BigInt(bits - 1);
  const a = BigInt.asUintN(bits, left);
  const result: Readonly<Record<number, () => bigint>> = {
    [ALU_ADD]: () => a + right,
    [ALU_SUB]: () => a - right,
    [ALU_MUL]: () => a * right,
    [ALU_OR]: () => a | BigInt.asUintN(bits, right),
    [ALU_AND]: () => a & BigInt.asUintN(bits, right),
    [ALU_XOR]: () => a ^ BigInt.asUintN(bits, right),
    [ALU_LSH]: () => a << shift,
    [ALU_RSH]: () => a >> shift,
    [ALU_ARSH]: () => BigInt.asIntN(bits, a) >> shift,
  };
  const value = result[code]?.();
  return value === undefined ? undefined : BigInt.asUintN(bits, value);
}

/** RFC 9669 section 4.3. Undefined: either. */
function compare(code: number, left: bigint | undefined, right: bigint | undefined, bits: number): boolean | undefined {
  if (left === undefined || right === undefined) return undefined;
  const [a, b] = [BigInt.asUintN(bits, left), BigInt.asUintN(bits, right)];
  const [sa, sb] = [BigInt.asIntN(bits, a), BigInt.asIntN(bits, b)];
  switch (code) {
    case JMP_JEQ:
      return a === b;
    case JMP_JGT:
      return a > b;
    case JMP_JGE:
      return a >= b;
    case JMP_JSET:
      return (a & b) !== 0n;
    case JMP_JNE:
      return a !== b;
    case JMP_JSGT:
      return sa > sb;
    case JMP_JSGE:
      return sa >= sb;
    case JMP_JLT:
      return a < b;
    case JMP_JLE:
      return a <= b;
    case JMP_JSLT:
      return sa < sb;
    case JMP_JSLE:
      return sa <= sb;
    default:
      // may_goto, and what there is not.
      return undefined;
  }
}
