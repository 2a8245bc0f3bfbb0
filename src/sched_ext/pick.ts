import { hasFlag } from './bits.js';
import { BUILTIN_HI, LOCAL_LO } from './dsq.js';
import { callObject } from './objects.js';
import { OP } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS, classAbove, type SchedClass, type ScxTask, SLICE_INF } from './task.js';

/** enum scx_cpu_preempt_reason */
const PREEMPT_REASON: Readonly<Partial<Record<SchedClass, number>>> = {
  [CLASS.rt]: 0,
  [CLASS.dl]: 1,
  [CLASS.stop]: 2,
};
const PREEMPT_UNKNOWN = 3;

const NONE = 0;
const LOCAL = 1;
const PREV = 2;
/** What dispatch concluded, for the pick that follows (enum scx_dsp_verdict). */
type DispatchResult = typeof NONE | typeof LOCAL | typeof PREV;

/** A CPU's choice of what runs, and what running and ceasing to run mean. */
export class Pick {
  constructor(private readonly scx: SchedExt) {}

  /** Tells what the CPU has chosen, the task that runs already or another (rq->curr, rq->next_class, p->on_cpu). */
  setCurr(rq: ScxRq, task: ScxTask): void {
    rq.nextClass = task.cls;
    if (rq.curr === task) return;
    rq.curr.kernelTask.onCpu = false;
    rq.curr = task;
    rq.kernelRq.curr = task.kernelTask;
    task.kernelTask.onCpu = true;
  }

  /** update_curr_scx: run time off the slice; an infinite one stays. */
  updateCurr(rq: ScxRq): void {
    const { curr } = rq;
    this.#applySliceRequest(curr);
    const ran = this.scx.core.updateCurr(rq.cpu);
    if (ran <= 0) return;
    const { slice } = curr;
    if (slice < SLICE_INF) curr.slice = slice > ran ? slice - ran : 0;
  }

  /** apply_task_slice_oob */
  #applySliceRequest(task: ScxTask): void {
    if (task.sliceRequest < 0) return;
    task.slice = task.sliceRequest;
    task.sliceRequest = -1;
  }

  // ---- pick_task

  /**
   * balance_scx, before 7.0: looks for tasks before the classes are asked for theirs. True if there is one. The core calls it
   * before pickTask, unless a class above has tasks: then it only sets SCX_RQ_BAL_PENDING (`balancePending`).
   */
  balance(rq: ScxRq): boolean {
    const { rq: flags } = this.scx.consts;
    rq.flags &= ~(flags.balPending | flags.balKeep);
    const result = this.#dispatchOne(rq);
    if (result === PREV) rq.flags |= flags.balKeep;
    return result !== NONE;
  }

  /** prev_balance(), before 7.0: a pick without a balance would otherwise not notice that there was none. */
  balancePending(rq: ScxRq): void {
    rq.flags |= this.scx.consts.rq.balPending;
  }

  /** pick_task_scx: the task that the CPU runs next, null for none of this class. It stays on its queue. */
  pickTask(rq: ScxRq): ScxTask | null {
    const { consts } = this.scx;
    rq.kickSync++;
    let keep: boolean;
    if (consts.dispatchInPick) {
      keep = this.#dispatchOne(rq) === PREV;
    } else {
      keep = rq.hasFlags(consts.rq.balKeep);
      if (rq.hasFlags(consts.rq.balPending)) keep = rq.curr.cls === CLASS.ext && rq.curr.has(consts.task.queued);
      else if (keep && rq.curr.cls !== CLASS.ext) keep = false;
    }
    const task = keep ? rq.curr : rq.local.first;
    if (!task) {
      if (rq.hasFlags(consts.rq.balPending) && this.scx.root)
        this.scx.kicks.kick(this.scx.root, rq.cpu, consts.kick.idle, true);
      return null;
    }
    if (task.slice === 0) this.#refill(rq, task, keep);
    if (consts.dispatchInPick) this.scx.deferred.afterDispatch(rq);
    return task;
  }

  #refill(rq: ScxRq, task: ScxTask, keep: boolean): void {
    const sched = task.sched!;
    if (!keep && !rq.bypassing && !sched.warnedZeroSlice) {
      sched.warnedZeroSlice = true;
      const where = this.scx.consts.dispatchInPick ? 'do_pick_task_scx' : 'pick_task_scx';
      this.scx.kernel.printk(`sched_ext: ${task.label} has zero slice in ${where}()`);
    }
    this.scx.enqueue.refillSlice(sched, task);
  }

  /** dispatch_one, before 7.0 balance_one. */
  #dispatchOne(rq: ScxRq): DispatchResult {
    const { consts, root } = this.scx;
    if (!root) return NONE;
    rq.flags |= consts.rq.inDispatch;
    const result = this.#look(rq);
    if (result !== NONE && rq.immed > 0 && rq.local.nr > 1) this.scx.deferred.reenqLocal(rq, 0);
    rq.flags &= ~consts.rq.inDispatch;
    if (!consts.dispatchInPick) this.scx.deferred.afterDispatch(rq);
    return result;
  }

  #look(rq: ScxRq): DispatchResult {
    const { consts } = this.scx;
    const root = this.scx.root!;
    const prev = rq.curr;
    if (root.cpuPreempt && rq.cpuReleased) {
      if (root.has(OP.cpu_acquire)) {
        this.scx.calls.call(root, OP.cpu_acquire, rq, null, null, this.scx.cpuArg(rq.cpu), 0);
      }
      rq.cpuReleased = false;
    }
    const prevIsExt = prev.cls === CLASS.ext;
    if (prevIsExt) {
      this.updateCurr(rq);
      if (this.#mayGoOn(prev) && !rq.bypassing) return PREV;
    }
    if (rq.local.nr > 0) return LOCAL;
    const result = this.#dispatchSched(rq, prev, prevIsExt);
    if (result !== NONE) return result;
    if (prev.has(consts.task.queued) && (rq.bypassing || !root.wants(consts.ops.enqLast))) {
      root.events.add('DISPATCH_KEEP_LAST');
      return PREV;
    }
    return NONE;
  }

  #mayGoOn(prev: ScxTask): boolean {
    return prev.has(this.scx.consts.task.queued) && prev.slice > 0;
  }

  /** scx_dispatch_sched */
  #dispatchSched(rq: ScxRq, prev: ScxTask, prevIsExt: boolean): DispatchResult {
    const { consts, dispatch } = this.scx;
    const root = this.scx.root!;
    if (dispatch.consumeGlobal(root, rq)) return LOCAL;
    if (rq.bypassing) {
      return consts.bypassDsqs && dispatch.consume(root, rq, root.bypassDsqs[rq.cpu]!, 0) ? LOCAL : NONE;
    }
    const online = consts.dispatchUntilOffline ? rq.hasFlags(consts.rq.online) : this.scx.enqueue.online(rq);
    const op = root.live[OP.dispatch];
    if (op === undefined || !online) return NONE;
    root.dispatchCpu = rq.cpu;
    for (let left = consts.maxDispatchLoops; ; ) {
      root.dispatched = 0;
      op.invoke(rq, null, null, this.scx.cpuArg(rq.cpu), prevIsExt ? prev.ptr : 0);
      dispatch.flush(root, rq);
      if (this.#mayGoOn(prev)) return PREV;
      if (rq.local.nr > 0) return LOCAL;
      if (dispatch.consumeGlobal(root, rq)) return LOCAL;
      if (--left === 0) {
        // The scheduler dispatches tasks that nothing can run: this cycle ends, and the next begins.
        this.scx.kicks.kick(root, rq.cpu, 0);
        return NONE;
      }
      if (root.dispatched === 0) return NONE;
    }
  }

  // ---- put_prev_task, set_next_task

  /** set_next_task_scx: the task runs from now on. `setCurr` has told, or tells after it, that it is the current one. */
  setNextTask(rq: ScxRq, task: ScxTask): void {
    const { consts, dispatch, enqueue } = this.scx;
    const sched = task.sched!;
    const queued = task.has(consts.task.queued);
    if (queued) {
      enqueue.opsDequeue(rq, task, consts.deq.coreSchedExec);
      dispatch.takeOff(rq, task);
      sched.live[OP.running]?.invoke(rq, task, null, task.ptr);
    }
    enqueue.clearRunnable(task, true);
    this.#applySliceRequest(task);
    const stop = consts.rq.canStopTick;
    if (task.slice >= SLICE_INF !== rq.hasFlags(stop)) rq.flags ^= stop;
  }

  /** put_prev_task_scx: the task ceases to run; `next` is who comes, null where the core puts it back at once. */
  putPrevTask(rq: ScxRq, task: ScxTask, next: ScxTask | null): void {
    const { consts, dispatch, enqueue } = this.scx;
    const sched = task.sched!;
    rq.kickSync++;
    this.updateCurr(rq);
    if (task.has(consts.task.queued)) {
      sched.live[OP.stopping]?.invoke(rq, task, null, task.ptr, true);
      enqueue.setRunnable(rq, task);
      if (task.slice > 0 && !rq.bypassing) {
        if (consts.task.immed !== 0 && task.has(consts.task.immed)) {
          this.scx.deferred.reenqueue(rq, task, consts.task.reenqPreempted);
        } else {
          dispatch.put(sched, rq, rq.local, task, consts.enq.head, false, null, false);
        }
      } else if (next && classAbove(CLASS.ext, next.cls)) {
        enqueue.doEnqueue(rq, task, consts.enq.last, -1);
        // It waits on the local queue of a CPU that has settled on something else.
        if (task.dsq === rq.local) this.scx.core.reschedNext(rq.cpu);
      } else {
        enqueue.doEnqueue(rq, task, 0, -1);
      }
    }
    if (next && next.cls !== CLASS.ext) this.#switchClass(rq, next);
  }

  /** switch_class: another class takes the CPU; the scheduler is told once until it has it back. */
  #switchClass(rq: ScxRq, next: ScxTask): void {
    const { root } = this.scx;
    if (!root?.cpuPreempt || classAbove(CLASS.ext, next.cls) || rq.cpuReleased) return;
    if (root.has(OP.cpu_release)) {
      const reason = PREEMPT_REASON[next.cls] ?? PREEMPT_UNKNOWN;
      const args = callObject(this.scx.kernel, 'scx_cpu_release_args', { reason, task: next.ptr });
      this.scx.calls.call(root, OP.cpu_release, rq, null, null, this.scx.cpuArg(rq.cpu), args.ptr);
      args.free();
    }
    rq.cpuReleased = true;
  }

  // ---- yield, tick, core scheduling

  /** yield_task_scx: sched_yield(2) of the current task. */
  yieldTask(rq: ScxRq): void {
    const task = rq.curr;
    const sched = task.sched!;
    if (sched.has(OP.yield)) {
      this.scx.calls.call(sched, OP.yield, rq, task, null, task.ptr, 0);
    } else {
      task.slice = 0;
      task.sliceRequest = -1;
    }
  }

  /** yield_to_task_scx: yield_to() of the current task; true if it was of use. */
  yieldTo(rq: ScxRq, to: ScxTask): boolean {
    const from = rq.curr;
    const sched = from.sched!;
    if (!sched.has(OP.yield) || to.sched !== sched) return false;
    return this.scx.calls.call(sched, OP.yield, rq, from, to, from.ptr, to.ptr) === true;
  }

  /** task_tick_scx: the tick finds a task of this class running. */
  taskTick(rq: ScxRq): void {
    const { curr } = rq;
    const sched = curr.sched!;
    this.updateCurr(rq);
    if (rq.bypassing) {
      curr.slice = 0;
      curr.sliceRequest = -1;
    } else {
      sched.live[OP.tick]?.invoke(rq, curr, null, curr.ptr);
    }
    if (curr.slice === 0) this.scx.core.resched(rq.cpu);
  }

  /** scx_can_stop_tick(), of CPUs in nohz_full: the current task has a slice without end. */
  canStopTick(rq: ScxRq): boolean {
    const { curr } = rq;
    if (curr.cls !== CLASS.ext || rq.nrRunning === 0) return true;
    return !rq.bypassing && rq.hasFlags(this.scx.consts.rq.canStopTick);
  }

  /** scx_prio_less(), of core scheduling: `a` runs after `b`. */
  prioLess(a: ScxTask, b: ScxTask): boolean {
    const { sched } = a;
    const bypassing = this.scx.rq(a.cpu).bypassing || this.scx.rq(b.cpu).bypassing;
    if (sched?.has(OP.core_sched_before) && !bypassing) {
      return this.scx.calls.call(sched, OP.core_sched_before, this.scx.rq(a.cpu), b, a, b.ptr, a.ptr) === true;
    }
    const [aRuns, bRuns] = [a.kernelTask.onCpu, b.kernelTask.onCpu];
    if (this.scx.consts.dispatchInPick && aRuns !== bRuns) return aRuns;
    return a.runnableAt > b.runnableAt;
  }

  /** The wakeup's choice of a CPU (select_task_rq_scx); the core asks only for tasks that may use several. */
  selectTaskRq(task: ScxTask, prevCpu: number, wakeFlags: number): number {
    const { consts, dispatch } = this.scx;
    const sched = task.sched!;
    if (hasFlag(wakeFlags, consts.wake.exec)) return prevCpu;
    const { bypassing } = this.scx.rq(task.cpu);
    const select = sched.live[OP.select_cpu];
    if (select !== undefined && !bypassing) {
      const here = this.scx.rq(this.scx.kernel.currentCpu);
      dispatch.directTask = task;
      here.inSelectCpu = true;
      const answer = select.invoke(null, task, null, task.ptr, this.scx.cpuArg(prevCpu), wakeFlags);
      here.inSelectCpu = false;
      dispatch.directTask = null;
      // A program that was stopped has chosen nothing.
      if (answer === undefined) return prevCpu;
      const cpu = this.scx.cpuRet(sched, Number(answer));
      task.selectedCpu = cpu;
      return sched.validCpu(cpu, 'from ops.select_cpu()') ? cpu : prevCpu;
    }
    if (bypassing && consts.bypassDsqs) {
      sched.events.add('BYPASS_DISPATCH');
      task.selectedCpu = prevCpu;
      return prevCpu;
    }
    const cpu = this.scx.idle.selectDefault(task, prevCpu, wakeFlags, 0, 0);
    if (cpu >= 0) this.#toLocalWithDefaultSlice(task);
    const chosen = cpu >= 0 ? cpu : prevCpu;
    task.selectedCpu = chosen;
    if (bypassing) sched.events.add('BYPASS_DISPATCH');
    return chosen;
  }

  #toLocalWithDefaultSlice(task: ScxTask): void {
    const { consts, enqueue } = this.scx;
    const sched = task.sched!;
    const { verdict } = task;
    if (consts.lateSlice) sched.events.add('REFILL_SLICE_DFL');
    else enqueue.refillSlice(sched, task);
    verdict.set = true;
    verdict.dsqHi = BUILTIN_HI;
    verdict.dsqLo = LOCAL_LO;
    verdict.slice = sched.sliceDefault;
    verdict.byVtime = false;
    verdict.refill = true;
    task.publishVerdict();
  }
}
