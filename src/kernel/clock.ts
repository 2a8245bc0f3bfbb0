/** Simulated time in nanoseconds since boot (CLOCK_MONOTONIC). It stands still until something advances it. */
export class Clock {
  #now: number;

  constructor(start = 0) {
    this.#now = start;
  }

  /** Nanoseconds, an integer below 2^53 (104 days). */
  get now(): number {
    return this.#now;
  }

  advance(ns: number): void {
    this.advanceTo(this.#now + ns);
  }

  /** Moves to a time that is not before now. Throws RangeError for anything else: that is a bug of the caller. */
  advanceTo(time: number): void {
    if (!Number.isSafeInteger(time) || time < this.#now) {
      throw new RangeError(`clock: cannot move from ${this.#now} to ${time}`);
    }
    this.#now = time;
  }
}
