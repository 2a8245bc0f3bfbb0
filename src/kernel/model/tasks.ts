import { ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import { ERRNO, ErrnoError } from '../../errno.js';
import { InputError, VmtableError } from '../../errors.js';
import type { AccessClass, GuestPtr } from '../../vm/types.js';
import { jiffies64 } from '../jiffies.js';
import type { Kernel } from '../kernel.js';
import { utf8Length } from '../name.js';
import type { CgroupTree, KernelCgroup } from './cgroup.js';
import type { Cpumasks } from './cpumask.js';
import { Creds } from './cred.js';
import { FairTasks } from './fair.js';
import { TASK_FIELDS } from './fields.js';
import { Handles } from './handles.js';
import { Layout } from './layout.js';
import { Pids } from './pid.js';
import { normalPriority, weightOf } from './prio.js';
import { SchedInfo } from './sched_info.js';
import { SIGNAL_PATHS, Signals } from './signal.js';
import { EXIT_STATE, KernelTask, PF, SCHED_POLICY, TASK_STATE } from './task.js';
import { TaskFields } from './task_fields.js';
import { TaskWords } from './task_words.js';

/** How a task is born. */
export interface TaskOptions {
  /** 1 to 15 bytes. */
  comm: string;
  /** Default: the next free number. */
  pid?: number;
  /** The process that the task becomes a further thread of. Default: a process of its own. */
  leader?: KernelTask;
  /** Who forks it; default pid 1 if there is one, else the idle task of CPU 0. */
  parent?: KernelTask;
  /** A kernel thread. */
  kthread?: boolean;
  /** CPU that it is on first; default the lowest that it may run on. */
  cpu?: number;
  /** CPUs that it may run on; default all possible ones. */
  cpus?: Iterable<number>;
  /** SCHED_POLICY.NORMAL, … */
  policy?: number;
  /** -20 to 19. */
  nice?: number;
  /** 1 to 99 under SCHED_FIFO and SCHED_RR. */
  rtPriority?: number;
  /** Default: the parent's. */
  cgroup?: KernelCgroup;
  uid?: number;
  gid?: number;
}

/** Pids from here on are taken again after the highest (kernel: RESERVED_PIDS, PID_MAX_DEFAULT). */
const RESERVED_PIDS = 300;
const PID_MAX = 4194304;
const COMM_BYTES = 15;

export type SchedClass = 'stop' | 'dl' | 'rt' | 'fair' | 'ext' | 'idle';

export type TaskHook = (task: KernelTask) => void;

/** All tasks, by address and by pid. */
export class TaskTable {
  readonly layout: Layout<keyof typeof TASK_FIELDS>;
  readonly fields: TaskFields;
  readonly words: TaskWords;
  readonly creds: Creds;
  /** How long tasks waited, for who drives them. */
  readonly schedInfo: SchedInfo;
  /** What the fair class knows of tasks, for who drives it. */
  readonly fair: FairTasks;
  /** The idle task of each CPU, pid 0; that of CPU 0 is init_task. Not among `values()`. */
  readonly idle: readonly KernelTask[];
  /** Runs when a task has become one, after its pid can be found. */
  readonly onCreate = new Set<TaskHook>();
  /** Runs when a task's pid is free again (kernel: release_task). */
  readonly onReap = new Set<TaskHook>();
  /** Runs with a task's address right before its memory is poisoned: what hangs on it must go now (kernel: free_task). */
  readonly onFree = new Set<(ptr: GuestPtr) => void>();
  readonly #byPtr = new Map<GuestPtr, KernelTask>();
  /** Insertion order is the order of birth. */
  readonly #byPid = new Map<number, KernelTask>();
  /** The same, ascending, while births were not; null when it must be sorted again. */
  #sorted: KernelTask[] | null = null;
  #ascending = true;
  #highest = 0;
  #lastPid = 0;
  readonly #pids: Pids;
  readonly #signals: Signals;
  readonly #mms: Handles;
  readonly #kthreads: Handles | undefined;
  readonly #classes = new Map<SchedClass, GuestPtr>();
  /** What init_scx_entity() gives tasks. */
  readonly #noDsq: bigint;
  readonly #slice: bigint;

  constructor(
    readonly kernel: Kernel,
    readonly cpumasks: Cpumasks,
    readonly cgroups: CgroupTree,
  ) {
    const { btf } = kernel.profile;
    this.#noDsq = btf.enumerator('SCX_DSQ_INVALID') ?? 0n;
    this.#slice = btf.enumerator('SCX_SLICE_DFL') ?? 0n;
    this.layout = new Layout(kernel.types, 'task_struct', TASK_FIELDS, SIGNAL_PATHS);
    this.fields = new TaskFields(this.layout);
    this.words = new TaskWords(kernel.vm.core, this.fields);
    this.creds = new Creds(kernel);
    this.schedInfo = new SchedInfo(this.words);
    this.fair = new FairTasks(kernel, this.layout);
    this.#pids = new Pids(kernel);
    this.#signals = new Signals(kernel, this.fields);
    this.#mms = new Handles(kernel.types, kernel.objects, kernel.types.struct('mm_struct'));
    const kthread = kernel.types.tryStruct('kthread');
    this.#kthreads = kthread && new Handles(kernel.types, kernel.objects, kthread);
    kernel.types.layouts.set('sched_class', { modelled: [] });
    this.idle = Array.from({ length: cpumasks.cpus }, (_, cpu) => this.#newIdle(cpu));
  }

  /** The idle task of CPU 0. */
  get init(): KernelTask {
    return this.idle[0] as KernelTask;
  }

  /** struct pid_namespace of all pids. */
  get initPidNs(): GuestPtr {
    return this.#pids.initNs;
  }

  /** Processes and threads that can be found by pid. */
  get count(): number {
    return this.#byPid.size;
  }

  /** The task whose task_struct begins at this address, reaped ones included until they are freed. */
  at(ptr: GuestPtr): KernelTask | undefined {
    return this.#byPtr.get(ptr);
  }

  byPid(pid: number): KernelTask | undefined {
    return this.#byPid.get(pid);
  }

  /** Processes and threads by ascending pid. */
  values(): Iterable<KernelTask> {
    if (this.#ascending) return this.#byPid.values();
    this.#sorted ??= [...this.#byPid.values()].sort((a, b) => a.pid - b.pid);
    return this.#sorted;
  }

  /** The same in the order of birth. */
  born(): Iterable<KernelTask> {
    return this.#byPid.values();
  }

  /** Processes in the order of birth; those that are born meanwhile come, too. */
  *processes(): Generator<KernelTask> {
    for (const task of this.#byPid.values()) if (task.leader === task) yield task;
  }

  /** Gives fields of all tasks, present and future, an access class of a subsystem's: its programs may write them. */
  grant(paths: readonly (keyof typeof TASK_FIELDS)[], access: AccessClass): void {
    for (const path of paths) this.layout.grant(path, access);
    this.#stampAll();
  }

  /** Declares further fields of all tasks as modelled, by path: a subsystem keeps them. */
  declare(paths: readonly string[]): void {
    this.layout.declare(paths);
    this.#stampAll();
  }

  #stampAll(): void {
    for (const ptr of this.#byPtr.keys()) {
      this.layout.stamp(ptr);
      this.fair.stamped(ptr);
    }
  }

  /** Fills `signal` and `thread_node` of all tasks, present and future: a program may look at them. */
  showSignals(): void {
    if (this.#signals.shown) return;
    this.layout.open(SIGNAL_PATHS);
    this.#stampAll();
    this.#signals.show(this.#byPtr.values());
  }

  /** fork(2): a task in state TASK_NEW. Throws InputError for options that no task could have. */
  create(options: TaskOptions): KernelTask {
    const { comm, leader } = options;
    const cpus = options.cpus === undefined ? undefined : [...options.cpus];
    checkOptions(options, cpus, this.cpumasks);
    const pid = options.pid ?? this.#freePid();
    if (this.#byPid.has(pid)) throw new InputError(`task ${comm}: pid ${pid} is taken`);
    const parent = leader ? leader.realParent : (options.parent ?? this.#byPid.get(1) ?? this.init);
    const kthread = leader?.kthread ?? options.kthread ?? false;
    const cgroup = options.cgroup ?? leader?.cgroup ?? parent.cgroup;
    if (cgroup.dead) throw new ErrnoError(ERRNO.ENODEV, `task ${comm}: cgroup ${cgroup.path} is gone`);
    const task = this.#new(pid, comm, leader ?? null, parent, cgroup, kthread);
    this.#fill(task, options, cpus);
    this.fair.forked(task, leader ?? parent);
    this.#hash(task);
    if (leader) leader.addThread(task);
    else parent.addChild(task);
    cgroup.tasks.add(task);
    this.cgroups.attach(task, cgroup);
    for (const hook of this.onCreate) hook(task);
    return task;
  }

  /** The part of do_exit() that programs see: PF_EXITING, no namespaces, children go to pid 1. The task can still be found by its pid. */
  exit(task: KernelTask, code = 0): void {
    if (task.exiting) return;
    task.flags |= PF.EXITING;
    this.fields.nsproxy.set(task.ptr, 0);
    this.fields.exitCode.set(task.ptr, code);
    this.fields.exitState.set(task.ptr, EXIT_STATE.ZOMBIE);
    this.#signals.exited(task);
    if (!task.children) return;
    const heir = this.#heir(task);
    for (const child of task.children) {
      child.realParent = heir;
      this.fields.realParent.set(child.ptr, heir.ptr);
      this.fields.parent.set(child.ptr, heir.ptr);
      heir.addChild(child);
    }
    task.children = null;
  }

  /** release_task(): the pid is free and its reference gone. A leader goes after its threads. */
  reap(task: KernelTask): void {
    if (!task.hashed) throw new VmtableError(`${task.name}: reaped twice`);
    if (task.leader === task && task.threads && task.threads.length > 0) {
      throw new VmtableError(`${task.name}: reaped before its ${task.threads.length} other threads`);
    }
    task.hashed = false;
    this.#signals.left(task);
    this.fields.exitState.set(task.ptr, EXIT_STATE.DEAD);
    this.#byPid.delete(task.pid);
    this.#sorted = null;
    if (task.leader === task) {
      task.realParent.children?.delete(task);
    } else {
      const { threads } = task.leader;
      threads?.splice(threads.indexOf(task), 1);
    }
    task.cgroup.tasks.delete(task);
    this.cgroups.detach(task);
    for (const hook of this.onReap) hook(task);
    this.put(task);
  }

  /** The last switch away from a task (finish_task_switch of TASK_DEAD): the scheduler's reference is gone. */
  buried(task: KernelTask): void {
    task.state = TASK_STATE.DEAD;
    this.put(task);
  }

  /** exit, reap and burial in one: the task is gone as soon as nobody holds it. */
  remove(task: KernelTask, code = 0): void {
    this.exit(task, code);
    this.reap(task);
    this.buried(task);
  }

  /** A reference (refcount_inc_not_zero of p->rcu_users); false, and nothing done, once the last one has gone. */
  tryGet(task: KernelTask): boolean {
    const users = task.rcuUsers;
    if (users === 0) return false;
    this.fields.rcuUsers.set(task.ptr, users + 1);
    return true;
  }

  /** put_task_struct_rcu_user(): with the last reference the memory goes, after a grace period. */
  put(task: KernelTask): void {
    const users = task.rcuUsers;
    if (users === 0) throw new VmtableError(`${task.name}: one reference too many was given back`);
    this.fields.rcuUsers.set(task.ptr, users - 1);
    if (users === 1) this.kernel.rcu.call(() => this.#free(task));
  }

  #free(task: KernelTask): void {
    for (const hook of this.onFree) hook(task.ptr);
    this.#byPtr.delete(task.ptr);
    this.kernel.objects.remove(task.ptr);
    if (task.leader === task) {
      const mm = this.fields.mm.get(task.ptr);
      if (mm > 0) this.#mms.free(mm);
    }
    this.#signals.freed(task);
    this.fair.freed(task.ptr);
    this.#pids.free(this.fields.threadPid.get(task.ptr));
    const kthread = task.kthread ? (this.fields.workerPrivate?.get(task.ptr) ?? 0) : 0;
    if (kthread > 0) this.#kthreads?.free(kthread);
    this.kernel.memory.free(task.ptr);
  }

  // ---- Scheduling parameters and CPUs --------------------------------------------------------------------------------

  /** sched_setscheduler(2) and setpriority(2) as far as the fields go. Throws InputError for values out of range. */
  setSched(task: KernelTask, policy: number, nice = task.nice, rtPriority = 0): void {
    checkSched(task, policy, nice, rtPriority);
    const { fields } = this;
    const { ptr } = task;
    fields.policy.set(ptr, policy);
    fields.rtPriority.set(ptr, rtPriority);
    fields.staticPrio.set(ptr, 120 + nice);
    const prio = normalPriority(policy, nice, rtPriority);
    fields.normalPrio.set(ptr, prio);
    fields.prio.set(ptr, prio);
    fields.loadWeight.set(ptr, weightOf(policy, nice) * 1024);
  }

  /** Address that p->sched_class holds. */
  schedClass(name: SchedClass): GuestPtr {
    let ptr = this.#classes.get(name);
    if (ptr === undefined) {
      const { memory, types } = this.kernel;
      ptr = memory.alloc(types.tryStruct('sched_class')?.size ?? 8, {
        access: ACCESS_UNMODELLED,
        name: `kernel variable ${name}_sched_class`,
      });
      this.#classes.set(name, ptr);
    }
    return ptr;
  }

  setSchedClass(task: KernelTask, name: SchedClass): void {
    this.fields.schedClass.set(task.ptr, this.schedClass(name));
  }

  /** sched_setaffinity(2) as far as the fields go. Throws InputError for CPUs that are not possible, or none. */
  setCpus(task: KernelTask, cpus: Iterable<number>): void {
    const { cpumasks } = this;
    if (cpus === cpumasks.all) {
      cpumasks.copy(task.cpusMask, cpumasks.possible);
      task.allowedCount = cpumasks.cpus;
      return;
    }
    const list = [...new Set(cpus)];
    if (list.length === 0) throw new InputError(`${task.name}: no CPU to run on`);
    cpumasks.assign(task.cpusMask, list);
    task.allowedCount = list.length;
  }

  // ---- Birth ---------------------------------------------------------------------------------------------------------

  #new(
    pid: number,
    comm: string,
    leader: KernelTask | null,
    parent: KernelTask | null,
    cgroup: KernelCgroup,
    kthread: boolean,
  ): KernelTask {
    const ptr = this.layout.alloc('struct task_struct');
    const task = new KernelTask(this, ptr, pid, leader, parent, cgroup, kthread);
    this.#byPtr.set(ptr, task);
    this.kernel.objects.add(task);
    task.comm = comm;
    const { fields } = this;
    fields.pid.set(ptr, pid);
    fields.threadPid.set(ptr, this.#pids.alloc(pid));
    fields.nsproxy.set(ptr, this.#pids.nsproxy);
    this.#signals.joined(task);
    fields.tgid.set(ptr, task.tgid);
    fields.groupLeader.set(ptr, task.leader.ptr);
    fields.realParent.set(ptr, task.realParent.ptr);
    fields.parent.set(ptr, task.realParent.ptr);
    fields.usage.set(ptr, 1);
    fields.rcuUsers.set(ptr, 2);
    fields.numaPreferredNid?.set(ptr, -1);
    fields.cpusPtr.set(ptr, task.cpusMask);
    const now = this.kernel.clock.now;
    fields.startTime.set(ptr, now);
    fields.startBoottime.set(ptr, now);
    this.#initScx(ptr);
    return task;
  }

  /** init_scx_entity() */
  #initScx(ptr: GuestPtr): void {
    const { scx } = this.fields;
    if (!scx) return;
    scx.stickyCpu.set(ptr, -1);
    scx.holdingCpu.set(ptr, -1);
    scx.ddspDsqId.setBig(ptr, this.#noDsq);
    scx.slice.setBig(ptr, this.#slice);
    scx.runnableAt.set(ptr, jiffies64(this.kernel));
  }

  #fill(task: KernelTask, options: TaskOptions, cpus: readonly number[] | undefined): void {
    const { fields } = this;
    const { ptr } = task;
    const { policy = SCHED_POLICY.NORMAL, nice = 0, rtPriority = 0, uid = 0, gid = 0 } = options;
    task.state = TASK_STATE.NEW;
    task.flags = task.kthread ? PF.KTHREAD : PF.FORKNOEXEC;
    this.setCpus(task, cpus ?? this.cpumasks.all);
    task.place(options.cpu ?? this.cpumasks.next(task.cpusMask));
    fields.recentUsedCpu.set(ptr, task.cpu);
    fields.wakeCpu.set(ptr, task.cpu);
    this.setSched(task, policy, nice, rtPriority);
    this.setSchedClass(task, classOf(policy));
    const cred = this.creds.of(uid, gid);
    fields.realCred.set(ptr, cred);
    fields.cred.set(ptr, cred);
    if (task.kthread) {
      if (this.#kthreads) fields.workerPrivate?.set(ptr, this.#kthreads.alloc());
    } else if (task.leader === task) {
      fields.mm.set(ptr, this.#mms.alloc());
    } else {
      fields.mm.set(ptr, fields.mm.get(task.leader.ptr));
    }
  }

  #newIdle(cpu: number): KernelTask {
    const { fields } = this;
    const task = this.#new(0, `swapper/${cpu}`, null, null, this.cgroups.root, true);
    const { ptr } = task;
    task.state = TASK_STATE.RUNNING;
    task.flags = PF.KTHREAD | PF.IDLE | PF.NO_SETAFFINITY;
    task.place(cpu);
    task.onCpu = true;
    task.onRq = true;
    this.setCpus(task, [cpu]);
    fields.policy.set(ptr, SCHED_POLICY.NORMAL);
    fields.staticPrio.set(ptr, 120);
    fields.normalPrio.set(ptr, 120);
    fields.prio.set(ptr, 120);
    fields.loadWeight.set(ptr, weightOf(SCHED_POLICY.IDLE, 0) * 1024);
    this.setSchedClass(task, 'idle');
    const cred = this.creds.of(0, 0);
    fields.realCred.set(ptr, cred);
    fields.cred.set(ptr, cred);
    this.cgroups.attach(task, this.cgroups.root, false);
    return task;
  }

  /** alloc_pid() */
  #freePid(): number {
    if (this.#byPid.size >= PID_MAX - RESERVED_PIDS) throw new ErrnoError(ERRNO.EAGAIN, 'no pid is free');
    let pid = this.#lastPid;
    do {
      pid = pid + 1 < PID_MAX ? pid + 1 : RESERVED_PIDS;
    } while (this.#byPid.has(pid));
    this.#lastPid = pid;
    return pid;
  }

  #hash(task: KernelTask): void {
    if (task.pid < this.#highest) this.#ascending = false;
    this.#highest = Math.max(this.#highest, task.pid);
    this.#byPid.set(task.pid, task);
    this.#sorted = null;
  }

  /** Who inherits children: another thread of the process, pid 1, or the idle task (kernel: find_new_reaper). */
  #heir(task: KernelTask): KernelTask {
    const thread = [task.leader, ...(task.leader.threads ?? [])].find((other) => !other.exiting);
    const init = this.#byPid.get(1);
    return thread ?? (init && init !== task ? init : this.init);
  }
}

function classOf(policy: number): SchedClass {
  switch (policy) {
    case SCHED_POLICY.FIFO:
    case SCHED_POLICY.RR:
      return 'rt';
    case SCHED_POLICY.DEADLINE:
      return 'dl';
    default:
      return 'fair';
  }
}

function checkOptions(options: TaskOptions, cpus: readonly number[] | undefined, cpumasks: Cpumasks): void {
  const { comm, pid, cpu, policy = SCHED_POLICY.NORMAL, nice = 0, rtPriority = 0 } = options;
  const bytes = utf8Length(comm);
  if (bytes === 0 || bytes > COMM_BYTES) throw new InputError(`task "${comm}": a name has 1 to ${COMM_BYTES} bytes`);
  if (pid !== undefined && !(Number.isInteger(pid) && pid > 0 && pid < PID_MAX)) {
    throw new InputError(`task ${comm}: pid ${pid} is not within 1 to ${PID_MAX - 1}`);
  }
  if (cpu !== undefined && !cpumasks.isCpu(cpu)) throw new InputError(`task ${comm}: CPU ${cpu} of ${cpumasks.cpus}`);
  if (cpus) {
    if (cpus.length === 0) throw new InputError(`task ${comm}: no CPU to run on`);
    const wrong = cpus.find((one) => !cpumasks.isCpu(one));
    if (wrong !== undefined) throw new InputError(`task ${comm}: CPU ${wrong} of ${cpumasks.cpus}`);
  }
  if (options.leader && options.leader.leader !== options.leader) {
    throw new InputError(`task ${comm}: ${options.leader.label} is no process`);
  }
  checkSched(options, policy, nice, rtPriority);
}

const POLICIES: ReadonlySet<number> = new Set(Object.values(SCHED_POLICY));

function checkSched(task: { readonly comm: string }, policy: number, nice: number, rtPriority: number): void {
  if (!POLICIES.has(policy)) throw new InputError(`task ${task.comm}: policy ${policy}`);
  if (!(Number.isInteger(nice) && nice >= -20 && nice <= 19)) {
    throw new InputError(`task ${task.comm}: nice ${nice} is not within -20 to 19`);
  }
  const realTime = policy === SCHED_POLICY.FIFO || policy === SCHED_POLICY.RR;
  if (!(Number.isInteger(rtPriority) && (realTime ? rtPriority >= 1 && rtPriority <= 99 : rtPriority === 0))) {
    throw new InputError(`task ${task.comm}: real-time priority ${rtPriority} under policy ${policy}`);
  }
}
