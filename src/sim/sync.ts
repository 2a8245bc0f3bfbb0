import { TASK_STATE } from '../kernel/model/task.js';
import type { SimTask } from './sim_task.js';

/** Something that tasks sleep for. `take` is what a task tries before it sleeps and whenever it has been woken. */
export abstract class Waitable {
  readonly #waiters = new Set<SimTask>();
  /** What a task sleeps in: futexes have whoever waits be frozen where it is. */
  readonly state: number = TASK_STATE.INTERRUPTIBLE | TASK_STATE.FREEZABLE;

  abstract take(task: SimTask): boolean;

  add(task: SimTask): void {
    this.#waiters.add(task);
  }

  /** The task has been woken; by a signal if it is still there. */
  leave(task: SimTask): void {
    this.#waiters.delete(task);
  }

  /** The one that waits longest of those that `wake` finds asleep (autoremove_wake_function). */
  wakeOne(wake: (task: SimTask) => boolean): void {
    for (const task of this.#waiters) {
      if (!wake(task)) continue;
      this.#waiters.delete(task);
      return;
    }
  }

  /** The one that waits longest, and does no longer. */
  shift(): SimTask | undefined {
    for (const task of this.#waiters) {
      this.#waiters.delete(task);
      return task;
    }
    return undefined;
  }

  get waiting(): number {
    return this.#waiters.size;
  }
}

export class Pipe extends Waitable {
  bytes = 0;
  override readonly state: number = TASK_STATE.INTERRUPTIBLE;

  take(): boolean {
    if (this.bytes === 0) return false;
    this.bytes--;
    return true;
  }
}

/** A word that is set by a wake and cleared by who was waiting for it. */
export class Futex extends Waitable {
  set = false;

  take(): boolean {
    const { set } = this;
    this.set = false;
    return set;
  }
}

export class Mutex extends Waitable {
  owner: SimTask | null = null;

  take(task: SimTask): boolean {
    if (this.owner !== null && this.owner !== task) return false;
    this.owner = task;
    return true;
  }
}

/** Conditions, barriers and points: whoever sleeps is let go by name. */
export class Gate extends Waitable {
  readonly #open = new Set<SimTask>();

  /** Whoever a signal has woken sees that it was let go meanwhile. */
  override leave(): void {}

  take(task: SimTask): boolean {
    return this.#open.delete(task);
  }

  /** Lets the one go that waits longest. */
  release(): SimTask | undefined {
    const task = this.shift();
    if (task) this.#open.add(task);
    return task;
  }
}
