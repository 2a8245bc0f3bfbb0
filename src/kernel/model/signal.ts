import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { Field } from '../view.js';
import { SIGNAL_FIELDS } from './fields.js';
import { Layout } from './layout.js';
import type { TaskFields } from './task_fields.js';

/** include/linux/poison.h: what list_del_rcu() leaves behind. */
const LIST_POISON2 = 0xdead000000000122n;

/** struct signal_struct of each process: its threads, as copy_signal(), copy_process() and __exit_signal() keep them. */
export class Signals {
  readonly #layout: Layout<keyof typeof SIGNAL_FIELDS>;
  readonly #live: Field;
  readonly #threads: Field;
  readonly #first: Field;
  readonly #last: Field;
  readonly #pid: Field;
  /** Threads whose task_struct is there, by signal_struct. */
  readonly #users = new Map<GuestPtr, number>();

  constructor(
    private readonly kernel: Kernel,
    private readonly tasks: TaskFields,
  ) {
    this.#layout = new Layout(kernel.types, 'signal_struct', SIGNAL_FIELDS);
    this.#live = this.#layout.field('live.counter');
    this.#threads = this.#layout.field('nr_threads');
    this.#first = this.#layout.field('thread_head.next');
    this.#last = this.#layout.field('thread_head.prev');
    this.#pid = this.#layout.field('pids[1]');
  }

  /** A process of one thread, whose struct pid is this. */
  alloc(leader: GuestPtr, pid: GuestPtr): void {
    const { signal, threadNext, threadPrev } = this.tasks;
    const ptr = this.#layout.alloc('struct signal_struct');
    const { struct } = this.#layout;
    this.kernel.objects.add({ ptr, size: struct.size, struct, name: 'a process' });
    const head = ptr + this.#first.offset;
    this.#live.set(ptr, 1);
    this.#threads.set(ptr, 1);
    this.#first.set(ptr, leader + threadNext.offset);
    this.#last.set(ptr, leader + threadNext.offset);
    this.#pid.set(ptr, pid);
    threadNext.set(leader, head);
    threadPrev.set(leader, head);
    signal.set(leader, ptr);
    this.#users.set(ptr, 1);
  }

  /** A further thread of the process. */
  join(task: GuestPtr, leader: GuestPtr): void {
    const { signal, threadNext, threadPrev } = this.tasks;
    const { memory } = this.kernel;
    const ptr = signal.get(leader);
    const node = task + threadNext.offset;
    const last = this.#last.get(ptr);
    threadNext.set(task, ptr + this.#first.offset);
    threadPrev.set(task, last);
    // A list_head is two pointers, next and prev.
    memory.setPtr(last, node);
    this.#last.set(ptr, node);
    this.#live.set(ptr, this.#live.get(ptr) + 1);
    this.#threads.set(ptr, this.#threads.get(ptr) + 1);
    signal.set(task, ptr);
    this.#users.set(ptr, (this.#users.get(ptr) ?? 0) + 1);
  }

  /** do_exit() */
  exited(task: GuestPtr): void {
    const ptr = this.tasks.signal.get(task);
    this.#live.set(ptr, this.#live.get(ptr) - 1);
  }

  /** release_task(): the thread leaves the ring, and its own next stays for those who are there. */
  left(task: GuestPtr): void {
    const { signal, threadNext, threadPrev } = this.tasks;
    const { memory } = this.kernel;
    const ptr = signal.get(task);
    const next = threadNext.get(task);
    const prev = threadPrev.get(task);
    memory.setPtr(prev, next);
    memory.setPtr(next + 8, prev);
    threadPrev.setBig(task, LIST_POISON2);
    this.#threads.set(ptr, this.#threads.get(ptr) - 1);
  }

  /** A task_struct goes, and with the last one the process's signal_struct (put_signal_struct). */
  put(task: GuestPtr): void {
    const ptr = this.tasks.signal.get(task);
    const users = (this.#users.get(ptr) ?? 0) - 1;
    this.#users.set(ptr, users);
    if (users > 0) return;
    this.#users.delete(ptr);
    this.kernel.objects.remove(ptr);
    this.kernel.memory.free(ptr);
  }
}
