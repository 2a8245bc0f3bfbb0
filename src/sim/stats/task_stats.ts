import { TIME } from '../../kernel/event_queue.js';
import { Rows } from '../rows.js';
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

// Cells of a task's row: time in each state first, by its number.
const SINCE = 5;
const COUNTED = 6;
const MAX_SLICE = 7;
const LAG = 8;
const MAX_LAG = 9;
const IDEAL = 10;
const CELLS = 12;

/** Rows of TaskStats. */
export function taskRows(): Rows {
  return new Rows(CELLS);
}

const NONE = new Histogram();

/** What a task had of the machine. */
export class TaskStats {
  state: State = SLEEPING;
  /** It waits since it was woken, rather than since it was switched away from. */
  fromWake = false;
  readonly #row: number;
  #share: Share | null = null;
  /** What `share` is while it wants a CPU; null where there is no fair share for it. */
  due: Share | null = null;
  /** Whose wait counts against which idle CPUs. */
  pool: Pool | null = null;
  lastCpu = -1;
  wakeups = 0;
  /** Stretches on a CPU that are over. */
  #slices = 0;
  /** Times that it was switched away from while it went on being runnable. */
  preemptions = 0;
  migrations = 0;
  /** Once had a fair share. */
  shared = false;
  /** Null when it has exited. */
  live: SimTask | null;
  exitedAt = TIME;
  #woken: Histogram | null = null;
  #putBack: Histogram | null = null;

  readonly name: string;
  readonly pid: number;

  constructor(
    task: SimTask,
    readonly group: GroupStats,
    readonly bornAt: number,
    /** As p->scx.weight has it: 100 is nice 0. */
    public weight: number,
    private readonly rows: Rows,
    /** Among all tasks that are counted. */
    readonly number: number,
  ) {
    this.#row = rows.add();
    this.name = task.name;
    this.pid = task.kt.pid;
    this.live = task;
    this.exitedAt = -1;
    rows.cells[this.#row + SINCE] = bornAt;
    rows.cells[this.#row + COUNTED] = bornAt;
    group.tasks.push(this);
  }

  get sleepNs(): number {
    return this.#cell(SLEEPING);
  }

  get waitNs(): number {
    return this.#cell(WAITING);
  }

  get runNs(): number {
    return this.#cell(RUNNING);
  }

  get throttledNs(): number {
    return this.#cell(THROTTLED);
  }

  /** How long it has had the CPU that it is on, as far as it is settled; 0 of one that is on none. */
  get sliceNs(): number {
    return this.state === RUNNING ? this.#cell(COUNTED) - this.#cell(SINCE) : 0;
  }

  /** Stretches on a CPU, that which it is in the middle of included. */
  get slices(): number {
    return this.#slices + (this.sliceNs > 0 ? 1 : 0);
  }

  get maxSliceNs(): number {
    return Math.max(this.#cell(MAX_SLICE), this.sliceNs);
  }

  /** CPU time that it is behind its fair share, below 0 if it is ahead, and the most that it ever was behind. */
  get lagNs(): number {
    return this.#cell(LAG);
  }

  get maxLagNs(): number {
    return this.#cell(MAX_LAG);
  }

  /** Since when it is in its state. */
  get since(): number {
    return this.#cell(SINCE);
  }

  #cell(at: number): number {
    return this.rows.cells[this.#row + at]!;
  }

  /** Brings its times up to now, to which its share has to be brought before; so long it has been in its state. */
  settle(now: number): number {
    const { cells } = this.rows;
    const row = this.#row;
    const ns = now - cells[row + COUNTED]!;
    cells[row + this.state]! += ns;
    cells[row + COUNTED] = now;
    const share = this.#share;
    if (share) {
      const { idealNs } = share;
      const lag = cells[row + LAG]! + (idealNs - cells[row + IDEAL]! - (this.state === RUNNING ? ns : 0));
      cells[row + LAG] = lag;
      cells[row + IDEAL] = idealNs;
      if (lag > cells[row + MAX_LAG]!) cells[row + MAX_LAG] = lag;
    }
    return now - cells[row + SINCE]!;
  }

  get share(): Share | null {
    return this.#share;
  }

  /** It ought to have that share of the CPUs from now on, for which its times are settled. */
  set share(share: Share | null) {
    this.#share = share;
    if (!share) return;
    this.shared = true;
    this.rows.cells[this.#row + IDEAL] = share.idealNs;
  }

  enter(state: State, now: number): void {
    this.state = state;
    this.rows.cells[this.#row + SINCE] = now;
  }

  /** It had a CPU for so long at a stretch. */
  ran(ns: number): void {
    const { cells } = this.rows;
    this.#slices++;
    if (ns > cells[this.#row + MAX_SLICE]!) cells[this.#row + MAX_SLICE] = ns;
  }

  /** It waited so long; `woken`: since it was woken, rather than since it was switched away from. */
  waited(ns: number, woken: boolean): void {
    if (woken) {
      this.#woken ??= new Histogram();
      this.#woken.record(ns);
    } else {
      this.#putBack ??= new Histogram();
      this.#putBack.record(ns);
    }
  }

  /** Of waits that began with a wake-up. */
  get wakeupLatency(): Histogram {
    return this.#woken ?? NONE;
  }

  /** Of all waits. */
  get runDelay(): Histogram {
    return Histogram.of([this.#woken ?? NONE, this.#putBack ?? NONE]);
  }
}

/** What tasks of one group had of it together. */
export class GroupStats {
  readonly tasks: TaskStats[] = [];
  /** Of stretches that are over. */
  readonly ended = new Histogram();
  readonly migrations: Migrations = { smt: 0, llc: 0, node: 0, numa: 0 };

  constructor(readonly name: string) {}

  /** Of all stretches on a CPU. */
  get slice(): Histogram {
    const going = new Histogram();
    for (const { sliceNs } of this.tasks) if (sliceNs > 0) going.record(sliceNs);
    return Histogram.of([this.ended, going]);
  }

  get wakeupLatency(): Histogram {
    return Histogram.of(this.tasks.map((task) => task.wakeupLatency));
  }

  get runDelay(): Histogram {
    return Histogram.of(this.tasks.map((task) => task.runDelay));
  }
}
