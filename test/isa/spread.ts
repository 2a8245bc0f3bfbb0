import {
  CLASS_JMP,
  CLASS_JMP32,
  CLASS_MASK,
  CODE_MASK,
  JMP_CALL,
  JMP_EXIT,
  JMP_JA,
  OP_CALL,
  OP_EXIT,
  OP_JA,
  OP_JA32,
  OP_LD_IMM64,
  PSEUDO_FUNC,
  SRC_MASK,
} from '../../assembly/isa.js';
import { decodeInsn, encodeInsn, type Insn, isWide } from '../../src/asm/index.js';

/**
 * The same program with a `goto +0` behind every insn, so that no engine can take neighbours together: each instruction
 * then runs through its own handler. Undefined if a jump would get too far.
 */
export function spread(insns: Uint8Array): Uint8Array | undefined {
  const count = Math.floor(insns.length / 8);
  const place: number[] = [];
  let length = 0;
  for (let i = 0; i < count; i++) {
    place[i] = length;
    const wide = isWide(insns[i * 8] ?? 0) && i + 1 < count;
    if (wide) place[++i] = length + 1;
    length += wide ? 3 : 2;
  }
  const out = new Uint8Array(length * 8);
  for (let i = 0; i < count; i++) {
    const insn = decodeInsn(insns, i * 8);
    const at = place[i] ?? 0;
    const field = target(insn);
    if (field) {
      const to = place[i + 1 + insn[field]];
      if (to === undefined) return undefined;
      insn[field] = to - at - 1;
      if (field === 'off' && insn.off !== (insn.off << 16) >> 16) return undefined;
    }
    encodeInsn(insn, out, at * 8);
    const wide = isWide(insn.op) && i + 1 < count;
    if (wide) out.set(insns.subarray(++i * 8, (i + 1) * 8), (at + 1) * 8);
    // Behind an exit it is not reached, and may not lead into the next function.
    const off = insn.op === OP_EXIT ? -1 : 0;
    encodeInsn({ op: OP_JA, dst: 0, src: 0, off, imm: 0 }, out, (at + (wide ? 2 : 1)) * 8);
  }
  // Nothing may stand behind the last insn of the program, and nothing has to.
  return out.subarray(0, out.length - 8);
}

/** The field that holds a distance. */
function target({ op, src }: Insn): 'off' | 'imm' | undefined {
  if (op === OP_LD_IMM64) return src === PSEUDO_FUNC ? 'imm' : undefined;
  if (op === OP_CALL) return src === 1 ? 'imm' : undefined;
  if (op === OP_JA32) return 'imm';
  const cls = op & CLASS_MASK;
  const code = op & CODE_MASK;
  if ((cls !== CLASS_JMP && cls !== CLASS_JMP32) || code === JMP_CALL || code === JMP_EXIT) return undefined;
  return code === JMP_JA && (op & SRC_MASK) !== 0 ? undefined : 'off';
}
