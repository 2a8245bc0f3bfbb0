import { ERRNO } from '../errno.js';
import { VmtableError } from '../errors.js';
import { placeText } from '../kernel/fault.js';
import { placeOf } from '../kernel/fault_of.js';
import { ownCopy } from '../vm/own_copy.js';
import type { GuestPtr, HostCall, HostFn } from '../vm/types.js';
import type { ExitInfo } from './exit.js';
import { KF, KF_RQ_LOCKED } from './kf_groups.js';
import { OP_NAMES } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import type { ScxTask } from './task.js';

/** Kfuncs by name. */
export type KfuncTable = Readonly<Record<string, HostFn>>;

/** Refers to nothing outside, for ownCopy. */
function makeGuarded(env: KfEnv, none: number, body: (sched: ScxSched, call: HostCall) => void): HostFn {
  return (call) => {
    const sched = env.schedOf(call);
    if (!sched) {
      call.ret(none);
      return;
    }
    const before = sched.exit;
    body(sched, call);
    if (sched.exit !== before) env.placeExit(sched, call);
  };
}

/** What all kfuncs of sched_ext have in common: whose they are, and where they may be called. */
export class KfEnv {
  #placed: ExitInfo | null = null;

  constructor(
    readonly scx: SchedExt,
    /** The scheduler that a program belongs to; null for none. */
    readonly schedOf: (call: HostCall) => ScxSched | null,
  ) {}

  /** A kfunc of a scheduler; for a program without one it answers `none`. */
  of(none: number, body: (sched: ScxSched, call: HostCall) => void): HostFn {
    return makeGuarded(this, none, body);
  }

  /** One that answers programs without a scheduler, too. */
  any(body: (sched: ScxSched | null, call: HostCall) => void): HostFn {
    return (call) => {
      const sched = this.schedOf(call);
      const before = sched?.exit;
      body(sched, call);
      if (sched && sched.exit !== before) this.placeExit(sched, call);
    };
  }

  /** As `of`, of which each call leads to code of its own: for kfuncs that schedulers call all the time. */
  hot(none: number, body: (sched: ScxSched, call: HostCall) => void): HostFn {
    return ownCopy(makeGuarded)(this, none, body);
  }

  /** @internal A call that ended its scheduler: where it stands. Of calls inside of each other the innermost is the first to come here. */
  placeExit({ exit, fault }: ScxSched, call: HostCall): void {
    // Whoever drives sched_ext may call a kfunc without a program; a fault says itself where it was.
    const prog = call.prog && this.scx.kernel.progOf(call.prog);
    if (!exit || !prog || exit === this.#placed || fault !== undefined) return;
    this.#placed = exit;
    const place = placeOf(prog.fullName, prog, call.insn);
    exit.place = `prog "${place.prog}": ${placeText(place)}`;
  }

  /** The run queue that an op works on, else that of this CPU. */
  rq(): ScxRq {
    return this.scx.calls.lockedRq ?? this.scx.rq(this.scx.kernel.currentCpu);
  }

  /** A task argument; NULL gives null. A pointer to anything else stops the program. */
  task(call: HostCall, index: number): ScxTask | null {
    const ptr = call.ptr(index);
    if (ptr === 0) return null;
    const { task0 } = this.scx.calls.frame;
    if (task0?.ptr === ptr) return task0;
    const task = this.scx.taskAt(ptr);
    if (task) return task;
    return call.fail(new VmtableError(`argument ${index + 1}: no task of this machine (${call.memory.describe(ptr)})`));
  }

  /** A task argument that no verifier lets be NULL. */
  liveTask(call: HostCall, index: number): ScxTask {
    return this.task(call, index) ?? call.fail(new VmtableError(`argument ${index + 1} is NULL and no task`));
  }

  /** A struct cpumask argument. */
  mask(call: HostCall, index: number): GuestPtr {
    return call.mem(index, this.scx.kernel.cpumasks.size, false);
  }

  // ---- Where a kfunc may be called

  /**
   * scx_kf_allowed: may the running op call a kfunc of these groups? Up to 6.18 the answer no is an error of the scheduler;
   * later kernels refuse such a program at load, so that one that got in by another way is stopped.
   */
  allowed(sched: ScxSched, call: HostCall, mask: number): boolean {
    const current = this.scx.calls.frame.mask;
    if ((current & mask) === 0) {
      if (!this.scx.consts.kfMask) this.refuse(call);
      sched.error(
        `kfunc with mask 0x${mask.toString(16)} called from an operation only allowing 0x${current.toString(16)}`,
      );
      return false;
    }
    // An op inside of another: what only the outer one allows must not be called from the inner one.
    if (mask === KF.DISPATCH && current > 2 * KF.DISPATCH - 1) return this.#nested(sched, 'dispatch');
    if (mask === KF.CPU_RELEASE && current > 2 * KF.CPU_RELEASE - 1) return this.#nested(sched, 'cpu_release');
    return true;
  }

  #nested(sched: ScxSched, what: string): boolean {
    if (!this.scx.consts.kfMask) return true;
    sched.error(`${what} kfunc called from a nested operation`);
    return false;
  }

  /** No op that holds a run queue's lock is running (scx_kf_allowed_if_unlocked). */
  get unlocked(): boolean {
    return (this.scx.calls.frame.mask & KF_RQ_LOCKED) === 0;
  }

  /** scx_kf_allowed_on_arg_tasks: ops that work on a task may ask about that task alone. */
  onArgTask(sched: ScxSched, call: HostCall, task: ScxTask): boolean {
    const { frame } = this.scx.calls;
    if (this.scx.consts.kfMask && !this.allowed(sched, call, KF_RQ_LOCKED)) return false;
    if (task === frame.task0 || task === frame.task1) return true;
    sched.error('called on a task not being operated on');
    return false;
  }

  /** Stops a program that no verifier lets in. */
  refuse(call: HostCall): never {
    const { op } = this.scx.calls.frame;
    const where = op >= 0 ? `ops.${OP_NAMES[op]}` : 'a program outside of the scheduler';
    return call.fail(new VmtableError(`this kernel's verifier refuses a program that calls it from ${where}`));
  }
}

/** A u64 argument that is a set of flags, as a Number: exact up to bit 52 (bits.ts). */
export function flagsArg(call: HostCall, index: number): number {
  return call.hi(index) * 0x1_0000_0000 + call.lo(index);
}

export const NO_DEVICE = -ERRNO.ENODEV;
