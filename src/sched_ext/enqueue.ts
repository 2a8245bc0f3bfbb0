import { hasFlag, orFlags } from './bits.js';
import { QUEUE } from './core.js';
import type { Dsq } from './dsq.js';
import { OP } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS, classAbove, OPSS_NONE, OPSS_QUEUED, OPSS_QUEUEING, type SchedClass, type ScxTask } from './task.js';

const INITIAL_JIFFIES_SECONDS = 300;

/** Tasks coming to and leaving run queues. */
export class Enqueue {
  /** ENQUEUE_MIGRATED, where the kernel has it. */
  readonly migratedFlag: number;
  readonly #initialJiffies: number;
  /** SCX_ENQ_* of a move in progress, which enqueue_task's own flags have no room for. */
  #remoteFlags = 0;

  constructor(private readonly scx: SchedExt) {
    this.migratedFlag = scx.consts.nextClass ? 0x40000 : 0x40;
    this.#initialJiffies = 2 ** 32 - INITIAL_JIFFIES_SECONDS * (1e9 / scx.consts.jiffyNs);
  }

  /** scx_rq_online(): its tasks are the BPF scheduler's business. */
  online(rq: ScxRq): boolean {
    return rq.hasFlags(this.scx.consts.rq.online) && this.scx.core.active(rq.cpu);
  }

  // ---- enqueue_task

  /**
   * enqueue_task_scx: a task becomes runnable on this CPU. `flags` are ENQUEUE_* as the core passes them; with
   * ENQUEUE_WAKEUP, `woken` follows when the wakeup is complete.
   */
  enqueueTask(rq: ScxRq, task: ScxTask, flags: number): void {
    const { consts } = this.scx;
    const sched = task.sched!;
    let { sticky } = task;
    const enqFlags = orFlags(flags, this.#remoteFlags);
    if (sticky >= 0) task.stickyCpu = -1;
    if ((flags & QUEUE.wakeup) !== 0) rq.flags |= consts.rq.inWakeup;
    // A running task that is restored goes on running: it must not get into the BPF scheduler's hands.
    const restored = (flags & QUEUE.restore) !== 0 && rq.curr === task;
    if (restored) sticky = rq.cpu;
    if (!task.has(consts.task.queued)) {
      this.setRunnable(rq, task);
      task.setFlags(consts.task.queued);
      rq.nrRunning++;
      if (!task.migrating) {
        const { ignoreCaps } = consts.enq;
        const shown = restored && ignoreCaps !== 0n ? BigInt(enqFlags) | ignoreCaps : enqFlags;
        sched.live[OP.runnable]?.invoke(rq, task, null, task.ptr, shown);
      }
      this.doEnqueue(rq, task, enqFlags, sticky);
    }
    rq.flags &= ~consts.rq.inWakeup;
    if (hasFlag(enqFlags, consts.enq.cpuSelected) && rq.cpu !== task.selected) sched.events.add('SELECT_CPU_FALLBACK');
  }

  /** Hands a runnable task to the BPF scheduler, or past it (scx_do_enqueue_task). */
  doEnqueue(rq: ScxRq, task: ScxTask, enqFlags: number, sticky: number): void {
    const { consts, dispatch } = this.scx;
    const sched = task.sched!;
    if (sticky === rq.cpu) {
      if (!consts.lateSlice) dispatch.clearVerdict(task);
      dispatch.put(sched, rq, rq.local, task, enqFlags, false, null, false);
      return;
    }
    if (consts.task.immed !== 0) task.clearFlags(consts.task.immed);
    if (hasFlag(enqFlags, consts.enq.reenq) && !this.#countReenqueue(sched, rq, task)) return;
    if (!this.online(rq)) {
      this.#fallback(sched, rq, rq.local, task, enqFlags);
      return;
    }
    if (rq.bypassing) {
      sched.events.add('BYPASS_DISPATCH');
      const dsq = consts.bypassDsqs ? sched.bypassDsqs[task.cpu]! : dispatch.globalDsq(sched, task.cpu);
      this.#fallback(sched, rq, dsq, task, enqFlags);
      return;
    }
    if (task.verdict.set) {
      dispatch.direct(sched, task, enqFlags);
      return;
    }
    if (task.exiting && !sched.wants(consts.ops.enqExiting)) {
      sched.events.add('ENQ_SKIP_EXITING');
      this.#fallback(sched, rq, rq.local, task, enqFlags);
      return;
    }
    const { enqMigrationDisabled } = consts.ops;
    if (enqMigrationDisabled !== 0 && !sched.wants(enqMigrationDisabled) && task.migrationDisabled) {
      sched.events.add('ENQ_SKIP_MIGRATION_DISABLED');
      this.#fallback(sched, rq, rq.local, task, enqFlags);
      return;
    }
    const op = sched.live[OP.enqueue];
    if (op === undefined) {
      this.#fallback(sched, rq, dispatch.globalDsq(sched, task.cpu), task, enqFlags);
      return;
    }
    task.qseq = (task.qseq + 1) >>> 0 || 1;
    task.opsState = OPSS_QUEUEING;
    dispatch.directTask = task;
    op.invoke(rq, task, null, task.ptr, enqFlags);
    dispatch.directTask = null;
    if (task.verdict.set) {
      dispatch.direct(sched, task, enqFlags);
      return;
    }
    if (consts.custody) task.setFlags(consts.task.inCustody);
    task.opsState = OPSS_QUEUED;
  }

  /** False for a task that was re-enqueued too often without running, which ends its scheduler [N]. */
  #countReenqueue(sched: ScxSched, rq: ScxRq, task: ScxTask): boolean {
    const { errorReenq } = this.scx.consts.exit;
    if (errorReenq === undefined) return true;
    if (++task.reenqueues > 1) sched.events.add('REENQ_REPEAT');
    if (task.reenqueues <= this.scx.consts.maxReenqueues) return true;
    sched.claimExit(errorReenq, 0n, `${task.label} reenqueued ${task.reenqueues} times without running`, rq.cpu);
    return false;
  }

  #fallback(sched: ScxSched, rq: ScxRq, dsq: Dsq, task: ScxTask, enqFlags: number): void {
    this.refillSlice(sched, task);
    this.scx.dispatch.clearVerdict(task);
    this.scx.dispatch.put(sched, rq, dsq, task, enqFlags, false, null, false);
  }

  /** refill_task_slice_dfl */
  refillSlice(sched: ScxSched, task: ScxTask): void {
    task.slice = sched.sliceDefault;
    sched.events.add('REFILL_SLICE_DFL');
  }

  /** set_task_runnable */
  setRunnable(rq: ScxRq, task: ScxTask): void {
    const { resetRunnableAt } = this.scx.consts.task;
    if (task.has(resetRunnableAt)) {
      task.setRunnableAt(this.scx.jiffies, this.#initialJiffies);
      task.clearFlags(resetRunnableAt);
    }
    rq.addRunnable(task);
  }

  /** clr_task_runnable */
  clearRunnable(task: ScxTask, reset: boolean): void {
    task.runnableOn?.removeRunnable(task);
    if (!reset) return;
    task.setFlags(this.scx.consts.task.resetRunnableAt);
    task.reenqueues = 0;
  }

  // ---- dequeue_task

  /** The BPF scheduler's hold on a task ends (ops_dequeue). */
  opsDequeue(rq: ScxRq, task: ScxTask, deqFlags: number): void {
    const { consts, dispatch } = this.scx;
    const sched = task.sched!;
    this.clearRunnable(task, false);
    const held = task.opsState === OPSS_QUEUED;
    if (consts.custody) {
      task.opsState = OPSS_NONE;
      dispatch.leaveCustody(sched, rq, task, deqFlags);
      return;
    }
    if (held) sched.live[OP.dequeue]?.invoke(rq, task, null, task.ptr, deqFlags);
    task.opsState = OPSS_NONE;
  }

  /** dequeue_task_scx: a task stops being runnable here, to sleep, or to be changed and queued again. */
  dequeueTask(rq: ScxRq, task: ScxTask, flags: number): void {
    const { consts, dispatch } = this.scx;
    const sched = task.sched!;
    if (!task.has(consts.task.queued)) return;
    const sleeps = (flags & QUEUE.sleep) !== 0;
    const deqFlags = sleeps ? flags : orFlags(flags, consts.deq.schedChange);
    this.opsDequeue(rq, task, deqFlags);
    const stopping = sched.live[OP.stopping];
    if (rq.curr === task && stopping !== undefined) {
      this.scx.pick.updateCurr(rq);
      stopping.invoke(rq, task, null, task.ptr, false);
    }
    if (!task.migrating) sched.live[OP.quiescent]?.invoke(rq, task, null, task.ptr, deqFlags);
    const { dequeuedForSleep, queued } = consts.task;
    task.changeFlags(dequeuedForSleep | queued, sleeps ? dequeuedForSleep : 0);
    rq.nrRunning--;
    dispatch.takeOff(rq, task);
    dispatch.clearVerdict(task);
  }

  /** move_remote_task_to_local_dsq: a task that waits goes to another CPU's local queue. */
  migrate(task: ScxTask, from: ScxRq, to: ScxRq, enqFlags: number): void {
    task.stickyCpu = to.cpu;
    task.migrating = true;
    this.dequeueTask(from, task, 0);
    task.cpu = to.cpu;
    this.scx.core.migrated(task, from.cpu, to.cpu);
    this.#remoteFlags = enqFlags;
    this.enqueueTask(to, task, this.migratedFlag);
    this.#remoteFlags = 0;
    task.migrating = false;
  }

  // ---- Around wakeups and changes

  /** task_woken_scx: what had to wait for the wakeup to be complete. */
  woken(rq: ScxRq): void {
    this.scx.deferred.run(rq);
  }

  /**
   * wakeup_preempt(): a task has come to the CPU. Within one class other than sched_ext it is that class's business whether
   * it preempts.
   */
  wakeupPreempt(rq: ScxRq, task: ScxTask): void {
    const { consts, core } = this.scx;
    if (!consts.nextClass) {
      if (classAbove(task.cls, rq.curr.cls)) core.resched(rq.cpu);
      return;
    }
    if (!classAbove(task.cls, rq.nextClass)) return;
    // wakeup_preempt_scx: tasks that were to run at once and now will not go back.
    if (rq.nextClass === CLASS.ext && rq.immed > 0) this.scx.deferred.reenqLocal(rq, 0);
    core.resched(rq.cpu);
    rq.nextClass = task.cls;
  }

  /**
   * The sched_change pattern of the core: takes the task off its run queue, changes it, and puts it back (before 6.19
   * sched_deq_and_put_task, check_class_changing, sched_enq_and_set_task, check_class_changed). Nice, affinity, policy and
   * cgroup changes go through it, with DEQUEUE_SAVE | DEQUEUE_NOCLOCK, and DEQUEUE_MOVE where its place in the queue need not
   * survive; `enqueueFlags` are ENQUEUE_* besides.
   */
  change(task: ScxTask, flags: number, body: () => SchedClass | undefined, enqueueFlags = 0): void {
    const rq = this.scx.rq(task.cpu);
    const { cls: oldClass, onRq: queued } = task;
    const running = rq.curr === task;
    const { switchedFromFirst } = this.scx.consts;
    const queueFlags = flags | QUEUE.noclock;
    if (queued) this.#dequeue(rq, task, queueFlags);
    if (running) this.#putPrev(rq, task);
    const switchFirst = switchedFromFirst && (flags & QUEUE.class) !== 0;
    if (switchFirst && oldClass === CLASS.ext) this.scx.states.switchedFrom(task);
    const newClass = body() ?? oldClass;
    const changed = newClass !== oldClass;
    if (changed) this.scx.setClass(task, newClass);
    if (changed && newClass === CLASS.ext) this.scx.states.switchingTo(rq, task);
    if (queued) this.#enqueue(rq, task, queueFlags | enqueueFlags);
    if (running) this.#setNext(rq, task);
    if (!changed) return;
    if (!switchFirst && oldClass === CLASS.ext) this.scx.states.switchedFrom(task);
    // Before 6.19 a class says itself what follows: switched_to_scx() does nothing.
    if (!switchedFromFirst && newClass === CLASS.ext) return;
    if (queued) this.wakeupPreempt(rq, task);
    if (running && classAbove(oldClass, newClass)) this.scx.core.resched(rq.cpu);
  }

  /** DEQUEUE_CLASS for a change of class, where the kernel has it (6.19). */
  classFlag(changes: boolean): number {
    return changes && this.scx.consts.switchedFromFirst ? QUEUE.class : 0;
  }

  #enqueue(rq: ScxRq, task: ScxTask, flags: number): void {
    if (task.cls === CLASS.ext) this.enqueueTask(rq, task, flags);
    else this.scx.core.enqueueOther(task, flags);
    task.onRq = true;
  }

  #dequeue(rq: ScxRq, task: ScxTask, flags: number): void {
    if (task.cls === CLASS.ext) this.dequeueTask(rq, task, flags);
    else this.scx.core.dequeueOther(task, flags);
    task.onRq = false;
  }

  #putPrev(rq: ScxRq, task: ScxTask): void {
    if (task.cls === CLASS.ext) this.scx.pick.putPrevTask(rq, task, null);
    else this.scx.core.putPrevOther(task);
  }

  #setNext(rq: ScxRq, task: ScxTask): void {
    if (task.cls === CLASS.ext) this.scx.pick.setNextTask(rq, task);
    else this.scx.core.setNextOther(task);
  }
}
