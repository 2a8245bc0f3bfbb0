import { ERRNO } from '../errno.js';
import { SCHED_POLICY, TASK_STATE } from '../kernel/model/task.js';
import type { TaskOptions } from '../kernel/model/tasks.js';
import { QUEUE } from '../sched_ext/core.js';
import { CLASS, type SchedClass } from '../sched_ext/task.js';
import { WF } from './flags.js';
import type { SimMachine } from './machine.js';
import { BLOCK, type Program, type SimTask } from './sim_task.js';

/** fork(2), wait(2), exit(2). */
export class Lives {
  constructor(private readonly machine: SimMachine) {}

  /**
   * copy_process() up to the point where the child exists: the child, or -errno of ops.init_task. It inherits what the parent
   * has of policy, nice value, CPUs and cgroup; wake_up_new_task follows.
   */
  fork(
    parent: SimTask,
    name: string,
    program: (child: SimTask) => Iterator<number, void, void>,
    pid?: number,
    cls?: SchedClass,
  ): SimTask | number {
    const { kt } = parent;
    const { allowedCount } = kt;
    // sched_fork() of a deadline task that does not reset on fork.
    if (kt.policy === SCHED_POLICY.DEADLINE) return -ERRNO.EAGAIN;
    return this.spawn(
      name,
      {
        comm: kt.comm,
        parent: kt,
        cpu: this.machine.here.id,
        policy: kt.policy,
        nice: kt.nice,
        rtPriority: this.machine.kernel.tasks.fields.rtPriority.get(kt.ptr),
        cgroup: kt.cgroup,
        uid: kt.uid,
        gid: kt.gid,
        ...(allowedCount < this.machine.kernel.cpus && { cpus: kt.cpus }),
        ...(pid !== undefined && { pid }),
      },
      program,
      parent,
      cls,
    );
  }

  /** sched_fork(): the class of a child is settled early in fork(2), long before ops.init_task. */
  classOfChild(parent: SimTask): SchedClass {
    return this.machine.scx.states.classFor(parent.scx);
  }

  /** The same, of a task whose parent is none of the machine's. */
  spawn(
    name: string,
    options: TaskOptions,
    program: (child: SimTask) => Iterator<number, void, void>,
    parent: SimTask | null = null,
    cls?: SchedClass,
  ): SimTask | number {
    const { machine } = this;
    const { states } = machine.scx;
    const child = machine.adopt(name, options, CLASS.fair);
    machine.scx.setClass(child.scx, cls ?? states.classFor(child.scx));
    const err = states.fork(child.scx);
    if (err !== 0) {
      machine.forget(child);
      machine.kernel.tasks.remove(child.kt);
      return err;
    }
    states.postFork(child.scx);
    child.parent = parent;
    if (parent) {
      parent.children ??= new Set();
      parent.children.add(child);
    }
    child.begin(program(child));
    if (parent) machine.tracepoints.forked(parent.scx, child.scx);
    return child;
  }

  /** wait(2) for every child, or waitpid(2) for one: sleeps while there are some that live. */
  *wait(task: SimTask, only?: SimTask): Program {
    const { machine } = this;
    const awaited = () => [...(task.children ?? [])].filter((child) => !only || child === only);
    for (;;) {
      for (const child of awaited()) if (child.zombie) this.#reap(child);
      if (awaited().length === 0) return;
      yield machine.toward(task, 'block', machine.costs.syscall);
      if (awaited().some(({ zombie }) => zombie)) continue;
      task.waitsFor = only ?? 'any';
      task.kt.state = TASK_STATE.INTERRUPTIBLE | (machine.scx.consts.waitFreezable ? TASK_STATE.FREEZABLE : 0);
      yield BLOCK;
      task.waitsFor = null;
      if (machine.signals.pending(task)) yield machine.toward(task, 'step', 0, true);
    }
  }

  /** __wake_up_parent(): a parent that waits for another child sleeps on (child_wait_callback). */
  wakeParent(task: SimTask): void {
    const { parent } = task;
    if (parent?.waitsFor === 'any' || parent?.waitsFor === task) this.machine.wakeups.wake(parent, WF.sync);
  }

  /** release_task() */
  #reap(child: SimTask): void {
    const { machine } = this;
    child.parent?.children?.delete(child);
    child.parent = null;
    machine.kernel.tasks.reap(child.kt);
    this.#gone(child);
  }

  /** Locks and grace periods on the way of a system call or an exit. */
  *sleepInKernel(task: SimTask): Program {
    const { machine } = this;
    while (machine.timing.sleeps(task)) {
      yield machine.toward(task, 'block', machine.costs.syscall);
      yield* this.sleepFor(task, machine.costs.gracePeriod);
    }
  }

  /** Locks that a task meets on its way to what it is about: those of its address space, which its parent has, too. */
  *waitForLocks(task: SimTask): Program {
    const { machine } = this;
    while (machine.timing.locked(task)) {
      yield machine.toward(task, 'block', machine.costs.syscall);
      yield* this.sleepFor(task, machine.costs.gracePeriod);
    }
  }

  /** A sleep in the kernel that nothing ends early. */
  *sleepFor(task: SimTask, ns: number): Program {
    const { machine } = this;
    const end = machine.timing.awakes(task, ns);
    task.kt.state = TASK_STATE.UNINTERRUPTIBLE;
    machine.wakeAt(end, task);
    yield BLOCK;
  }

  /** do_exit() */
  *exit(task: SimTask, status: number): Program {
    const { machine } = this;
    const { kernel, costs } = machine;
    // exit_signals(): who moves tasks between cgroups keeps them from exiting.
    yield* this.sleepInKernel(task);
    yield machine.toward(task, 'exit', costs.exit);
    task.timer?.cancel();
    task.exitStatus = status;
    task.exiting = true;
    kernel.tasks.exit(task.kt, status);
    machine.onExit?.(task);
    yield* this.sleepInKernel(task);
    yield machine.toward(task, 'exit-release', costs.exitRelease);
    machine.tracepoints.exited(task.scx);
    // sched_autogroup_exit_task()
    if (machine.scx.consts.autogroup) machine.changes.regroup(task, () => {});
    yield machine.toward(task, 'exit-notify', costs.exitNotify);
    for (const child of task.children ?? []) {
      child.parent = null;
      if (child.zombie) this.#orphan(child);
    }
    task.children = null;
    task.zombie = true;
    this.wakeParent(task);
    yield machine.toward(task, 'exit-dead', costs.exitDead);
    task.kt.state = TASK_STATE.DEAD;
    for (;;) yield BLOCK;
  }

  /** Somebody else's child: init waits for it at once. */
  #orphan(task: SimTask): void {
    this.machine.kernel.tasks.reap(task.kt);
    this.#gone(task);
  }

  /** finish_task_switch() of a task that has run for the last time. */
  bury(task: SimTask): void {
    const { machine } = this;
    task.dead = true;
    task.onDead?.(task);
    // Since 7.0 sched_ext forgets it here, before that with its task_struct.
    if (machine.scx.consts.task.dead !== 0) machine.scx.states.dead(task.scx);
    if (!task.parent && task.kt.hashed) machine.kernel.tasks.reap(task.kt);
    this.#gone(task);
  }

  /** Nobody refers to it any more when it has been waited for and has run for the last time. */
  #gone(task: SimTask): void {
    const { machine } = this;
    if (!task.dead || task.kt.hashed) return;
    machine.onGone?.(task);
    const end = () => {
      if (machine.scx.consts.task.dead === 0) machine.scx.states.dead(task.scx);
      machine.kernel.tasks.buried(task.kt);
      machine.forget(task);
    };
    if (machine.scx.consts.task.dead !== 0) end();
    else machine.at(machine.timing.freed(task), () => machine.interrupt(machine.cpuOf(task), end));
  }

  /** sched_exec() and what follows it: a CPU may be chosen anew. */
  exec(task: SimTask): { done: boolean; waiter: SimTask | null } | null {
    const { machine } = this;
    if (task.ext) {
      machine.scx.pick.selectTaskRq(task.scx, task.scx.cpu, WF.exec);
      return null;
    }
    return null;
  }

  /** DEQUEUE_SAVE | DEQUEUE_MOVE */
  static readonly REGROUP = QUEUE.save | QUEUE.move;
}
