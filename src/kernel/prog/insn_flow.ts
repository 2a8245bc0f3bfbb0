import { CLASS_JMP32, CLASS_MASK } from '../../../assembly/isa.js';
import { decodeInsn, type Insn } from '../../asm/insn.js';

/**
 * A walk over the insns that a program can get to, with a state of knowledge before each. Where ways meet, what they agree on
 * remains; an insn is looked at again whenever less is known before it.
 */
export abstract class InsnFlow<State> {
  protected readonly insns: readonly Insn[];
  protected readonly states: (State | undefined)[];
  readonly #work: number[] = [];

  constructor(bytes: Uint8Array) {
    this.insns = Array.from({ length: bytes.length / 8 }, (_, i) => decodeInsn(bytes, i * 8));
    this.states = new Array<State | undefined>(this.insns.length);
  }

  /** What both ways to an insn have in common, or undefined if that is what is known already. Neither is changed. */
  protected abstract join(known: State, state: State): State | undefined;

  /** Reaches what follows an insn. */
  protected abstract step(at: number, insn: Insn, state: State): void;

  /** Walks from an insn. */
  protected walk(from: number, state: State): void {
    this.reach(from, state);
    for (let at = this.#work.pop(); at !== undefined; at = this.#work.pop()) {
      this.step(at, this.insns[at] as Insn, this.states[at] as State);
    }
  }

  protected reach(at: number, state: State): void {
    if (at < 0 || at >= this.insns.length) return;
    const known = this.states[at];
    const joined = known === undefined ? state : this.join(known, state);
    if (joined === undefined) return;
    this.states[at] = joined;
    this.#work.push(at);
  }
  /** Where `goto` (JA, of either width) at an insn leads. */
  protected jumpTarget(at: number, { op, off, imm }: Insn): number {
    return at + 1 + ((op & CLASS_MASK) === CLASS_JMP32 ? imm : off);
  }
}
