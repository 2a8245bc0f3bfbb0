import { before32, hex64 } from './bits.js';
import type { ScxSched } from './sched.js';
import type { ScxTask } from './task.js';
import { VtimeTree } from './vtime_tree.js';

/** High half of the ids of built-in queues (SCX_DSQ_FLAG_BUILTIN), and their low halves; halves are signed everywhere. */
export const BUILTIN_HI = 0x80000000 | 0;
export const GLOBAL_LO = 1;
export const LOCAL_LO = 2;
export const BYPASS_LO = 3;
/** SCX_DSQ_LOCAL_ON: a CPU is the low half. */
export const LOCAL_ON_HI = 0xc0000000 | 0;

/** SCX_DSQ_LOCAL_ON | cpu */
export function isLocalOn(hi: number): boolean {
  return (hi & LOCAL_ON_HI) === LOCAL_ON_HI;
}

export const DSQ_USER = 0;
export const DSQ_LOCAL = 1;
export const DSQ_GLOBAL = 2;
export const DSQ_BYPASS = 3;
export type DsqKind = typeof DSQ_USER | typeof DSQ_LOCAL | typeof DSQ_GLOBAL | typeof DSQ_BYPASS;

/**
 * A dispatch queue (kernel: struct scx_dispatch_q): one list, in the order in which tasks leave. User queues keep it by vtime
 * if their first task came with one; what the first task of an empty queue comes with decides.
 */
export class Dsq {
  /** Ends of the list, which goes through dsqPrev and dsqNext of the tasks. The kernel's first_task of user queues. */
  first: ScxTask | null = null;
  last: ScxTask | null = null;
  /** Walks that have a place in the list; null while there are none. */
  #cursors: Set<DsqCursor> | null = null;
  /** Tasks that came by vtime. */
  readonly tree = new VtimeTree();
  nr = 0;
  /** Grows with every insert: cursors do not see what came after them. */
  seq = 0;
  /** Taken out of the scheduler's table: nothing may be inserted any more (id SCX_DSQ_INVALID). */
  destroyed = false;
  /** Set for kinds that the kernel keeps; user queues have one, too. */
  sched: ScxSched | null = null;
  /** What a DsqObserver keeps about it. */
  observed: unknown = null;

  constructor(
    readonly kind: DsqKind,
    /** Halves of the id, signed. */
    readonly hi: number,
    readonly lo: number,
    /** CPU of local and bypass queues, -1 for the others. */
    readonly cpu = -1,
  ) {}

  get builtin(): boolean {
    return this.kind !== DSQ_USER;
  }

  /** 0x%016llx, as messages name a queue. */
  get label(): string {
    return hex64(this.hi, this.lo, 16);
  }

  /** 0x%llx */
  get shortLabel(): string {
    return hex64(this.hi, this.lo);
  }

  /** Tasks, first to leave first. */
  *[Symbol.iterator](): Generator<ScxTask> {
    for (let task = this.first; task; task = task.dsqNext) yield task;
  }

  pushTail(task: ScxTask): void {
    const { last } = this;
    task.dsqPrev = last;
    task.dsqNext = null;
    if (last) last.dsqNext = task;
    else this.first = task;
    this.last = task;
  }

  pushHead(task: ScxTask): void {
    this.#insertAfter(null, task);
  }

  /** Behind those whose vtime is not later. */
  insertByVtime(task: ScxTask): void {
    task.onPriq = true;
    this.#insertAfter(this.tree.insert(task), task);
  }

  /** Right behind a task, in front of cursors there; behind null: at the head. */
  #insertAfter(before: ScxTask | null, task: ScxTask): void {
    const next = before ? before.dsqNext : this.first;
    task.dsqPrev = before;
    task.dsqNext = next;
    if (before) before.dsqNext = task;
    else this.first = task;
    if (next) next.dsqPrev = task;
    else this.last = task;
    if (this.#cursors) for (const cursor of this.#cursors) if (cursor.before === before) cursor.before = task;
  }

  /** scx_task_unlink_from_dsq; what the local queue counts besides is ScxRq's. */
  unlink(task: ScxTask): void {
    if (task.onPriq) {
      this.tree.remove(task);
      task.onPriq = false;
    }
    const { dsqPrev, dsqNext } = task;
    if (dsqPrev) dsqPrev.dsqNext = dsqNext;
    else this.first = dsqNext;
    if (dsqNext) dsqNext.dsqPrev = dsqPrev;
    else this.last = dsqPrev;
    task.dsqPrev = null;
    task.dsqNext = null;
    this.nr--;
    if (this.#cursors) for (const cursor of this.#cursors) if (cursor.before === task) cursor.before = dsqPrev;
  }

  /** A cursor has a place in the list from now on. */
  hold(cursor: DsqCursor): void {
    this.#cursors ??= new Set();
    this.#cursors.add(cursor);
  }

  release(cursor: DsqCursor): void {
    this.#cursors?.delete(cursor);
    if (this.#cursors?.size === 0) this.#cursors = null;
  }
}

/** A walk over a user queue that lasts while the queue changes (struct bpf_iter_scx_dsq_kern). */
export class DsqCursor {
  /** The task in front of its place, null at the head; the queue keeps it while the cursor is held. */
  before: ScxTask | null = null;
  #held = false;
  /** Tasks that were queued later are not seen. */
  readonly seq: number;
  /** Overrides of the next move; null to keep the task's own. */
  slice: number | null = null;
  vtime: { hi: number; lo: number } | null = null;

  constructor(
    readonly dsq: Dsq,
    readonly reverse: boolean,
  ) {
    this.seq = dsq.seq;
  }

  next(): ScxTask | null {
    const { dsq, reverse } = this;
    let task = this.#following;
    while (task && before32(this.seq, task.dsqSeq)) task = reverse ? task.dsqPrev : task.dsqNext;
    this.close();
    if (task) {
      this.before = reverse ? task.dsqPrev : task;
      this.#held = true;
      dsq.hold(this);
    }
    return task;
  }

  get #following(): ScxTask | null {
    const { dsq, before } = this;
    if (!this.#held) return this.reverse ? dsq.last : dsq.first;
    if (this.reverse) return before;
    return before ? before.dsqNext : dsq.first;
  }

  /** nldsq_cursor_lost_task: the task is not, or not any more, one that this walk may move. */
  lost(task: ScxTask): boolean {
    return task.dsq !== this.dsq || before32(this.seq, task.dsqSeq);
  }

  close(): void {
    if (!this.#held) return;
    this.#held = false;
    this.dsq.release(this);
  }
}
