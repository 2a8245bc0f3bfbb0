import { before32, hex64 } from './bits.js';
import type { ScxSched } from './sched.js';
import type { ScxTask } from './task.js';
import { VtimeTree } from './vtime_tree.js';

/** A place in a queue's list: a task's, a cursor's or the list's own head. */
export class DsqLink {
  prev: DsqLink = this;
  next: DsqLink = this;

  /** null for heads and cursors. */
  constructor(readonly task: ScxTask | null) {}

  get linked(): boolean {
    return this.next !== this;
  }

  insertAfter(at: DsqLink): void {
    this.prev = at;
    this.next = at.next;
    at.next.prev = this;
    at.next = this;
  }

  unlink(): void {
    this.prev.next = this.next;
    this.next.prev = this.prev;
    this.prev = this;
    this.next = this;
  }
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
  readonly list = new DsqLink(null);
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
    /** Halves of the id. */
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

  /** The first task; the kernel's first_task of user queues. */
  get first(): ScxTask | null {
    return this.after(this.list, false);
  }

  /** nldsq_next_task: the next task from a link on, cursors skipped. */
  after(link: DsqLink, reverse: boolean): ScxTask | null {
    let at = link;
    do {
      at = reverse ? at.prev : at.next;
      if (at === this.list) return null;
    } while (at.task === null);
    return at.task;
  }

  /** Tasks, first to leave first. */
  *[Symbol.iterator](): Generator<ScxTask> {
    for (let task = this.first; task; task = this.after(task.link, false)) yield task;
  }

  pushTail(task: ScxTask): void {
    task.link.insertAfter(this.list.prev);
  }

  pushHead(task: ScxTask): void {
    task.link.insertAfter(this.list);
  }

  /** Behind those whose vtime is not later. */
  insertByVtime(task: ScxTask): void {
    task.onPriq = true;
    const before = this.tree.insert(task);
    task.link.insertAfter(before ? before.link : this.list);
  }

  /** scx_task_unlink_from_dsq; what the local queue counts besides is ScxRq's. */
  unlink(task: ScxTask): void {
    if (task.onPriq) {
      this.tree.remove(task);
      task.onPriq = false;
    }
    task.link.unlink();
    this.nr--;
  }
}

/** A walk over a user queue that lasts while the queue changes (struct bpf_iter_scx_dsq_kern). */
export class DsqCursor {
  readonly #link = new DsqLink(null);
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
    let task = dsq.after(this.#link.linked ? this.#link : dsq.list, reverse);
    while (task && before32(this.seq, task.dsqSeq)) task = dsq.after(task.link, reverse);
    this.close();
    if (task) this.#link.insertAfter(reverse ? task.link.prev : task.link);
    return task;
  }

  /** nldsq_cursor_lost_task: the task is not, or not any more, one that this walk may move. */
  lost(task: ScxTask): boolean {
    return task.dsq !== this.dsq || before32(this.seq, task.dsqSeq);
  }

  close(): void {
    if (this.#link.linked) this.#link.unlink();
  }
}
