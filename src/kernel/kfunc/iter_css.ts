import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { CgroupTree, Css } from '../model/cgroup.js';
import type { KernelTask } from '../model/task.js';
import { cssArg } from './args.js';
import { iterDestroy, iterNew, iterNext, needsRcu } from './iter.js';

/** struct bpf_iter_css_kern: start, pos, u32 flags. */
const CSS_BYTES = 24;
const POS = 8;
const FLAGS = 16;

// enum bpf_cgroup_iter_order
const DESCENDANTS_PRE = 2;
const DESCENDANTS_POST = 3;
const ANCESTORS_UP = 4;
const CHILDREN = 5;

/** bpf_iter_css: a cgroup_subsys_state and those below or above it (kernel: kernel/bpf/cgroup_iter.c). */
export function registerCssIterator(kernel: Kernel): void {
  const children = kernel.profile.btf.enumerator('BPF_CGROUP_ITER_CHILDREN') !== undefined;
  const last = children ? CHILDREN : ANCESTORS_UP;

  kernel.registerKfunc('bpf_iter_css_new', (call) => {
    needsRcu(kernel, call, 'bpf_iter_css_new');
    const iter = iterNew(kernel, call, 'css', CSS_BYTES);
    const start = cssArg(kernel, call, 1);
    const flags = call.u32(2);
    const { memory } = call;
    const good = flags >= DESCENDANTS_PRE && flags <= last;
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
    if (!start) {
      call.retPtr(0);
      return;
    }
    const pos = stateAt(kernel, call, iter + POS);
    const next = step(kernel.cgroups, memory.u32(iter + FLAGS), pos, start);
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

function step(tree: CgroupTree, flags: number, pos: Css | undefined, start: Css): Css | undefined {
  switch (flags) {
    case DESCENDANTS_PRE:
      return pos ? nextPre(tree, pos, start) : start;
    case DESCENDANTS_POST:
      return nextPost(tree, pos, start);
    case CHILDREN:
      return pos ? sibling(tree, pos) : tree.cssChildren(start)[0];
    default:
      return pos ? tree.cssParent(pos) : start;
  }
}

/** css_next_child() */
function sibling(tree: CgroupTree, css: Css): Css | undefined {
  const parent = tree.cssParent(css);
  if (!parent) return undefined;
  const all = tree.cssChildren(parent);
  return all[all.findIndex(({ ptr }) => ptr === css.ptr) + 1];
}

/** css_next_descendant_pre() */
function nextPre(tree: CgroupTree, pos: Css, root: Css): Css | undefined {
  const [child] = tree.cssChildren(pos);
  if (child) return child;
  for (let at: Css | undefined = pos; at && at.ptr !== root.ptr; at = tree.cssParent(at)) {
    const next = sibling(tree, at);
    if (next) return next;
  }
  return undefined;
}

/** css_next_descendant_post() */
function nextPost(tree: CgroupTree, pos: Css | undefined, root: Css): Css | undefined {
  if (!pos) return leftmost(tree, root);
  if (pos.ptr === root.ptr) return undefined;
  const next = sibling(tree, pos);
  return next ? leftmost(tree, next) : tree.cssParent(pos);
}

function leftmost(tree: CgroupTree, css: Css): Css {
  const [child] = tree.cssChildren(css);
  return child ? leftmost(tree, child) : css;
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
