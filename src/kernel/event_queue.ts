/** ns of a fine slot: of what waits, only the earliest one's is kept in order. */
const FINE_NS = 2 ** 12;
/** Slots of each wheel. A turn of the fine one is a slot of the coarse one. */
const SLOTS = 4096;
const COARSE_NS = FINE_NS * SLOTS;

const NOWHERE = 0;
const NEAR = 1;
const FINE = 2;
const COARSE = 3;
const FAR = 4;

/**
 * Fields of times begin with this and get their 0 in the constructor. So V8 keeps them as floating-point numbers from the start; if they
 * began as small integers, all code that it has compiled would be void when a simulation passes 2^31 ns.
 */
export const TIME = 0.5;

/** Something that happens at a time. It may be armed again and again; while it waits that moves it. */
export abstract class QueuedEvent {
  /** ns since boot; of what does not wait, when it happened or would have. */
  time = TIME;
  /** @internal Order among events of one time. */
  sequence = 0;
  /** @internal Where it waits. */
  place: typeof NOWHERE | typeof NEAR | typeof FINE | typeof COARSE | typeof FAR = NOWHERE;
  /** @internal In a heap, or its slot of a wheel. */
  index = 0;
  /** @internal Neighbours in its slot of a wheel. */
  next: QueuedEvent | null = null;
  previous: QueuedEvent | null = null;

  constructor() {
    this.time = 0;
  }

  /** Its time has come. */
  abstract happen(): void;

  get waits(): boolean {
    return this.place !== NOWHERE;
  }
}

/**
 * Events in the order of their times, of equal ones in that of their arming. Those of the earliest few microseconds lie in a binary
 * heap. Later ones lie unordered in the slots of two wheels, one for each stretch of time, the coarse one's stretches as long as the
 * whole fine one; what is beyond both, in a second heap. An event goes from the far heap to the coarse wheel, to the fine one, to the
 * near heap, or comes in on the way. So its cost hangs on how many happen at about its time, not on how many wait, and the
 * heap's few are those that are next anyway.
 */
export class EventQueue {
  readonly #near = new EventHeap();
  readonly #fine = new Wheel(FINE);
  readonly #coarse = new Wheel(COARSE);
  readonly #far = new EventHeap();
  /** Where the fine wheel begins, and how far it has turned: what is before `#nearEnd` is in the near heap. */
  #fineBase = TIME;
  #nearEnd = TIME;
  /** What is from here on is no more in the fine wheel, and no more in the coarse one. */
  #fineEnd = TIME;
  #coarseEnd = COARSE_NS * SLOTS;
  #sequence = 0;

  constructor() {
    this.#fineBase = 0;
    this.#nearEnd = 0;
    this.#fineEnd = 0;
  }

  /** The earliest event, undefined if none waits. */
  get first(): QueuedEvent | undefined {
    return this.#near.size > 0 ? this.#near.first : this.#turn();
  }

  get size(): number {
    return this.#near.size + this.#fine.size + this.#coarse.size + this.#far.size;
  }

  /** Puts an event to its time, wherever it is now. */
  arm(event: QueuedEvent, time: number): void {
    if (event.place !== NOWHERE) this.remove(event);
    event.time = time;
    event.sequence = this.#sequence++;
    this.#put(event, time);
  }

  #put(event: QueuedEvent, time: number): void {
    if (time < this.#nearEnd) {
      event.place = NEAR;
      this.#near.push(event, time);
    } else if (time < this.#fineEnd) {
      this.#fine.link(event, Math.floor((time - this.#fineBase) / FINE_NS));
    } else if (time < this.#coarseEnd) {
      this.#coarse.link(event, Math.floor(time / COARSE_NS) % SLOTS);
    } else {
      event.place = FAR;
      this.#far.push(event, time);
    }
  }

  /** False if it does not wait. */
  remove(event: QueuedEvent): boolean {
    const { place } = event;
    if (place === NOWHERE) return false;
    if (place === NEAR) this.#near.remove(event);
    else if (place === FINE) this.#fine.unlink(event);
    else if (place === COARSE) this.#coarse.unlink(event);
    else this.#far.remove(event);
    event.place = NOWHERE;
    return true;
  }

  /** Nothing is near: the next fine slot with something in it is. */
  #turn(): QueuedEvent | undefined {
    while (this.#fine.size === 0) if (!this.#turnCoarse()) return undefined;
    const at = this.#fine.nextFilled(Math.floor((this.#nearEnd - this.#fineBase) / FINE_NS));
    this.#nearEnd = this.#fineBase + (at + 1) * FINE_NS;
    for (let event = this.#fine.take(at); event; ) {
      const { next } = event;
      event.next = null;
      event.previous = null;
      event.place = NEAR;
      this.#near.push(event, event.time);
      event = next;
    }
    return this.#near.first;
  }

  /** The fine wheel is empty: the next coarse slot with something in it becomes it. False if nothing waits. */
  #turnCoarse(): boolean {
    let slot = Math.floor(this.#fineEnd / COARSE_NS);
    if (this.#coarse.size > 0) slot += (this.#coarse.nextFilled(slot % SLOTS) - (slot % SLOTS) + SLOTS) % SLOTS;
    else if (this.#far.size > 0) slot = Math.floor(this.#far.first.time / COARSE_NS);
    else return false;
    this.#fineBase = slot * COARSE_NS;
    this.#nearEnd = this.#fineBase;
    this.#fineEnd = this.#fineBase + COARSE_NS;
    this.#coarseEnd = this.#fineEnd + (SLOTS - 1) * COARSE_NS;
    for (let event = this.#coarse.take(slot % SLOTS); event; ) {
      const { next } = event;
      this.#fine.link(event, Math.floor((event.time - this.#fineBase) / FINE_NS));
      event = next;
    }
    while (this.#far.size > 0 && this.#far.first.time < this.#coarseEnd) {
      const event = this.#far.first;
      this.#far.remove(event);
      this.#put(event, event.time);
    }
    return true;
  }
}

/** Slots of unordered events. */
class Wheel {
  size = 0;
  readonly #heads = new Array<QueuedEvent | null>(SLOTS).fill(null);
  /** A bit for each slot that is not empty. */
  readonly #filled = new Int32Array(SLOTS / 32);

  constructor(private readonly place: typeof FINE | typeof COARSE) {}

  link(event: QueuedEvent, at: number): void {
    const head = this.#heads[at] as QueuedEvent | null;
    event.place = this.place;
    event.index = at;
    event.next = head;
    event.previous = null;
    if (head) head.previous = event;
    else this.#filled[at >>> 5]! |= 1 << (at & 31);
    this.#heads[at] = event;
    this.size++;
  }

  unlink(event: QueuedEvent): void {
    const { next, previous, index } = event;
    this.size--;
    if (next) next.previous = previous;
    if (previous) previous.next = next;
    else {
      this.#heads[index] = next;
      if (!next) this.#filled[index >>> 5]! &= ~(1 << (index & 31));
    }
    event.next = null;
    event.previous = null;
  }

  /** Empties a slot; its first event, with the others behind it. */
  take(at: number): QueuedEvent | null {
    const head = this.#heads[at] as QueuedEvent | null;
    this.#heads[at] = null;
    this.#filled[at >>> 5]! &= ~(1 << (at & 31));
    for (let event = head; event; event = event.next) this.size--;
    return head;
  }

  /** The first slot with events from this one on, past the last one from the first again; of a wheel that is not empty. */
  nextFilled(from: number): number {
    const filled = this.#filled;
    let word = from >>> 5;
    let bits = filled[word]! & (-1 << (from & 31));
    while (bits === 0) {
      word = (word + 1) % filled.length;
      bits = filled[word]!;
    }
    return 32 * word + 31 - Math.clz32(bits & -bits);
  }
}

/** A binary heap that knows where its events are. */
class EventHeap {
  readonly #events: QueuedEvent[] = [];
  /** Their times, side by side. */
  #times = new Float64Array(64);
  size = 0;

  /** Of a heap that is not empty. */
  get first(): QueuedEvent {
    return this.#events[0] as QueuedEvent;
  }

  push(event: QueuedEvent, time: number): void {
    const index = this.size++;
    if (index === this.#times.length) {
      const grown = new Float64Array(2 * index);
      grown.set(this.#times);
      this.#times = grown;
    }
    this.#events.push(event);
    this.#up(event, time, index);
  }

  remove(event: QueuedEvent): void {
    const { index } = event;
    const last = this.#events.pop()!;
    const size = --this.size;
    if (index === size) return;
    // The last one belongs below, or above in another branch.
    const parent = (index - 1) >> 1;
    const time = this.#times[size]!;
    if (index > 0 && this.#before(time, last, parent)) this.#up(last, time, index);
    else this.#down(last, time, index, size);
  }

  /** Is an event before the one at this place? */
  #before(time: number, event: QueuedEvent, index: number): boolean {
    const other = this.#times[index]!;
    return time < other || (time === other && event.sequence < this.#events[index]!.sequence);
  }

  #up(event: QueuedEvent, time: number, from: number): void {
    const events = this.#events;
    const times = this.#times;
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(time, event, parent)) break;
      const above = events[parent]!;
      events[index] = above;
      times[index] = times[parent]!;
      above.index = index;
      index = parent;
    }
    events[index] = event;
    times[index] = time;
    event.index = index;
  }

  #down(event: QueuedEvent, time: number, from: number, size: number): void {
    const events = this.#events;
    const times = this.#times;
    let index = from;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#before(times[child + 1]!, events[child + 1]!, child)) child++;
      if (this.#before(time, event, child)) break;
      const below = events[child]!;
      events[index] = below;
      times[index] = times[child]!;
      below.index = index;
      index = child;
    }
    events[index] = event;
    times[index] = time;
    event.index = index;
  }
}
