import type { Costs } from './costs.js';
import type { SimTask } from './sim_task.js';

/**
 * Points that the program of a task comes to, one after the other: it begins a step, what the step does happens, it goes to
 * sleep, and the stations of fork, exit and CPU hotplug.
 */
export type Point =
  | 'step'
  | 'effect'
  | 'cgroup-move'
  | 'block'
  | 'fork'
  | 'fork-wake'
  | 'stop-machine'
  | 'stop-complete'
  | 'signal-stop'
  | 'exit'
  | 'exit-release'
  | 'exit-notify'
  | 'exit-dead'
  | 'kthread'
  | 'kthread-done'
  | 'activate';

/** When things happen. The machine asks; the answers of a recording can stand in for those of the cost table. */
export interface Timing {
  /** CPU time until a task comes to its next point; `ns` is what the costs say. */
  until(task: SimTask, point: Point, ns: number): number;
  /** The same, of a task that is put on a CPU with `ns` to go. `migrated`: it was on another one. */
  resumed(task: SimTask, point: Point, ns: number, migrated: boolean): number;
  /** The same, of a task that goes on with what a signal interrupted, with `ns` to go. */
  returned(task: SimTask, point: Point, ns: number): number;
  /** Time at which the timer of a task that sleeps for `ns` fires. */
  timer(task: SimTask, ns: number): number;
  /** Time at which the timer of the deadline class fires that gives a task new runtime, due at `time`. */
  replenishes(task: SimTask, time: number): number;
  /** Does a system call sleep on its way, for a lock or a grace period? */
  sleeps(task: SimTask): boolean;
  /** Does a task sleep for a lock before it comes to what its step is about? */
  locked(task: SimTask): boolean;
  /** Does a task that has not begun yet sleep for memory of its own? */
  faults(task: SimTask): boolean;
  /** …and when it is woken from that, where the costs say so many ns. */
  awakes(task: SimTask, ns: number): number;
  /** Time at which a CPU's thread is woken to take it down: whoever asked for that waits for locks and grace periods first. */
  takesDown(thread: SimTask): number;
  /** Time at which whoever wakes or starts the task, and has found a CPU for it, holds the lock of that CPU's run queue. */
  locks(task: SimTask): number;
  /** Time at which a CPU has the task that it has chosen on its own run queue, and puts the one that it had back. */
  moved(cpu: number): number;
  /** Time at which all CPUs are stopped for the one to go that is ready for it and has this stopper. */
  stopsMachine(stopper: SimTask): number;
  /** The task is put on a CPU. */
  placed(task: SimTask): void;
  /** Run time that the kernel's clocks show for a task that has had a CPU for so many ns since it was accounted for last. */
  ran(task: SimTask, ns: number): number;
  /** Time at which a CPU that needs to choose anew gets round to it. */
  reschedules(cpu: number): number;
  /**
   * Before 7.0, of a CPU that has run out of tasks of the fair class: does the search for such tasks on other CPUs go all the
   * way (sched_balance_newidle), and not end before it has begun, because no CPU has too many or it would take too long? `task` is
   * what it has run.
   */
  searches(cpu: number, task: SimTask | null): boolean;
  /** CPU that a task of another class than sched_ext's is put on when it wakes; -1 where the machine's simple rule decides. */
  place(task: SimTask): number;
  /** Which of these tasks a CPU goes to, more than one of the fair class; null where the least virtual run time decides. */
  goesTo(cpu: number, waiting: readonly SimTask[]): SimTask | null;
  /** Time at which a CPU notices an interrupt that another one sends now. */
  ipi(cpu: number): number;
  /** Time of a CPU's first tick after now. */
  tick(cpu: number): number;
  /** Does that tick come, now that it is due? Otherwise the next one is asked for. */
  ticks(cpu: number): boolean;
  /** Time at which a grace period ends that begins now. */
  gracePeriod(): number;
  /** Time at which the helper of sched_ext is woken for work that comes up now: whoever ends a scheduler writes its dump first. */
  helps(): number;
  /** Time at which the task_struct of a task goes that nobody holds any more. */
  freed(task: SimTask): number;
}

/** The cost table's answers. Ticks of all CPUs come at the same time. */
export class CostTiming implements Timing {
  constructor(
    private readonly clock: { readonly now: number },
    private readonly costs: Costs,
    private readonly tickNs: number,
  ) {}

  until(_task: SimTask, _point: Point, ns: number): number {
    return ns;
  }

  resumed(_task: SimTask, _point: Point, ns: number, migrated: boolean): number {
    return ns + this.costs.contextSwitch + (migrated ? this.costs.migration : 0);
  }

  returned(_task: SimTask, _point: Point, ns: number): number {
    return ns;
  }

  timer(_task: SimTask, ns: number): number {
    return this.clock.now + ns;
  }

  replenishes(_task: SimTask, time: number): number {
    return time;
  }

  sleeps(_task: SimTask): boolean {
    return false;
  }

  locked(_task: SimTask): boolean {
    return false;
  }

  faults(_task: SimTask): boolean {
    return false;
  }

  awakes(_task: SimTask, ns: number): number {
    return this.clock.now + ns;
  }

  takesDown(_thread: SimTask): number {
    return this.clock.now;
  }

  stopsMachine(_stopper: SimTask): number {
    return this.clock.now + this.costs.kthread;
  }

  locks(_task: SimTask): number {
    return this.clock.now;
  }

  moved(_cpu: number): number {
    return this.clock.now;
  }

  placed(_task: SimTask): void {}

  ran(_task: SimTask, ns: number): number {
    return ns;
  }

  reschedules(_cpu: number): number {
    return this.clock.now;
  }

  searches(_cpu: number, _task: SimTask | null): boolean {
    return false;
  }

  place(_task: SimTask): number {
    return -1;
  }

  goesTo(_cpu: number, _waiting: readonly SimTask[]): SimTask | null {
    return null;
  }

  ipi(_cpu: number): number {
    return this.clock.now + this.costs.ipi;
  }

  tick(_cpu: number): number {
    return (Math.floor(this.clock.now / this.tickNs) + 1) * this.tickNs;
  }

  ticks(_cpu: number): boolean {
    return true;
  }

  gracePeriod(): number {
    return this.clock.now + this.costs.gracePeriod;
  }

  helps(): number {
    return this.clock.now;
  }

  freed(_task: SimTask): number {
    return this.clock.now + this.costs.gracePeriod;
  }
}
