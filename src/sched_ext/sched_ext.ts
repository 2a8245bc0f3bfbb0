import type { Kernel } from '../kernel/kernel.js';
import type { Kdata } from '../kernel/types.js';
import type { AccessClass, GuestPtr } from '../vm/types.js';
import { ScxConsts } from './consts.js';
import { disableScheduler, enableScheduler } from './enable.js';
import type { ExitInfo } from './exit.js';
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
  sched: ScxSched | null = null;
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
    registerScxKfuncs(this, (name, fn) => kernel.registerKfunc(name, fn));
    kernel.registerStructOps(structOpsDef(this));
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

  /** Loads a scheduler: what reg() returns. */
  enable(kdata: Kdata): number {
    return enableScheduler(this, new ScxSched(kdata, this.consts, this.rqs));
  }

  /** Lets the loaded scheduler go, for the reason that its `exit` says. */
  disable(): void {
    disableScheduler(this);
  }
}
