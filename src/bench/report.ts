import type { CheckStrength, EngineName } from '../vm/types.js';

/** How a program is executed. */
export interface Setup {
  engine: EngineName;
  checks: CheckStrength;
}

/** One program, or one member of a struct_ops map, under one setup. */
export interface BenchRow extends Setup {
  /** The program's name; of members `map.member`. */
  name: string;
  /** Of members, the program behind it. */
  program?: string;
  /** Median over the samples, each of which is the mean of its calls: from the entry into the program to its return. */
  nsPerCall: number;
  nsPerInsn: number;
  /** Executed insns of a call, on average. */
  insns: number;
  /** How many, and calls in all of them. */
  samples: number;
  calls: number;
  /** Half-width of the 95 % confidence interval of nsPerCall, percent. */
  rme: number;
  /** ns a call of each sample, and the same in units of the reference that was timed beside it. */
  values: number[];
  relative: number[];
}

/** What could not be timed. */
export interface Skipped extends Partial<Setup> {
  name: string;
  why: string;
  /** A program was stopped, rather than never called or not to be had. */
  failed?: true;
}

export interface BenchReport {
  object: string;
  kernel: string;
  rows: BenchRow[];
  skipped: Skipped[];
  /** Whose times these are; the reference is a fixed loop in Wasm. */
  host: { runtime: string; referenceNs: number };
}

/** `interp, object` */
export const setupName = ({ engine, checks }: Partial<Setup>) => [engine, checks].filter(Boolean).join(', ');
