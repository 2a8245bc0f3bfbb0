import { ERRNO } from '../errno.js';
import type { Kernel } from '../kernel/kernel.js';
import { ArenaMap } from '../kernel/map/arena.js';
import type { KernelTask } from '../kernel/model/task.js';
import type { Kdata, MapInfo, OpArg } from '../kernel/types.js';
import type { AccessClass, GuestPtr, HostCall } from '../vm/types.js';
import { OpCalls } from './call.js';
import { CgroupHooks } from './cgroup.js';
import type { CidTables } from './cid.js';
import { CidMasks } from './cid_masks.js';
import { ScxConsts } from './consts.js';
import type { SchedCore } from './core.js';
import { Deferred } from './deferred.js';
import { Disable } from './disable.js';
import { Dispatch } from './dispatch.js';
import { DsqTable } from './dsq_table.js';
import { DumpWriter } from './dump.js';
import { Enable } from './enable.js';
import { Enqueue } from './enqueue.js';
import type { ExitInfo } from './exit.js';
import { ExitReserve } from './exit_reserve.js';
import type { ScxForm } from './forms.js';
import { Hotplug } from './hotplug.js';
import { Idle } from './idle.js';
import { registerScxKfuncs } from './kfuncs.js';
import { Kicks } from './kick.js';
import type { Op } from './op_names.js';
import { structOpsDef } from './ops.js';
import { Pick } from './pick.js';
import { ScxRq } from './rq.js';
import { ScxSched } from './sched.js';
import { CLASS, type SchedClass, ScxTask } from './task.js';
import { TaskStates } from './task_states.js';
import { Watchdog } from './watchdog.js';

/**
 * sched_ext on one kernel (kernel/sched/ext.c, 7.x kernel/sched/ext/): the struct_ops types, the kfuncs, and the scheduling
 * class of the scheduler that is loaded, if any. A machine drives it: it implements SchedCore, makes the tasks known, and
 * calls the methods of the parts below where the kernel's core calls those of ext_sched_class.
 */
export class SchedExt {
  readonly consts: ScxConsts;
  readonly calls = new OpCalls();
  readonly rqs: readonly ScxRq[];

  /** enqueue_task, dequeue_task, and what leads to them: fork, wakeup, class changes. */
  readonly enqueue: Enqueue;
  /** Queues: inserts, moves, consumption. */
  readonly dispatch: Dispatch;
  /** pick_task, put_prev_task, set_next_task, tick, yield. */
  readonly pick: Pick;
  /** Built-in idle tracking and CPU selection. */
  readonly idle: Idle;
  readonly deferred: Deferred;
  readonly kicks: Kicks;
  /** init_task, enable, disable, exit_task; fork and exit. */
  readonly states: TaskStates;
  readonly cgroups: CgroupHooks;
  readonly hotplug: Hotplug;
  readonly watchdog: Watchdog;
  readonly dump: DumpWriter;
  readonly enabling: Enable;
  readonly exitReserve: ExitReserve;
  readonly disabling: Disable;
  readonly cidMasks: CidMasks;

  /** The scheduler that is loaded or being so (scx_root). */
  root: ScxSched | null = null;
  /** enum scx_enable_state, as /sys/kernel/sched_ext/state tells it. */
  state: 'disabled' | 'enabling' | 'enabled' | 'disabling' = 'disabled';
  /** __scx_enabled: tasks may be in this class. */
  enabled = false;
  /** Every task that can be goes under the scheduler (scx_switching_all). */
  switchingAll = false;
  /** …and is (scx_switched_all, /sys/kernel/sched_ext/switch_all). */
  switchedAll = false;
  /** Forks run ops.init_task (scx_init_task_enabled). */
  initTaskEnabled = false;
  /** CPUs that came or went so far, those at boot included (/sys/kernel/sched_ext/hotplug_seq). */
  hotplugSeq: bigint;
  /** Schedulers enabled so far, and tasks that ops.init_task of the last one kept out. */
  enableSeq = 0;
  nrRejected = 0;
  /** User queues of kernels where they belong to no scheduler [12]; they go with any. */
  readonly kernelDsqs = new DsqTable();
  /** Published when a root scheduler has its layout, gone with it. */
  cids: CidTables | null = null;
  /** How the last scheduler went. */
  lastExit: { sched: ScxSched; exit: ExitInfo; fault: unknown } | null = null;
  /** Called with each scheduler that has gone. */
  onExit: ((sched: ScxSched) => void) | null = null;

  /** The scheduler that a vtable was registered as, until it is unregistered (ops->priv). */
  readonly #bound = new Map<GuestPtr, ScxSched>();
  /** Programs are associated with struct_ops maps. */
  readonly #associates: boolean;
  readonly #taskClass: AccessClass;
  readonly #disallowClass: AccessClass;
  readonly #tasks = new Map<GuestPtr, ScxTask>();

  /** Registers the struct_ops types and kfuncs with the kernel. */
  constructor(
    readonly kernel: Kernel,
    readonly core: SchedCore,
  ) {
    this.consts = new ScxConsts(kernel.profile);
    kernel.vm.direct.taskCpu = kernel.tasks.fields.infoCpu.offset;
    this.#associates = kernel.profile.behaviours.structOpsAssociation;
    this.#taskClass = kernel.newAccessClass();
    this.#disallowClass = kernel.newAccessClass();
    kernel.tasks.grant(['scx.slice', 'scx.dsq_vtime'], this.#taskClass);
    kernel.tasks.grant(['scx.disallow'], this.#disallowClass);
    this.rqs = kernel.rqs.list.map((rq) => {
      const scxRq = new ScxRq(rq.cpu, this.#newTask(rq.idle, CLASS.idle), rq, kernel.rqs);
      scxRq.flags = this.consts.rq.online;
      return scxRq;
    });
    this.hotplugSeq = BigInt(this.rqs.length - 1);
    kernel.rqs.onShow.add(() => {
      for (const rq of this.rqs) rq.show();
    });
    this.enqueue = new Enqueue(this);
    this.dispatch = new Dispatch(this);
    this.pick = new Pick(this);
    this.idle = new Idle(this);
    this.deferred = new Deferred(this);
    this.kicks = new Kicks(this);
    this.states = new TaskStates(this);
    this.cgroups = new CgroupHooks(this);
    this.hotplug = new Hotplug(this);
    this.watchdog = new Watchdog(this);
    this.dump = new DumpWriter(this);
    this.enabling = new Enable(this);
    this.exitReserve = new ExitReserve(kernel);
    this.disabling = new Disable(this);
    this.cidMasks = new CidMasks(this);
    registerScxKfuncs(this, (name, fn, traits, mayCall) => kernel.registerKfunc(name, fn, traits, mayCall));
    kernel.registerStructOps(structOpsDef(this, 'cpu'));
    if (this.consts.subScheds) kernel.registerStructOps(structOpsDef(this, 'cid'));
  }

  get cpus(): number {
    return this.rqs.length;
  }

  rq(cpu: number): ScxRq {
    return this.rqs[cpu]!;
  }

  /** jiffies: the tick counter. */
  get jiffies(): number {
    return Math.floor(this.core.now / this.consts.jiffyNs);
  }

  // ---- Tasks

  #newTask(kernelTask: KernelTask, cls: SchedClass): ScxTask {
    const { fields, words } = this.kernel.tasks;
    const task = new ScxTask(kernelTask, words, words.scx!, fields.scx!, cls);
    this.#tasks.set(task.ptr, task);
    this.kernel.vm.direct.addTask(task.ptr);
    return task;
  }

  /** Makes a task known, before its fork; it is not among `tasks` until postFork. */
  newTask(kernelTask: KernelTask, cls: SchedClass): ScxTask {
    return this.#newTask(kernelTask, cls);
  }

  /** Forgets a task: after it is dead. */
  forget(task: ScxTask): void {
    this.#tasks.delete(task.ptr);
    this.kernel.vm.direct.drop(task.ptr);
  }

  taskAt(ptr: GuestPtr): ScxTask | undefined {
    return this.#tasks.get(ptr);
  }

  /** Every task but idle ones, in the order of their birth (scx_tasks). */
  get tasks(): readonly ScxTask[] {
    return this.states.tasks;
  }

  /** Changes a task's class in the task_struct, too. */
  setClass(task: ScxTask, cls: SchedClass): void {
    task.cls = cls;
    this.kernel.tasks.setSchedClass(task.kernelTask, CLASS_NAMES[cls]!);
  }

  // ---- Calls of ops

  /** An op for one task, under its run queue's lock. */
  callTask(sched: ScxSched, op: Op, rq: ScxRq | null, task: ScxTask, a1?: OpArg, a2?: OpArg) {
    return this.calls.call(sched, op, rq, task, null, task.ptr, a1, a2);
  }

  /** A CPU as ops of this scheduler name it: a cid in the cid form (scx_cpu_arg). */
  cpuArg(cpu: number): number {
    return this.cids !== null && this.root?.form === 'cid' ? this.cids.cpuToCid[cpu]! : cpu;
  }

  /** The CPU that an op names; below 0, with an error, for none (scx_cpu_ret). */
  cpuRet(sched: ScxSched, cpu: number): number {
    if (cpu < 0 || this.root?.form !== 'cid') return cpu;
    return this.cidToCpu(sched, cpu);
  }

  /** -EINVAL, and an error if the tables exist, for a cid that does not (scx_cid_to_cpu). */
  cidToCpu(sched: ScxSched, cid: number): number {
    if (cid >= 0 && cid < this.cpus) return this.cids ? this.cids.cidToCpu[cid]! : -ERRNO.EINVAL;
    sched.error(`invalid cid ${cid}`);
    return -ERRNO.EINVAL;
  }

  // ---- struct_ops

  /** Kernel bytes that member programs may write: in the cid form scx.disallow alone (bpf_scx_cid_btf_struct_access). */
  writeClasses(form: ScxForm): number {
    return (1 << this.#disallowClass) | (form === 'cpu' ? 1 << this.#taskClass : 0);
  }

  /** reg(): scx_enable. The arena is that of a cid-form scheduler. */
  register(kdata: Kdata, form: ScxForm, arena: MapInfo | null): number {
    const { consts } = this;
    const group = consts.subScheds ? BigInt(kdata.get('sub_cgroup_id')) : 0n;
    const child = group > 1n;
    if (child && !this.enabled) return -ERRNO.ENODEV;
    if (!child && this.state !== 'disabled') return -ERRNO.EBUSY;
    if (consts.privBinds && this.#bound.has(kdata.ptr)) return -ERRNO.EBUSY;
    if (child) return this.#refuseChild(group);
    const dsqs = consts.globalDsqHash ? this.kernelDsqs : new DsqTable();
    const sched = new ScxSched(kdata, consts, this.core.topology, dsqs, form, arena instanceof ArenaMap ? arena : null);
    sched.errorCpu = () => this.kernel.currentCpu;
    sched.errorPlace = () => (this.calls.running || !this.calls.last ? undefined : `after ${this.calls.last.place}`);
    this.#bound.set(kdata.ptr, sched);
    return this.enabling.run(sched);
  }

  /** Sub-schedulers are not modelled: every root refuses them as one without ops.sub_attach does (find_parent_sched). */
  #refuseChild(group: bigint): number {
    const found = group <= BigInt(Number.MAX_SAFE_INTEGER) && this.kernel.cgroups.byId(Number(group));
    return found ? -ERRNO.EOPNOTSUPP : -ERRNO.ENOENT;
  }

  /** unreg(): bpf_scx_unreg. A scheduler that has gone by itself left nothing to do. */
  unregister(kdata: Kdata): void {
    const sched = this.#bound.get(kdata.ptr);
    if (sched && sched === this.root) {
      sched.claimExit(this.consts.exit.unreg, 0n, '');
      this.disabling.flush(sched);
    }
    this.#bound.delete(kdata.ptr);
  }

  /**
   * The scheduler that a kfunc's caller belongs to (scx_prog_sched): the one of the struct_ops map that the program is
   * associated with. Programs without one belong to the root scheduler, unless it takes children. Before there were
   * associations all programs did.
   */
  schedOf(call: HostCall): ScxSched | null {
    const { root } = this;
    if (!this.#associates) return root;
    const { live, sched: own } = this.calls.frame;
    if (live?.calls(call)) return own;
    const kdata = this.kernel.structOps.assocOf(call);
    if (kdata) {
      const sched = this.#bound.get(kdata.ptr);
      return sched && !sched.dead ? sched : null;
    }
    if (!root || root.dead) return null;
    if (!root.ops.sub_attach) return root;
    if (!root.warnedUnassociated) {
      root.warnedUnassociated = true;
      const { name, id } = this.kernel.callerOf(call);
      this.kernel.printk(`sched_ext: Unassociated program ${name} (id ${id})`);
    }
    return null;
  }
}

/** Names of struct sched_class, by CLASS. */
const CLASS_NAMES = ['stop', 'dl', 'rt', 'fair', 'ext', 'idle'] as const;
