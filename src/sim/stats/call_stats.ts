import type { OpCalls } from '../../sched_ext/call.js';
import { OP, OP_NAMES, type Op, type OpName } from '../../sched_ext/op_names.js';
import { Histogram } from './histogram.js';

/** What each call of each op took, while the kernel counts it (statistics are on). */
export class CallStats {
  readonly #insns: readonly Histogram[] = OP_NAMES.map(() => new Histogram());
  readonly #hostNs: readonly Histogram[] = OP_NAMES.map(() => new Histogram());

  constructor(calls: OpCalls) {
    calls.meter = (op, insns, ns) => this.#record(op, insns, ns);
  }

  #record(op: Op, insns: number, ns: number): void {
    this.#insns[op]!.record(insns);
    if (ns >= 0) this.#hostNs[op]!.record(Math.round(ns));
  }

  insns(op: OpName): Histogram {
    return this.#insns[OP[op]]!;
  }

  /** ns of the host, kfuncs included, of the calls that were timed. No part of a report: they differ from run to run. */
  hostNs(): [op: OpName, ns: Histogram][] {
    return OP_NAMES.flatMap((op) => (this.#hostNs[OP[op]]!.count > 0 ? [[op, this.#hostNs[OP[op]]!]] : []));
  }
}
