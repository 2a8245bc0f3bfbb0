import type { OpTracer } from '../../sched_ext/call.js';
import type { OpName, ScxSched } from '../../sched_ext/sched.js';
import { Histogram } from './histogram.js';

/** Insns of each call of each op, while the kernel counts them (statistics are on). */
export class CallStats implements OpTracer {
  readonly insns = new Map<OpName, Histogram>();
  /** Counts at the begin of the calls in progress, innermost last. */
  readonly #before: number[] = [];

  begin(op: OpName, sched: ScxSched): void {
    this.#before.push(sched.ops[op]?.stats.insns ?? 0);
  }

  end(op: OpName, sched: ScxSched): void {
    const before = this.#before.pop()!;
    let histogram = this.insns.get(op);
    if (!histogram) {
      histogram = new Histogram();
      this.insns.set(op, histogram);
    }
    histogram.record((sched.ops[op]?.stats.insns ?? before) - before);
  }
}
