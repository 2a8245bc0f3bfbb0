import { hasFlag } from './bits.js';
import { DSQ_LOCAL, DSQ_USER, type Dsq, DsqCursor } from './dsq.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS, classAbove, type ScxTask } from './task.js';

/**
 * What an op cannot do while its run queue is locked, and what follows it: inserts into local queues of other CPUs, and
 * re-enqueues.
 */
export class Deferred {
  constructor(private readonly scx: SchedExt) {}

  /**
   * Sees to it that `run` is called soon: right after the wakeup or the dispatch that is in progress, else by an interrupt
   * (schedule_deferred_locked, schedule_deferred).
   */
  schedule(rq: ScxRq, locked: boolean): void {
    const { rq: flags } = this.scx.consts;
    if (locked) {
      if (rq.hasFlags(flags.inWakeup) || rq.hasFlags(flags.balCbPending)) return;
      if (rq.hasFlags(flags.inDispatch) && flags.balCbPending !== 0) {
        rq.flags |= flags.balCbPending;
        return;
      }
    }
    this.#queue(rq);
  }

  #queue(rq: ScxRq): void {
    if (rq.deferredQueued) return;
    rq.deferredQueued = true;
    this.scx.core.irqWork(rq.cpu, () => {
      rq.deferredQueued = false;
      this.run(rq);
    });
  }

  /** The balance callback that a dispatch asked for runs when the pick is final (maybe_queue_balance_callback). */
  afterDispatch(rq: ScxRq): void {
    const { balCbPending } = this.scx.consts.rq;
    if (!rq.hasFlags(balCbPending)) return;
    rq.flags &= ~balCbPending;
    this.#queue(rq);
  }

  /** run_deferred */
  run(rq: ScxRq): void {
    if (!rq.hasDeferred) return;
    rq.hasDeferred = false;
    if (rq.deferredLocals.length > 0) this.scx.dispatch.runDeferredLocals(rq);
    while (rq.deferredReenq !== 0) {
      const flags = rq.deferredReenq;
      rq.deferredReenq = 0;
      if (this.scx.root) this.reenqueueLocal(rq, flags === PLAIN ? 0 : flags);
    }
    for (const [dsq, flags] of rq.deferredReenqUsers) {
      rq.deferredReenqUsers.delete(dsq);
      if (!dsq.destroyed) this.#reenqueueUser(dsq, flags);
    }
  }

  // ---- Re-enqueues

  /** scx_schedule_reenq_local: IMMED tasks of the CPU must be placed anew. */
  reenqLocal(rq: ScxRq, reenqFlags: number): void {
    if (this.scx.root) this.scheduleReenq(this.scx.root, rq.local, reenqFlags, true);
  }

  /** schedule_dsq_reenq: later, as programs may ask for it anywhere. `locked`: the queue's CPU is the one that is locked. */
  scheduleReenq(sched: ScxSched, dsq: Dsq, reenqFlags: number, locked: boolean): void {
    const { core, disabling, kernel } = this.scx;
    if (disabling.bypassDepth > 0) return;
    if (dsq.kind === DSQ_LOCAL) {
      if (!core.active(dsq.cpu)) return;
      const rq = this.scx.rq(dsq.cpu);
      rq.deferredReenq |= reenqFlags || PLAIN;
      rq.hasDeferred = true;
      this.schedule(rq, locked);
    } else if (dsq.kind === DSQ_USER) {
      const rq = this.scx.rq(kernel.currentCpu);
      rq.hasDeferred = true;
      rq.deferredReenqUsers.set(dsq, (rq.deferredReenqUsers.get(dsq) ?? 0) | reenqFlags);
      this.schedule(rq, this.scx.calls.lockedRq === rq);
    } else {
      sched.error(`DSQ ${dsq.shortLabel} not allowed for reenq`);
    }
  }

  /** reenq_local: how many tasks of the local queue went back to the BPF scheduler. */
  reenqueueLocal(rq: ScxRq, reenqFlags: number): number {
    const { consts } = this.scx;
    const open = this.rqOpen(rq, 0);
    const moved: [task: ScxTask, reason: number][] = [];
    let first = true;
    for (const task of [...rq.local]) {
      const immed = consts.task.immed !== 0 && task.has(consts.task.immed);
      const misplaced = immed && !(first && open);
      first = false;
      if (misplaced) task.sched?.events.add('REENQ_IMMED');
      else if ((reenqFlags & consts.reenqAny) === 0) continue;
      this.scx.dispatch.takeOff(rq, task);
      moved.push([task, misplaced ? consts.task.reenqImmed : consts.task.reenqKfunc]);
    }
    for (const [task, reason] of moved) this.reenqueue(rq, task, reason);
    return moved.length;
  }

  /** Hands one task to the BPF scheduler again, with the reason in its flags [N]. */
  reenqueue(rq: ScxRq, task: ScxTask, reason: number): void {
    const { consts } = this.scx;
    if (reason !== 0) task.setFlags(reason);
    this.scx.enqueue.doEnqueue(rq, task, consts.enq.reenq, -1);
    if (reason !== 0) task.clearFlags(consts.task.reenqMask);
  }

  /** reenq_user */
  #reenqueueUser(dsq: Dsq, reenqFlags: number): void {
    const { consts, dispatch } = this.scx;
    const cursor = new DsqCursor(dsq, false);
    for (let task = cursor.next(); task && !this.scx.disabling.bypassDepth; task = cursor.next()) {
      if ((reenqFlags & consts.reenqAny) === 0) continue;
      dispatch.unlink(task);
      task.dsq = null;
      this.reenqueue(this.scx.rq(task.cpu), task, consts.task.reenqKfunc);
    }
    cursor.close();
  }

  /** rq_is_open(): a task of this class would run at once on the CPU [N]. */
  rqOpen(rq: ScxRq, enqFlags: number): boolean {
    const { consts } = this.scx;
    if (classAbove(rq.nextClass, CLASS.ext)) return false;
    if (classAbove(CLASS.ext, rq.nextClass)) return true;
    return rq.hasFlags(consts.rq.inDispatch) || hasFlag(enqFlags, consts.enq.preempt);
  }
}

/** A request without a filter: IMMED tasks alone. */
const PLAIN = 0x100;
