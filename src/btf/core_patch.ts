import {
  CLASS_ALU,
  CLASS_ALU64,
  CLASS_LD,
  CLASS_LDX,
  CLASS_MASK,
  CLASS_ST,
  CLASS_STX,
  INSN_BYTES,
  OP_CALL,
  OP_LD_IMM64,
  SIZE_B,
  SIZE_DW,
  SIZE_H,
  SIZE_MASK,
  SIZE_W,
  SRC_MASK,
} from '../../assembly/isa.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError, within } from '../errors.js';
import { type CoReRelo, type CoReResolver, type CoReResult, coReKindName } from './core.js';

/** Helper number of the call that stands where an unresolvable insn was: libbpf's "bad relo", a helper that never was. */
export const BAD_RELO = 0xbad2310;

/** An insn that must not be reached, and what the fault says if it is. */
export interface CoRePoison {
  insn: number;
  text: string;
}

/**
 * Applies a function's CO-RE relocations to its insns, in place. Returns what had to be poisoned: dead code in a program that
 * asks `bpf_core_field_exists` first, a fault by name in one that does not.
 */
export function applyCoRe(insns: Uint8Array, relos: readonly CoReRelo[], resolver: CoReResolver): CoRePoison[] {
  const poisons: CoRePoison[] = [];
  for (const relo of relos) {
    within(`insn ${relo.insn}`, () => {
      const wide = insns[relo.insn * INSN_BYTES] === OP_LD_IMM64;
      const text = patchInsn(insns, relo.insn, resolver.resolve(relo));
      if (text === undefined) return;
      poisons.push({ insn: relo.insn, text });
      if (wide) poisons.push({ insn: relo.insn + 1, text });
    });
  }
  return poisons;
}

/** Bytes of a load or store by its size bits. */
const ACCESS_BYTES = new Map([
  [SIZE_B, 1],
  [SIZE_H, 2],
  [SIZE_W, 4],
  [SIZE_DW, 8],
]);

/**
 * Writes a relocation's value into its insn (libbpf: bpf_core_patch_insn): immediate of `rX = imm` and `rX += imm`, offset and
 * size of a load or store, both halves of a 64-bit immediate. The insn must be what the compiler wrote for the local type.
 * Returns the reason if the insn was poisoned instead. Throws InputError for an insn that cannot carry the relocation.
 */
export function patchInsn(insns: Uint8Array, index: number, result: CoReResult): string | undefined {
  const at = index * INSN_BYTES;
  const wide = insns[at] === OP_LD_IMM64;
  const bytes = wide ? 2 * INSN_BYTES : INSN_BYTES;
  if (!Number.isInteger(index) || index < 0 || at + bytes > insns.length) {
    throw new InputError(`CO-RE relocation beyond the function's ${insns.length / INSN_BYTES} insns`);
  }
  if (result.poison) {
    poison(insns, at, wide);
    return `CO-RE relocation ${result.subject} does not exist in the kernel's BTF`;
  }
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  const what = `CO-RE ${coReKindName(result.kind)} of ${result.subject}`;
  const check = (form: string, got: bigint) => {
    if (result.validate && BigInt.asUintN(64, got) !== result.originalValue) {
      const expected = `exp ${result.originalValue} -> ${result.value}`;
      throw new InputError(`${what}: unexpected insn (${form}) value: got ${got}, ${expected}`);
    }
  };
  const op = insns[at] ?? 0;
  const insnClass = op & CLASS_MASK;
  switch (insnClass) {
    case CLASS_ALU:
    case CLASS_ALU64:
      if (op & SRC_MASK) throw new InputError(`${what}: insn has no immediate`);
      check('ALU/ALU64', BigInt(view.getInt32(at + 4, true)));
      view.setUint32(at + 4, Number(BigInt.asUintN(32, result.value)), true);
      return undefined;

    case CLASS_LDX:
    case CLASS_ST:
    case CLASS_STX: {
      check('LDX/ST/STX', BigInt(view.getInt16(at + 2, true)));
      if (result.value > 0x7fffn) {
        throw new ErrnoError(ERRNO.ERANGE, `${what}: insn (LDX/ST/STX) value too big: ${result.value}`);
      }
      if (result.refuseResize) {
        poison(insns, at, false);
        const sizes = `${result.size} bytes and not ${result.originalSize}`;
        return `CO-RE relocation ${result.subject} accesses a field that has ${sizes} in the kernel's BTF`;
      }
      view.setInt16(at + 2, Number(result.value), true);
      if (result.size !== result.originalSize) {
        const size = ACCESS_BYTES.get(op & SIZE_MASK);
        if (size !== result.originalSize) {
          const sizes = `got ${size}, exp ${result.originalSize}`;
          throw new InputError(`${what}: insn (LDX/ST/STX) unexpected mem size: ${sizes}`);
        }
        const bits = [...ACCESS_BYTES].find(([, width]) => width === result.size)?.[0];
        if (bits === undefined) {
          throw new ErrnoError(ERRNO.EINVAL, `${what}: insn (LDX/ST/STX) invalid new mem size: ${result.size}`);
        }
        insns[at] = (op & ~SIZE_MASK) | bits;
      }
      return undefined;
    }

    case CLASS_LD: {
      const plain = wide && view.getUint32(at, true) >>> 12 === 0 && view.getUint32(at + INSN_BYTES, true) === 0;
      if (!plain) throw new InputError(`${what}: insn (LDIMM64) has unexpected form`);
      const imm = BigInt(view.getUint32(at + 4, true)) | (BigInt(view.getUint32(at + INSN_BYTES + 4, true)) << 32n);
      check('LDIMM64', imm);
      view.setUint32(at + 4, Number(BigInt.asUintN(32, result.value)), true);
      view.setUint32(at + INSN_BYTES + 4, Number(BigInt.asUintN(32, result.value >> 32n)), true);
      return undefined;
    }

    default:
      throw new InputError(`${what}: trying to relocate unrecognized insn, code 0x${op.toString(16)}`);
  }
}

/** `call 0xbad2310`, twice where the insn took two slots. */
function poison(insns: Uint8Array, at: number, wide: boolean): void {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  for (let slot = at; slot <= (wide ? at + INSN_BYTES : at); slot += INSN_BYTES) {
    view.setUint32(slot, OP_CALL, true);
    view.setUint32(slot + 4, BAD_RELO, true);
  }
}
