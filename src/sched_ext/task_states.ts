import { ERRNO } from '../errno.js';
import { SCHED_POLICY } from '../kernel/model/task.js';
import { callObject } from './objects.js';
import { OP } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS, type ScxTask } from './task.js';

const MAX_ERRNO = 4095;
const WEIGHT_IDLEPRIO = 3;
const CGROUP_WEIGHT_DEFAULT = 100;
const NICE_0_WEIGHT = 1024;
const MAX_WEIGHT = 10_000;

/** Anything that is no errno is an error of its own (ops_sanitize_err). */
export function errnoOf(sched: ScxSched, op: string, result: unknown): number {
  const value = Number(result ?? 0);
  if (value === 0) return 0;
  if (value < 0 && value >= -MAX_ERRNO) return value;
  sched.error(`ops.${op}() returned an invalid errno ${value}`);
  return -ERRNO.EPROTO;
}

/** sched_weight_to_cgroup: 1024, which is nice 0, becomes 100. */
export function cgroupWeight(weight: number): number {
  const scaled = Math.round((weight * CGROUP_WEIGHT_DEFAULT) / NICE_0_WEIGHT);
  return Math.min(Math.max(scaled, 1), MAX_WEIGHT);
}

/** A task's way through sched_ext: NONE, INIT, READY, ENABLED and back. */
export class TaskStates {
  /** scx_tasks: between fork and the end, in the order of birth. */
  readonly #list = new Set<ScxTask>();
  readonly #byTid = new Map<number, ScxTask>();
  #nextTid = 1;

  constructor(private readonly scx: SchedExt) {}

  get tasks(): readonly ScxTask[] {
    return [...this.#list];
  }

  byTid(tid: number): ScxTask | undefined {
    return this.#byTid.get(tid);
  }

  stateOf(task: ScxTask): number {
    return task.flags & this.scx.consts.task.stateMask;
  }

  setState(task: ScxTask, state: number): void {
    const { stateMask, init, resetRunnableAt } = this.scx.consts.task;
    const since = state === init ? resetRunnableAt : 0;
    task.flags = (task.flags & ~stateMask) | state | since;
  }

  // ---- Fork and exit

  /**
   * scx_fork: 0, or what ops.init_task answered: then the fork fails, and `cancelFork` follows. The task's class, policy and
   * cgroup are set.
   */
  fork(task: ScxTask): number {
    const { consts, root } = this.scx;
    task.tid = this.#nextTid++;
    if (!this.scx.initTaskEnabled || !root) return 0;
    if (consts.task.initBegin !== 0) this.setState(task, consts.task.initBegin);
    const err = this.initTask(root, task, true);
    if (err !== 0) {
      this.setState(task, consts.task.none);
      return err;
    }
    this.setState(task, consts.task.init);
    task.sched = root;
    return 0;
  }

  /** scx_post_fork: the fork has succeeded. */
  postFork(task: ScxTask): void {
    const { consts, root } = this.scx;
    if (this.scx.initTaskEnabled && root) {
      this.setState(task, consts.task.ready);
      if (task.cls === CLASS.ext) this.enableTask(root, this.scx.rq(task.cpu), task);
    }
    this.#list.add(task);
    this.#byTid.set(task.tid, task);
  }

  /** scx_cancel_fork: it failed after `fork`. */
  cancelFork(task: ScxTask): void {
    if (this.scx.initTaskEnabled && task.sched) this.exitTask(task.sched, task);
  }

  /** sched_ext_dead, before 7.0 sched_ext_free: the task has run for the last time, or its task_struct goes. */
  dead(task: ScxTask): void {
    this.#list.delete(task);
    this.#byTid.delete(task.tid);
    if (task.sched) this.exitTask(task.sched, task);
    if (this.scx.consts.task.dead !== 0) this.setState(task, this.scx.consts.task.dead);
  }

  // ---- Transitions

  /** __scx_init_task: 0 or -errno. May revert the task's policy where ops.init_task disallows it. */
  initTask(sched: ScxSched, task: ScxTask, fork: boolean): number {
    task.disallow = false;
    if (sched.has(OP.init_task)) {
      const cgroup = task.kernelTask.cgroup.cpuCgroup.ptr;
      const args = callObject(this.scx.kernel, 'scx_init_task_args', { fork: fork ? 1 : 0, cgroup });
      const result = this.scx.calls.call(sched, OP.init_task, null, null, null, task.ptr, args.ptr);
      args.free();
      const err = errnoOf(sched, 'init_task', result);
      if (err !== 0) return err;
    }
    if (task.disallow) this.#disallow(sched, task, fork);
    return 0;
  }

  #disallow(sched: ScxSched, task: ScxTask, fork: boolean): void {
    const { consts, kernel } = this.scx;
    const { kernelTask } = task;
    const wrong = (when: string) => sched.error(`ops.init_task() set task->scx.disallow for ${task.label} ${when}`);
    if (fork) {
      if (consts.subScheds || kernelTask.policy === SCHED_POLICY.EXT) wrong('during fork');
    } else if (consts.subScheds && this.scx.state !== 'enabling') {
      wrong('outside the enable path');
    } else if (kernelTask.policy === SCHED_POLICY.EXT) {
      kernel.tasks.setSched(kernelTask, SCHED_POLICY.NORMAL);
      this.scx.nrRejected++;
    }
  }

  /** scx_enable_task: the scheduler gets the task, with its weight, and in the cid form with its CPUs. */
  enableTask(sched: ScxSched, rq: ScxRq, task: ScxTask): void {
    const { consts, cidMasks } = this.scx;
    task.weight = this.weightOf(task);
    if (sched.form === 'cid') {
      const mask = cidMasks.ofTask(rq.cpu, task);
      const args = callObject(this.scx.kernel, 'scx_enable_args', { cmask_arena_addr: mask.user });
      this.scx.callTask(sched, OP.enable, rq, task, args.ptr);
      args.free();
      this.setCpumask(sched, rq, task);
    } else {
      this.scx.callTask(sched, OP.enable, rq, task);
    }
    if (!consts.subScheds) this.setState(task, consts.task.enabled);
    this.scx.callTask(sched, OP.set_weight, rq, task, task.weight);
    this.setState(task, consts.task.enabled);
  }

  weightOf(task: ScxTask): number {
    const { kernelTask } = task;
    return cgroupWeight(kernelTask.policy === SCHED_POLICY.IDLE ? WEIGHT_IDLEPRIO : kernelTask.weight);
  }

  /** ops.set_cpumask with the CPUs that the task may use now; ops.set_cmask with an arena cmask of their cids. */
  setCpumask(sched: ScxSched, rq: ScxRq, task: ScxTask): void {
    if (!sched.has(OP.set_cpumask)) return;
    const mask = sched.form === 'cid' ? this.scx.cidMasks.ofTask(rq.cpu, task).ptr : task.cpusPtr;
    this.scx.callTask(sched, OP.set_cpumask, rq, task, mask);
  }

  /** scx_disable_task */
  #disableTask(sched: ScxSched, task: ScxTask): void {
    const { consts, dispatch } = this.scx;
    const rq = this.scx.rq(task.cpu);
    dispatch.clearVerdict(task);
    this.scx.callTask(sched, OP.disable, rq, task);
    this.setState(task, consts.task.ready);
    if (!consts.disableResets) return;
    task.setVtime(0, 0);
    task.slice = 0;
    task.sliceRequest = -1;
    task.reenqueues = 0;
    task.setFlags(consts.task.resetRunnableAt);
  }

  /** scx_disable_and_exit_task */
  exitTask(sched: ScxSched, task: ScxTask): void {
    const { consts } = this.scx;
    const state = this.stateOf(task);
    if (state === consts.task.init || state === consts.task.ready || state === consts.task.enabled) {
      if (state === consts.task.enabled) this.#disableTask(sched, task);
      if (sched.has(OP.exit_task)) {
        const cancelled = state === consts.task.init ? 1 : 0;
        const args = callObject(this.scx.kernel, 'scx_exit_task_args', { cancelled });
        this.scx.callTask(sched, OP.exit_task, this.scx.rq(task.cpu), task, args.ptr);
        args.free();
      }
    }
    task.sched = null;
    this.setState(task, consts.task.none);
  }

  // ---- Class methods

  /** switching_to_scx */
  switchingTo(rq: ScxRq, task: ScxTask): void {
    const { sched } = task;
    if (!sched) return;
    this.enableTask(sched, rq, task);
    if (sched.form === 'cpu') this.setCpumask(sched, rq, task);
  }

  /** switched_from_scx */
  switchedFrom(task: ScxTask): void {
    if (task.sched && this.stateOf(task) === this.scx.consts.task.enabled) this.#disableTask(task.sched, task);
  }

  /** reweight_task_scx: the nice value or policy of a task of this class changed. */
  reweight(rq: ScxRq, task: ScxTask): void {
    const { sched } = task;
    if (!sched) return;
    if (this.scx.consts.subScheds && this.stateOf(task) !== this.scx.consts.task.enabled) return;
    task.weight = this.weightOf(task);
    this.scx.callTask(sched, OP.set_weight, rq, task, task.weight);
  }

  /** set_cpus_allowed_scx: the CPUs of a task of this class changed; tasks.setCpus has been called. */
  cpusChanged(rq: ScxRq, task: ScxTask): void {
    const { sched } = task;
    if (!sched) return;
    if (sched.form === 'cpu' || this.stateOf(task) === this.scx.consts.task.enabled) this.setCpumask(sched, rq, task);
  }

  /** scx_check_setscheduler: -EACCES for a task that the scheduler does not want (sched_setscheduler(2) to SCHED_EXT). */
  checkSetscheduler(task: ScxTask, policy: number): number {
    const refused =
      this.scx.enabled && task.disallow && task.kernelTask.policy !== policy && policy === SCHED_POLICY.EXT;
    return refused ? -ERRNO.EACCES : 0;
  }

  /** task_should_scx: does a task of this policy go under the scheduler? Real-time policies never ask. */
  shouldBeExt(policy: number): boolean {
    if (!this.scx.enabled) return false;
    const disabling = this.scx.state === 'disabling';
    // [N] asks for switch_all first: until it is off, a scheduler that goes keeps what it has.
    if (disabling && !this.scx.consts.subScheds) return false;
    if (this.scx.switchingAll) return true;
    return !disabling && policy === SCHED_POLICY.EXT;
  }

  /** __setscheduler_class, of a task that is not the stop task. */
  classFor(task: ScxTask): ScxTask['cls'] {
    switch (task.kernelTask.policy) {
      case SCHED_POLICY.DEADLINE:
        return CLASS.dl;
      case SCHED_POLICY.FIFO:
      case SCHED_POLICY.RR:
        return CLASS.rt;
      default:
        return this.shouldBeExt(task.kernelTask.policy) ? CLASS.ext : CLASS.fair;
    }
  }
}
