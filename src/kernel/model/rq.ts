import type { GuestPtr } from '../../vm/types.js';
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

/** A CPU's run queue: its struct rq in guest memory. */
export class RunQueue implements TypedObject {
  /** What `clock` was set to last. */
  #clock = -1;
  #nrRunning = 0;
  #nrSwitches = 0;

  constructor(
    private readonly table: RunQueues,
    readonly cpu: number,
    readonly ptr: GuestPtr,
    readonly idle: KernelTask,
  ) {}

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
    return this.table.tasks.at(this.table.fields.curr.get(this.ptr)) ?? this.idle;
  }

  set curr(task: KernelTask) {
    const { fields } = this.table;
    fields.curr.set(this.ptr, task.ptr);
    fields.donor?.set(this.ptr, task.ptr);
  }

  get nrRunning(): number {
    return this.#nrRunning;
  }

  set nrRunning(count: number) {
    this.#nrRunning = count;
    this.table.fields.nrRunning.set(this.ptr, count);
  }

  get nrSwitches(): number {
    return this.#nrSwitches;
  }

  set nrSwitches(count: number) {
    this.#nrSwitches = count;
    this.table.fields.nrSwitches.set(this.ptr, count);
  }

  get clock(): number {
    return this.table.fields.clock.get(this.ptr);
  }

  /** update_rq_clock(): all three clocks; no time goes to interrupts. */
  set clock(ns: number) {
    if (ns === this.#clock) return;
    this.#clock = ns;
    const { fields } = this.table;
    fields.clock.set(this.ptr, ns);
    fields.clockTask.set(this.ptr, ns);
    fields.clockPelt.set(this.ptr, ns);
  }

  get online(): boolean {
    return this.table.fields.online.get(this.ptr) !== 0;
  }

  set online(online: boolean) {
    this.table.fields.online.set(this.ptr, online ? 1 : 0);
  }

  get capacity(): number {
    return this.table.fields.capacity.get(this.ptr);
  }

  set capacity(capacity: number) {
    this.table.fields.capacity.set(this.ptr, capacity);
  }
}

/** The run queues of all CPUs: copies of the per-CPU variable `runqueues`. */
export class RunQueues {
  readonly layout: Layout<keyof typeof RQ_FIELDS>;
  readonly fields: RqFields;
  readonly list: readonly RunQueue[];

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
      rq.curr = idle;
      rq.online = true;
      rq.capacity = FULL_CAPACITY;
      return rq;
    });
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
