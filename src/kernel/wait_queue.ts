import type { Rcu } from './rcu.js';

/** Whoever sleeps on a file (kernel: wait_queue_head_t, woken by an irq_work); see Kernel.onReady. */
export class WaitQueue {
  readonly #waiters = new Set<() => void>();
  #waking = false;

  constructor(private readonly rcu: Rcu) {}

  /** Calls `ready` at each wake-up, until the returned function is called. */
  add(ready: () => void): () => void {
    this.#waiters.add(ready);
    return () => this.#waiters.delete(ready);
  }

  /** Wakes them when the running program has left the CPU (kernel: an irq_work that calls wake_up_all). */
  wake(): void {
    if (this.#waking || this.#waiters.size === 0) return;
    this.#waking = true;
    this.rcu.call(
      () => {
        this.#waking = false;
        for (const waiter of [...this.#waiters]) waiter();
      },
      'rcu',
      'tasksTrace',
    );
  }
}
