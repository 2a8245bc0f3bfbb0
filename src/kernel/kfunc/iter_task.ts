import { ERRNO } from '../../errno.js';
import type { Kernel } from '../kernel.js';
import type { KernelTask } from '../model/task.js';
import { nullableTaskArg } from './args.js';
import { iterDestroy, iterNew, iterNext, needsRcu } from './iter.js';

/** struct bpf_iter_task_kern: task, pos, u32 flags. */
const BYTES = 24;
const POS = 8;
const FLAGS = 16;

// Values of an anonymous enum of kernel/bpf/task_iter.c.
const ALL_PROCS = 0;
const PROC_THREADS = 2;

/** Where an iterator goes on. */
interface Walk {
  /** Processes after the current one, in the order of birth; those born meanwhile are among them. */
  readonly processes: Iterator<KernelTask>;
  pos: KernelTask | undefined;
}

/** bpf_iter_task: processes, or threads, from init_task on (kernel: kernel/bpf/task_iter.c). */
export function registerTaskIterator(kernel: Kernel): void {
  const walks = new Map<number, Walk>();

  kernel.registerKfunc('bpf_iter_task_new', (call) => {
    needsRcu(kernel, call, 'bpf_iter_task_new');
    const iter = iterNew(kernel, call, 'task', BYTES, () => walks.delete(iter));
    const { memory } = call;
    const task = nullableTaskArg(kernel, call, 1);
    const flags = call.u32(2);
    const bad = flags > PROC_THREADS || (flags === PROC_THREADS && !task);
    const pos = bad ? undefined : flags === PROC_THREADS ? (task as KernelTask) : kernel.tasks.init;
    memory.setPtr(iter + POS, pos?.ptr ?? 0);
    if (bad) {
      walks.delete(iter);
      call.ret(-ERRNO.EINVAL);
      return;
    }
    memory.setU32(iter + FLAGS, flags);
    walks.set(iter, { processes: kernel.tasks.processes(), pos });
    call.ret(0);
  });

  kernel.registerKfunc('bpf_iter_task_next', (call) => {
    needsRcu(kernel, call, 'bpf_iter_task_next');
    const iter = iterNext(kernel, call, 'task', BYTES);
    const walk = walks.get(iter);
    const pos = walk?.pos;
    if (!walk || !pos) {
      call.retPtr(0);
      return;
    }
    const flags = call.memory.u32(iter + FLAGS);
    let next = flags === ALL_PROCS ? undefined : nextThread(pos);
    if (!next && flags !== PROC_THREADS) next = walk.processes.next().value as KernelTask | undefined;
    walk.pos = next;
    call.memory.setPtr(iter + POS, next?.ptr ?? 0);
    call.retPtr(pos.ptr);
  });

  kernel.registerKfunc('bpf_iter_task_destroy', (call) => {
    walks.delete(iterDestroy(kernel, call, 'task', BYTES));
  });
}

/** __next_thread() */
function nextThread(task: KernelTask): KernelTask | undefined {
  const { threads } = task.leader;
  return threads?.[task === task.leader ? 0 : threads.indexOf(task) + 1];
}
