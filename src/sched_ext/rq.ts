import type { RunQueue, RunQueues } from '../kernel/model/rq.js';
import { BUILTIN_HI, DSQ_LOCAL, Dsq, LOCAL_LO } from './dsq.js';
import { CLASS, type SchedClass, type ScxTask } from './task.js';

/** A CPU's run queue as sched_ext sees it (kernel: struct scx_rq, and of struct rq what it looks at). */
export class ScxRq {
  readonly local: Dsq;
  /** rq->curr. Kept by whoever drives the machine. */
  curr: ScxTask;
  /** rq->next_class: the highest class that is running, chosen, or woken since [N]. */
  nextClass: SchedClass = CLASS.idle;
  /** The BPF scheduler is bypassed on this CPU. */
  bypassing = false;
  /** SCX_ENQ_IMMED tasks on the local queue. */
  immed = 0;
  inSelectCpu = false;
  /** Advances whenever the CPU goes through a scheduling cycle: what SCX_KICK_WAIT waits for (kick_sync, pnt_seq). */
  kickSync = 0;
  /** There may be some of the following. */
  hasDeferred = false;
  /** Tasks with verdicts for local queues of other CPUs, in the order of their enqueue. */
  readonly deferredLocals: ScxTask[] = [];
  /** SCX_REENQ_* that scx_bpf_dsq_reenq asked of the local queue; 0 for none. */
  deferredReenq = 0;
  readonly deferredReenqUsers = new Map<Dsq, number>();
  /** Work is on its way that runs what is deferred. */
  deferredQueued = false;

  /** Who asked to be kicked by programs that ran here. */
  readonly toKick = new Set<number>();
  readonly toKickIfIdle = new Set<number>();
  readonly toPreempt = new Set<number>();
  readonly toWait = new Set<number>();
  /** CPUs that this one waits for, with the kickSync that they must leave behind. */
  readonly toSync = new Map<number, number>();
  kickQueued = false;

  /** Ends of rq->scx.runnable_list. */
  runnableFirst: ScxTask | null = null;
  runnableLast: ScxTask | null = null;

  #flags = 0;
  #nrRunning = 0;
  #cpuReleased = false;
  #cpuperfTarget = 0;

  constructor(
    readonly cpu: number,
    readonly idle: ScxTask,
    /** The struct rq in guest memory. */
    readonly kernelRq: RunQueue,
    private readonly table: RunQueues,
  ) {
    this.local = new Dsq(DSQ_LOCAL, BUILTIN_HI, LOCAL_LO, cpu);
    this.curr = idle;
  }

  hasFlags(bits: number): boolean {
    return (this.#flags & bits) !== 0;
  }

  get flags(): number {
    return this.#flags;
  }

  set flags(flags: number) {
    if (flags === this.#flags) return;
    this.#flags = flags;
    if (this.table.shown) this.table.fields.scxFlags?.set(this.kernelRq.ptr, flags);
  }

  get nrRunning(): number {
    return this.#nrRunning;
  }

  set nrRunning(count: number) {
    this.#nrRunning = count;
    if (this.table.shown) this.table.fields.scxNrRunning?.set(this.kernelRq.ptr, count);
  }

  get cpuReleased(): boolean {
    return this.#cpuReleased;
  }

  set cpuReleased(released: boolean) {
    this.#cpuReleased = released;
    if (this.table.shown) this.table.fields.scxCpuReleased?.set(this.kernelRq.ptr, released ? 1 : 0);
  }

  get cpuperfTarget(): number {
    return this.#cpuperfTarget;
  }

  set cpuperfTarget(target: number) {
    this.#cpuperfTarget = target;
    if (this.table.shown) this.table.fields.scxCpuperfTarget?.set(this.kernelRq.ptr, target);
  }

  /** After every change of the local queue: its nr is visible to programs. */
  publishLocalNr(): void {
    if (this.table.shown) this.table.fields.scxLocalNr?.set(this.kernelRq.ptr, this.local.nr);
  }

  /** Programs may look at the struct rq from now on (RunQueues.show). */
  show(): void {
    const { fields } = this.table;
    const { ptr } = this.kernelRq;
    fields.scxFlags?.set(ptr, this.#flags);
    fields.scxNrRunning?.set(ptr, this.#nrRunning);
    fields.scxCpuReleased?.set(ptr, this.#cpuReleased ? 1 : 0);
    fields.scxCpuperfTarget?.set(ptr, this.#cpuperfTarget);
    fields.scxLocalNr?.set(ptr, this.local.nr);
  }

  // ---- runnable_list: waiting tasks, in the order in which they began to wait

  addRunnable(task: ScxTask): void {
    task.runnableOn = this;
    task.runnablePrev = this.runnableLast;
    task.runnableNext = null;
    if (this.runnableLast) this.runnableLast.runnableNext = task;
    else this.runnableFirst = task;
    this.runnableLast = task;
  }

  removeRunnable(task: ScxTask): void {
    if (task.runnableOn !== this) return;
    if (task.runnablePrev) task.runnablePrev.runnableNext = task.runnableNext;
    else this.runnableFirst = task.runnableNext;
    if (task.runnableNext) task.runnableNext.runnablePrev = task.runnablePrev;
    else this.runnableLast = task.runnablePrev;
    task.runnableOn = null;
    task.runnablePrev = null;
    task.runnableNext = null;
  }

  get runnable(): ScxTask[] {
    const tasks: ScxTask[] = [];
    for (let task = this.runnableFirst; task; task = task.runnableNext) tasks.push(task);
    return tasks;
  }
}
