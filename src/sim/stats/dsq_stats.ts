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

  constructor(
    readonly name: string,
    /** Among all groups. */
    readonly number: number,
  ) {
    this.#depthNs = 0;
    this.#since = 0;
  }

  settle(now: number): void {
    this.#depthNs += this.depth * (now - this.#since);
    this.#since = now;
  }

  /** A task comes to a queue that then has so many. */
  insert(depth: number): void {
    this.inserts++;
    this.depth++;
    if (depth > this.maxDepth) this.maxDepth = depth;
  }

  /** A task leaves that came so long ago. */
  remove(ns: number): void {
    this.depth--;
    this.latency.record(ns);
  }

  /** Mean number of tasks in all the time. */
  meanDepth(now: number): number {
    this.settle(now);
    return now === 0 ? 0 : this.#depthNs / now;
  }
}

/** Inserts and removals that wait to be counted. */
const ROOM = 1024;

/** How many tasks wait on dispatch queues, and for how long. Like the Collector it writes down what happens and counts it later. */
export class DsqStats implements DsqObserver {
  readonly #groups = new Map<string, DsqGroup>();
  readonly #list: DsqGroup[] = [];
  readonly #times = new Float64Array(ROOM);
  /** Of removals: when the task came. */
  readonly #since = new Float64Array(ROOM);
  readonly #numbers = new Int32Array(ROOM);
  /** Of inserts: how many tasks the queue has then; of removals 0. */
  readonly #depths = new Int32Array(ROOM);
  #size = 0;

  constructor(private readonly machine: { readonly elapsed: number }) {}

  added(dsq: Dsq, task: ScxTask): void {
    const now = this.machine.elapsed;
    task.dsqSince = now;
    this.#write(dsq, now, 0, dsq.nr);
  }

  removed(dsq: Dsq, task: ScxTask): void {
    this.#write(dsq, this.machine.elapsed, task.dsqSince, 0);
  }

  /** By name. */
  get groups(): ReadonlyMap<string, DsqGroup> {
    this.#flush();
    return this.#groups;
  }

  #write(dsq: Dsq, now: number, since: number, depth: number): void {
    const at = this.#size++;
    this.#times[at] = now;
    this.#since[at] = since;
    this.#numbers[at] = ((dsq.observed as DsqGroup | null) ?? this.#group(dsq)).number;
    this.#depths[at] = depth;
    if (this.#size === ROOM) this.#flush();
  }

  #flush(): void {
    const size = this.#size;
    this.#size = 0;
    for (let at = 0; at < size; at++) {
      const group = this.#list[this.#numbers[at]!]!;
      const now = this.#times[at]!;
      const depth = this.#depths[at]!;
      group.settle(now);
      if (depth > 0) group.insert(depth);
      else group.remove(now - this.#since[at]!);
    }
  }

  #group(dsq: Dsq): DsqGroup {
    const name = nameOf(dsq);
    let group = this.#groups.get(name);
    if (!group) {
      group = new DsqGroup(name, this.#list.length);
      this.#groups.set(name, group);
      this.#list.push(group);
    }
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
