import { VmtableError } from '../errors.js';
import { placeOf } from '../kernel/fault_of.js';
import { BpfProg } from '../kernel/prog/prog.js';
import { ASSOC_POISON } from '../kernel/struct_ops/assoc.js';
import type { Kdata, OpArg, OpResult, StructOpsCallable } from '../kernel/types.js';
import { ownCopy } from '../vm/own_copy.js';
import type { HostCall } from '../vm/types.js';
import { KF } from './kf_groups.js';
import { OP, OP_NAMES, type Op, type OpName } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { ScxTask } from './task.js';

/** One running op. */
export class OpFrame {
  /** Frames of ops that run inside of this one's are used again. */
  inner: OpFrame | null = null;
  /** -1 outside of any. */
  op: Op | -1 = -1;
  live: LiveOp | null = null;
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
const MASKS: Int32Array = new Int32Array(OP_NAMES.length).fill(KF.REST);
MASKS[OP.select_cpu] = KF.ENQUEUE | KF.SELECT_CPU;
MASKS[OP.enqueue] = KF.ENQUEUE;
MASKS[OP.dispatch] = KF.DISPATCH;
MASKS[OP.cpu_release] = KF.CPU_RELEASE;
for (const op of [
  ...[OP.init, OP.exit, OP.init_task, OP.dump, OP.cpu_online, OP.cpu_offline],
  ...[OP.cgroup_init, OP.cgroup_exit, OP.cgroup_prep_move, OP.cgroup_move, OP.cgroup_cancel_move],
  ...[OP.cgroup_set_weight, OP.cgroup_set_bandwidth, OP.cgroup_set_idle],
]) {
  MASKS[op] = KF.UNLOCKED;
}

/** Told of calls of ops; a call within another one begins and ends within it. */
export interface OpTracer {
  begin(op: OpName, sched: ScxSched, args: readonly (OpArg | undefined)[]): void;
  /** `result` is undefined for a void op, and for one whose program was stopped. */
  end(op: OpName, sched: ScxSched, result: OpResult): void;
}

/** Told after a call what it cost, while the kernel counts that (statistics are on): insns, and ns of the host, below 0 if it was not timed. */
export type OpMeter = (op: Op, insns: number, ns: number) => void;

/**
 * Calls an op, if no program of its scheduler was stopped. `rq` is locked; the tasks are those that the op is called for. A fault of
 * the program ends the scheduler and counts as no result.
 */
export type OpInvoke = (
  rq: ScxRq | null,
  task0: ScxTask | null,
  task1: ScxTask | null,
  a0?: OpArg,
  a1?: OpArg,
  a2?: OpArg,
  a3?: OpArg,
) => OpResult;

/** Of each op a function of its own (ownCopy): refers to nothing outside. */
function makeInvoke(calls: OpCalls, live: LiveOp, sched: ScxSched, call: StructOpsCallable, mask: number): OpInvoke {
  const { op, stats } = live;
  return (rq, task0, task1, a0, a1, a2, a3) => {
    if (sched.fault !== undefined) return undefined;
    const outer = calls.frame;
    const frame = outer.inner ?? calls.newFrame(outer);
    calls.frame = frame;
    calls.last = live;
    frame.op = op;
    frame.live = live;
    frame.sched = sched;
    frame.mask = outer.mask | mask;
    frame.rq = rq ?? outer.rq;
    frame.task0 = task0;
    frame.task1 = task1;
    const { insns } = stats;
    const traced = calls.tracers.length > 0;
    if (traced) calls.begin(sched, op, [a0, a1, a2, a3]);
    let result: OpResult;
    try {
      result = call(a0 as OpArg, a1 as OpArg, a2 as OpArg, a3 as OpArg);
    } catch (error) {
      calls.failed(sched, op, error);
    } finally {
      calls.frame = outer;
    }
    if (stats.insns !== insns) calls.meter?.(op, stats.insns - insns, stats.lastNs);
    if (traced) calls.end(sched, op, result);
    return result;
  };
}

/** An op that may be called. */
export class LiveOp {
  readonly name: OpName;
  readonly stats: StructOpsCallable['stats'];
  readonly invoke: OpInvoke;
  /** Undefined for an op that no program is behind. */
  readonly #prog: BpfProg | undefined;
  readonly #kdata: Kdata;

  constructor(
    readonly op: Op,
    readonly call: StructOpsCallable,
    sched: ScxSched,
    calls: OpCalls,
  ) {
    this.name = OP_NAMES[op] as OpName;
    this.stats = call.stats;
    this.#kdata = sched.kdata;
    if (call.prog instanceof BpfProg) this.#prog = call.prog;
    this.invoke = ownCopy(makeInvoke)(calls, this, sched, call, MASKS[op] as number);
  }

  /** `ops.enqueue(), prog "x" (file.bpf.c:34)`: where its program begins. */
  get place(): string {
    const prog = this.#prog;
    const { file, line } = prog ? placeOf(prog.fullName, prog, 0) : {};
    return `ops.${this.name}(), prog "${this.call.prog.fullName}"${file === undefined ? '' : ` (${file}:${line})`}`;
  }

  /** Is the caller this op's own program, which is associated with this op's vtable alone? */
  calls(call: HostCall): boolean {
    const prog = this.#prog;
    if (!prog?.vm || !call.isOf(prog.vm)) return false;
    const { structOpsAssoc } = prog.aux;
    return structOpsAssoc !== null && structOpsAssoc !== ASSOC_POISON && structOpsAssoc.kdata === this.#kdata;
  }
}

/** Ops in progress, and how one is called (SCX_CALL_OP and its like). */
export class OpCalls {
  readonly #outermost = new OpFrame();
  /** The innermost op, or an empty frame outside of any. */
  frame = this.#outermost;
  readonly tracers: OpTracer[] = [];
  /** The op that was called last. */
  last: LiveOp | null = null;
  meter: OpMeter | null = null;

  get running(): boolean {
    return this.frame !== this.#outermost;
  }

  /** scx_locked_rq() */
  get lockedRq(): ScxRq | null {
    return this.frame.rq;
  }

  /** Calls an op if the scheduler has it and it is live (OpInvoke). */
  call(
    sched: ScxSched,
    op: Op,
    rq: ScxRq | null,
    task0: ScxTask | null,
    task1: ScxTask | null,
    a0?: OpArg,
    a1?: OpArg,
    a2?: OpArg,
    a3?: OpArg,
  ): OpResult {
    return sched.live[op]?.invoke(rq, task0, task1, a0, a1, a2, a3);
  }

  /** @internal */
  begin(sched: ScxSched, op: Op, args: readonly (OpArg | undefined)[]): void {
    for (const tracer of this.tracers) tracer.begin(OP_NAMES[op]!, sched, args);
  }

  /** @internal */
  end(sched: ScxSched, op: Op, result: OpResult): void {
    for (const tracer of this.tracers) tracer.end(OP_NAMES[op]!, sched, result);
  }

  /** @internal The frame of an op inside of another one's. */
  newFrame(outer: OpFrame): OpFrame {
    outer.inner = new OpFrame();
    return outer.inner;
  }

  /** @internal */
  failed(sched: ScxSched, op: Op, error: unknown): void {
    if (!(error instanceof VmtableError)) throw error;
    sched.fault = error;
    sched.error(`ops.${OP_NAMES[op]}(): ${error.message}`);
  }
}
