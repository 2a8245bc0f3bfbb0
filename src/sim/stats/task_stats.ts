import { TIME } from '../../kernel/event_queue.js';
import type { SimTask } from '../sim_task.js';
import type { Pool } from './conservation.js';
import { Histogram } from './histogram.js';
import type { Share } from './lag.js';

/** How far a task went to another CPU: a thread of its core, a core of its cache, a cache of its node, another node. */
export interface Migrations {
  smt: number;
  llc: number;
  node: number;
  numa: number;
}

export const SLEEPING = 0;
export const WAITING = 1;
export const RUNNING = 2;
export const DEAD = 3;
/** Runnable, but not allowed to run: its cgroup has used up cpu.max, or the task its SCHED_DEADLINE runtime. */
export const THROTTLED = 4;
type State = typeof SLEEPING | typeof WAITING | typeof RUNNING | typeof DEAD | typeof THROTTLED;

/** What a task had of the machine. */
export class TaskStats {
  state: State = SLEEPING;
  /** Since when it sleeps, runs, or is runnable without a CPU, and until when that is counted. */
  since = TIME;
  counted = TIME;
  /** Null when it has exited. */
  live: SimTask | null;
  /** It waits since it was woken, rather than since it was switched away from. */
  fromWake = false;
  runNs = TIME;
  waitNs = TIME;
  sleepNs = TIME;
  throttledNs = TIME;
  /** CPU time that it is behind its fair share, below 0 if it is ahead, and the most that it ever was behind. */
  lagNs = TIME;
  maxLagNs = TIME;
  /** Once had a fair share. */
  shared = false;
  #share: Share | null = null;
  /** What of the share's time is counted. */
  #idealNs = TIME;
  wakeups = 0;
  /** Stretches on a CPU. */
  slices = 0;
  maxSliceNs = TIME;
  /** Times that it was switched away from while it went on being runnable. */
  preemptions = 0;
  migrations = 0;
  lastCpu = -1;
  exitedAt = TIME;
  readonly wakeupLatency = new Histogram();
  readonly runDelay = new Histogram();
  /** Whose wait counts against which idle CPUs. */
  pool: Pool | null = null;

  readonly name: string;
  readonly pid: number;

  constructor(
    task: SimTask,
    readonly group: GroupStats,
    readonly bornAt: number,
    /** As p->scx.weight has it: 100 is nice 0. */
    public weight: number,
  ) {
    this.name = task.name;
    this.pid = task.kt.pid;
    this.live = task;
    this.since = bornAt;
    this.counted = bornAt;
    this.runNs = 0;
    this.waitNs = 0;
    this.sleepNs = 0;
    this.throttledNs = 0;
    this.lagNs = 0;
    this.maxLagNs = 0;
    this.#idealNs = 0;
    this.maxSliceNs = 0;
    this.exitedAt = -1;
    group.tasks.push(this);
  }

  /** Brings its times up to now, to which its share has to be brought before; so long it has been in its state. */
  settle(now: number): number {
    const ns = now - this.counted;
    if (this.state === SLEEPING) this.sleepNs += ns;
    else if (this.state === WAITING) this.waitNs += ns;
    else if (this.state === RUNNING) this.runNs += ns;
    else if (this.state === THROTTLED) this.throttledNs += ns;
    this.counted = now;
    const share = this.#share;
    if (share) {
      this.lagNs += share.idealNs - this.#idealNs - (this.state === RUNNING ? ns : 0);
      this.#idealNs = share.idealNs;
      if (this.lagNs > this.maxLagNs) this.maxLagNs = this.lagNs;
    }
    return now - this.since;
  }

  get share(): Share | null {
    return this.#share;
  }

  /** It ought to have that share of the CPUs from now on, for which its times are settled. */
  set share(share: Share | null) {
    this.#share = share;
    if (!share) return;
    this.shared = true;
    this.#idealNs = share.idealNs;
  }

  enter(state: State, now: number): void {
    this.state = state;
    this.since = now;
  }
}

/** What tasks of one group had of it together. */
export class GroupStats {
  readonly tasks: TaskStats[] = [];
  readonly wakeupLatency = new Histogram();
  readonly runDelay = new Histogram();
  readonly slice = new Histogram();
  readonly migrations: Migrations = { smt: 0, llc: 0, node: 0, numa: 0 };

  constructor(readonly name: string) {}
}
