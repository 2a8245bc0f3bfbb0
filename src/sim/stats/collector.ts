import { TIME } from '../../kernel/event_queue.js';
import type { SimCpu } from '../cpu.js';
import type { SimMachine } from '../machine.js';
import type { SimTask } from '../sim_task.js';
import { CallStats } from './call_stats.js';
import { Conservation, type Pool } from './conservation.js';
import { DsqStats } from './dsq_stats.js';
import { DEAD, GroupStats, RUNNING, SLEEPING, TaskStats, WAITING } from './task_stats.js';

/** A stretch of time that a CPU spent on one task of the workload. */
export interface Span {
  pid: number;
  start: number;
  end: number;
}

/** Stretches that are kept for a picture; more of them would not fit on it. */
const MAX_SPANS = 20_000;

/** Of one CPU. */
export class CpuStats {
  switches = 0;
  idleNs = TIME;
  idleSince = TIME;
  idle = true;
  readonly spans: Span[] = [];

  constructor() {
    this.idleNs = 0;
    this.idleSince = 0;
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
  readonly calls: CallStats;
  readonly dsqs: DsqStats;
  wakeups = 0;
  switches = 0;
  #spans = 0;

  constructor(private readonly machine: SimMachine) {
    this.cpus = machine.cpus.map(() => new CpuStats());
    this.conservation = new Conservation(machine.cpus.length);
    this.calls = new CallStats(machine.scx.calls);
    this.dsqs = new DsqStats(machine);
    machine.scx.dispatch.observer = this.dsqs;
    machine.onWake = (task) => this.#woken(task);
    machine.onSwitch = (cpu, before, after) => this.#switched(cpu, before, after);
    machine.onCpusChanged = (task) => this.#cpusChanged(task);
  }

  /** Counts a task from now on. */
  add(task: SimTask, group: string): TaskStats {
    const now = this.machine.elapsed;
    let groupStats = this.groups.get(group);
    if (!groupStats) {
      groupStats = new GroupStats(group);
      this.groups.set(group, groupStats);
    }
    const stats = new TaskStats(task, groupStats, now, this.#weight(task));
    stats.pool = this.#pool(task);
    task.stats = stats;
    this.tasks.push(stats);
    return stats;
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
    stats.settle(now);
    stats.fromWake = true;
    this.#wait(stats, now);
  }

  #wait(stats: TaskStats, now: number): void {
    stats.enter(WAITING, now);
    this.conservation.wait(stats.pool!, 1, now);
  }

  #switched(cpu: SimCpu, before: SimTask | null, after: SimTask | null): void {
    const now = this.machine.elapsed;
    const cpuStats = this.cpus[cpu.id]!;
    this.switches++;
    cpuStats.switches++;
    if (before === null) {
      cpuStats.idle = false;
      cpuStats.idleNs += now - cpuStats.idleSince;
      this.conservation.setIdle(cpu.id, false, now);
    } else if (before.stats) this.#off(before, before.stats, cpuStats, now);
    if (after === null) {
      cpuStats.idle = true;
      cpuStats.idleSince = now;
      this.conservation.setIdle(cpu.id, cpu.online, now);
    } else if (after.stats) this.#on(after.stats, cpu.id, now);
  }

  #off(task: SimTask, stats: TaskStats, cpu: CpuStats, now: number): void {
    const ran = stats.settle(now);
    stats.slices++;
    if (ran > stats.maxSliceNs) stats.maxSliceNs = ran;
    stats.group.slice.record(ran);
    if (this.#spans < MAX_SPANS) {
      this.#spans++;
      cpu.spans.push({ pid: stats.pid, start: stats.since, end: now });
    }
    if (task.scx.onRq) {
      stats.preemptions++;
      stats.fromWake = false;
      this.#wait(stats, now);
      return;
    }
    if (!task.zombie) {
      stats.enter(SLEEPING, now);
      return;
    }
    stats.weight = this.#weight(task);
    stats.enter(DEAD, now);
    stats.exitedAt = now;
    stats.live = null;
  }

  #on(stats: TaskStats, cpu: number, now: number): void {
    const waited = stats.settle(now);
    this.conservation.wait(stats.pool!, -1, now);
    const { group } = stats;
    group.runDelay.record(waited);
    if (stats.fromWake) {
      stats.wakeupLatency.record(waited);
      group.wakeupLatency.record(waited);
    }
    if (stats.lastCpu >= 0 && stats.lastCpu !== cpu) {
      stats.migrations++;
      group.migrations[this.#distance(stats.lastCpu, cpu)]++;
    }
    stats.lastCpu = cpu;
    stats.enter(RUNNING, now);
  }

  #distance(from: number, to: number): 'smt' | 'llc' | 'node' | 'numa' {
    const { places } = this.machine.topology;
    const [a, b] = [places[from]!, places[to]!];
    if (a.node !== b.node) return 'numa';
    if (a.llc !== b.llc) return 'node';
    return a.core === b.core ? 'smt' : 'llc';
  }

  #cpusChanged(task: SimTask): void {
    const { stats } = task;
    if (!stats) return;
    const now = this.machine.elapsed;
    const waiting = stats.state === WAITING;
    if (waiting) this.conservation.wait(stats.pool!, -1, now);
    stats.pool = this.#pool(task);
    if (waiting) this.conservation.wait(stats.pool, 1, now);
  }

  /** Brings everything up to now: what tasks are in the middle of counts until here. */
  settle(): void {
    const { machine } = this;
    const now = machine.elapsed;
    for (const cpu of machine.cpus) {
      machine.progress(cpu);
      const stats = this.cpus[cpu.id]!;
      if (stats.idle) {
        stats.idleNs += now - stats.idleSince;
        stats.idleSince = now;
      }
    }
    for (const task of this.tasks) {
      task.settle(now);
      if (task.live) task.weight = this.#weight(task.live);
    }
  }
}
