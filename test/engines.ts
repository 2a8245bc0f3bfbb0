import type { CheckStrength, EngineName, RunResult, VmFault } from '../src/vm/types.js';

/** Every combination that a test of execution runs on. */
export const ENGINES: readonly EngineName[] = ['interp', 'jit'];
export const CHECKS: readonly CheckStrength[] = ['isolate', 'object'];
export const RUNS = ENGINES.flatMap((engine) => CHECKS.map((checks) => ({ engine, checks })));

/**
 * Programs of this test file that the JIT was to compile and left to the interpreter, by reason. setup.ts fills it and fails
 * the file if there is a reason that `expectRefusals` did not announce: a test that compares the interpreter with itself is none.
 */
export const refusals = new Map<string, number>();
let expected: readonly RegExp[] = [];

export function expectRefusals(...reasons: RegExp[]): void {
  expected = reasons;
}

export function unexpectedRefusals(): string[] {
  return [...refusals]
    .filter(([reason]) => !expected.some((known) => known.test(reason)))
    .map(([reason, count]) => `${count} programs: ${reason}`);
}

/** What engines must agree on, of a fault. */
export function faultRecord(fault: VmFault | undefined): unknown {
  if (!fault) return undefined;
  const { kind, insn, address, size, write, registers, frames, message } = fault;
  return { kind, insn, address, size, write, registers, frames, message };
}

/** All that a run shows, as text to compare. */
export function record({ r0, insns, fault }: RunResult): string {
  const record = fault ? { fault: faultRecord(fault), insns } : { r0, insns };
  return JSON.stringify(record, (_, value) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value));
}
