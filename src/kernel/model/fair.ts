import { ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import type { GuestPtr } from '../../vm/types.js';
import { hzOf, jiffies64 } from '../jiffies.js';
import type { Kernel } from '../kernel.js';
import type { Field } from '../view.js';
import type { TASK_FIELDS } from './fields.js';
import type { Layout } from './layout.js';
import type { KernelTask } from './task.js';

/**
 * What the fair class alone changes in a task_struct: __sched_fork() and init_entity_runnable_average() leave 0, and so does every
 * other class. Of a task that the fair class has had, its virtual time and averages are not modelled.
 */
export const FAIR_PATHS = [
  'se.vruntime',
  'se.vlag',
  'se.prev_sum_exec_runtime',
  'se.avg.load_sum',
  'se.avg.runnable_sum',
  'se.avg.util_sum',
  'se.avg.runnable_avg',
  'se.avg.util_avg',
  'se.avg.util_est',
] as const satisfies readonly (keyof typeof TASK_FIELDS)[];

/** What the fair class keeps of tasks: that it has had them, and who wakes whom. */
export class FairTasks {
  readonly #wakees: Field;
  readonly #decayed: Field;
  readonly #last: Field;
  readonly #had = new Set<GuestPtr>();

  constructor(
    private readonly kernel: Kernel,
    private readonly layout: Layout<keyof typeof TASK_FIELDS>,
  ) {
    this.#wakees = layout.field('wakee_flips');
    this.#decayed = layout.field('wakee_flip_decay_ts');
    this.#last = layout.field('last_wakee');
  }

  /** enqueue_task_fair(), the first of a task: programs that look at what only this class knows stop from now on. */
  enqueued({ ptr }: KernelTask): void {
    if (this.#had.has(ptr)) return;
    this.#had.add(ptr);
    this.#close(ptr);
  }

  /** A task_struct's access classes were laid anew. */
  stamped(ptr: GuestPtr): void {
    if (this.#had.has(ptr)) this.#close(ptr);
  }

  freed(ptr: GuestPtr): void {
    this.#had.delete(ptr);
  }

  #close(ptr: GuestPtr): void {
    for (const path of FAIR_PATHS) {
      const field = this.layout.tryField(path);
      if (field) this.kernel.memory.setAccess(ptr + field.offset, field.size, ACCESS_UNMODELLED);
    }
  }

  /** dup_task_struct(): a child begins with its parent's. */
  forked(child: KernelTask, parent: KernelTask): void {
    for (const field of [this.#wakees, this.#decayed, this.#last]) field.set(child.ptr, field.get(parent.ptr));
  }

  /** record_wakee(): select_task_rq_fair() is asked where a task that is woken goes. */
  woken(task: KernelTask, { ptr: waker }: KernelTask): void {
    const { kernel } = this;
    const jiffies = jiffies64(kernel);
    if (jiffies > this.#decayed.get(waker) + hzOf(kernel)) {
      this.#wakees.set(waker, this.#wakees.get(waker) >>> 1);
      this.#decayed.set(waker, jiffies);
    }
    if (this.#last.get(waker) === task.ptr) return;
    this.#last.set(waker, task.ptr);
    this.#wakees.set(waker, this.#wakees.get(waker) + 1);
  }
}
