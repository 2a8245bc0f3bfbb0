import { VmtableError } from '../errors.js';
import type { Kernel } from '../kernel/kernel.js';
import type { OpArg } from '../kernel/types.js';
import type { SchedExt } from '../sched_ext/sched_ext.js';
import type { ScxTask } from '../sched_ext/task.js';

/** The scheduler's tracepoints (include/trace/events/sched.h), where the kernel's core hits them. */
export class Tracepoints {
  readonly #switch;
  readonly #waking;
  readonly #wakeup;
  readonly #wakeupNew;
  readonly #fork;
  readonly #exit;

  constructor(
    kernel: Kernel,
    private readonly scx: SchedExt,
  ) {
    const point = (name: string) => kernel.tracing.point(name);
    this.#switch = point('sched_switch');
    this.#waking = point('sched_waking');
    this.#wakeup = point('sched_wakeup');
    this.#wakeupNew = point('sched_wakeup_new');
    this.#fork = point('sched_process_fork');
    this.#exit = point('sched_process_exit');
  }

  /** In __schedule(), when rq->curr is `next` and `prev` still the current task; `state` is what it began with. */
  switched(preempt: boolean, prev: ScxTask, next: ScxTask, state: number): void {
    if (this.#switch.used) this.#raise(this.#switch, [preempt ? 1 : 0, prev, next, state]);
  }

  /** In try_to_wake_up(), before a CPU is chosen. */
  waking(task: ScxTask): void {
    if (this.#waking.used) this.#raise(this.#waking, [task]);
  }

  /** In ttwu_do_wakeup(): the task is runnable, and on a run queue. */
  wakeup(task: ScxTask): void {
    if (this.#wakeup.used) this.#raise(this.#wakeup, [task]);
  }

  /** In wake_up_new_task(). */
  wakeupNew(task: ScxTask): void {
    if (this.#wakeupNew.used) this.#raise(this.#wakeupNew, [task]);
  }

  /** In kernel_clone(), before wake_up_new_task(). */
  forked(parent: ScxTask, child: ScxTask): void {
    if (this.#fork.used) this.#raise(this.#fork, [parent, child]);
  }

  /** In do_exit(); before 6.16 programs see the task alone. All processes here have one thread. */
  exited(task: ScxTask): void {
    if (this.#exit.used) this.#raise(this.#exit, [task, 1]);
  }

  /** A program that is stopped ends the scheduler that it works for, as one of its ops does. */
  #raise(point: ReturnType<Kernel['tracing']['point']>, args: readonly OpArg[]): void {
    try {
      point.raise(args);
    } catch (error) {
      const { root } = this.scx;
      if (!(error instanceof VmtableError) || !root) throw error;
      root.fault ??= error;
      root.error(`${point.name}: ${error.message}`);
    }
  }
}
