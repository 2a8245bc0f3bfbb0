/** ns of a slot of the wheel: of what waits, only the earliest slot is kept in order. */
const SLOT_NS = 2 ** 18;
const SLOTS = 4096;

const NOWHERE = 0;
const NEAR = 1;
const WHEEL = 2;
const FAR = 3;

/** Something that happens at a time. It may be armed again and again; while it waits that moves it. */
export class QueuedEvent {
  /** ns since boot; of what does not wait, when it happened or would have. */
  time = 0;
  /** @internal Order among events of one time. */
  sequence = 0;
  /** @internal Where it waits. */
  place: typeof NOWHERE | typeof NEAR | typeof WHEEL | typeof FAR = NOWHERE;
  /** @internal In a heap. */
  index = 0;
  /** @internal Neighbours in its slot of the wheel. */
  next: QueuedEvent | null = null;
  previous: QueuedEvent | null = null;

  constructor(readonly action: () => void) {}

  get waits(): boolean {
    return this.place !== NOWHERE;
  }
}

/**
 * Events in the order of their times, of equal ones in that of their arming. Those of the earliest stretch of time lie in a binary
 * heap. Later ones lie unordered in the slots of a wheel, one for each stretch, until theirs is the earliest; what is beyond the
 * wheel, in a second heap. So the cost of an event hangs on how many happen at about its time, not on how many wait.
 */
export class EventQueue {
  readonly #near = new EventHeap();
  readonly #far = new EventHeap();
  readonly #wheel = new Array<QueuedEvent | null>(SLOTS).fill(null);
  /** A bit for each slot that is not empty. */
  readonly #filled = new Uint32Array(SLOTS / 32);
  #onWheel = 0;
  /** Number of the stretch that the wheel begins with; what is before it is in the near heap, what is SLOTS after it in the far. */
  #begin = 0;
  #sequence = 0;

  /** The earliest event, undefined if none waits. */
  get first(): QueuedEvent | undefined {
    return this.#near.size > 0 ? this.#near.first : this.#turn();
  }

  get size(): number {
    return this.#near.size + this.#onWheel + this.#far.size;
  }

  /** Puts an event to its time, wherever it is now. */
  arm(event: QueuedEvent, time: number): void {
    if (event.place !== NOWHERE) this.remove(event);
    event.time = time;
    event.sequence = this.#sequence++;
    this.#put(event);
  }

  #put(event: QueuedEvent): void {
    const slot = Math.floor(event.time / SLOT_NS);
    if (slot < this.#begin) {
      event.place = NEAR;
      this.#near.push(event);
    } else if (slot < this.#begin + SLOTS) {
      this.#link(event, slot % SLOTS);
    } else {
      event.place = FAR;
      this.#far.push(event);
    }
  }

  /** False if it does not wait. */
  remove(event: QueuedEvent): boolean {
    const { place } = event;
    if (place === NOWHERE) return false;
    event.place = NOWHERE;
    if (place === NEAR) this.#near.remove(event);
    else if (place === FAR) this.#far.remove(event);
    else this.#unlink(event);
    return true;
  }

  // ---- The wheel

  #link(event: QueuedEvent, at: number): void {
    const head = this.#wheel[at] as QueuedEvent | null;
    event.place = WHEEL;
    event.next = head;
    if (head) head.previous = event;
    else this.#filled[at >>> 5]! |= 1 << (at & 31);
    this.#wheel[at] = event;
    this.#onWheel++;
  }

  #unlink(event: QueuedEvent): void {
    const { next, previous } = event;
    this.#onWheel--;
    if (next) next.previous = previous;
    if (previous) previous.next = next;
    else {
      const at = Math.floor(event.time / SLOT_NS) % SLOTS;
      this.#wheel[at] = next;
      if (!next) this.#filled[at >>> 5]! &= ~(1 << (at & 31));
    }
    event.next = null;
    event.previous = null;
  }

  /** Nothing is near: the next slot with something in it is, and the wheel begins behind it. */
  #turn(): QueuedEvent | undefined {
    if (this.#onWheel > 0) this.#begin = this.#nextFilled();
    else if (this.#far.size > 0) this.#begin = Math.floor(this.#far.first.time / SLOT_NS);
    else return undefined;
    this.#begin++;
    const at = (this.#begin - 1) % SLOTS;
    for (let event = this.#wheel[at] as QueuedEvent | null; event; ) {
      const { next } = event;
      event.next = null;
      event.previous = null;
      event.place = NEAR;
      this.#near.push(event);
      this.#onWheel--;
      event = next;
    }
    this.#wheel[at] = null;
    this.#filled[at >>> 5]! &= ~(1 << (at & 31));
    const end = (this.#begin + SLOTS) * SLOT_NS;
    while (this.#far.size > 0 && this.#far.first.time < end) {
      const event = this.#far.first;
      this.#far.remove(event);
      this.#put(event);
    }
    return this.#near.first;
  }

  /** The number of the first stretch from the wheel's begin on that has events. */
  #nextFilled(): number {
    const filled = this.#filled;
    const start = this.#begin % SLOTS;
    let word = start >>> 5;
    let bits = filled[word]! & (0xffffffff << (start & 31));
    while (bits === 0) {
      word = (word + 1) % filled.length;
      bits = filled[word]!;
    }
    const at = 32 * word + 31 - Math.clz32(bits & -bits);
    return this.#begin + ((at - start + SLOTS) % SLOTS);
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

  push(event: QueuedEvent): void {
    const index = this.size++;
    if (index === this.#times.length) {
      const grown = new Float64Array(2 * index);
      grown.set(this.#times);
      this.#times = grown;
    }
    this.#events.push(event);
    this.#up(event, index);
  }

  remove(event: QueuedEvent): void {
    const { index } = event;
    const last = this.#events.pop()!;
    const size = --this.size;
    if (index === size) return;
    // The last one belongs below, or above in another branch.
    const parent = (index - 1) >> 1;
    if (index > 0 && this.#before(last.time, last, parent)) this.#up(last, index);
    else this.#down(last, index, size);
  }

  /** Is an event before the one at this place? */
  #before(time: number, event: QueuedEvent, index: number): boolean {
    const other = this.#times[index]!;
    return time < other || (time === other && event.sequence < this.#events[index]!.sequence);
  }

  #up(event: QueuedEvent, from: number): void {
    const events = this.#events;
    const times = this.#times;
    const { time } = event;
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

  #down(event: QueuedEvent, from: number, size: number): void {
    const events = this.#events;
    const times = this.#times;
    const { time } = event;
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
