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
  /** Of each CPU, `all` left out; most CPUs belong to no other. */
  readonly #poolsOf: (Pool[] | null)[];
  readonly #idle: Uint8Array;
  #idleCpus: number;
  #lost = 0;
  #lostNs = TIME;
  #since = TIME;
  /** Of tasks that may use every CPU. */
  readonly all: Pool;

  constructor(cpus: number) {
    this.#lostNs = 0;
    this.#since = 0;
    this.#poolsOf = new Array<Pool[] | null>(cpus).fill(null);
    this.#idle = new Uint8Array(cpus).fill(1);
    this.#idleCpus = cpus;
    this.all = new Pool();
    this.all.idle = cpus;
    this.#pools.set([...this.#idle.keys()].join(), this.all);
  }

  pool(allowed: readonly number[]): Pool {
    const key = allowed.join();
    let pool = this.#pools.get(key);
    if (!pool) {
      pool = new Pool();
      this.#pools.set(key, pool);
      for (const cpu of allowed) {
        const pools = this.#poolsOf[cpu] ?? [];
        this.#poolsOf[cpu] = pools;
        pools.push(pool);
        pool.idle += this.#idle[cpu]!;
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
    const value = idle ? 1 : 0;
    if (this.#idle[cpu] === value) return;
    this.#idle[cpu] = value;
    this.#settle(now);
    const change = idle ? 1 : -1;
    this.#idleCpus += change;
    this.all.idle += change;
    this.#match(this.all);
    const pools = this.#poolsOf[cpu];
    if (!pools) return;
    for (const pool of pools) {
      pool.idle += change;
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
