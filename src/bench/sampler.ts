import type { BenchRow, Setup } from './report.js';
import { median, relativeMargin } from './stats.js';

export const now = () => performance.now() * 1e6;

/** Code that is timed as a whole: the ns that n calls take. */
export interface Batch {
  time(n: number): number;
}

export interface SampleOptions {
  /** Rounds, each of which takes one sample of every subject. */
  samples: number;
  /** How long one sample of a batch lasts at least, and how long a subject runs before anything counts, ns. */
  sampleNs: number;
  warmNs: number;
  /** Told before each round. */
  onRound?: (round: number, rounds: number) => void;
}

export const DEFAULT_SAMPLING: SampleOptions = { samples: 40, sampleNs: 1e6, warmNs: 2e8 };

/** Runs a batch until V8 has optimised it; how many calls a sample takes. */
export function warmUp(batch: Batch, { sampleNs, warmNs }: SampleOptions): number {
  const end = now() + warmNs;
  let calls = 1;
  for (;;) {
    const ns = batch.time(calls);
    if (ns < sampleNs) calls *= 2;
    else if (now() >= end) return calls;
  }
}

/**
 * A loop whose instructions never change, in Wasm as everything that is timed here: what it takes tells how fast the machine
 * is at the moment, so that samples of different days can be compared in units of it.
 */
export class Reference implements Batch {
  readonly #spin: (rounds: number) => number;
  #calls: number;
  /** ns a call, of each round. */
  readonly values: number[] = [];

  constructor(options: SampleOptions) {
    // (func (export "f") (param i32) (result i32) (local i32) i32.const 1 local.set 1
    //   loop (xorshift32: x ^= x << 13; x ^= x >>> 17; x ^= x << 5) local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end
    //   local.get 1)
    const step = (op: number, bits: number) => [0x20, 1, 0x20, 1, 0x41, bits, op, 0x73, 0x21, 1];
    const loop = [0x03, 0x40, ...step(0x74, 13), ...step(0x76, 17), ...step(0x74, 5)];
    const body = [1, 1, 0x7f, 0x41, 1, 0x21, 1, ...loop, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1, 0x0b];
    const types = [1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f];
    const head = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...types, 3, 2, 1, 0, 7, 5, 1, 1, 0x66, 0, 0];
    const code = [10, body.length + 2, 1, body.length, ...body];
    const module = new WebAssembly.Module(Uint8Array.from([...head, ...code]));
    this.#spin = new WebAssembly.Instance(module).exports.f as (rounds: number) => number;
    this.#calls = 1;
    this.#calls = warmUp(this, options);
  }

  time(n: number): number {
    const start = now();
    for (let i = 0; i < n; i++) this.#spin(256);
    return now() - start;
  }

  sample(): number {
    const ns = this.time(this.#calls) / this.#calls;
    this.values.push(ns);
    return ns;
  }
}

/** The samples of one row as they come in. */
export class Series {
  readonly values: number[] = [];
  readonly relative: number[] = [];
  calls = 0;

  add(nsPerCall: number, calls: number, reference: number): void {
    this.values.push(nsPerCall);
    this.relative.push(nsPerCall / reference);
    this.calls += calls;
  }

  row(name: string, setup: Setup, insns: number, program?: string): BenchRow {
    const nsPerCall = median(this.values);
    return {
      name,
      ...(program !== undefined && { program }),
      ...setup,
      nsPerCall,
      nsPerInsn: insns === 0 ? 0 : nsPerCall / insns,
      insns,
      samples: this.values.length,
      calls: this.calls,
      rme: relativeMargin(this.values),
      values: this.values,
      relative: this.relative,
    };
  }
}
