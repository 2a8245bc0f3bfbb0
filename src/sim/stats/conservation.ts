/** Tasks that may use the same CPUs: how many of them wait, how many of these CPUs idle. */
export class Pool {
  waiting = 0;
  idle = 0;
  lostNs = 0;
  #since: number;

  constructor(
    readonly cpus: readonly number[],
    now: number,
  ) {
    this.#since = now;
  }

  settle(now: number): void {
    const lost = Math.min(this.waiting, this.idle);
    if (lost > 0) this.lostNs += lost * (now - this.#since);
    this.#since = now;
  }
}

/**
 * Work conservation: CPU time that passed idle while a task waited that could have had it. Counted for each set of CPUs that
 * tasks may use; an event costs one step for each such set that its CPU belongs to.
 */
export class Conservation {
  readonly #pools = new Map<string, Pool>();
  readonly #poolsOf: Pool[][];
  readonly #idle: boolean[];
  /** Of tasks that may use every CPU. */
  readonly all: Pool;

  constructor(cpus: number) {
    this.#poolsOf = Array.from({ length: cpus }, () => []);
    this.#idle = new Array<boolean>(cpus).fill(true);
    this.all = this.pool([...this.#idle.keys()], 0);
  }

  pool(allowed: readonly number[], now: number): Pool {
    const key = allowed.join();
    let pool = this.#pools.get(key);
    if (!pool) {
      pool = new Pool(allowed, now);
      this.#pools.set(key, pool);
      for (const cpu of allowed) {
        this.#poolsOf[cpu]!.push(pool);
        if (this.#idle[cpu]) pool.idle++;
      }
    }
    return pool;
  }

  setIdle(cpu: number, idle: boolean, now: number): void {
    if (this.#idle[cpu] === idle) return;
    this.#idle[cpu] = idle;
    const pools = this.#poolsOf[cpu]!;
    for (let i = 0; i < pools.length; i++) {
      const pool = pools[i]!;
      pool.settle(now);
      pool.idle += idle ? 1 : -1;
    }
  }

  /** Total so far. */
  lostNs(now: number): number {
    let sum = 0;
    for (const pool of this.#pools.values()) {
      pool.settle(now);
      sum += pool.lostNs;
    }
    return sum;
  }
}
