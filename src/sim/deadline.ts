import { QUEUE } from '../sched_ext/core.js';
import { CLASS } from '../sched_ext/task.js';
import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';
import { nearest } from './realtime.js';
import type { DeadlineParams } from './scenario.js';
import type { SimTask } from './sim_task.js';

/**
 * A task of SCHED_DEADLINE: its parameters, what is left of its runtime, its absolute deadline (struct sched_dl_entity). The
 * last two outlive a stay in another class.
 */
export class DeadlineEntity {
  budgetNs = 0;
  due = 0;
  /** It has used up its runtime, and waits on no queue for its next period. */
  throttled = false;

  constructor(public params: DeadlineParams) {}

  /** replenish_dl_new_period() */
  begin(now: number): void {
    this.due = now + this.params.deadlineNs;
    this.budgetNs = this.params.runtimeNs;
  }

  /** dl_entity_overflow(): what is left by then would be more than its share. */
  overflows(now: number): boolean {
    return this.budgetNs * this.params.deadlineNs > (this.due - now) * this.params.runtimeNs;
  }

  /** replenish_dl_entity() */
  replenish(now: number): void {
    while (this.budgetNs <= 0) {
      this.due += this.params.periodNs;
      this.budgetNs += this.params.runtimeNs;
    }
    if (this.due < now) this.begin(now);
  }
}

/**
 * The deadline class (kernel/sched/deadline.c): earliest deadline first, with constant bandwidth servers. Tasks that wait go
 * to CPUs with later deadlines. Without admission control and reclaiming.
 */
export class Deadlines {
  constructor(private readonly machine: SimMachine) {}

  /** enqueue_dl_entity() */
  enqueue(cpu: SimCpu, task: SimTask, flags: number): void {
    const entity = task.deadline!;
    if (entity.throttled || cpu.dlQueue.includes(task)) return;
    const { now } = this.machine;
    if ((flags & QUEUE.wakeup) !== 0) {
      if (entity.due < now || entity.overflows(now)) entity.begin(now);
    } else if (entity.due === 0 || ((flags & QUEUE.restore) !== 0 && entity.due < now)) entity.begin(now);
    this.#queue(cpu, task);
  }

  #queue(cpu: SimCpu, task: SimTask): void {
    cpu.mixed = true;
    cpu.dlQueue.push(task);
  }

  /** pick_task_dl */
  pick(cpu: SimCpu): SimTask | null {
    let best: SimTask | null = null;
    for (const task of cpu.dlQueue) if (!best || task.deadline!.due < best.deadline!.due) best = task;
    return best;
  }

  /** update_curr_dl_se(): whose runtime is over waits for its next period, unless that has begun. */
  charge(task: SimTask, ns: number): void {
    const entity = task.deadline!;
    entity.budgetNs -= ns;
    if (entity.budgetNs > 0) return;
    const { machine } = this;
    const cpu = machine.cpuOf(task);
    const at = cpu.dlQueue.indexOf(task);
    if (entity.throttled || at < 0) return;
    const next = entity.due - entity.params.deadlineNs + entity.params.periodNs;
    if (next <= machine.now) {
      entity.replenish(machine.now);
      return;
    }
    entity.throttled = true;
    cpu.dlQueue.splice(at, 1);
    const due = machine.timing.replenishes(task, next);
    machine.at(due, () => machine.interrupt(machine.cpuOf(task), () => this.#release(task)));
  }

  /** task_tick_dl: true if the task has to go. */
  tick(cpu: SimCpu, task: SimTask): boolean {
    return this.pick(cpu) !== task;
  }

  /** dl_task_timer() */
  #release(task: SimTask): void {
    const { machine } = this;
    const entity = task.deadline;
    if (!entity?.throttled || task.dead) return;
    entity.throttled = false;
    // What is left of its runtime and when it ends stay as they are in another class.
    if (task.scx.cls !== CLASS.dl) return;
    entity.replenish(machine.now);
    if (!task.scx.onRq) return;
    machine.onChanged?.(task);
    const cpu = machine.cpuOf(task);
    this.#queue(cpu, task);
    machine.wakeups.preempt(cpu, task);
    this.#pushOne(cpu);
  }

  /** Of one that gives the rest of its runtime up (yield_task_dl). */
  yieldTask(task: SimTask): void {
    task.deadline!.budgetNs = 0;
    this.charge(task, 0);
  }

  // ---- Several CPUs

  /** Does the CPU's task keep this one from running there? */
  #yieldsNot({ task: curr }: SimCpu, task: SimTask): boolean {
    if (curr?.scx.cls !== CLASS.dl) return false;
    return curr.scx.allowedCount < 2 || curr.deadline!.due <= task.deadline!.due;
  }

  /** dl_task_is_earliest_deadline() */
  #earliest(task: SimTask, cpu: SimCpu): boolean {
    const first = this.pick(cpu);
    return !first || task.deadline!.due < first.deadline!.due;
  }

  /** find_later_rq(): a CPU without tasks of the class, or else the one of the latest deadline; -1 if it can run on none. */
  #later(task: SimTask): number {
    const { machine } = this;
    const free = machine.cpus.filter(({ id, dlQueue }) => dlQueue.length === 0 && machine.wakeups.allowed(task, id));
    if (free.length > 0) {
      return nearest(
        machine,
        task,
        free.map(({ id }) => id),
      );
    }
    let latest: SimCpu | undefined;
    let due = 0;
    for (const cpu of machine.cpus) {
      const first = this.pick(cpu)?.deadline;
      if (!first || first.due <= due) continue;
      due = first.due;
      latest = cpu;
    }
    return latest && machine.wakeups.allowed(task, latest.id) && task.deadline!.due < due ? latest.id : -1;
  }

  /** select_task_rq_dl() */
  select(task: SimTask, prev: number): number {
    const { cpus } = this.machine;
    if (!this.#yieldsNot(cpus[prev]!, task)) return prev;
    const later = this.#later(task);
    return later >= 0 && this.#earliest(task, cpus[later]!) ? later : prev;
  }

  /** task_woken_dl() */
  woken(cpu: SimCpu, task: SimTask): void {
    if (cpu.task !== task && !cpu.needResched && task.scx.allowedCount > 1 && this.#yieldsNot(cpu, task))
      this.push(cpu);
  }

  /** push_dl_tasks(), behind a switch to a task of the class, and when one that waits comes to the class. */
  push(cpu: SimCpu): void {
    while (this.#pushOne(cpu));
  }

  /** push_dl_task(): away from a task of another class, too. */
  #pushOne(cpu: SimCpu): boolean {
    const { machine } = this;
    const task = this.#pushable(cpu);
    if (!task) return false;
    const curr = cpu.task;
    if (curr?.scx.cls === CLASS.dl && task.deadline!.due < curr.deadline!.due && curr.scx.allowedCount > 1) {
      machine.resched(cpu.id);
      return false;
    }
    if (task.scx.migrationDisabled) return false;
    const to = this.#later(task);
    if (to < 0 || to === cpu.id || !this.#earliest(task, machine.cpus[to]!)) return false;
    machine.wakeups.moveQueued(task, to);
    machine.resched(to);
    return true;
  }

  /** pick_next_pushable_dl_task(); with a CPU, pick_earliest_pushable_dl_task(): only of those that may run there. */
  #pushable(cpu: SimCpu, to?: SimCpu): SimTask | undefined {
    let best: SimTask | undefined;
    for (const task of cpu.dlQueue) {
      if (task === cpu.task || task.noise || task.scx.allowedCount < 2) continue;
      if (to && !task.scx.allows(to.id)) continue;
      if (!best || task.deadline!.due < best.deadline!.due) best = task;
    }
    return best;
  }

  /** pull_dl_task(), when the last task of the class has left the CPU or the class. */
  pull(cpu: SimCpu): void {
    const { machine } = this;
    for (const other of machine.cpus) {
      if (other === cpu || other.dlQueue.length < 2) continue;
      const task = this.#pushable(other, cpu);
      if (!task || task.scx.migrationDisabled || !this.#earliest(task, cpu)) continue;
      // It is about to preempt the task that runs there.
      if (other.task?.scx.cls === CLASS.dl && task.deadline!.due < other.task.deadline!.due) continue;
      machine.wakeups.pull(task, other, cpu);
    }
  }
}
