import type { CpuMax, KernelCgroup } from '../kernel/model/cgroup.js';
import { callObject } from './objects.js';
import { OP, type Op } from './op_names.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import type { ScxTask } from './task.js';
import { errnoOf } from './task_states.js';

const U64_MAX = (1n << 64n) - 1n;

/**
 * What sched_ext hears of the cpu controller. Cgroups without it have no task_group, and their tasks count to the nearest
 * ancestor that has one; nothing is told of them.
 */
export class CgroupHooks {
  /** Cgroups are told of, from the end of their initialisation to the begin of their exit (scx_cgroup_enabled). */
  #enabled = false;
  /** Cgroups that ops.cgroup_init succeeded on (SCX_TG_INITED). */
  readonly #inited = new Set<KernelCgroup>();

  constructor(private readonly scx: SchedExt) {
    const { cgroups } = scx.kernel;
    cgroups.onRemove.add((cgroup) => this.offline(cgroup));
  }

  /** scx_cgroup_init: every cgroup, parents first. 0 or -errno, with the error raised. */
  init(sched: ScxSched): number {
    const { kernel } = this.scx;
    this.#inited.clear();
    for (const cgroup of kernel.cgroups.values()) {
      if (cgroup.taskGroup === 0) continue;
      const err = this.#initOne(sched, cgroup);
      if (err !== 0) {
        sched.error(`ops.cgroup_init() failed (${err})`);
        return err;
      }
    }
    this.#enabled = true;
    return 0;
  }

  #initOne(sched: ScxSched, cgroup: KernelCgroup): number {
    const { kernel, calls } = this.scx;
    let result: unknown = 0;
    if (sched.ops.cgroup_init) {
      const { quotaUs, periodUs, burstUs } = cgroup.cpuMax;
      const args = callObject(kernel, 'scx_cgroup_init_args', {
        weight: cgroup.weight,
        bw_period_us: periodUs,
        bw_quota_us: quotaOf(quotaUs),
        bw_burst_us: burstUs,
        sched_idle: cgroup.cpuIdle ? 1 : 0,
      });
      result = calls.call(sched, OP.cgroup_init, null, null, null, cgroup.ptr, args.ptr);
      args.free();
    }
    const err = result === undefined ? 0 : Number(result);
    if (err === 0) this.#inited.add(cgroup);
    return err;
  }

  /** scx_cgroup_exit: every initialised cgroup, children first. */
  exit(sched: ScxSched): void {
    this.#enabled = false;
    const order = [...this.scx.kernel.cgroups.values()].filter((cgroup) => this.#inited.has(cgroup));
    for (const cgroup of postOrder(order)) {
      this.scx.calls.call(sched, OP.cgroup_exit, null, null, null, cgroup.ptr);
    }
    this.#inited.clear();
  }

  /**
   * scx_tg_online: a cgroup with the cpu controller was made; 0, or -errno that its mkdir fails with. The machine asks before
   * anybody can see the cgroup.
   */
  online(cgroup: KernelCgroup): number {
    const { root } = this.scx;
    if (!this.#enabled || !root || cgroup.taskGroup === 0) return 0;
    return errnoOf(root, 'cgroup_init', this.#initOne(root, cgroup));
  }

  /** scx_tg_offline: it is removed. */
  offline(cgroup: KernelCgroup): void {
    const { root } = this.scx;
    if (!this.#inited.delete(cgroup) || !this.#enabled || !root) return;
    this.scx.calls.call(root, OP.cgroup_exit, null, null, null, cgroup.ptr);
  }

  // ---- Moves

  /**
   * scx_cgroup_can_attach: may these tasks go there? 0, or -errno after those that were prepared have been cancelled. The
   * tasks are still in their old cgroups.
   */
  canAttach(tasks: readonly ScxTask[], to: KernelCgroup): number {
    const { root } = this.scx;
    if (!this.#enabled || !root) return 0;
    for (const task of tasks) {
      const from = task.kernelTask.cgroup.cpuCgroup;
      if (from === to.cpuCgroup || task.sched !== root) continue;
      const result = this.scx.calls.call(
        root,
        OP.cgroup_prep_move,
        null,
        null,
        null,
        task.ptr,
        from.ptr,
        to.cpuCgroup.ptr,
      );
      const err = errnoOf(root, 'cgroup_prep_move', result);
      if (err !== 0) {
        this.cancelAttach(tasks, to);
        return err;
      }
      task.movingFrom = from.ptr;
    }
    return 0;
  }

  /** scx_cgroup_move_task: under its run queue's lock, when the task is in the new cgroup. */
  moved(task: ScxTask): void {
    const { root } = this.scx;
    const from = task.movingFrom;
    task.movingFrom = 0;
    if (!this.#enabled || !root || from === 0) return;
    const rq = this.scx.rq(task.cpu);
    this.scx.callTask(root, OP.cgroup_move, rq, task, from, task.kernelTask.cgroup.cpuCgroup.ptr);
  }

  /** scx_cgroup_cancel_attach: the move failed after canAttach. */
  cancelAttach(tasks: readonly ScxTask[], to: KernelCgroup): void {
    const { root } = this.scx;
    for (const task of tasks) {
      const from = task.movingFrom;
      task.movingFrom = 0;
      if (!this.#enabled || !root || from === 0) continue;
      this.scx.calls.call(root, OP.cgroup_cancel_move, null, null, null, task.ptr, from, to.cpuCgroup.ptr);
    }
  }

  // ---- Knobs; the machine calls these instead of the tree's own setters

  /** scx_group_set_weight: cpu.weight. */
  setWeight(cgroup: KernelCgroup, weight: number): void {
    const changed = cgroup.weight !== weight;
    this.scx.kernel.cgroups.setWeight(cgroup, weight);
    if (changed) this.#tell(cgroup, OP.cgroup_set_weight, weight);
  }

  /** scx_group_set_idle: cpu.idle. */
  setIdle(cgroup: KernelCgroup, idle: boolean): void {
    const changed = cgroup.cpuIdle !== idle;
    this.scx.kernel.cgroups.setIdle(cgroup, idle);
    if (changed || !this.scx.consts.subScheds) this.#tell(cgroup, OP.cgroup_set_idle, idle);
  }

  /** scx_group_set_bandwidth: cpu.max and cpu.max.burst. */
  setBandwidth(cgroup: KernelCgroup, max: CpuMax): void {
    const { quotaUs, periodUs, burstUs } = cgroup.cpuMax;
    const changed = quotaUs !== max.quotaUs || periodUs !== max.periodUs || burstUs !== max.burstUs;
    this.scx.kernel.cgroups.setCpuMax(cgroup, max);
    if (!changed || !this.#mayTell(cgroup)) return;
    const { root, calls } = this.scx;
    calls.call(
      root!,
      OP.cgroup_set_bandwidth,
      null,
      null,
      null,
      cgroup.ptr,
      max.periodUs,
      quotaOf(max.quotaUs),
      max.burstUs,
    );
  }

  #mayTell(cgroup: KernelCgroup): boolean {
    return this.#enabled && this.scx.root !== null && cgroup.taskGroup !== 0;
  }

  #tell(cgroup: KernelCgroup, op: Op, value: number | boolean): void {
    if (this.#mayTell(cgroup)) this.scx.calls.call(this.scx.root!, op, null, null, null, cgroup.ptr, value);
  }
}

/** RUNTIME_INF is no quota. */
function quotaOf(us: number): number | bigint {
  return us === Number.POSITIVE_INFINITY ? U64_MAX : us;
}

/** Children before their parents, siblings in the order of their making (css_for_each_descendant_post). */
function postOrder(preOrder: readonly KernelCgroup[]): KernelCgroup[] {
  const done: KernelCgroup[] = [];
  const visit = (cgroup: KernelCgroup) => {
    for (const child of cgroup.children) visit(child);
    if (preOrder.includes(cgroup)) done.push(cgroup);
  };
  const [top] = preOrder;
  if (top) visit(top);
  return done;
}
