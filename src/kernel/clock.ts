import { CLOCK_ASLEEP, CLOCK_NOW } from '../../assembly/abi.js';
import { EventQueue, QueuedEvent, TIME } from './event_queue.js';

const NOW = CLOCK_NOW >>> 3;
const ASLEEP = CLOCK_ASLEEP >>> 3;

/** Something that happens at a time; see Clock.schedule. */
export interface ClockEvent {
  /** Nanoseconds since boot. */
  readonly time: number;
  /** True until it has happened or was cancelled. */
  readonly pending: boolean;
  /** Keeps it from happening. False if it has happened already or was cancelled. */
  cancel(): boolean;
}

/** Something that happens again and again. What happens is a method of a class for each sort of timer; see also Clock.timer. */
export abstract class Timer extends QueuedEvent implements ClockEvent {
  constructor(private readonly clock: Clock) {
    super();
  }

  /** Infinity while it does not wait. */
  get time(): number {
    return this.waits ? this.clock.timeOf(this) : Number.POSITIVE_INFINITY;
  }

  get pending(): boolean {
    return this.waits;
  }

  /** Has it happen at `time`, as if it were scheduled now. Throws RangeError for what is no time. */
  arm(time: number): void {
    this.clock.arm(this, time);
  }

  cancel(): boolean {
    return this.clock.drop(this);
  }
}

class ActionTimer extends Timer {
  #time = TIME;

  constructor(
    clock: Clock,
    private readonly action: () => void,
  ) {
    super(clock);
    this.#time = 0;
  }

  /** Once it does not wait any more, when it happened or would have. */
  override get time(): number {
    return this.#time;
  }

  override arm(time: number): void {
    super.arm(time);
    this.#time = super.time;
  }

  happen(): void {
    this.action();
  }
}

/**
 * Simulated time in nanoseconds since boot (CLOCK_MONOTONIC), and what happens when. It stands still until something advances
 * it; events that become due on the way happen in order of their times, and of their scheduling where these are equal.
 */
export class Clock {
  #now = TIME;
  readonly #queue = new EventQueue();
  #asleep = 0;
  /** Events that have happened. */
  fired = 0;

  /** `core`: where the core's functions find the time, written whenever it changes. */
  constructor(
    start = 0,
    private readonly core: { readonly f64: Float64Array } = { f64: new Float64Array(0) },
  ) {
    this.#set(start);
  }

  #set(now: number): void {
    this.#now = now;
    this.core.f64[NOW] = now;
  }

  /** Nanoseconds, an integer below 2^53 (104 days). */
  get now(): number {
    return this.#now;
  }

  /** For how long the machine has slept in all: `now` stands still meanwhile, CLOCK_BOOTTIME does not. */
  get asleepNs(): number {
    return this.#asleep;
  }

  set asleepNs(ns: number) {
    this.#asleep = ns;
    this.core.f64[ASLEEP] = ns;
  }

  /** Time of the earliest event, Infinity if none waits. */
  get nextEvent(): number {
    return this.#queue.firstTime;
  }

  /** How often events were armed or moved: operations on the queue besides those that made events happen. */
  get armed(): number {
    return this.#queue.armed;
  }

  /** Events that wait. */
  get pending(): number {
    return this.#queue.size;
  }

  /** Has `action` done at `time`, at once on the next advance if that is past. Throws RangeError for what is no time. */
  schedule(time: number, action: () => void): ClockEvent {
    const timer = new ActionTimer(this, action);
    timer.arm(time);
    return timer;
  }

  /** An event that waits for nothing yet. */
  timer(action: () => void): Timer {
    return new ActionTimer(this, action);
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
    const queue = this.#queue;
    while (queue.waits && queue.headTime <= time) this.#happen();
    // An event may itself have moved the clock.
    if (time > this.#now) this.#set(time);
  }

  /** Moves to the next event's time, if that is not after `limit`, and does what is due there. False if there is none. */
  advanceToNext(limit: number): boolean {
    const queue = this.#queue;
    if (!queue.waits) return false;
    const time = queue.headTime;
    if (time > limit) return false;
    do this.#happen();
    while (queue.waits && queue.headTime <= time);
    return true;
  }

  /** The earliest event, which is near. */
  #happen(): void {
    const queue = this.#queue;
    const time = queue.headTime;
    const event = queue.shift();
    if (time > this.#now) this.#set(time);
    this.fired++;
    event.happen();
  }

  /** @internal */
  arm(timer: Timer, time: number): void {
    if (!Number.isSafeInteger(time)) throw new RangeError(`clock: ${time} is no time`);
    this.#queue.arm(timer, time < this.#now ? this.#now : time);
  }

  /** @internal Of one that waits. */
  timeOf(timer: Timer): number {
    return this.#queue.timeOf(timer);
  }

  /** @internal */
  drop(timer: Timer): boolean {
    return this.#queue.remove(timer);
  }
}
