import { ERRNO } from '../errno.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Kdata, MapInfo } from '../kernel/types.js';
import type { AccessClass, GuestPtr, HostCall } from '../vm/types.js';
import { ScxConsts } from './consts.js';
import { disableScheduler, enableScheduler } from './enable.js';
import type { ExitInfo } from './exit.js';
import type { ScxForm } from './forms.js';
import { registerScxKfuncs } from './kfuncs.js';
import { structOpsDef } from './ops.js';
import { type RunQueues, ScxSched } from './sched.js';
import { type ScxTask, TaskLayout } from './task.js';

/** sched_ext on one kernel: the struct_ops type, its kfuncs, and the scheduler that is loaded, if any. */
export class SchedExt {
  readonly consts: ScxConsts;
  readonly layout: TaskLayout;
  /** Access class of the fields of a task that scheduler programs may write. */
  readonly taskClass: AccessClass;
  /** The same of scx.disallow. */
  readonly disallowClass: AccessClass;
  sched: ScxSched | null = null;
  /** enum scx_enable_state, as /sys/kernel/sched_ext/state tells it. */
  state: 'disabled' | 'enabling' | 'enabled' | 'disabling' = 'disabled';
  /** Every task that can be is under the scheduler (no SCX_OPS_SWITCH_PARTIAL). */
  switchedAll = false;
  /** Hotplug events so far (/sys/kernel/sched_ext/hotplug_seq). */
  hotplugSeq = 0n;
  /** The scheduler that a vtable was registered as, until it is unregistered (ops->priv). */
  readonly #bound = new Map<GuestPtr, ScxSched>();
  /** How the last scheduler went. */
  lastExit: { sched: ScxSched; exit: ExitInfo; fault: unknown } | null = null;
  /** Every task of the machine, by the address of its task_struct, in order of creation. */
  readonly #tasks = new Map<GuestPtr, ScxTask>();

  /** Registers sched_ext_ops and the kfuncs with the kernel. */
  constructor(
    readonly kernel: Kernel,
    readonly rqs: RunQueues,
  ) {
    this.consts = new ScxConsts(kernel.profile);
    this.layout = new TaskLayout(kernel.types.struct('task_struct'));
    this.taskClass = kernel.newAccessClass();
    this.disallowClass = kernel.newAccessClass();
    registerScxKfuncs(this, (name, fn) => kernel.registerKfunc(name, fn));
    kernel.registerStructOps(structOpsDef(this, 'cpu'));
    if (this.consts.subScheds) kernel.registerStructOps(structOpsDef(this, 'cid'));
  }

  get cpus(): number {
    return this.rqs.cpus;
  }

  /** Simulated time in ns. */
  get now(): number {
    return this.kernel.clock.now;
  }

  get tasks(): ScxTask[] {
    return [...this.#tasks.values()];
  }

  taskAt(ptr: GuestPtr): ScxTask | undefined {
    return this.#tasks.get(ptr);
  }

  add(task: ScxTask): void {
    this.#tasks.set(task.ptr, task);
  }

  /** Forgets a task and frees its task_struct. */
  remove(task: ScxTask): void {
    this.#tasks.delete(task.ptr);
    this.kernel.freeObject(task.ptr);
  }

  /** Kernel bytes that member programs may write: in the cid form scx.disallow alone (bpf_scx_cid_btf_struct_access). */
  writeClasses(form: ScxForm): number {
    return (1 << this.disallowClass) | (form === 'cpu' ? 1 << this.taskClass : 0);
  }

  /** reg(): scx_enable. The arena is that of a cid-form scheduler. */
  register(kdata: Kdata, form: ScxForm, arena: MapInfo | null): number {
    const { consts } = this;
    const child = consts.subScheds && BigInt(kdata.get('sub_cgroup_id')) > 1n;
    if (child && this.state !== 'enabled') return -ERRNO.ENODEV;
    if (!child && this.state !== 'disabled') return -ERRNO.EBUSY;
    if (consts.privBinds && this.#bound.has(kdata.ptr)) return -ERRNO.EBUSY;
    if (child) return this.#refuseChild();
    const sched = new ScxSched(kdata, consts, this.rqs, form, arena);
    this.#bound.set(kdata.ptr, sched);
    return enableScheduler(this, sched);
  }

  /** Only the root cgroup exists; were there others, no scheduler here takes children (scx_sub_enable_workfn). */
  #refuseChild(): number {
    return -ERRNO.ENOENT;
  }

  /** unreg(): bpf_scx_unreg. A scheduler that has gone by itself left nothing to do. */
  unregister(kdata: Kdata): void {
    const sched = this.#bound.get(kdata.ptr);
    this.#bound.delete(kdata.ptr);
    if (!sched || sched !== this.sched) return;
    sched.claimExit(this.consts.exit.unreg, 0n, '');
    this.disable();
  }

  /** Lets the loaded scheduler go, for the reason that its `exit` says. */
  disable(): void {
    disableScheduler(this);
  }

  /**
   * The scheduler that a kfunc's caller belongs to (scx_prog_sched): the one of the struct_ops map that the program is
   * associated with. Programs without one belong to the root scheduler, unless it takes children. Before there were
   * associations all programs did.
   */
  schedOf(call: HostCall): ScxSched | null {
    const root = this.sched;
    if (!this.kernel.profile.behaviours.structOpsAssociation) return root;
    const kdata = this.kernel.structOps.assocOf(call);
    if (kdata) {
      const sched = this.#bound.get(kdata.ptr);
      return sched && !sched.dead ? sched : null;
    }
    if (!root || root.dead) return null;
    if (!root.has('sub_attach')) return root;
    if (!root.warnedUnassociated) {
      root.warnedUnassociated = true;
      const { name, id } = this.kernel.callerOf(call);
      this.kernel.printk(`sched_ext: Unassociated program ${name} (id ${id})`);
    }
    return null;
  }
}
