import { CLASS } from '../../sched_ext/task.js';
import type { SimCpu } from '../cpu.js';
import type { SimMachine } from '../machine.js';
import { Rows } from '../rows.js';
import type { SimTask } from '../sim_task.js';
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

/**
 * Counts what tasks and CPUs do, at their wake-ups and switches. Each of these costs the same whatever the number of tasks
 * and however long it has gone on.
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

  constructor(private readonly machine: SimMachine) {
    const rows = new Rows(CPU_CELLS);
    this.cpus = machine.cpus.map(() => new CpuStats(rows));
    this.conservation = new Conservation(machine.cpus.length);
    this.shares = new FairShares(machine.cpus.length);
    this.calls = new CallStats(machine.scx.calls);
    this.dsqs = new DsqStats(machine);
    machine.scx.dispatch.observer = this.dsqs;
    machine.onWake = (task) => this.#woken(task);
    machine.onSwitch = (cpu, before, after) => this.#switched(cpu, before, after);
    machine.onChanged = (task) => this.#changed(task);
  }

  /** Counts a task from now on. */
  add(task: SimTask, group: string): TaskStats {
    const now = this.machine.elapsed;
    let groupStats = this.groups.get(group);
    if (!groupStats) {
      groupStats = new GroupStats(group);
      this.groups.set(group, groupStats);
    }
    const stats = new TaskStats(task, groupStats, now, this.#weight(task), this.#rows, this.tasks.length);
    this.#place(task, stats);
    task.stats = stats;
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

  #woken(task: SimTask): void {
    const { stats } = task;
    if (!stats) return;
    const now = this.machine.elapsed;
    this.wakeups++;
    stats.wakeups++;
    this.shares.settle(now);
    stats.settle(now);
    stats.fromWake = true;
    this.#wait(task, stats, now);
  }

  #wait(task: SimTask, stats: TaskStats, now: number): void {
    const throttled = this.machine.classes.throttled(task);
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

  #switched(cpu: SimCpu, before: SimTask | null, after: SimTask | null): void {
    const now = this.machine.elapsed;
    const cpuStats = this.cpus[cpu.id]!;
    this.switches++;
    cpuStats.switches++;
    this.shares.settle(now);
    if (before === null) {
      cpuStats.settle(now);
      cpuStats.idle = false;
      this.conservation.setIdle(cpu.id, false, now);
    } else if (before.stats) this.#off(before, before.stats, cpuStats, now);
    if (after === null) {
      cpuStats.rest(cpu.online, now);
      this.conservation.setIdle(cpu.id, cpu.online, now);
    } else if (after.stats) this.#on(after.stats, cpu.id, now);
    this.#take(cpuStats, after === null ? !cpu.online : after.stats?.due == null, now);
  }

  #off(task: SimTask, stats: TaskStats, cpu: CpuStats, now: number): void {
    const ran = stats.settle(now);
    stats.ran(ran);
    stats.group.slice.record(ran);
    if (this.#spans < MAX_SPANS) {
      this.#spans++;
      cpu.spans.push({ pid: stats.pid, start: stats.since, end: now });
    }
    if (task.scx.onRq) {
      stats.preemptions++;
      stats.fromWake = false;
      this.#wait(task, stats, now);
      return;
    }
    stats.enter(task.zombie ? DEAD : SLEEPING, now);
    this.#share(stats, now);
    if (!task.zombie) return;
    stats.weight = this.#weight(task);
    stats.exitedAt = now;
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
    const { stats } = task;
    if (!stats || stats.state === DEAD) return;
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
