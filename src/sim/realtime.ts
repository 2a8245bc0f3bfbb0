import { CLASS } from '../sched_ext/task.js';
import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';
import type { SimTask } from './sim_task.js';

/** A CPU without tasks of real time. Priorities as the kernel counts them: the lower the number, the more urgent. */
const MAX_RT_PRIO = 100;
const DEADLINE_PRIO = -1;

/**
 * Where find_lowest_rq() and find_later_rq() have a task go, of those CPUs: where it is, or into the smallest domain around that
 * (SD_WAKE_AFFINE, which all have) which has some, there to the CPU that asks, or else to each of them in turn; -1 of none.
 */
export function nearest(machine: SimMachine, { scx: { cpu } }: SimTask, found: readonly number[]): number {
  if (found.includes(cpu)) return cpu;
  const { here, topology, scx } = machine;
  const spans = [topology.siblings[cpu]!, topology.llcCpus[cpu]!, topology.nodeCpus[cpu]!, found];
  for (const span of spans) {
    if (found.includes(here.id) && span.includes(here.id)) return here.id;
    const next = scx.idle.goRound((id) => found.includes(id) && span.includes(id));
    if (next >= 0) return next;
  }
  return -1;
}

/** Real-time tasks on several CPUs (kernel/sched/rt.c): they wake, are pushed and pulled to where they can run. */
export class RealTime {
  constructor(private readonly machine: SimMachine) {}

  /** cpupri: the most urgent priority on a CPU. */
  #level(cpu: SimCpu): number {
    if (cpu.dlQueue.length > 0) return DEADLINE_PRIO;
    let level = MAX_RT_PRIO;
    for (const { kt } of cpu.rtQueue) level = Math.min(level, kt.prio);
    return level;
  }

  /** Does the CPU's task keep this one from running there? */
  #yieldsNot({ task: curr }: SimCpu, task: SimTask): boolean {
    if (!curr || (curr.scx.cls !== CLASS.rt && curr.scx.cls !== CLASS.dl)) return false;
    return curr.scx.allowedCount < 2 || curr.kt.prio <= task.kt.prio;
  }

  /** find_lowest_rq(): one of the least urgent CPUs that the task may use; -1 if it can run on none. */
  #lowest(task: SimTask): number {
    const { cpus, wakeups } = this.machine;
    let level = task.kt.prio;
    let found: number[] = [];
    for (const cpu of cpus) {
      const own = this.#level(cpu);
      if (own < level || own === task.kt.prio || !wakeups.allowed(task, cpu.id)) continue;
      if (own > level) found = [];
      level = own;
      found.push(cpu.id);
    }
    return nearest(this.machine, task, found);
  }

  /** select_task_rq_rt() */
  select(task: SimTask, prev: number): number {
    if (!this.#yieldsNot(this.machine.cpus[prev]!, task)) return prev;
    const lowest = this.#lowest(task);
    return lowest < 0 ? prev : lowest;
  }

  /** task_woken_rt() */
  woken(cpu: SimCpu, task: SimTask): void {
    if (cpu.task !== task && !cpu.needResched && task.scx.allowedCount > 1 && this.#yieldsNot(cpu, task))
      this.push(cpu);
  }

  /** push_rt_tasks(), behind a switch to a task of the class: those that wait go where they can run. */
  push(cpu: SimCpu): void {
    const { machine } = this;
    for (;;) {
      const task = this.#pushable(cpu);
      if (!task) return;
      if (cpu.task && task.kt.prio < cpu.task.kt.prio) {
        machine.resched(cpu.id);
        return;
      }
      const to = this.#lowest(task);
      if (to < 0 || to === cpu.id) return;
      machine.wakeups.moveQueued(task, to);
    }
  }

  /** pick_next_pushable_task(); with a CPU, pick_highest_pushable_task(): only of those that may run there. */
  #pushable(cpu: SimCpu, to?: SimCpu): SimTask | undefined {
    let best: SimTask | undefined;
    for (const task of cpu.rtQueue) {
      if (task === cpu.task || task.noise || task.scx.allowedCount < 2 || task.scx.migrationDisabled) continue;
      if (to && !task.scx.allows(to.id)) continue;
      if (!best || task.kt.prio < best.kt.prio) best = task;
    }
    return best;
  }

  /** balance_rt(), before the choice, when a task of the class, or of the deadline class, has left the CPU. */
  balance(cpu: SimCpu, prev: SimTask): void {
    if (!cpu.rtQueue.includes(prev) && this.#level(cpu) > prev.kt.prio) this.pull(cpu);
  }

  /** pull_rt_task(): gets what waits elsewhere (kernels that are not PREEMPT_RT have RT_PUSH_IPI switched off). */
  pull(cpu: SimCpu): void {
    const { machine } = this;
    for (const other of machine.cpus) {
      if (other === cpu || other.rtQueue.length < 2) continue;
      const task = this.#pushable(other, cpu);
      if (!task || task.kt.prio >= this.#level(cpu)) continue;
      // It is about to preempt the task that runs there.
      if (other.task && task.kt.prio < other.task.kt.prio) continue;
      machine.wakeups.pull(task, other, cpu);
    }
  }
}
