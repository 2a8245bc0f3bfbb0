import type { OpTracer } from '../../sched_ext/call.js';
import type { OpName, ScxSched } from '../../sched_ext/sched.js';
import { Histogram } from './histogram.js';

/** What each call of each op took, while the kernel counts it (statistics are on). */
export class CallStats implements OpTracer {
  readonly insns = new Map<OpName, Histogram>();
  /** ns of the host, kfuncs included. No part of a report: they differ from run to run. */
  readonly hostNs = new Map<OpName, Histogram>();
  /** Counts at the begin of the calls in progress, innermost last: insns, then ns. */
  readonly #before: number[] = [];

  begin(op: OpName, sched: ScxSched): void {
    const stats = sched.ops[op]?.stats;
    this.#before.push(stats?.insns ?? 0, stats?.ns ?? 0);
  }

  end(op: OpName, sched: ScxSched): void {
    const ns = this.#before.pop()!;
    const insns = this.#before.pop()!;
    const stats = sched.ops[op]?.stats;
    histogramOf(this.insns, op).record((stats?.insns ?? insns) - insns);
    histogramOf(this.hostNs, op).record(Math.max(Math.round((stats?.ns ?? ns) - ns), 0));
  }
}

function histogramOf(of: Map<OpName, Histogram>, op: OpName): Histogram {
  let histogram = of.get(op);
  if (!histogram) {
    histogram = new Histogram();
    of.set(op, histogram);
  }
  return histogram;
}
