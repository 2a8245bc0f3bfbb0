import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';
import type { DeadlineParams } from './scenario.js';
import type { SimTask } from './sim_task.js';

/** A task of SCHED_DEADLINE: its parameters, what is left of its runtime, its absolute deadline (struct sched_dl_entity). */
export class DeadlineEntity {
  budgetNs = 0;
  due = 0;
  /** It has used up its runtime, and waits on no queue for its next period. */
  throttled = false;

  constructor(readonly params: DeadlineParams) {}

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
    if (this.due <= now) this.begin(now);
  }
}

/**
 * The deadline class (kernel/sched/deadline.c): earliest deadline first, with constant bandwidth servers, whose runtime is
 * looked at by the tick. Without admission control, reclaiming and migration of waiting tasks.
 */
export class Deadlines {
  constructor(private readonly machine: SimMachine) {}

  /** enqueue_task_dl */
  enqueue(cpu: SimCpu, task: SimTask): void {
    const entity = task.deadline!;
    if (entity.throttled || cpu.dlQueue.includes(task)) return;
    const { now } = this.machine;
    if (entity.due <= now || entity.overflows(now)) entity.begin(now);
    cpu.mixed = true;
    cpu.dlQueue.push(task);
  }

  /** pick_task_dl */
  pick(cpu: SimCpu): SimTask | null {
    let best: SimTask | null = null;
    for (const task of cpu.dlQueue) if (!best || task.deadline!.due < best.deadline!.due) best = task;
    return best;
  }

  /** task_tick_dl: true if the task has to go. */
  tick(cpu: SimCpu, task: SimTask): boolean {
    const entity = task.deadline!;
    if (entity.budgetNs > 0) return false;
    const { machine } = this;
    const next = entity.due - entity.params.deadlineNs + entity.params.periodNs;
    if (next <= machine.now) {
      entity.replenish(machine.now);
      return cpu.dlQueue.length > 1;
    }
    entity.throttled = true;
    cpu.dlQueue.splice(cpu.dlQueue.indexOf(task), 1);
    machine.at(next, () => machine.interrupt(machine.cpuOf(task), () => this.#release(task)));
    return true;
  }

  /** dl_task_timer() */
  #release(task: SimTask): void {
    const { machine } = this;
    const entity = task.deadline;
    if (!entity?.throttled || task.dead) return;
    entity.throttled = false;
    entity.replenish(machine.now);
    if (!task.scx.onRq) return;
    machine.onChanged?.(task);
    const cpu = machine.cpuOf(task);
    this.enqueue(cpu, task);
    machine.wakeups.preempt(cpu, task);
  }

  /** Of one that gives the rest of its runtime up (yield_task_dl). */
  yieldTask(cpu: SimCpu, task: SimTask): void {
    task.deadline!.budgetNs = 0;
    this.tick(cpu, task);
  }
}
