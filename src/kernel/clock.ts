/** Something that happens at a time; see Clock.schedule. */
export interface ClockEvent {
  /** Nanoseconds since boot. */
  readonly time: number;
  /** True until it has happened or was cancelled. */
  readonly pending: boolean;
  /** Keeps it from happening. False if it has happened already or was cancelled. */
  cancel(): boolean;
}

class Entry implements ClockEvent {
  /** Place in the heap, -1 when it is not there. */
  index = -1;

  constructor(
    private readonly clock: Clock,
    readonly time: number,
    readonly sequence: number,
    readonly action: () => void,
  ) {}

  get pending(): boolean {
    return this.index >= 0;
  }

  cancel(): boolean {
    return this.clock.drop(this);
  }

  before(other: Entry): boolean {
    return this.time < other.time || (this.time === other.time && this.sequence < other.sequence);
  }
}

/**
 * Simulated time in nanoseconds since boot (CLOCK_MONOTONIC), and what happens when. It stands still until something advances
 * it; events that become due on the way happen in order of their times, and of their scheduling where these are equal.
 */
export class Clock {
  #now: number;
  #sequence = 0;
  /** Binary heap, the earliest first. */
  readonly #heap: Entry[] = [];
  /** Events that have happened. */
  fired = 0;

  constructor(start = 0) {
    this.#now = start;
  }

  /** Nanoseconds, an integer below 2^53 (104 days). */
  get now(): number {
    return this.#now;
  }

  /** Time of the earliest event, Infinity if none waits. */
  get nextEvent(): number {
    return this.#heap[0]?.time ?? Infinity;
  }

  /** Events that wait. */
  get pending(): number {
    return this.#heap.length;
  }

  /** Has `action` done at `time`, at once on the next advance if that is past. Throws RangeError for what is no time. */
  schedule(time: number, action: () => void): ClockEvent {
    if (!Number.isSafeInteger(time)) throw new RangeError(`clock: ${time} is no time`);
    const entry = new Entry(this, Math.max(time, this.#now), this.#sequence++, action);
    this.#heap.push(entry);
    this.#up(entry, this.#heap.length - 1);
    return entry;
  }

  advance(ns: number): void {
    this.advanceTo(this.#now + ns);
  }

  /**
   * Moves to a time that is not before now and does what is due until then; what an event schedules for a time on the way is
   * done, too. An event that throws leaves the clock at its time. Throws RangeError for a bad time: a bug of the caller.
   */
  advanceTo(time: number): void {
    if (!Number.isSafeInteger(time) || time < this.#now) {
      throw new RangeError(`clock: cannot move from ${this.#now} to ${time}`);
    }
    for (let first = this.#heap[0]; first !== undefined && first.time <= time; first = this.#heap[0]) {
      this.drop(first);
      this.#now = Math.max(first.time, this.#now);
      this.fired++;
      first.action();
    }
    // An event may itself have moved the clock.
    this.#now = Math.max(time, this.#now);
  }

  /** @internal Takes an entry out of the heap. */
  drop(entry: Entry): boolean {
    const { index } = entry;
    if (index < 0) return false;
    entry.index = -1;
    const last = this.#heap.pop()!;
    if (last !== entry) {
      this.#up(last, index);
      this.#down(last, last.index);
    }
    return true;
  }

  #put(entry: Entry, index: number): void {
    this.#heap[index] = entry;
    entry.index = index;
  }

  #up(entry: Entry, from: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = this.#heap[parent]!;
      if (!entry.before(above)) break;
      this.#put(above, index);
      index = parent;
    }
    this.#put(entry, index);
  }

  #down(entry: Entry, from: number): void {
    const heap = this.#heap;
    let index = from;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.before(heap[child]!)) child++;
      if (!heap[child]!.before(entry)) break;
      this.#put(heap[child]!, index);
      index = child;
    }
    this.#put(entry, index);
  }
}
