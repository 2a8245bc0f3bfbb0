import type { GuestPtr } from '../../vm/types.js';
import type { TypedObject } from '../objects.js';
import type { StructType } from '../view.js';
import type { KernelCgroup } from './cgroup.js';
import type { TaskWords } from './task_words.js';
import type { TaskTable } from './tasks.js';

/** include/linux/sched.h: what whoever drives tasks needs of their flags and states. */
export const PF = {
  IDLE: 0x2,
  EXITING: 0x4,
  WQ_WORKER: 0x20,
  FORKNOEXEC: 0x40,
  KTHREAD: 0x200000,
  NO_SETAFFINITY: 0x4000000,
} as const;

export const TASK_STATE = {
  RUNNING: 0x0,
  INTERRUPTIBLE: 0x1,
  UNINTERRUPTIBLE: 0x2,
  /** Of a stopped task; TASK_STOPPED has TASK_WAKEKILL as well. */
  IS_STOPPED: 0x4,
  TRACED: 0x8,
  PARKED: 0x40,
  DEAD: 0x80,
  WAKEKILL: 0x100,
  NEW: 0x800,
  FREEZABLE: 0x2000,
  FROZEN: 0x8000,
  STOPPED: 0x104,
  IDLE: 0x402,
  /** TASK_NORMAL: what wake_up_process() ends. */
  NORMAL: 0x3,
} as const;

export const EXIT_STATE = { DEAD: 0x10, ZOMBIE: 0x20 } as const;

/** include/uapi/linux/sched.h */
export const SCHED_POLICY = { NORMAL: 0, FIFO: 1, RR: 2, BATCH: 3, IDLE: 5, DEADLINE: 6, EXT: 7 } as const;

/**
 * What its task_struct does not hold as a number is held here; all else lives in guest memory, where programs read it. A few numbers
 * that no program can write, and that are asked for all the time, are here as well.
 */
export class KernelTask implements TypedObject {
  #cpu = 0;
  #state = 0;
  #flags = 0;
  #onCpu = false;
  #onRq = false;
  #allowedCount = 0;
  #migrationDisabled = 0;
  /** Place of its task_struct (TaskWords.of). */
  readonly #at: number;
  readonly #words: TaskWords;
  cgroup: KernelCgroup;
  /** First thread of the process; itself for the first. */
  readonly leader: KernelTask;
  /** Further threads of the process, in the order of their birth; of a leader only, and null while there are none. */
  threads: KernelTask[] | null = null;
  realParent: KernelTask;
  /** Live processes that it forked or inherited; null while there are none. */
  children: Set<KernelTask> | null = null;
  /** False once it is reaped: its pid is free. */
  hashed = true;

  constructor(
    private readonly table: TaskTable,
    readonly ptr: GuestPtr,
    readonly pid: number,
    leader: KernelTask | null,
    parent: KernelTask | null,
    cgroup: KernelCgroup,
    /** A kernel thread (or idle task): it has no user memory. */
    readonly kthread: boolean,
  ) {
    this.#words = table.words;
    this.#at = table.words.of(ptr);
    this.leader = leader ?? this;
    this.realParent = parent ?? this;
    this.cgroup = cgroup;
  }

  get struct(): StructType {
    return this.table.layout.struct;
  }

  get size(): number {
    return this.table.layout.struct.size;
  }

  /** What faults call it: `task worker[12]`. */
  get name(): string {
    return `task ${this.label}`;
  }

  /** `worker[12]`, as the kernel's messages name a task. */
  get label(): string {
    return `${this.comm}[${this.pid}]`;
  }

  get tgid(): number {
    return this.leader.pid;
  }

  get comm(): string {
    return this.table.fields.comm.text(this.ptr);
  }

  /** Cut off after 15 bytes. */
  set comm(name: string) {
    this.table.fields.comm.setText(this.ptr, name);
  }

  /** User and group that it acts as. */
  get uid(): number {
    return this.table.creds.uid(this.table.fields.cred.get(this.ptr));
  }

  get gid(): number {
    return this.table.creds.gid(this.table.fields.cred.get(this.ptr));
  }

  /** task_cpu(). */
  get cpu(): number {
    return this.#cpu;
  }

  /** set_task_cpu(): another CPU counts as a migration. */
  set cpu(cpu: number) {
    if (cpu === this.#cpu) return;
    const { nrMigrations } = this.table.fields;
    nrMigrations.set(this.ptr, nrMigrations.get(this.ptr) + 1);
    this.place(cpu);
  }

  /** __set_task_cpu(): where it is to be first. */
  place(cpu: number): void {
    this.#cpu = cpu;
    this.#words.set(this.#at + this.#words.cpu, cpu);
  }

  get state(): number {
    return this.#state;
  }

  set state(state: number) {
    this.#state = state;
    this.#words.set(this.#at + this.#words.state, state);
  }

  get flags(): number {
    return this.#flags;
  }

  set flags(flags: number) {
    this.#flags = flags >>> 0;
    this.#words.set(this.#at + this.#words.flags, flags);
  }

  get onCpu(): boolean {
    return this.#onCpu;
  }

  set onCpu(on: boolean) {
    this.#onCpu = on;
    this.#words.setFlag(this.#at, this.#words.onCpu, on);
  }

  get onRq(): boolean {
    return this.#onRq;
  }

  set onRq(on: boolean) {
    this.#onRq = on;
    this.#words.setFlag(this.#at, this.#words.onRq, on);
  }

  /** @internal */
  addThread(task: KernelTask): void {
    this.threads ??= [];
    this.threads.push(task);
  }

  /** @internal */
  addChild(task: KernelTask): void {
    this.children ??= new Set();
    this.children.add(task);
  }

  get exiting(): boolean {
    return (this.flags & PF.EXITING) !== 0;
  }

  // ---- Scheduling parameters -----------------------------------------------------------------------------------------

  get policy(): number {
    return this.table.fields.policy.get(this.ptr);
  }

  get prio(): number {
    return this.table.fields.prio.get(this.ptr);
  }

  /** -20 to 19. */
  get nice(): number {
    return this.table.fields.staticPrio.get(this.ptr) - 120;
  }

  /** Weight of the nice value: 1024 for nice 0 (kernel: sched_prio_to_weight); 3 under SCHED_IDLE. */
  get weight(): number {
    return this.table.fields.loadWeight.get(this.ptr) / 1024;
  }

  // ---- CPUs ----------------------------------------------------------------------------------------------------------

  /** p->cpus_ptr, a struct cpumask: where it may run now. It never leads elsewhere than to cpus_mask. */
  get cpusPtr(): GuestPtr {
    return this.cpusMask;
  }

  /** &p->cpus_mask: where it may run by its affinity. */
  get cpusMask(): GuestPtr {
    return this.ptr + this.table.fields.cpusMask.offset;
  }

  allows(cpu: number): boolean {
    const { cpumasks } = this.table;
    return this.#allowedCount === cpumasks.cpus ? cpumasks.isCpu(cpu) : cpumasks.test(this.cpusPtr, cpu);
  }

  /** Bits of cpus_mask; TaskTable.setCpus keeps both. */
  get allowedCount(): number {
    return this.#allowedCount;
  }

  set allowedCount(count: number) {
    this.#allowedCount = count;
    this.#words.set(this.#at + this.#words.nrCpusAllowed, count);
  }

  /** Depth of migrate_disable(). */
  get migrationDisabled(): number {
    return this.#migrationDisabled;
  }

  set migrationDisabled(depth: number) {
    const field = this.table.fields.migrationDisabled;
    if (!field) return;
    this.#migrationDisabled = depth;
    field.set(this.ptr, depth);
  }

  /** CPUs of cpus_ptr, ascending. */
  get cpus(): number[] {
    return this.table.cpumasks.list(this.cpusPtr);
  }

  // ---- Accounting, in ns ---------------------------------------------------------------------------------------------

  /** Since when its run time is not in sumExecRuntime yet. */
  set execStart(ns: number) {
    this.#words.set64(this.#at + this.#words.execStart, ns);
  }

  get sumExecRuntime(): number {
    return this.#words.get64(this.#at + this.#words.sumExecRuntime);
  }

  set sumExecRuntime(ns: number) {
    this.#words.set64(this.#at + this.#words.sumExecRuntime, ns);
  }

  /** References: 0 from the moment on when nobody can take one any more. */
  get rcuUsers(): number {
    return this.table.fields.rcuUsers.get(this.ptr);
  }
}
