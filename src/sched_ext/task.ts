import { TIME } from '../kernel/event_queue.js';
import type { KernelTask } from '../kernel/model/task.js';
import type { ScxEntityFields } from '../kernel/model/task_fields.js';
import type { ScxWords, TaskWords } from '../kernel/model/task_words.js';
import type { GuestPtr } from '../vm/types.js';
import type { LiveOp } from './call.js';
import { BUILTIN_HI, type Dsq } from './dsq.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import { rankOf, type VtimeNode } from './vtime_tree.js';

/** Scheduling classes, highest first, as the linker lays them out (sched_class_above). */
export const CLASS = { stop: 0, dl: 1, rt: 2, fair: 3, ext: 4, idle: 5 } as const;
export type SchedClass = (typeof CLASS)[keyof typeof CLASS];

export function classAbove(a: SchedClass, b: SchedClass): boolean {
  return a < b;
}

/** SCX_OPSS_*: where a task stands between the BPF scheduler and a queue. */
export const OPSS_NONE = 0;
export const OPSS_QUEUEING = 1;
export const OPSS_QUEUED = 2;
export const OPSS_DISPATCHING = 3;

/** Where an insert of select_cpu or enqueue goes, carried out when the op has returned (p->scx.ddsp_*). */
export class Verdict {
  /** False: there is none (ddsp_dsq_id is SCX_DSQ_INVALID). */
  set = false;
  /** Halves of the id, signed. */
  dsqHi = 0;
  dsqLo = 0;
  enqFlags = 0;
  /** 0 keeps the task's slice. */
  slice = 0;
  vtimeHi = 0;
  vtimeLo = 0;
  byVtime = false;
  /** The slice is the default one, which does not undo a scx_bpf_task_set_slice (SCX_ENQ_SLICE_DFL). */
  refill = false;

  clear(): void {
    this.set = false;
    this.enqFlags = 0;
    this.byVtime = false;
    this.refill = false;
  }

  copy(from: Verdict): void {
    this.set = from.set;
    this.dsqHi = from.dsqHi;
    this.dsqLo = from.dsqLo;
    this.enqFlags = from.enqFlags;
    this.slice = from.slice;
    this.vtimeHi = from.vtimeHi;
    this.vtimeLo = from.vtimeLo;
    this.byVtime = from.byVtime;
    this.refill = from.refill;
  }
}

/** SCX_SLICE_INF as a Number. */
export const SLICE_INF = 2 ** 64;

let ranks = 0;

/**
 * A task as the scheduling classes see it (kernel: p->scx and what of task_struct the run queue code uses). What programs
 * read or write lives in its task_struct; what only the kernel looks at lives here.
 */
export class ScxTask {
  readonly ptr: GuestPtr;
  readonly pid: number;
  /** p->sched_class; whoever drives the machine and the class switches here keep it. */
  cls: SchedClass;
  /** TASK_ON_RQ_QUEUED: on the run queue of its CPU, running or not. */
  onRq = false;
  /** TASK_ON_RQ_MIGRATING: on its way from one to another inside of sched_ext. */
  migrating = false;
  /** Whose task it is, null before init_task and after exit_task. */
  sched: ScxSched | null = null;

  /** The queue that it is on, and its neighbours there. */
  dsq: Dsq | null = null;
  dsqPrev: ScxTask | null = null;
  dsqNext: ScxTask | null = null;
  dsqSeq = 0;
  /** When it came to that queue; kept by a DsqObserver. */
  dsqSince = TIME;
  onPriq = false;
  readonly node: VtimeNode;

  opsState = OPSS_NONE;
  /** Counts enqueues: an insert that was recorded for an earlier one is void. */
  qseq = 0;
  readonly verdict = new Verdict();
  /** The op that gave it. */
  insertedBy: LiveOp | null = null;
  /** Waits on its run queue's list of verdicts for other CPUs' local queues. */
  deferred = false;

  /** rq->scx.runnable_list; null while it is on none. */
  runnableOn: ScxRq | null = null;
  runnablePrev: ScxTask | null = null;
  runnableNext: ScxTask | null = null;
  /** Jiffies since when it waits. */
  runnableAt = 0;
  /** Re-enqueues since it ran last. */
  reenqueues = 0;
  /** A slice that somebody without the run queue's lock asked for, -1 for none. */
  sliceRequest = -1;
  sticky = -1;
  selected = -1;
  /** scx.flags, which no program writes. */
  #flags: number;
  /** Place of its task_struct (TaskWords.of), and of fields of its sched_ext_entity. */
  readonly #at: number;
  /** What whoever drives the machine knows about it. */
  owner: unknown = null;
  /** ptr of the cgroup that it is being moved from, 0 for none. */
  movingFrom: GuestPtr = 0;

  constructor(
    readonly kernelTask: KernelTask,
    private readonly words: TaskWords,
    private readonly scx: ScxWords,
    private readonly fields: ScxEntityFields,
    cls: SchedClass,
  ) {
    this.ptr = kernelTask.ptr;
    this.#at = words.of(kernelTask.ptr);
    this.dsqSince = 0;
    this.pid = kernelTask.pid;
    this.cls = cls;
    this.#flags = fields.flags.get(this.ptr) | 0;
    this.node = { left: null, right: null, parent: null, rank: rankOf(++ranks), hi: 0, lo: 0 };
  }

  get comm(): string {
    return this.kernelTask.comm;
  }

  /** `comm[pid]`, as the kernel's messages name a task. */
  get label(): string {
    return this.kernelTask.label;
  }

  /** CPU whose run queue it is on, or was on last. */
  get cpu(): number {
    return this.kernelTask.cpu;
  }

  set cpu(cpu: number) {
    this.kernelTask.cpu = cpu;
  }

  /** Where a new task is to be first: no migration. */
  place(cpu: number): void {
    this.kernelTask.place(cpu);
  }

  allows(cpu: number): boolean {
    return this.kernelTask.allows(cpu);
  }

  get allowedCount(): number {
    return this.kernelTask.allowedCount;
  }

  /** The allowed CPUs as a struct cpumask. */
  get cpusPtr(): GuestPtr {
    return this.kernelTask.cpusPtr;
  }

  get migrationDisabled(): boolean {
    return this.kernelTask.migrationDisabled !== 0;
  }

  get exiting(): boolean {
    return this.kernelTask.exiting;
  }

  // ---- scx.flags

  has(bits: number): boolean {
    return (this.#flags & bits) !== 0;
  }

  setFlags(bits: number): void {
    this.changeFlags(0, bits);
  }

  clearFlags(bits: number): void {
    if ((this.#flags & bits) !== 0) this.changeFlags(bits, 0);
  }

  /** Clears some, then sets some. */
  changeFlags(clear: number, set: number): void {
    this.#flags = (this.#flags & ~clear) | set;
    this.words.set(this.#at + this.scx.flags, this.#flags);
  }

  get flags(): number {
    return this.#flags >>> 0;
  }

  set flags(flags: number) {
    this.changeFlags(-1, flags);
  }

  // ---- What scheduler programs write

  /** ns that it may still run; SLICE_INF for ever. */
  get slice(): number {
    return this.words.get64(this.#at + this.scx.slice);
  }

  set slice(ns: number) {
    this.words.set64(this.#at + this.scx.slice, ns >= SLICE_INF ? -1 : ns);
  }

  get vtimeHi(): number {
    return this.words.get(this.#at + this.scx.dsqVtime + 1);
  }

  get vtimeLo(): number {
    return this.words.get(this.#at + this.scx.dsqVtime);
  }

  setVtime(hi: number, lo: number): void {
    const at = this.#at + this.scx.dsqVtime;
    this.words.set(at, lo);
    this.words.set(at + 1, hi);
  }

  get vtime(): bigint {
    return this.fields.dsqVtime.big(this.ptr);
  }

  get disallow(): boolean {
    return this.fields.disallow.get(this.ptr) !== 0;
  }

  set disallow(disallow: boolean) {
    this.fields.disallow.set(this.ptr, disallow ? 1 : 0);
  }

  // ---- What they only read

  get weight(): number {
    return this.fields.weight.get(this.ptr);
  }

  set weight(weight: number) {
    this.fields.weight.set(this.ptr, weight);
  }

  /** What ops.select_cpu chose. */
  set selectedCpu(cpu: number) {
    this.selected = cpu;
    const { selectedCpu } = this.scx;
    if (selectedCpu >= 0) this.words.set(this.#at + selectedCpu, cpu);
  }

  get tid(): number {
    return this.fields.tid?.get(this.ptr) ?? 0;
  }

  set tid(tid: number) {
    this.fields.tid?.set(this.ptr, tid);
  }

  /** `jiffies` counts from boot, the task_struct's from INITIAL_JIFFIES on. */
  setRunnableAt(jiffies: number, initial: number): void {
    this.runnableAt = jiffies;
    this.words.set64(this.#at + this.scx.runnableAt, initial + jiffies);
  }

  set stickyCpu(cpu: number) {
    this.sticky = cpu;
    this.words.set(this.#at + this.scx.stickyCpu, cpu);
  }

  publishVerdict(): void {
    const { verdict, words, scx } = this;
    const at = this.#at + scx.ddspDsqId;
    words.set(at, verdict.set ? verdict.dsqLo : 0);
    words.set(at + 1, verdict.set ? verdict.dsqHi : BUILTIN_HI);
    words.set64(this.#at + scx.ddspEnqFlags, verdict.enqFlags);
  }
}
