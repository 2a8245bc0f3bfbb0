import type { GuestPtr } from '../../vm/types.js';
import { TIME } from '../event_queue.js';
import type { Kernel } from '../kernel.js';
import type { TypedObject } from '../objects.js';
import type { Field, StructType } from '../view.js';
import { RQ_FIELDS } from './fields.js';
import { Layout } from './layout.js';
import type { KernelTask } from './task.js';
import type { TaskTable } from './tasks.js';

const FULL_CAPACITY = 1024;

/** struct rq's modelled fields, compiled once. */
class RqFields {
  readonly curr: Field;
  readonly donor: Field | undefined;
  readonly idle: Field;
  readonly nrRunning: Field;
  readonly nrSwitches: Field;
  readonly clock: Field;
  readonly clockTask: Field;
  readonly clockPelt: Field;
  readonly online: Field;
  readonly capacity: Field;
  readonly scxFlags: Field | undefined;
  readonly scxNrRunning: Field | undefined;
  readonly scxCpuReleased: Field | undefined;
  readonly scxCpuperfTarget: Field | undefined;
  readonly scxLocalNr: Field | undefined;

  constructor(layout: Layout<keyof typeof RQ_FIELDS>) {
    this.curr = layout.field('curr');
    this.donor = layout.tryField('donor');
    this.idle = layout.field('idle');
    this.nrRunning = layout.field('nr_running');
    this.nrSwitches = layout.field('nr_switches');
    this.clock = layout.field('clock');
    this.clockTask = layout.field('clock_task');
    this.clockPelt = layout.field('clock_pelt');
    this.online = layout.field('online');
    this.capacity = layout.field('cpu_capacity');
    this.scxFlags = layout.tryField('scx.flags');
    this.scxNrRunning = layout.tryField('scx.nr_running');
    this.scxCpuReleased = layout.tryField('scx.cpu_released');
    this.scxCpuperfTarget = layout.tryField('scx.cpuperf_target');
    this.scxLocalNr = layout.tryField('scx.local_dsq.nr');
  }
}

/**
 * A CPU's run queue. Its struct rq in guest memory holds what is kept here from the time on when a program may have its address
 * (RunQueues.show): switches and wake-ups change a dozen fields each, and hardly any scheduler looks.
 */
export class RunQueue implements TypedObject {
  #curr: KernelTask;
  #clock = TIME;
  #nrRunning = 0;
  #nrSwitches = 0;
  #online = true;
  #capacity = FULL_CAPACITY;

  constructor(
    private readonly table: RunQueues,
    readonly cpu: number,
    readonly ptr: GuestPtr,
    readonly idle: KernelTask,
  ) {
    this.#curr = idle;
    this.#clock = 0;
  }

  get struct(): StructType {
    return this.table.layout.struct;
  }

  get size(): number {
    return this.struct.size;
  }

  get name(): string {
    return `the run queue of CPU ${this.cpu}`;
  }

  /** Who runs; the idle task when nobody does. */
  get curr(): KernelTask {
    return this.#curr;
  }

  set curr(task: KernelTask) {
    this.#curr = task;
    if (this.table.shown) this.#showCurr();
  }

  get nrRunning(): number {
    return this.#nrRunning;
  }

  set nrRunning(count: number) {
    this.#nrRunning = count;
    if (this.table.shown) this.table.fields.nrRunning.set(this.ptr, count);
  }

  get nrSwitches(): number {
    return this.#nrSwitches;
  }

  set nrSwitches(count: number) {
    this.#nrSwitches = count;
    if (this.table.shown) this.table.fields.nrSwitches.set(this.ptr, count);
  }

  get clock(): number {
    return this.#clock;
  }

  /** update_rq_clock(): all three clocks; no time goes to interrupts. */
  set clock(ns: number) {
    if (ns === this.#clock) return;
    this.#clock = ns;
    if (this.table.shown) this.#showClock();
  }

  get online(): boolean {
    return this.#online;
  }

  set online(online: boolean) {
    this.#online = online;
    if (this.table.shown) this.table.fields.online.set(this.ptr, online ? 1 : 0);
  }

  get capacity(): number {
    return this.#capacity;
  }

  set capacity(capacity: number) {
    this.#capacity = capacity;
    if (this.table.shown) this.table.fields.capacity.set(this.ptr, capacity);
  }

  /** @internal All of it into guest memory. */
  show(): void {
    const { fields } = this.table;
    this.#showCurr();
    this.#showClock();
    fields.nrRunning.set(this.ptr, this.#nrRunning);
    fields.nrSwitches.set(this.ptr, this.#nrSwitches);
    fields.online.set(this.ptr, this.#online ? 1 : 0);
    fields.capacity.set(this.ptr, this.#capacity);
  }

  #showCurr(): void {
    const { fields } = this.table;
    fields.curr.set(this.ptr, this.#curr.ptr);
    fields.donor?.set(this.ptr, this.#curr.ptr);
  }

  #showClock(): void {
    const { fields } = this.table;
    fields.clock.set(this.ptr, this.#clock);
    fields.clockTask.set(this.ptr, this.#clock);
    fields.clockPelt.set(this.ptr, this.#clock);
  }
}

/** The run queues of all CPUs: copies of the per-CPU variable `runqueues`. */
export class RunQueues {
  readonly layout: Layout<keyof typeof RQ_FIELDS>;
  readonly fields: RqFields;
  readonly list: readonly RunQueue[];
  /** Programs may have the address of a struct rq: guest memory follows what changes. */
  shown = false;
  /** Subsystems that keep fields of struct rq; each writes those of all CPUs. */
  readonly onShow = new Set<() => void>();

  constructor(
    readonly kernel: Kernel,
    readonly tasks: TaskTable,
  ) {
    this.layout = new Layout(kernel.types, 'rq', RQ_FIELDS);
    this.fields = new RqFields(this.layout);
    const localId = kernel.profile.btf.enumerator('SCX_DSQ_LOCAL') ?? 0n;
    this.list = tasks.idle.map((idle, cpu) => {
      const rq = new RunQueue(this, cpu, this.layout.alloc(`runqueues of CPU ${cpu}`), idle);
      kernel.objects.add(rq);
      this.layout.field('cpu').set(rq.ptr, cpu);
      this.fields.idle.set(rq.ptr, idle.ptr);
      this.layout.tryField('scx.local_dsq.id')?.setBig(rq.ptr, localId);
      return rq;
    });
  }

  /** To be called before a program gets the address of a struct rq, in any way. */
  show(): void {
    if (this.shown) return;
    this.shown = true;
    for (const rq of this.list) rq.show();
    for (const part of this.onShow) part();
  }

  /** Throws RangeError for a CPU that is not possible. */
  of(cpu: number): RunQueue {
    const rq = this.list[cpu];
    if (!rq) throw new RangeError(`CPU ${cpu} of a machine with ${this.list.length}`);
    return rq;
  }

  /** The run queue whose struct rq begins at this address. */
  at(ptr: GuestPtr): RunQueue | undefined {
    return this.list.find((rq) => rq.ptr === ptr);
  }
}
