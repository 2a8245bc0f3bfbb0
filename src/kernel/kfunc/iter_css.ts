import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { Css } from '../model/cgroup.js';
import { type CssOrder, cssNext } from '../model/css_walk.js';
import type { KernelTask } from '../model/task.js';
import { cssArg } from './args.js';
import { iterDestroy, iterNew, iterNext, needsRcu } from './iter.js';

/** struct bpf_iter_css_kern: start, pos, u32 flags. */
const CSS_BYTES = 24;
const POS = 8;
const FLAGS = 16;

/** By value of enum bpf_cgroup_iter_order, from 2 on: the whole of it but SELF_ONLY. */
const ORDERS: readonly CssOrder[] = ['pre', 'post', 'up', 'children'];

/** bpf_iter_css: a cgroup_subsys_state and those below or above it (kernel: kernel/bpf/cgroup_iter.c). */
export function registerCssIterator(kernel: Kernel): void {
  const children = kernel.profile.btf.enumerator('BPF_CGROUP_ITER_CHILDREN') !== undefined;
  const orderOf = (flags: number) => {
    const order = ORDERS[flags - 2];
    return order === 'children' && !children ? undefined : order;
  };

  kernel.registerKfunc('bpf_iter_css_new', (call) => {
    needsRcu(kernel, call, 'bpf_iter_css_new');
    const iter = iterNew(kernel, call, 'css', CSS_BYTES);
    const start = cssArg(kernel, call, 1);
    const flags = call.u32(2);
    const { memory } = call;
    const good = orderOf(flags) !== undefined;
    memory.setPtr(iter, good ? start.ptr : 0);
    memory.setPtr(iter + POS, 0);
    memory.setU32(iter + FLAGS, flags);
    call.ret(good ? 0 : -ERRNO.EINVAL);
  });

  kernel.registerKfunc('bpf_iter_css_next', (call) => {
    needsRcu(kernel, call, 'bpf_iter_css_next');
    const iter = iterNext(kernel, call, 'css', CSS_BYTES);
    const { memory } = call;
    const start = stateAt(kernel, call, iter);
    const order = orderOf(memory.u32(iter + FLAGS));
    if (!start || !order) {
      call.retPtr(0);
      return;
    }
    const pos = stateAt(kernel, call, iter + POS);
    const next = cssNext(kernel.cgroups, order, pos, start);
    memory.setPtr(iter + POS, next?.ptr ?? 0);
    call.retPtr(next?.ptr ?? 0);
  });

  kernel.registerKfunc('bpf_iter_css_destroy', (call) => {
    iterDestroy(kernel, call, 'css', CSS_BYTES);
  });
}

/** The state that a pointer inside the iterator names; undefined for NULL. */
function stateAt(kernel: Kernel, call: HostCall, at: GuestPtr): Css | undefined {
  const ptr = call.memory.ptr(at);
  if (ptr === 0) return undefined;
  return kernel.cgroups.css(ptr) ?? call.fail(new VmtableError('bpf_iter_css_next: the iterator was overwritten'));
}

/** struct bpf_iter_css_task_kern: css_it. */
const CSS_TASK_BYTES = 8;
const ITER_PROCS = 1;
const ITER_THREADED = 2;

/** bpf_iter_css_task: the tasks of a cgroup (kernel: kernel/bpf/task_iter.c, css_task_iter_*). */
export function registerCssTaskIterator(kernel: Kernel): void {
  /** Walk of an iterator, and the end of the read section that keeps its tasks. */
  const walks = new Map<GuestPtr, { tasks: Iterator<KernelTask>; end: () => void }>();
  const drop = (iter: GuestPtr) => {
    walks.get(iter)?.end();
    walks.delete(iter);
  };

  kernel.registerKfunc('bpf_iter_css_task_new', (call) => {
    const iter = iterNew(kernel, call, 'css_task', CSS_TASK_BYTES, () => drop(iter));
    const css = cssArg(kernel, call, 1);
    const flags = call.u32(2);
    call.memory.setU64(iter, 0n);
    if (flags !== 0 && flags !== ITER_PROCS && flags !== (ITER_PROCS | ITER_THREADED)) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    walks.set(iter, { tasks: tasksOf(css, (flags & ITER_PROCS) !== 0), end: kernel.rcu.hold() });
    call.ret(0);
  });
  kernel.registerKfunc('bpf_iter_css_task_next', (call) => {
    const iter = iterNext(kernel, call, 'css_task', CSS_TASK_BYTES);
    const task = walks.get(iter)?.tasks.next().value as KernelTask | undefined;
    call.retPtr(task?.ptr ?? 0);
  });
  kernel.registerKfunc('bpf_iter_css_task_destroy', (call) => {
    drop(iterDestroy(kernel, call, 'css_task', CSS_TASK_BYTES));
  });
}

/** Tasks in the order in which they came: without dying ones, or with PROCS the leaders of processes that have live threads. */
function* tasksOf(css: Css, processes: boolean): Generator<KernelTask> {
  for (const task of css.cgroup.tasks) {
    if (processes) {
      const live = [task, ...(task.threads ?? [])].some((thread) => !thread.exiting);
      if (task.leader === task && live) yield task;
    } else if (!task.exiting) {
      yield task;
    }
  }
  if (!css.cpu) return;
  // Cgroups below without a cpu controller of their own are in the same state.
  for (const child of css.cgroup.children) {
    if (child.taskGroup === 0) yield* tasksOf({ ptr: child.ptr, cgroup: child, cpu: true }, processes);
  }
}
