import { TIME } from '../../kernel/event_queue.js';
import type { DsqObserver } from '../../sched_ext/dispatch.js';
import { DSQ_BYPASS, DSQ_GLOBAL, DSQ_LOCAL, type Dsq } from '../../sched_ext/dsq.js';
import type { ScxTask } from '../../sched_ext/task.js';
import { Histogram } from './histogram.js';

/** A user queue, or all queues of a built-in kind. */
export class DsqGroup {
  inserts = 0;
  /** Tasks on it now, and of a single queue at most. */
  depth = 0;
  maxDepth = 0;
  /** Time that tasks spent on it. */
  readonly latency = new Histogram();
  #depthNs = TIME;
  #since = TIME;

  constructor(readonly name: string) {
    this.#depthNs = 0;
    this.#since = 0;
  }

  settle(now: number): void {
    this.#depthNs += this.depth * (now - this.#since);
    this.#since = now;
  }

  /** Mean number of tasks in all the time. */
  meanDepth(now: number): number {
    this.settle(now);
    return now === 0 ? 0 : this.#depthNs / now;
  }
}

/** How many tasks wait on dispatch queues, and for how long. */
export class DsqStats implements DsqObserver {
  readonly groups = new Map<string, DsqGroup>();

  constructor(private readonly machine: { readonly elapsed: number }) {}

  added(dsq: Dsq, task: ScxTask): void {
    const now = this.machine.elapsed;
    const group = (dsq.observed as DsqGroup | null) ?? this.#group(dsq);
    group.settle(now);
    group.inserts++;
    group.depth++;
    if (dsq.nr > group.maxDepth) group.maxDepth = dsq.nr;
    task.dsqSince = now;
  }

  removed(dsq: Dsq, task: ScxTask): void {
    const now = this.machine.elapsed;
    const group = (dsq.observed as DsqGroup | null) ?? this.#group(dsq);
    group.settle(now);
    group.depth--;
    group.latency.record(now - task.dsqSince);
  }

  #group(dsq: Dsq): DsqGroup {
    const name = nameOf(dsq);
    const group = this.groups.get(name) ?? new DsqGroup(name);
    this.groups.set(name, group);
    dsq.observed = group;
    return group;
  }
}

function nameOf(dsq: Dsq): string {
  switch (dsq.kind) {
    case DSQ_LOCAL:
      return 'local';
    case DSQ_GLOBAL:
      return 'global';
    case DSQ_BYPASS:
      return 'bypass';
    default:
      return dsq.shortLabel;
  }
}
