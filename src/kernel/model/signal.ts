import {
  ALU_ADD,
  CLASS_ALU64,
  CLASS_LDX,
  CLASS_MASK,
  CODE_MASK,
  INSN_BYTES,
  OP_LD_IMM64,
} from '../../../assembly/isa.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { Field } from '../view.js';
import { SIGNAL_FIELDS } from './fields.js';
import { Layout } from './layout.js';
import type { KernelTask } from './task.js';
import type { TaskFields } from './task_fields.js';

/** include/linux/poison.h: what list_del_rcu() leaves behind. */
const LIST_POISON2 = 0xdead000000000122n;

/** Fields of task_struct that are filled from the time on when a program may look at them. */
export const SIGNAL_PATHS = ['signal', 'thread_node.next', 'thread_node.prev'] as const;

/** A program whose insns name the place of task_struct's `signal` may get to it: processes have theirs from then on. */
export function showSignals(kernel: Kernel, insns: Uint8Array): void {
  const offset = kernel.types.tryStruct('task_struct')?.tryField('signal')?.offset;
  if (offset === undefined) return;
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  for (let at = 0; at + INSN_BYTES <= insns.length; at += INSN_BYTES) {
    const op = insns[at] as number;
    if (op === OP_LD_IMM64) {
      at += INSN_BYTES;
      continue;
    }
    const load = (op & CLASS_MASK) === CLASS_LDX && view.getInt16(at + 2, true) === offset;
    const add =
      (op & CLASS_MASK) === CLASS_ALU64 && (op & CODE_MASK) === ALU_ADD && view.getInt32(at + 4, true) === offset;
    if (!load && !add) continue;
    kernel.tasks.showSignals();
    return;
  }
}

/**
 * struct signal_struct of each process: its threads, as copy_signal(), copy_process() and __exit_signal() keep them. They take a
 * kilobyte a process, and hardly any program looks: there are none before `show`.
 */
export class Signals {
  shown = false;
  readonly #layout: Layout<keyof typeof SIGNAL_FIELDS>;
  readonly #live: Field;
  readonly #threads: Field;
  readonly #first: Field;
  readonly #last: Field;
  readonly #pid: Field;
  /** Of each process, and how many of its tasks are not freed. */
  readonly #byLeader = new Map<KernelTask, { ptr: GuestPtr; users: number }>();

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

  /** For all tasks that there are, in the order of their birth. */
  show(born: Iterable<KernelTask>): void {
    this.shown = true;
    for (const task of born) {
      this.joined(task);
      if (task.exiting) this.exited(task);
      if (!task.hashed) this.left(task);
    }
  }

  /** A task becomes the first or a further thread of its process. */
  joined(task: KernelTask): void {
    if (!this.shown) return;
    const { signal, threadNext, threadPrev, threadPid } = this.tasks;
    const { memory } = this.kernel;
    let process = this.#byLeader.get(task.leader);
    if (!process) {
      process = { ptr: this.#alloc(task.leader), users: 0 };
      this.#byLeader.set(task.leader, process);
      this.#pid.set(process.ptr, threadPid.get(task.ptr));
    }
    process.users++;
    const { ptr } = process;
    const node = task.ptr + threadNext.offset;
    const last = this.#last.get(ptr);
    threadNext.set(task.ptr, ptr + this.#first.offset);
    threadPrev.set(task.ptr, last);
    // A list_head is two pointers, next and prev.
    memory.setPtr(last, node);
    this.#last.set(ptr, node);
    this.#live.set(ptr, this.#live.get(ptr) + 1);
    this.#threads.set(ptr, this.#threads.get(ptr) + 1);
    signal.set(task.ptr, ptr);
  }

  #alloc(leader: KernelTask): GuestPtr {
    const ptr = this.#layout.alloc('struct signal_struct');
    const { struct } = this.#layout;
    this.kernel.objects.add({ ptr, size: struct.size, struct, name: `the process of ${leader.name}` });
    this.#first.set(ptr, ptr + this.#first.offset);
    this.#last.set(ptr, ptr + this.#first.offset);
    return ptr;
  }

  /** do_exit() */
  exited(task: KernelTask): void {
    const process = this.#byLeader.get(task.leader);
    if (process) this.#live.set(process.ptr, this.#live.get(process.ptr) - 1);
  }

  /** release_task(): the thread leaves the ring, and its own next stays for those who are there. */
  left(task: KernelTask): void {
    const process = this.#byLeader.get(task.leader);
    if (!process) return;
    const { threadNext, threadPrev } = this.tasks;
    const { memory } = this.kernel;
    const next = threadNext.get(task.ptr);
    const prev = threadPrev.get(task.ptr);
    memory.setPtr(prev, next);
    memory.setPtr(next + 8, prev);
    threadPrev.setBig(task.ptr, LIST_POISON2);
    this.#threads.set(process.ptr, this.#threads.get(process.ptr) - 1);
  }

  /** A task_struct goes, and with the last one the process's signal_struct (put_signal_struct). */
  freed(task: KernelTask): void {
    const process = this.#byLeader.get(task.leader);
    if (!process || --process.users > 0) return;
    this.#byLeader.delete(task.leader);
    this.kernel.objects.remove(process.ptr);
    this.kernel.memory.free(process.ptr);
  }
}
