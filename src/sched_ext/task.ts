import type { Field, StructType } from '../kernel/view.js';
import type { GuestPtr } from '../vm/types.js';
import type { ScxConsts } from './consts.js';
import type { Dsq } from './dsq.js';

/** Fields of task_struct that are kept as a kernel keeps them; programs that read others fault by the field's name. */
export const TASK_FIELDS = [
  'pid',
  'tgid',
  'comm',
  'flags',
  'nr_cpus_allowed',
  'cpus_ptr',
  'cpus_mask',
  'scx.flags',
  'scx.weight',
  'scx.slice',
  'scx.dsq_vtime',
  'scx.tid',
  'scx.disallow',
] as const;

/** Those of them that scheduler programs may write (bpf_scx_btf_struct_access). */
export const WRITABLE_FIELDS = ['scx.slice', 'scx.dsq_vtime', 'scx.disallow'] as const;

/** The fields, compiled once for all tasks. */
export class TaskLayout {
  readonly flags: Field;
  readonly weight: Field;
  readonly slice: Field;
  readonly vtime: Field;
  readonly disallow: Field;
  readonly cpusPtr: Field;

  constructor(readonly struct: StructType) {
    this.flags = struct.field('scx.flags');
    this.weight = struct.field('scx.weight');
    this.slice = struct.field('scx.slice');
    this.vtime = struct.field('scx.dsq_vtime');
    this.disallow = struct.field('scx.disallow');
    this.cpusPtr = struct.field('cpus_ptr');
  }

  /** The paths of TASK_FIELDS that this kernel's task_struct has. */
  get modelled(): string[] {
    return TASK_FIELDS.filter((path) => this.struct.tryField(path) !== undefined);
  }
}

/** Where a task stands between enqueue and a queue (kernel: SCX_OPSS_*, ext_internal.h). */
export type OpsState = 'none' | 'queueing' | 'queued' | 'dispatching';

/** An insert from select_cpu or enqueue, carried out when the op has returned (p->scx.ddsp_*). */
export interface Verdict {
  dsqId: bigint;
  enqFlags: bigint;
  slice: bigint;
  vtime: bigint | undefined;
}

/** A task as sched_ext sees it: its task_struct in guest memory and the host's record of where it is. */
export class ScxTask {
  /** CPU whose run queue it is on, or was on last. */
  cpu = 0;
  running = false;
  dsq: Dsq | null = null;
  /** Key in a queue ordered by vtime. */
  queuedVtime = 0n;
  opsState: OpsState = 'none';
  verdict: Verdict | null = null;

  constructor(
    readonly ptr: GuestPtr,
    readonly pid: number,
    readonly comm: string,
    /** Allowed CPUs, ascending. */
    readonly cpus: readonly number[],
    /** What scx.weight becomes when a scheduler takes the task: 1 to 10000, 100 for nice 0. */
    readonly wantedWeight: number,
    /** Its policy is SCHED_EXT; otherwise SCHED_NORMAL. */
    readonly wantsExt: boolean,
    private readonly layout: TaskLayout,
    private readonly consts: ScxConsts,
  ) {}

  /** `comm[pid]`, as the kernel's messages name a task. */
  get label(): string {
    return `${this.comm}[${this.pid}]`;
  }

  allows(cpu: number): boolean {
    return this.cpus.includes(cpu);
  }

  get allowedCount(): number {
    return this.cpus.length;
  }

  get queued(): boolean {
    return this.hasFlags(this.consts.task.queued);
  }

  hasFlags(bits: number): boolean {
    return (this.layout.flags.get(this.ptr) & bits) !== 0;
  }

  setFlags(bits: number): void {
    this.layout.flags.set(this.ptr, this.layout.flags.get(this.ptr) | bits);
  }

  clearFlags(bits: number): void {
    this.layout.flags.set(this.ptr, this.layout.flags.get(this.ptr) & ~bits);
  }

  /** One of the states of ScxConsts.task, 0 for a task that the scheduler does not know. */
  get state(): number {
    return this.layout.flags.get(this.ptr) & this.consts.task.stateMask;
  }

  set state(state: number) {
    this.clearFlags(this.consts.task.stateMask);
    this.setFlags(state);
  }

  /** Nanoseconds that it may still run. */
  get slice(): bigint {
    return this.layout.slice.big(this.ptr);
  }

  set slice(ns: bigint) {
    this.layout.slice.setBig(this.ptr, ns);
  }

  get vtime(): bigint {
    return this.layout.vtime.big(this.ptr);
  }

  set vtime(value: bigint) {
    this.layout.vtime.setBig(this.ptr, value);
  }

  get weight(): number {
    return this.layout.weight.get(this.ptr);
  }

  set weight(weight: number) {
    this.layout.weight.set(this.ptr, weight);
  }

  /** The allowed CPUs as a struct cpumask. */
  get cpusPtr(): GuestPtr {
    return this.layout.cpusPtr.get(this.ptr);
  }

  get disallow(): boolean {
    return this.layout.disallow.get(this.ptr) !== 0;
  }

  /** Runtime off the slice; an infinite one stays (update_curr_scx). */
  charge(ns: number): void {
    const { slice } = this;
    if (slice === this.consts.sliceInfinite) return;
    const used = BigInt(ns);
    this.slice = slice > used ? slice - used : 0n;
  }
}
