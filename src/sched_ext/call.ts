import { VmtableError } from '../errors.js';
import { placeOf } from '../kernel/fault_of.js';
import { BpfProg } from '../kernel/prog/prog.js';
import { ASSOC_POISON } from '../kernel/struct_ops/assoc.js';
import type { Kdata, OpArg, OpResult, StructOpsCallable } from '../kernel/types.js';
import type { HostCall } from '../vm/types.js';
import { KF } from './kf_groups.js';
import { OP, OP_NAMES, type Op, type OpName } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { ScxTask } from './task.js';

/** One running op. */
export class OpFrame {
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

/** Told after a call what it cost, while the kernel counts that (statistics are on): insns, and ns of the host. */
export type OpMeter = (op: Op, insns: number, ns: number) => void;

/** An op that may be called. */
export class LiveOp {
  readonly stats: StructOpsCallable['stats'];
  /** Undefined for an op that no program is behind. */
  readonly #prog: BpfProg | undefined;

  constructor(
    readonly name: OpName,
    readonly call: StructOpsCallable,
    private readonly kdata: Kdata,
  ) {
    this.stats = call.stats;
    if (call.prog instanceof BpfProg) this.#prog = call.prog;
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
    return structOpsAssoc !== null && structOpsAssoc !== ASSOC_POISON && structOpsAssoc.kdata === this.kdata;
  }
}

/** Ops in progress, innermost last, and how one is called (SCX_CALL_OP and its like). */
export class OpCalls {
  /** The innermost op, or an empty frame outside of any. */
  frame = new OpFrame();
  readonly #frames: OpFrame[] = [this.frame];
  #depth = 0;
  readonly tracers: OpTracer[] = [];
  /** The op that was called last. */
  last: LiveOp | null = null;
  meter: OpMeter | null = null;

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
    op: Op,
    rq: ScxRq | null,
    task0: ScxTask | null,
    task1: ScxTask | null,
    a0?: OpArg,
    a1?: OpArg,
    a2?: OpArg,
    a3?: OpArg,
  ): OpResult {
    const live = sched.live[op];
    if (live === undefined || sched.fault !== undefined) return undefined;
    const outer = this.frame;
    const frame = this.#frames[++this.#depth] ?? this.#newFrame();
    this.frame = frame;
    frame.op = op;
    frame.live = live;
    this.last = live;
    frame.sched = sched;
    frame.mask = outer.mask | (MASKS[op] as number);
    frame.rq = rq ?? outer.rq;
    frame.task0 = task0;
    frame.task1 = task1;
    const { stats } = live;
    const { insns, ns } = stats;
    const traced = this.tracers.length > 0;
    if (traced) this.#begin(sched, op, [a0, a1, a2, a3]);
    let result: OpResult;
    try {
      result = live.call(a0 as OpArg, a1 as OpArg, a2 as OpArg, a3 as OpArg);
    } catch (error) {
      this.#failed(sched, op, error);
    } finally {
      this.#depth--;
      this.frame = outer;
      frame.task0 = null;
      frame.task1 = null;
    }
    if (stats.insns !== insns) this.meter?.(op, stats.insns - insns, stats.ns - ns);
    if (traced) this.#end(sched, op, result);
    return result;
  }

  #begin(sched: ScxSched, op: Op, args: readonly (OpArg | undefined)[]): void {
    for (const tracer of this.tracers) tracer.begin(OP_NAMES[op]!, sched, args);
  }

  #end(sched: ScxSched, op: Op, result: OpResult): void {
    for (const tracer of this.tracers) tracer.end(OP_NAMES[op]!, sched, result);
  }

  #newFrame(): OpFrame {
    const frame = new OpFrame();
    this.#frames.push(frame);
    return frame;
  }

  #failed(sched: ScxSched, op: Op, error: unknown): void {
    if (!(error instanceof VmtableError)) throw error;
    sched.fault = error;
    sched.error(`ops.${OP_NAMES[op]}(): ${error.message}`);
  }
}
