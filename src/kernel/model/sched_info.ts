import type { KernelTask } from './task.js';
import { TASK_STATE } from './task.js';
import type { TaskWords } from './task_words.js';

/** struct sched_info of tasks: how long they waited for a CPU, and when (kernel/sched/stats.h; CONFIG_SCHED_INFO). */
export class SchedInfo {
  constructor(private readonly words: TaskWords) {}

  /** sched_info_enqueue(): it waits from now on, unless it does already. `clock`: that of the run queue, in ns. */
  queued({ ptr }: KernelTask, clock: number): void {
    const { words } = this;
    const { info } = words;
    if (!info) return;
    const at = words.of(ptr);
    if (words.get64(at + info.lastQueued) === 0) words.set64(at + info.lastQueued, clock);
  }

  /** sched_info_dequeue(): its wait ends without a CPU. */
  dequeued({ ptr }: KernelTask, clock: number): void {
    const { words } = this;
    if (words.info) this.#waited(words.of(ptr), words.info, clock);
  }

  /** sched_info_switch(); null stands for the idle task. */
  switched(prev: KernelTask | null, next: KernelTask | null, clock: number): void {
    const { words } = this;
    const { info } = words;
    if (!info) return;
    if (prev && prev.state === TASK_STATE.RUNNING) this.queued(prev, clock);
    if (!next) return;
    const at = words.of(next.ptr);
    if (!this.#waited(at, info, clock)) return;
    words.set64(at + info.lastArrival, clock);
    words.set64(at + info.pcount, words.get64(at + info.pcount) + 1);
  }

  #waited(at: number, { lastQueued, runDelay }: NonNullable<TaskWords['info']>, clock: number): boolean {
    const { words } = this;
    const since = words.get64(at + lastQueued);
    if (since === 0) return false;
    words.set64(at + lastQueued, 0);
    words.set64(at + runDelay, words.get64(at + runDelay) + clock - since);
    return true;
  }
}
