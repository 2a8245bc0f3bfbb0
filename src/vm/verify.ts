import * as abi from '../../assembly/abi.js';
import { InputError } from '../errors.js';
import type { VerifyErrorInfo } from './types.js';

/** The core's structural checks refused a program. The message names insn and reason. */
export class VerifyError extends InputError implements VerifyErrorInfo {
  override name = 'VerifyError';
  constructor(
    readonly code: number,
    readonly insn: number,
    readonly reason: string,
  ) {
    super(`insn ${insn}: ${reason}`);
  }
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(2, '0')}`;

/** What each VERIFY_* code means, given its argument. */
const REASONS: Record<number, (arg: number) => string> = {
  [abi.VERIFY_EMPTY]: () => 'the program has no insns',
  [abi.VERIFY_TOO_LONG]: (count) => `the program has ${count} insns, more than ${abi.MAX_INSNS}`,
  [abi.VERIFY_UNKNOWN_OPCODE]: (opcode) => `unknown opcode ${hex(opcode)}`,
  [abi.VERIFY_BAD_REGISTER]: (register) => `r${register} does not exist`,
  [abi.VERIFY_RESERVED_FIELD]: () => 'a reserved field is not 0',
  [abi.VERIFY_WRITE_R10]: () => 'r10 (frame pointer) is read-only',
  [abi.VERIFY_LD_IMM64_HALF]: () => 'the second half of this LD_IMM64 is missing or malformed',
  [abi.VERIFY_LD_IMM64_PSEUDO]: (src) => `LD_IMM64 with src ${src} was not resolved before loading`,
  [abi.VERIFY_JUMP_OUT_OF_RANGE]: (target) => `jump to insn ${target | 0}, outside the program`,
  [abi.VERIFY_JUMP_INTO_LD_IMM64]: (target) => `jump into the middle of the LD_IMM64 at insn ${target - 1}`,
  [abi.VERIFY_JUMP_OUT_OF_SUBPROG]: (target) => `jump to insn ${target}, in another subprogram`,
  [abi.VERIFY_FALLS_OFF_END]: () => 'the last insn of a subprogram is no exit or jump',
  [abi.VERIFY_CALL_OUT_OF_RANGE]: (target) => `call of insn ${target | 0}, outside the program`,
  [abi.VERIFY_CALL_INTO_LD_IMM64]: (target) => `call into the middle of the LD_IMM64 at insn ${target - 1}`,
  [abi.VERIFY_CALL_DEPTH]: (depth) => `the call stack of ${depth} frames is too deep (8 at most)`,
  [abi.VERIFY_LEGACY_PACKET]: (opcode) => `legacy packet load (LD_ABS/LD_IND, opcode ${hex(opcode)}) is not supported`,
  [abi.VERIFY_CALL_TARGET]: (id) => `call of function ${id} has no target`,
  [abi.VERIFY_NO_ARENA]: () => 'addr_space_cast in a program without an arena',
  [abi.VERIFY_GOTOX]: () => 'indirect jump (gotox) is not supported',
  [abi.VERIFY_BAD_ATOMIC]: (imm) => `invalid atomic operation ${hex(imm)} of this size`,
  [abi.VERIFY_NO_MEMORY]: () => 'no memory for the program',
  [abi.VERIFY_BAD_CALLBACK]: () => 'the exception callback is no insn of the program',
  [abi.VERIFY_TOO_MANY_PROGS]: () => `more than ${abi.MAX_PROGS - 1} programs`,
};

export function verifyError(code: number, insn: number, arg: number): VerifyError {
  return new VerifyError(code, insn, REASONS[code]?.(arg) ?? `refused with code ${code}`);
}
