import { before64 } from './bits.js';
import type { ScxTask } from './task.js';

/** A task's place in the tree of its queue. */
export interface VtimeNode {
  left: ScxTask | null;
  right: ScxTask | null;
  parent: ScxTask | null;
  /** Heap key: parents have higher ones. Fixed by the task, so that runs repeat. */
  readonly rank: number;
  /** The key, as it was when the task was inserted. */
  hi: number;
  lo: number;
}

/** A number that looks random, of a counter (the finalizer of MurmurHash3). */
export function rankOf(n: number): number {
  let x = Math.imul(n ^ (n >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/**
 * Tasks in the order of scx.dsq_vtime, those with equal keys in the order in which they came (kernel: an rbtree under
 * scx_dsq_priq_less). A treap: O(log n) on average, and no worse when scheduler programs write keys of queued tasks, as each
 * node keeps the key that it was inserted with.
 */
export class VtimeTree {
  #root: ScxTask | null = null;

  get empty(): boolean {
    return this.#root === null;
  }

  /** Returns the task before it, null for the first. */
  insert(task: ScxTask): ScxTask | null {
    const { node } = task;
    node.hi = task.vtimeHi;
    node.lo = task.vtimeLo;
    node.left = null;
    node.right = null;
    let parent: ScxTask | null = null;
    let previous: ScxTask | null = null;
    let at = this.#root;
    let left = false;
    while (at) {
      parent = at;
      left = before64(node.hi, node.lo, at.node.hi, at.node.lo);
      if (!left) previous = at;
      at = left ? at.node.left : at.node.right;
    }
    node.parent = parent;
    if (!parent) this.#root = task;
    else if (left) parent.node.left = task;
    else parent.node.right = task;
    while (node.parent && node.parent.node.rank < node.rank) this.#rotateUp(task);
    return previous;
  }

  remove(task: ScxTask): void {
    const { node } = task;
    while (node.left || node.right) {
      const { left, right } = node;
      this.#rotateUp(!right || (left && left.node.rank > right.node.rank) ? left! : right);
    }
    this.#replace(task, null);
    node.parent = null;
  }

  #rotateUp(task: ScxTask): void {
    const { node } = task;
    const parent = node.parent!;
    this.#replace(parent, task);
    if (parent.node.left === task) {
      parent.node.left = node.right;
      if (node.right) node.right.node.parent = parent;
      node.right = parent;
    } else {
      parent.node.right = node.left;
      if (node.left) node.left.node.parent = parent;
      node.left = parent;
    }
    parent.node.parent = task;
  }

  /** Puts `next` where `task` hangs; next's own children stay. */
  #replace(task: ScxTask, next: ScxTask | null): void {
    const { parent } = task.node;
    if (!parent) this.#root = next;
    else if (parent.node.left === task) parent.node.left = next;
    else parent.node.right = next;
    if (next) next.node.parent = parent;
  }
}
