import { hasFlag, hex64, orFlags } from './bits.js';
import { BUILTIN_HI, DSQ_BYPASS, DSQ_LOCAL, DSQ_USER, type Dsq, GLOBAL_LO, isLocalOn, LOCAL_LO } from './dsq.js';
import type { ExitInfo } from './exit.js';
import { OP } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS, classAbove, OPSS_DISPATCHING, OPSS_NONE, OPSS_QUEUED, type ScxTask, Verdict } from './task.js';

/** Slice and vtime that an insert carries to the queue. */
interface InsertValues {
  readonly slice: number;
  readonly vtimeHi: number;
  readonly vtimeLo: number;
  readonly refill?: boolean;
}

/** Stands for a task that has been inserted already (ERR_PTR(-ESRCH) in direct_dispatch_task). */
const SPOILED = Symbol('already inserted');

/** Told of each task that comes to a queue and leaves it. */
export interface DsqObserver {
  added(dsq: Dsq, task: ScxTask): void;
  removed(dsq: Dsq, task: ScxTask): void;
}

/** Tasks on their way into queues and from queue to queue. */
export class Dispatch {
  /** The task that select_cpu or enqueue may insert. */
  directTask: ScxTask | typeof SPOILED | null = null;
  observer: DsqObserver | null = null;
  readonly #scratch = new Verdict();

  constructor(private readonly scx: SchedExt) {}

  globalDsq(sched: ScxSched, cpu: number): Dsq {
    return sched.globalDsqs[this.scx.core.topology.node(cpu)]!;
  }

  /** find_dsq_for_dispatch: what cannot be found becomes the global queue, so that no task is lost. */
  find(sched: ScxSched, rq: ScxRq, hi: number, lo: number, task: ScxTask | null, cpu: number): Dsq {
    if (hi === BUILTIN_HI && lo === LOCAL_LO) return rq.local;
    if (isLocalOn(hi)) {
      const target = this.scx.cpuRet(sched, lo);
      const valid = sched.validCpu(target, 'in SCX_DSQ_LOCAL_ON dispatch verdict');
      return valid ? this.scx.rq(target).local : this.globalDsq(sched, cpu);
    }
    if (hi === BUILTIN_HI && lo === GLOBAL_LO) return this.globalDsq(sched, cpu);
    const dsq = sched.dsqs.find(hi, lo);
    if (dsq) return dsq;
    const whose = task && this.scx.consts.dsqErrorNamesTask ? ` for ${task.label}` : '';
    sched.error(`non-existent DSQ ${hex64(hi, lo)}${whose}`);
    return this.globalDsq(sched, cpu);
  }

  // ---- Inserts of programs

  /** The kfunc's half of an insert (scx_dsq_insert_commit). False where the kernel raised an error. */
  insert(sched: ScxSched, task: ScxTask, insert: Verdict): boolean {
    const { consts } = this.scx;
    if (!consts.lateSlice) this.#storeSlice(task, insert, insert.byVtime);
    if (this.directTask !== null) return this.#markDirect(sched, task, insert);
    const entry = sched.nextEntry();
    if (!entry) {
      sched.error('dispatch buffer overflow');
      return false;
    }
    entry.task = task;
    entry.qseq = task.opsState === OPSS_NONE || task.opsState === OPSS_DISPATCHING ? 0 : task.qseq;
    entry.dsqHi = insert.dsqHi;
    entry.dsqLo = insert.dsqLo;
    entry.enqFlags = insert.enqFlags;
    entry.slice = insert.slice;
    entry.vtimeHi = insert.vtimeHi;
    entry.vtimeLo = insert.vtimeLo;
    entry.byVtime = insert.byVtime;
    return true;
  }

  /** Inside select_cpu and enqueue only their own task may be inserted, and once (mark_direct_dispatch). */
  #markDirect(sched: ScxSched, task: ScxTask, insert: Verdict): boolean {
    const expected = this.directTask;
    this.directTask = SPOILED;
    if (expected === SPOILED || expected === null) {
      sched.error(`${task.label} already direct-dispatched`);
      return false;
    }
    if (expected !== task) {
      sched.error(`scheduling for ${expected.label} but trying to direct-dispatch ${task.label}`);
      return false;
    }
    task.verdict.copy(insert);
    task.verdict.set = true;
    task.insertedBy = this.scx.calls.frame.live;
    task.publishVerdict();
    return true;
  }

  /** What is wrong with a verdict shows when it is carried out: the op that gave it is to blame. */
  #blame(sched: ScxSched, task: ScxTask, before: ExitInfo | null): void {
    const { exit } = sched;
    if (exit !== before && exit && task.insertedBy) exit.place = `after ${task.insertedBy.place}`;
  }

  clearVerdict(task: ScxTask): void {
    const { verdict } = task;
    if (!verdict.set && verdict.enqFlags === 0) return;
    verdict.clear();
    task.publishVerdict();
  }

  /**
   * Carries out a verdict of select_cpu or enqueue (direct_dispatch). The local queue of another CPU must wait until this
   * run queue can be unlocked.
   */
  direct(sched: ScxSched, task: ScxTask, enqFlags: number): void {
    const before = sched.exit;
    this.#direct(sched, task, enqFlags);
    if (sched.exit !== before) this.#blame(sched, task, before);
  }

  #direct(sched: ScxSched, task: ScxTask, enqFlags: number): void {
    const rq = this.scx.rq(task.cpu);
    const { verdict } = task;
    const dsq = this.find(sched, rq, verdict.dsqHi, verdict.dsqLo, task, task.cpu);
    verdict.enqFlags = orFlags(verdict.enqFlags, enqFlags);
    if (dsq.kind === DSQ_LOCAL && dsq !== rq.local) {
      task.opsState = OPSS_NONE;
      task.deferred = true;
      rq.deferredLocals.push(task);
      rq.hasDeferred = true;
      this.scx.deferred.schedule(rq, true);
      return;
    }
    const values = this.#scratch;
    values.copy(verdict);
    this.clearVerdict(task);
    this.put(sched, rq, dsq, task, values.enqFlags, values.byVtime, values, true);
  }

  /** process_ddsp_deferred_locals */
  runDeferredLocals(rq: ScxRq): void {
    for (let task = rq.deferredLocals.shift(); task; task = rq.deferredLocals.shift()) {
      task.deferred = false;
      const { sched } = task;
      if (!sched) continue;
      const values = this.#scratch;
      values.copy(task.verdict);
      this.clearVerdict(task);
      const before = sched.exit;
      const dsq = this.find(sched, rq, values.dsqHi, values.dsqLo, task, task.cpu);
      if (dsq.kind === DSQ_LOCAL) this.#toLocal(sched, rq, dsq, task, values.enqFlags, values.byVtime, values);
      else this.put(sched, rq, dsq, task, values.enqFlags, values.byVtime, values, false);
      if (sched.exit !== before) this.#blame(sched, task, before);
    }
  }

  /** Carries out what ops.dispatch inserted so far (scx_flush_dispatch_buf). */
  flush(sched: ScxSched, rq: ScxRq): void {
    const count = sched.cursor;
    for (let i = 0; i < count; i++) {
      const { task, qseq, dsqHi, dsqLo, enqFlags, byVtime } = sched.buffer[i]!;
      // finish_dispatch: a task that the scheduler does not hold any more, or holds anew; the insert is void, and legal.
      if (!task || task.opsState !== OPSS_QUEUED || task.qseq !== qseq) continue;
      if (task.sched !== sched) {
        sched.events.add('INSERT_NOT_OWNED');
        continue;
      }
      task.opsState = OPSS_DISPATCHING;
      const dsq = this.find(sched, rq, dsqHi, dsqLo, task, task.cpu);
      const values = sched.buffer[i]!;
      if (dsq.kind === DSQ_LOCAL) this.#toLocal(sched, rq, dsq, task, enqFlags, byVtime, values);
      else this.put(sched, rq, dsq, task, enqFlags, byVtime, values, true);
    }
    sched.dispatched += count;
    sched.cursor = 0;
  }

  /** dispatch_to_local_dsq */
  #toLocal(
    sched: ScxSched,
    rq: ScxRq,
    dsq: Dsq,
    task: ScxTask,
    enqFlags: number,
    byVtime: boolean,
    values: InsertValues,
  ): void {
    const from = this.scx.rq(task.cpu);
    const to = this.scx.rq(dsq.cpu);
    if (rq === from && rq === to) {
      this.put(sched, rq, dsq, task, enqFlags, byVtime, values, true);
      return;
    }
    task.opsState = OPSS_NONE;
    if (from === to) {
      this.put(sched, to, to.local, task, enqFlags, byVtime, values, false);
    } else if (!this.#mayMove(sched, task, to, true)) {
      this.put(sched, from, this.globalDsq(sched, task.cpu), task, enqFlags, byVtime, values, false);
      return;
    } else {
      if (this.scx.consts.lateSlice) this.#storeSlice(task, values, byVtime);
      this.scx.enqueue.migrate(task, from, to, enqFlags);
    }
    if (classAbove(task.cls, to.curr.cls)) this.scx.core.resched(to.cpu);
  }

  /**
   * May the BPF scheduler move the task to this CPU (task_can_run_on_remote_rq)? With `enforce` it is an error to try where
   * the task cannot run; CPUs that are offline are no error.
   */
  #mayMove(sched: ScxSched, task: ScxTask, to: ScxRq, enforce: boolean): boolean {
    if (task.migrationDisabled) {
      if (enforce) {
        sched.error(
          `SCX_DSQ_LOCAL[_ON] cannot move migration disabled ${task.label} from CPU ${task.cpu} to ${to.cpu}`,
        );
      }
      return false;
    }
    if (!task.allows(to.cpu)) {
      if (enforce) sched.error(`SCX_DSQ_LOCAL[_ON] target CPU ${to.cpu} not allowed for ${task.label}`);
      return false;
    }
    if (this.scx.enqueue.online(to)) return true;
    if (enforce) sched.events.add('DISPATCH_LOCAL_DSQ_OFFLINE');
    return false;
  }

  /** A slice of 0 keeps the one that is there, but never 0 (apply_slice_vtime). */
  #storeSlice(task: ScxTask, values: InsertValues, byVtime: boolean): void {
    if (values.slice !== 0) {
      task.slice = values.slice;
      if (!values.refill) task.sliceRequest = -1;
    } else if (task.slice === 0) {
      task.slice = 1;
    }
    if (byVtime) task.setVtime(values.vtimeHi, values.vtimeLo);
  }

  // ---- Queues

  /** Puts a task on a queue (scx_dispatch_enqueue). `rq` is locked; `values` are stored if the insert has some. */
  put(
    sched: ScxSched,
    rq: ScxRq,
    wanted: Dsq,
    task: ScxTask,
    enqFlags: number,
    byVtimeWanted: boolean,
    values: InsertValues | null,
    clearOpsState: boolean,
  ): void {
    const { consts } = this.scx;
    let dsq = wanted;
    let byVtime = byVtimeWanted;
    if (dsq.destroyed) {
      sched.error('attempting to dispatch to a destroyed dsq');
      dsq = this.globalDsq(sched, task.cpu);
    }
    if (byVtime && dsq.builtin) {
      sched.error('cannot use vtime ordering for built-in DSQs');
      byVtime = false;
    }
    if (values && consts.lateSlice) this.#storeSlice(task, values, byVtime);
    if (byVtime) {
      if (dsq.tree.empty && dsq.first) sched.error(`DSQ ID ${dsq.label} already had FIFO-enqueued tasks`);
      dsq.insertByVtime(task);
    } else {
      if (!dsq.tree.empty) sched.error(`DSQ ID ${dsq.label} already had PRIQ-enqueued tasks`);
      if (hasFlag(enqFlags, consts.enq.head) || hasFlag(enqFlags, consts.enq.preempt)) dsq.pushHead(task);
      else dsq.pushTail(task);
    }
    dsq.seq++;
    task.dsqSeq = dsq.seq;
    this.#counted(dsq, task, enqFlags);
    task.dsq = dsq;
    if (dsq.kind === DSQ_LOCAL) {
      this.#wakeLocal(sched, this.scx.rq(dsq.cpu), task, enqFlags);
    } else if (consts.custody) {
      if (dsq.kind === DSQ_USER) task.setFlags(consts.task.inCustody);
      else this.leaveCustody(sched, rq, task, 0);
    }
    if (clearOpsState) task.opsState = OPSS_NONE;
  }

  /** dsq_inc_nr */
  #counted(dsq: Dsq, task: ScxTask, enqFlags: number): void {
    const { consts } = this.scx;
    dsq.nr++;
    this.observer?.added(dsq, task);
    if (dsq.kind !== DSQ_LOCAL) return;
    const rq = this.scx.rq(dsq.cpu);
    rq.publishLocalNr();
    if (consts.task.immed === 0) return;
    if (hasFlag(enqFlags, consts.enq.immed)) task.setFlags(consts.task.immed);
    if (!task.has(consts.task.immed)) return;
    rq.immed++;
    if (dsq.nr > 1 || !this.scx.deferred.rqOpen(rq, enqFlags)) this.scx.deferred.reenqLocal(rq, 0);
  }

  /** scx_task_unlink_from_dsq */
  unlink(task: ScxTask): void {
    const dsq = task.dsq!;
    dsq.unlink(task);
    this.observer?.removed(dsq, task);
    if (dsq.kind !== DSQ_LOCAL) return;
    const rq = this.scx.rq(dsq.cpu);
    rq.publishLocalNr();
    const { immed } = this.scx.consts.task;
    if (immed !== 0 && task.has(immed)) rq.immed--;
  }

  /** Takes a task off whatever it waits on (scx_dispatch_dequeue). */
  takeOff(rq: ScxRq, task: ScxTask): void {
    if (task.deferred) {
      task.deferred = false;
      rq.deferredLocals.splice(rq.deferredLocals.indexOf(task), 1);
    }
    if (!task.dsq) return;
    this.unlink(task);
    task.dsq = null;
  }

  /** ops.dequeue when a task leaves the BPF scheduler's custody; not while it is moved by the kernel [N]. */
  leaveCustody(sched: ScxSched, rq: ScxRq | null, task: ScxTask, deqFlags: number): void {
    const { inCustody } = this.scx.consts.task;
    if (!task.has(inCustody) || task.sticky >= 0) return;
    task.clearFlags(inCustody);
    sched.live[OP.dequeue]?.invoke(rq, task, null, task.ptr, deqFlags);
  }

  /** What an insert into a local queue does to its CPU (rq_owned_post_enq; before [N] local_dsq_post_enq). */
  #wakeLocal(sched: ScxSched, rq: ScxRq, task: ScxTask, enqFlags: number): void {
    const { consts, core } = this.scx;
    if (consts.custody) this.leaveCustody(sched, rq, task, 0);
    if (consts.nextClass && classAbove(task.cls, rq.nextClass)) this.scx.enqueue.wakeupPreempt(rq, task);
    if (rq.hasFlags(consts.rq.inDispatch)) return;
    const { curr } = rq;
    const preempts = hasFlag(enqFlags, consts.enq.preempt) && task !== curr && curr.cls === CLASS.ext;
    if (preempts) {
      curr.slice = 0;
      curr.sliceRequest = -1;
    }
    if (preempts || (!consts.nextClass && classAbove(CLASS.ext, curr.cls))) core.resched(rq.cpu);
  }

  // ---- From queue to queue

  /** scx_move_local_task_to_local_dsq: the task is on no queue, and on this CPU. */
  #toOwnLocal(sched: ScxSched, task: ScxTask, enqFlags: number, rq: ScxRq): void {
    const { consts } = this.scx;
    const dsq = rq.local;
    if (hasFlag(enqFlags, consts.enq.head) || hasFlag(enqFlags, consts.enq.preempt)) dsq.pushHead(task);
    else dsq.pushTail(task);
    this.#counted(dsq, task, enqFlags);
    task.dsq = dsq;
    if (consts.moveWakesLocal) this.#wakeLocal(sched, rq, task, enqFlags);
  }

  /** Moves the first task of a queue that may run on the CPU to its local queue (scx_consume_dispatch_q). */
  consume(sched: ScxSched, rq: ScxRq, dsq: Dsq, enqFlags: number): boolean {
    for (let task = dsq.first; task; task = task.dsqNext) {
      if (this.scx.consts.abortStopsWalks && sched.exit && dsq.kind !== DSQ_BYPASS) return false;
      if (task.cpu === rq.cpu) {
        this.unlink(task);
        task.dsq = null;
        this.#toOwnLocal(sched, task, enqFlags, rq);
        return true;
      }
      if (this.#mayMove(sched, task, rq, false)) {
        const from = this.scx.rq(task.cpu);
        this.unlink(task);
        task.dsq = null;
        this.scx.enqueue.migrate(task, from, rq, enqFlags);
        return true;
      }
    }
    return false;
  }

  consumeGlobal(sched: ScxSched, rq: ScxRq): boolean {
    return this.consume(sched, rq, this.globalDsq(sched, rq.cpu), 0);
  }

  /** Moves a task that waits on a user queue to any queue (move_task_between_dsqs). */
  move(sched: ScxSched, task: ScxTask, to: Dsq, enqFlags: number, byVtime: boolean): void {
    const from = this.scx.rq(task.cpu);
    let target = to;
    let rq = from;
    if (target.kind === DSQ_LOCAL) {
      rq = this.scx.rq(target.cpu);
      if (rq !== from && !this.#mayMove(sched, task, rq, true)) {
        target = this.globalDsq(sched, task.cpu);
        rq = from;
      }
    }
    this.unlink(task);
    task.dsq = null;
    if (target.kind !== DSQ_LOCAL) this.put(sched, rq, target, task, enqFlags, byVtime, null, false);
    else if (rq === from) this.#toOwnLocal(sched, task, enqFlags, rq);
    else this.scx.enqueue.migrate(task, from, rq, enqFlags);
  }
}
