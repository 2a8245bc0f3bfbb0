import type { LinkedCode } from './linked_code.js';

/** A call that nothing keeps a program from getting to. */
export interface OpenCall {
  /** Name of the extern. */
  extern: string;
  program: string;
  /** Index of the call within its function, and that function's name. */
  insn: number;
  function: string;
  /** `file.bpf.c:34`, or undefined without line records. */
  place: string | undefined;
}

/**
 * Calls of weak kfuncs that a kernel lacks and that no check rules out: neither `bpf_ksym_exists()` of it nor of what is called
 * in its place, nor a CO-RE question, a constant of `.rodata` as it is set now, or a `__kconfig` variable. A kernel's verifier gets to
 * such a call and refuses the program; here it is stopped when it gets there. Programs that are not to be loaded, or cannot be
 * linked, are left out.
 */
export function openCalls({
  codes,
  missing,
}: {
  codes: readonly LinkedCode[];
  missing: ReadonlySet<string>;
}): OpenCall[] {
  if (missing.size === 0) return [];
  return codes.flatMap((code) =>
    [...code.externs].flatMap(([insn, { name, call }]) =>
      call && missing.has(name) && code.reachable(insn)
        ? [{ extern: name, program: code.program.name, ...code.at(insn) }]
        : [],
    ),
  );
}
