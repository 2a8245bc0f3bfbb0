import { TIME } from '../../kernel/event_queue.js';

/** Tasks that may use the same CPUs: how many of them wait, how many of these CPUs idle. */
export class Pool {
  waiting = 0;
  idle = 0;
  /** What the pool counts for: the least of both. */
  lost = 0;
}

/**
 * Work conservation: CPU time that passed idle while a task waited that could have had it. Tasks and CPUs are matched within each
 * set of CPUs that tasks may use, and there are never more matches than idle CPUs; an event costs one step for each such set that
 * its CPU belongs to.
 */
export class Conservation {
  readonly #pools = new Map<string, Pool>();
  readonly #poolsOf: Pool[][];
  readonly #idle: boolean[];
  #idleCpus: number;
  #lost = 0;
  #lostNs = TIME;
  #since = TIME;
  /** Of tasks that may use every CPU. */
  readonly all: Pool;

  constructor(cpus: number) {
    this.#lostNs = 0;
    this.#since = 0;
    this.#poolsOf = Array.from({ length: cpus }, () => []);
    this.#idle = new Array<boolean>(cpus).fill(true);
    this.#idleCpus = cpus;
    this.all = this.pool([...this.#idle.keys()]);
  }

  pool(allowed: readonly number[]): Pool {
    const key = allowed.join();
    let pool = this.#pools.get(key);
    if (!pool) {
      pool = new Pool();
      this.#pools.set(key, pool);
      for (const cpu of allowed) {
        this.#poolsOf[cpu]!.push(pool);
        if (this.#idle[cpu]) pool.idle++;
      }
    }
    return pool;
  }

  /** A task begins (1) or ceases (-1) to wait. */
  wait(pool: Pool, change: number, now: number): void {
    this.#settle(now);
    pool.waiting += change;
    this.#match(pool);
  }

  setIdle(cpu: number, idle: boolean, now: number): void {
    if (this.#idle[cpu] === idle) return;
    this.#idle[cpu] = idle;
    this.#settle(now);
    this.#idleCpus += idle ? 1 : -1;
    const pools = this.#poolsOf[cpu]!;
    for (let i = 0; i < pools.length; i++) {
      const pool = pools[i]!;
      pool.idle += idle ? 1 : -1;
      this.#match(pool);
    }
  }

  #match(pool: Pool): void {
    const lost = Math.min(pool.waiting, pool.idle);
    this.#lost += lost - pool.lost;
    pool.lost = lost;
  }

  #settle(now: number): void {
    this.#lostNs += Math.min(this.#lost, this.#idleCpus) * (now - this.#since);
    this.#since = now;
  }

  /** Total so far. */
  lostNs(now: number): number {
    this.#settle(now);
    return this.#lostNs;
  }
}
