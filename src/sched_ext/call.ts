import { VmtableError } from '../errors.js';
import type { OpArg } from '../kernel/types.js';
import { KF } from './kf_groups.js';
import type { ScxRq } from './rq.js';
import type { OpName, ScxSched } from './sched.js';
import type { ScxTask } from './task.js';

/** One running op. */
export class OpFrame {
  op: OpName | '' = '';
  sched: ScxSched | null = null;
  /** Groups of kfuncs that it and the ops around it allow, ored (current->scx.kf_mask, before 7.0). */
  mask = 0;
  /** The run queue whose lock is held (scx_locked_rq). */
  rq: ScxRq | null = null;
  /** Tasks that it is called for (kf_tasks). */
  task0: ScxTask | null = null;
  task1: ScxTask | null = null;
}

/** Groups of kfuncs that ops allow (SCX_CALL_OP's first argument, before 7.0); the others allow SCX_KF_REST. */
const MASKS: Readonly<Partial<Record<OpName, number>>> = {
  select_cpu: KF.ENQUEUE | KF.SELECT_CPU,
  enqueue: KF.ENQUEUE,
  dispatch: KF.DISPATCH,
  cpu_release: KF.CPU_RELEASE,
  init: KF.UNLOCKED,
  exit: KF.UNLOCKED,
  init_task: KF.UNLOCKED,
  dump: KF.UNLOCKED,
  cgroup_init: KF.UNLOCKED,
  cgroup_exit: KF.UNLOCKED,
  cgroup_prep_move: KF.UNLOCKED,
  cgroup_move: KF.UNLOCKED,
  cgroup_cancel_move: KF.UNLOCKED,
  cgroup_set_weight: KF.UNLOCKED,
  cgroup_set_bandwidth: KF.UNLOCKED,
  cgroup_set_idle: KF.UNLOCKED,
  cpu_online: KF.UNLOCKED,
  cpu_offline: KF.UNLOCKED,
};

/** Told of calls of ops; a call within another one begins and ends within it. */
export interface OpTracer {
  begin(op: OpName, sched: ScxSched, args: readonly (OpArg | undefined)[]): void;
  /** `result` is undefined for a void op, and for one whose program was stopped. */
  end(op: OpName, sched: ScxSched, result: number | bigint | boolean | undefined): void;
}

/** Ops in progress, innermost last, and how one is called (SCX_CALL_OP and its like). */
export class OpCalls {
  readonly #frames: OpFrame[] = [new OpFrame()];
  #depth = 0;
  readonly tracers: OpTracer[] = [];

  /** The innermost op, or an empty frame outside of any. */
  get frame(): OpFrame {
    return this.#frames[this.#depth]!;
  }

  get running(): boolean {
    return this.#depth > 0;
  }

  /** scx_locked_rq() */
  get lockedRq(): ScxRq | null {
    return this.frame.rq;
  }

  /**
   * Calls an op if the scheduler has it and it is live. `rq` is locked; the tasks are those that the op is called for. A fault
   * of the program ends the scheduler and counts as no result.
   */
  call(
    sched: ScxSched,
    name: OpName,
    rq: ScxRq | null,
    task0: ScxTask | null,
    task1: ScxTask | null,
    a0?: OpArg,
    a1?: OpArg,
    a2?: OpArg,
    a3?: OpArg,
  ): number | bigint | boolean | undefined {
    const op = sched.live[name];
    if (op === undefined || sched.fault !== undefined) return undefined;
    const outer = this.frame;
    this.#depth++;
    this.#frames[this.#depth] ??= new OpFrame();
    const frame = this.#frames[this.#depth]!;
    frame.op = name;
    frame.sched = sched;
    frame.mask = outer.mask | (MASKS[name] ?? KF.REST);
    frame.rq = rq ?? outer.rq;
    frame.task0 = task0;
    frame.task1 = task1;
    const { tracers } = this;
    for (let i = 0; i < tracers.length; i++) tracers[i]!.begin(name, sched, [a0, a1, a2, a3]);
    let result: number | bigint | boolean | undefined;
    try {
      result = op(a0 as OpArg, a1 as OpArg, a2 as OpArg, a3 as OpArg);
      return result;
    } catch (error) {
      if (!(error instanceof VmtableError)) throw error;
      sched.fault = error;
      sched.error(`ops.${name}(): ${error.message}`);
      return undefined;
    } finally {
      this.#depth--;
      frame.task0 = null;
      frame.task1 = null;
      for (let i = 0; i < tracers.length; i++) tracers[i]!.end(name, sched, result);
    }
  }
}
