import type { KernelCgroup } from '../kernel/model/cgroup.js';
import { SCHED_POLICY, TASK_STATE } from '../kernel/model/task.js';
import { QUEUE } from '../sched_ext/core.js';
import { CLASS, type SchedClass } from '../sched_ext/task.js';
import type { SimCpu } from './cpu.js';
import { DeadlineEntity } from './deadline.js';
import type { SimMachine } from './machine.js';
import type { DeadlineParams } from './scenario.js';
import type { Program, SimTask } from './sim_task.js';

/** A move that a stopper carries out; whoever asked for it may sleep until it is done. */
export interface PendingMove {
  done: boolean;
  waiter: SimTask | null;
}

/** fair_policy(): SCHED_IDLE is none. */
const FAIR_POLICIES: ReadonlySet<number> = new Set([SCHED_POLICY.NORMAL, SCHED_POLICY.BATCH, SCHED_POLICY.EXT]);

/** Changes of a task from outside: policy, nice value, CPUs, cgroup. */
export class Changes {
  constructor(private readonly machine: SimMachine) {}

  /** The sched_change pattern, for all classes. */
  #change(task: SimTask, flags: number, body: () => SchedClass | undefined, enqueueFlags = 0): void {
    const { machine } = this;
    const cpu = machine.cpuOf(task);
    cpu.rq.kernelRq.clock = machine.now;
    if (cpu.task === task) machine.schedule.updateCurr(cpu);
    machine.scx.enqueue.change(task.scx, flags, body, enqueueFlags);
    task.kt.onRq = task.scx.onRq;
    machine.onChanged?.(task);
  }

  // ---- Policy and nice value

  /** sched_setscheduler(2): 0 or -errno. */
  setPolicy(task: SimTask, policy: number, rtPriority: number, deadline?: DeadlineParams): number {
    const { kernel, scx } = this.machine;
    const { kt } = task;
    const refused = scx.states.checkSetscheduler(task.scx, policy);
    if (refused !== 0) return refused;
    const before = kt.prio;
    const same = kt.policy === policy && kernel.tasks.fields.rtPriority.get(kt.ptr) === rtPriority;
    // __sched_setscheduler() goes on for fair policies: the call's slice is 0 (sched_runtime), the task's never is (se.slice).
    if (same && !deadline && !FAIR_POLICIES.has(policy)) return 0;
    const served = policy === SCHED_POLICY.DEADLINE;
    const realTime = served || policy === SCHED_POLICY.FIFO || policy === SCHED_POLICY.RR;
    const cls: SchedClass = served
      ? CLASS.dl
      : realTime
        ? CLASS.rt
        : scx.states.shouldBeExt(policy)
          ? CLASS.ext
          : CLASS.fair;
    const samePrio = !realTime && before >= 100;
    const flags =
      QUEUE.save |
      (samePrio ? 0 : QUEUE.move) |
      (cls !== task.scx.cls && scx.consts.switchedFromFirst ? QUEUE.class : 0);
    // Who loses priority goes to the head of the new queue.
    const left = task.scx.cls;
    const head = !realTime && before < 100 ? this.machine.flags.head : 0;
    this.#change(
      task,
      flags,
      () => {
        kernel.tasks.setSched(kt, policy, kt.nice, rtPriority);
        if (deadline && task.deadline) task.deadline.params = deadline;
        else if (deadline) task.deadline = new DeadlineEntity(deadline);
        // set_load_weight(): where the class changes only afterwards, the old one hears of it.
        if (task.scx.cls === CLASS.ext) scx.states.reweight(scx.rq(task.scx.cpu), task.scx);
        return cls;
      },
      head,
    );
    this.#balance(task, left);
    return 0;
  }

  /** What a class that a task comes to or has left does when its CPU lets go of the run queue (switched_to_dl, switched_from_rt…). */
  #balance(task: SimTask, left: SchedClass): void {
    const { cls, onRq } = task.scx;
    if (!onRq || cls === left) return;
    const { machine } = this;
    const { realTime, deadlines } = machine;
    const cpu = machine.cpuOf(task);
    if (cpu.task !== task && task.scx.allowedCount > 1) {
      if (cls === CLASS.dl) deadlines.push(cpu);
      else if (cls === CLASS.rt) realTime.push(cpu);
    }
    if (left === CLASS.dl && cpu.dlQueue.length === 0) deadlines.pull(cpu);
    else if (left === CLASS.rt && cpu.rtQueue.length === 0) realTime.pull(cpu);
    else return;
    if (cpu.dlQueue.length + cpu.rtQueue.length > 0) machine.resched(cpu.id);
  }

  /** setpriority(2) */
  setNice(task: SimTask, nice: number): void {
    const { kernel, scx } = this.machine;
    const { kt } = task;
    if (kt.nice === nice) return;
    const rtPriority = kernel.tasks.fields.rtPriority.get(kt.ptr);
    const set = () => kernel.tasks.setSched(kt, kt.policy, nice, rtPriority);
    if (rtPriority > 0) {
      set();
      return;
    }
    this.#change(task, QUEUE.save, () => {
      set();
      if (task.ext) scx.states.reweight(scx.rq(task.scx.cpu), task.scx);
      return undefined;
    });
  }

  // ---- CPUs

  /**
   * sched_setaffinity(2): the move that the task is to make, null if it can stay, or if it keeps its CPUs because no other one is
   * there that could run it: EINVAL (__set_cpus_allowed_ptr_locked()).
   */
  setCpus(task: SimTask, cpus: readonly number[]): PendingMove | null {
    const { machine } = this;
    if (cpus.length === task.kt.allowedCount && cpus.every((id) => task.kt.allows(id))) return null;
    const { kthread } = task.kt;
    const valid = (id: number) => cpus.includes(id) && (kthread ? machine.cpus[id]!.online : machine.cpus[id]!.active);
    const to = machine.scx.idle.goRound(valid);
    if (to < 0) return null;
    this.forceCpus(task, cpus);
    const { scx } = task;
    if (machine.wakeups.allowed(task, scx.cpu)) return null;
    const cpu = machine.cpuOf(task);
    if (cpu.task === task) return this.stopAndMove(task, to);
    if (scx.onRq) machine.wakeups.moveQueued(task, to);
    return null;
  }

  /** do_set_cpus_allowed() */
  forceCpus(task: SimTask, cpus: readonly number[]): void {
    const { kernel, scx } = this.machine;
    this.#change(task, QUEUE.save, () => {
      kernel.tasks.setCpus(task.kt, cpus);
      if (task.ext) scx.states.cpusChanged(scx.rq(task.scx.cpu), task.scx);
      return undefined;
    });
  }

  /** migration_cpu_stop() on the CPU where the task runs. */
  stopAndMove(task: SimTask, to: number): PendingMove {
    const { machine } = this;
    const pending: PendingMove = { done: false, waiter: null };
    const cpu = machine.cpuOf(task);
    machine.kthreads.stopProgram(cpu, (stopper) => this.#move(stopper, cpu, task, to, pending));
    return pending;
  }

  *#move(stopper: SimTask, cpu: SimCpu, task: SimTask, to: number, pending: PendingMove): Program {
    const { machine } = this;
    if (machine.cpuOf(task) === cpu && task.kt.state !== TASK_STATE.DEAD) {
      if (task.scx.onRq) machine.wakeups.moveQueued(task, to);
      else task.scx.cpu = to;
    }
    yield machine.toward(stopper, 'stop-complete', 0);
    pending.done = true;
    if (pending.waiter) machine.wakeups.wake(pending.waiter);
  }

  // ---- Groups

  /** sched_move_task(): the task's group changes in `body`. */
  regroup(task: SimTask, body: () => void): void {
    const { machine } = this;
    const cpu = machine.cpuOf(task);
    this.#change(task, QUEUE.save | QUEUE.move, () => {
      body();
      return undefined;
    });
    if (cpu.task === task) machine.resched(cpu.id);
    else if (task.scx.onRq) machine.wakeups.preempt(cpu, task);
  }

  /** Writes a task to a cgroup's cgroup.procs. */
  enterCgroup(task: SimTask, to: KernelCgroup): void {
    if (!this.staysIn(task, to)) {
      if (!this.prepareMove(task, to)) return;
      this.moveTo(task, to);
    }
    this.machine.tracepoints.attached(to, task.scx);
  }

  /** Does cgroup_migrate_add_task() pass it over: one that is there, or that exits? */
  staysIn(task: SimTask, to: KernelCgroup): boolean {
    return task.kt.cgroup === to || task.exiting;
  }

  /** The first half of it for one that it does not pass over, can_attach: false if the task may not go. */
  prepareMove(task: SimTask, to: KernelCgroup): boolean {
    return this.machine.scx.cgroups.canAttach([task.scx], to) === 0;
  }

  /** …and the second one, cgroup_migrate_execute(). */
  moveTo(task: SimTask, to: KernelCgroup): void {
    const { kernel, scx } = this.machine;
    const from = task.kt.cgroup;
    if (from === to) return;
    if (task.dead) {
      scx.cgroups.cancelAttach([task.scx], to);
      return;
    }
    kernel.cgroups.move(task.kt, to);
    if (from.cpuCgroup !== to.cpuCgroup) this.regroup(task, () => scx.cgroups.moved(task.scx));
  }
}
