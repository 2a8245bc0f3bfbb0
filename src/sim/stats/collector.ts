import { CLASS } from '../../sched_ext/task.js';
import type { SimCpu } from '../cpu.js';
import type { SimMachine } from '../machine.js';
import { Rows } from '../rows.js';
import { type SimTask, UNCOUNTED } from '../sim_task.js';
import { CallStats } from './call_stats.js';
import { Conservation, type Pool } from './conservation.js';
import { DsqStats } from './dsq_stats.js';
import { FairShares } from './lag.js';
import { DEAD, GroupStats, RUNNING, SLEEPING, TaskStats, THROTTLED, taskRows, WAITING } from './task_stats.js';
import { WaitLog } from './wait_log.js';

/** A stretch of time that a CPU spent on one task of the workload. */
export interface Span {
  pid: number;
  start: number;
  end: number;
}

/** Stretches that are kept for a picture; more of them would not fit on it. */
const MAX_SPANS = 20_000;

// Cells of a CPU's row.
const IDLE = 0;
const OFFLINE = 1;
const IDLE_SINCE = 2;
const CPU_CELLS = 4;

/** Of one CPU. */
export class CpuStats {
  idle = true;
  offline = false;
  /** It is offline, or runs what no fair share is reckoned for. */
  taken = false;
  switches = 0;
  readonly #row: number;
  readonly spans: Span[] = [];

  constructor(private readonly rows: Rows) {
    this.#row = rows.add();
  }

  get idleNs(): number {
    return this.rows.cells[this.#row + IDLE]!;
  }

  get offlineNs(): number {
    return this.rows.cells[this.#row + OFFLINE]!;
  }

  /** Counts idle time until now. */
  settle(now: number): void {
    if (!this.idle) return;
    const { cells } = this.rows;
    cells[this.#row + (this.offline ? OFFLINE : IDLE)]! += now - cells[this.#row + IDLE_SINCE]!;
    cells[this.#row + IDLE_SINCE] = now;
  }

  /** It has nothing to run from now on. */
  rest(online: boolean, now: number): void {
    this.idle = true;
    this.offline = !online;
    this.rows.cells[this.#row + IDLE_SINCE] = now;
  }
}

/** Wake-ups and switches that wait to be counted. */
const ROOM = 1024;
/** Words of each: what it is, CPU, who had that and who has it. */
const WORDS = 4;

// What a record is: a wake-up, or a switch with what was true of the task before (RUNNABLE, THROTTLES) or of the CPU (ONLINE).
const SWITCHED = 1;
const RUNNABLE = 2;
const THROTTLES = 4;
const ONLINE = 8;

/** In place of a task's number where a CPU is idle. */
const NOBODY = -1;

/**
 * Counts what tasks and CPUs do, at their wake-ups and switches. Each of these costs the same whatever the number of tasks
 * and however long it has gone on. They are written down as they happen and counted a thousand at a time, in their order: the code
 * that counts is then in the caches nearest to the CPU, and what happens in between is not driven out of them by it. So what stands
 * here holds from `settle` on, until more happens.
 */
export class Collector {
  readonly tasks: TaskStats[] = [];
  readonly groups = new Map<string, GroupStats>();
  readonly cpus: readonly CpuStats[];
  readonly conservation: Conservation;
  readonly shares: FairShares;
  readonly calls: CallStats;
  readonly dsqs: DsqStats;
  wakeups = 0;
  switches = 0;
  readonly #rows = taskRows();
  readonly #waits = new WaitLog((task, ns) => this.tasks[task]!.waited(ns >= 0 ? ns : -1 - ns, ns >= 0));
  #spans = 0;
  readonly #times = new Float64Array(ROOM);
  readonly #records = new Int32Array(ROOM * WORDS);
  #size = 0;

  constructor(private readonly machine: SimMachine) {
    const rows = new Rows(CPU_CELLS);
    this.cpus = machine.cpus.map(() => new CpuStats(rows));
    this.conservation = new Conservation(machine.cpus.length);
    this.shares = new FairShares(machine.cpus.length);
    this.calls = new CallStats(machine.scx.calls);
    this.dsqs = new DsqStats(machine);
    machine.scx.dispatch.observer = this.dsqs;
    machine.onWake = (task) => this.#wakes(task);
    machine.onSwitch = (cpu, before, after) => this.#switches(cpu, before, after);
    machine.onChanged = (task) => this.#changed(task);
  }

  // ---- What happens

  #wakes(task: SimTask): void {
    if (task.number === UNCOUNTED) return;
    const what = this.machine.classes.throttled(task) ? THROTTLES : 0;
    this.#write(what, 0, task.number, NOBODY);
  }

  #switches(cpu: SimCpu, before: SimTask | null, after: SimTask | null): void {
    let what = SWITCHED;
    if (after === null && cpu.online) what |= ONLINE;
    if (before?.scx.onRq) {
      what |= RUNNABLE;
      if (this.machine.classes.throttled(before)) what |= THROTTLES;
    }
    const number = before === null ? NOBODY : before.number;
    this.#write(what, cpu.id, number, after === null ? NOBODY : after.number);
    if (before?.zombie && number !== UNCOUNTED) this.#died(before, this.tasks[number]!);
  }

  #write(what: number, cpu: number, before: number, after: number): void {
    const at = this.#size++;
    const words = this.#records;
    this.#times[at] = this.machine.elapsed;
    words[at * WORDS] = what;
    words[at * WORDS + 1] = cpu;
    words[at * WORDS + 2] = before;
    words[at * WORDS + 3] = after;
    if (this.#size === ROOM) this.#flush();
  }

  #flush(): void {
    const size = this.#size;
    const words = this.#records;
    this.#size = 0;
    for (let at = 0; at < size; at++) {
      const now = this.#times[at]!;
      const what = words[at * WORDS]!;
      const cpu = words[at * WORDS + 1]!;
      const before = words[at * WORDS + 2]!;
      if ((what & SWITCHED) === 0) this.#woken(this.tasks[before]!, (what & THROTTLES) !== 0, now);
      else this.#switched(what, cpu, before, words[at * WORDS + 3]!, now);
    }
  }

  // ---- What is counted of it

  /** Counts a task from now on. */
  add(task: SimTask, group: string): TaskStats {
    this.#flush();
    const now = this.machine.elapsed;
    let groupStats = this.groups.get(group);
    if (!groupStats) {
      groupStats = new GroupStats(group);
      this.groups.set(group, groupStats);
    }
    const stats = new TaskStats(task, groupStats, now, this.#weight(task), this.#rows, this.tasks.length);
    this.#place(task, stats);
    task.number = stats.number;
    this.tasks.push(stats);
    return stats;
  }

  /** What hangs on its class, weight and CPUs. */
  #place(task: SimTask, stats: TaskStats): void {
    stats.pool = this.#pool(task);
    stats.due = this.#divides(task) ? this.shares.of(this.#weight(task)) : null;
  }

  #pool(task: SimTask): Pool {
    const all = task.kt.allowedCount === this.machine.cpus.length;
    return all ? this.conservation.all : this.conservation.pool(task.kt.cpus);
  }

  /** sched_weight_to_cgroup() */
  #weight(task: SimTask): number {
    return Math.min(Math.max(Math.round((task.kt.weight * 100) / 1024), 1), 10_000);
  }

  #woken(stats: TaskStats, throttled: boolean, now: number): void {
    this.wakeups++;
    stats.wakeups++;
    this.shares.settle(now);
    stats.settle(now);
    stats.fromWake = true;
    this.#wait(stats, throttled, now);
  }

  #wait(stats: TaskStats, throttled: boolean, now: number): void {
    stats.enter(throttled ? THROTTLED : WAITING, now);
    if (!throttled) this.conservation.wait(stats.pool!, 1, now);
    this.#share(stats, now);
  }

  /** Is there a fair share for the task? Those of higher classes have their CPU first, and who is bound to CPUs may have too few of them. */
  #divides(task: SimTask): boolean {
    const { cls } = task.scx;
    return (cls === CLASS.ext || cls === CLASS.fair) && task.kt.allowedCount === this.machine.cpus.length;
  }

  /** Brings a task's share in line with its state, and with what is due to it then. */
  #share(stats: TaskStats, now: number): void {
    const { state, share: before } = stats;
    const share = state === WAITING || state === RUNNING ? stats.due : null;
    if (share === before) return;
    this.shares.settle(now);
    stats.settle(now);
    if (before) this.shares.change(before, -1, now);
    if (share) this.shares.change(share, 1, now);
    stats.share = share;
  }

  /** CPUs that are divided by weight are those that are online and run nothing that comes before. */
  #take(cpu: CpuStats, taken: boolean, now: number): void {
    if (cpu.taken === taken) return;
    cpu.taken = taken;
    this.shares.changeCpus(taken ? -1 : 1, now);
  }

  #switched(what: number, cpu: number, before: number, after: number, now: number): void {
    const cpuStats = this.cpus[cpu]!;
    this.switches++;
    cpuStats.switches++;
    this.shares.settle(now);
    if (before === NOBODY) {
      cpuStats.settle(now);
      cpuStats.idle = false;
      this.conservation.setIdle(cpu, false, now);
    } else if (before !== UNCOUNTED) this.#off(what, this.tasks[before]!, cpuStats, now);
    if (after === NOBODY) {
      const online = (what & ONLINE) !== 0;
      cpuStats.rest(online, now);
      this.conservation.setIdle(cpu, online, now);
      this.#take(cpuStats, !online, now);
      return;
    }
    const stats = after === UNCOUNTED ? null : this.tasks[after]!;
    if (stats) this.#on(stats, cpu, now);
    this.#take(cpuStats, stats?.due == null, now);
  }

  #off(what: number, stats: TaskStats, cpu: CpuStats, now: number): void {
    const ran = stats.settle(now);
    stats.ran(ran);
    stats.group.ended.record(ran);
    if (this.#spans < MAX_SPANS) {
      this.#spans++;
      cpu.spans.push({ pid: stats.pid, start: stats.since, end: now });
    }
    if ((what & RUNNABLE) !== 0) {
      stats.preemptions++;
      stats.fromWake = false;
      this.#wait(stats, (what & THROTTLES) !== 0, now);
      return;
    }
    stats.enter(SLEEPING, now);
    this.#share(stats, now);
  }

  /** It has been switched away from for the last time. */
  #died(task: SimTask, stats: TaskStats): void {
    this.#flush();
    if (stats.state !== SLEEPING) return;
    stats.state = DEAD;
    stats.weight = this.#weight(task);
    stats.exitedAt = this.machine.elapsed;
    stats.live = null;
  }

  #on(stats: TaskStats, cpu: number, now: number): void {
    const waited = stats.settle(now);
    if (stats.state === WAITING) this.conservation.wait(stats.pool!, -1, now);
    // -1 - ns for waits that did not begin with a wake-up.
    this.#waits.add(stats.number, stats.fromWake ? waited : -1 - waited);
    if (stats.lastCpu >= 0 && stats.lastCpu !== cpu) {
      stats.migrations++;
      stats.group.migrations[this.#distance(stats.lastCpu, cpu)]++;
    }
    stats.lastCpu = cpu;
    stats.enter(RUNNING, now);
    this.#share(stats, now);
  }

  #distance(from: number, to: number): 'smt' | 'llc' | 'node' | 'numa' {
    const { topology } = this.machine;
    if (topology.siblings[from] === topology.siblings[to]) return 'smt';
    if (topology.llcCpus[from] === topology.llcCpus[to]) return 'llc';
    return topology.nodeCpus[from] === topology.nodeCpus[to] ? 'node' : 'numa';
  }

  #changed(task: SimTask): void {
    if (task.number === UNCOUNTED) return;
    this.#flush();
    const stats = this.tasks[task.number]!;
    if (stats.state === DEAD) return;
    const now = this.machine.elapsed;
    this.shares.settle(now);
    stats.settle(now);
    const { state, pool } = stats;
    this.#place(task, stats);
    if (state === WAITING) this.conservation.wait(pool!, -1, now);
    if (state === WAITING || state === THROTTLED) {
      const throttled = this.machine.classes.throttled(task);
      stats.state = throttled ? THROTTLED : WAITING;
      if (!throttled) this.conservation.wait(stats.pool!, 1, now);
    }
    this.#share(stats, now);
    if (state === RUNNING) this.#take(this.cpus[stats.lastCpu]!, stats.due === null, now);
  }

  /** Brings everything up to now: what tasks are in the middle of counts until here. */
  settle(): void {
    const { machine } = this;
    const now = machine.elapsed;
    this.#flush();
    for (const cpu of machine.cpus) {
      machine.progress(cpu);
      this.cpus[cpu.id]!.settle(now);
    }
    this.shares.settle(now);
    this.#waits.flush();
    for (const task of this.tasks) {
      task.settle(now);
      if (task.live) task.weight = this.#weight(task.live);
    }
  }
}
