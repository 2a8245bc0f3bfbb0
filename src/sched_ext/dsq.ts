import type { ScxTask } from './task.js';

/**
 * A dispatch queue (kernel: struct scx_dispatch_q). First in first out, or ordered by vtime: what the first task of an empty
 * queue is inserted by decides.
 */
export class Dsq {
  readonly tasks: ScxTask[] = [];
  /** Ordered by vtime. */
  prioritised = false;

  constructor(
    readonly id: bigint,
    /** CPU of a local queue, -1 for the others. */
    readonly cpu = -1,
  ) {}

  get isLocal(): boolean {
    return this.cpu >= 0;
  }

  insertFifo(task: ScxTask, atHead: boolean): void {
    if (this.tasks.length === 0) this.prioritised = false;
    if (atHead) this.tasks.unshift(task);
    else this.tasks.push(task);
    task.dsq = this;
  }

  /** Equal keys queue behind each other. */
  insertByVtime(task: ScxTask, vtime: bigint): void {
    if (this.tasks.length === 0) this.prioritised = true;
    task.queuedVtime = vtime;
    const at = this.tasks.findIndex((other) => vtimeBefore(vtime, other.queuedVtime));
    this.tasks.splice(at < 0 ? this.tasks.length : at, 0, task);
    task.dsq = this;
  }

  remove(task: ScxTask): void {
    this.tasks.splice(this.tasks.indexOf(task), 1);
    task.dsq = null;
  }
}

/** Virtual times wrap around at 2^64 (time_before64, include/linux/jiffies.h). */
export function vtimeBefore(a: bigint, b: bigint): boolean {
  return BigInt.asIntN(64, a - b) < 0n;
}
