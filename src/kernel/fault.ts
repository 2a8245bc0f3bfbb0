import { UnsupportedError, VmtableError } from '../errors.js';
import type { VmFault } from '../vm/types.js';

/** Where a fault happened, in the words of the program's source. */
export interface FaultPlace {
  /** Name of the program. */
  prog: string;
  /** Index of the 8-byte insn in the program. */
  insn: number;
  /** From line info, if the program carries it. */
  file?: string;
  line?: number;
  column?: number;
  /** The source line itself. */
  text?: string;
  /** Subprogram, from func info. */
  function?: string;
}

/**
 * A program was stopped. The message is `prog "x": insn 12 (file.bpf.c:34): what is wrong`; the details stand in `fault` and
 * `place`. What a helper or kfunc threw is the `cause`.
 */
export class ProgramFault extends VmtableError {
  /** 3 where the program needed what is not modelled, or a function that is not there. */
  override readonly exitCode: number;
  override name = 'ProgramFault';

  constructor(
    readonly fault: VmFault,
    readonly place: FaultPlace,
    /** Frames below the innermost, nearest first: where each was called. */
    readonly callers: readonly FaultPlace[],
    message: string,
  ) {
    super(message, fault.error === undefined ? undefined : { cause: fault.error });
    this.exitCode = lacking(fault) ? 3 : 1;
  }
}

function lacking({ kind, error }: VmFault): boolean {
  return kind === 'unmodelled' || kind === 'missing_function' || error instanceof UnsupportedError;
}

/** `insn 12 (file.bpf.c:34)` */
export function placeText(place: FaultPlace): string {
  return place.file === undefined ? `insn ${place.insn}` : `insn ${place.insn} (${place.file}:${place.line})`;
}
