/** ns of a fine slot: of what waits, only the earliest one's is kept in order. */
const FINE_NS = 2 ** 12;
/** Slots of each wheel. A turn of the fine one is a slot of the coarse one. */
const SLOTS = 4096;
const COARSE_NS = FINE_NS * SLOTS;

// Where an event waits: one of these, and in the bits below it its index in a heap, or its slot of a wheel.
const NEAR = 0;
const FINE = 1 << 28;
const COARSE = 2 << 28;
const FAR = 3 << 28;
const PLACE = 3 << 28;
const NONE = -1;

/**
 * Fields of times begin with this and get their 0 in the constructor. So V8 keeps them as floating-point numbers from the start; if they
 * began as small integers, all code that it has compiled would be void when a simulation passes 2^31 ns.
 */
export const TIME = 0.5;

/** Something that happens at a time. It may be armed again and again; while it waits that moves it. */
export abstract class QueuedEvent {
  /** @internal Its number in the queue while it waits, else NONE. */
  node: number = NONE;

  /** Its time has come. */
  abstract happen(): void;

  get waits(): boolean {
    return this.node !== NONE;
  }
}

/** What is known of events that wait, by their numbers: a few numbers of each, next to those of the others. */
class Nodes {
  times = new Float64Array(64);
  /** Order among events of one time. */
  sequences = new Float64Array(64);
  /** Place and index. */
  places = new Int32Array(64);
  /** Neighbours in the slot of a wheel; of numbers that are free, the next one of these. */
  next = new Int32Array(64);
  previous = new Int32Array(64);
  readonly events: (QueuedEvent | null)[] = [];
  #free = NONE;

  add(event: QueuedEvent): number {
    let node = this.#free;
    if (node === NONE) {
      node = this.events.length;
      if (node === this.times.length) this.#grow();
      this.events.push(event);
    } else {
      this.#free = this.next[node]!;
      this.events[node] = event;
    }
    event.node = node;
    return node;
  }

  /** The event of a number, which is free from now on. */
  release(node: number): QueuedEvent {
    const event = this.events[node]!;
    event.node = NONE;
    this.events[node] = null;
    this.next[node] = this.#free;
    this.#free = node;
    return event;
  }

  #grow(): void {
    const length = 2 * this.times.length;
    const larger = <T extends Float64Array | Int32Array>(array: T, grown: T): T => {
      grown.set(array);
      return grown;
    };
    this.times = larger(this.times, new Float64Array(length));
    this.sequences = larger(this.sequences, new Float64Array(length));
    this.places = larger(this.places, new Int32Array(length));
    this.next = larger(this.next, new Int32Array(length));
    this.previous = larger(this.previous, new Int32Array(length));
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
  readonly #nodes = new Nodes();
  readonly #near = new EventHeap(this.#nodes, NEAR);
  readonly #fine = new Wheel(this.#nodes, FINE);
  readonly #coarse = new Wheel(this.#nodes, COARSE);
  readonly #far = new EventHeap(this.#nodes, FAR);
  /** Where the fine wheel begins, and how far it has turned: what is before `#nearEnd` is in the near heap. */
  #fineBase = TIME;
  #nearEnd = TIME;
  /** What is from here on is no more in the fine wheel, and no more in the coarse one. */
  #fineEnd = TIME;
  #coarseEnd = COARSE_NS * SLOTS;
  #sequence = TIME;

  constructor() {
    this.#fineBase = 0;
    this.#nearEnd = 0;
    this.#fineEnd = 0;
    this.#sequence = 0;
  }

  /** Time of the earliest event, Infinity if none waits. */
  get firstTime(): number {
    return this.waits ? this.headTime : Number.POSITIVE_INFINITY;
  }

  /** There are events, and the earliest is near. */
  get waits(): boolean {
    return this.#near.size > 0 || this.#turn();
  }

  /** Time of the earliest event, after a look at `waits`. Short, so that V8 inlines it and the time need not become an object. */
  get headTime(): number {
    return this.#near.firstTime;
  }

  /** Removes the earliest event, after a look at `waits`. */
  shift(): QueuedEvent {
    return this.#nodes.release(this.#near.shift());
  }

  /** How often events were put to their times. */
  get armed(): number {
    return this.#sequence;
  }

  get size(): number {
    return this.#near.size + this.#fine.size + this.#coarse.size + this.#far.size;
  }

  /** Of an event that waits. */
  timeOf(event: QueuedEvent): number {
    return this.#nodes.times[event.node]!;
  }

  /** Puts an event to its time, wherever it is now. */
  arm(event: QueuedEvent, time: number): void {
    const nodes = this.#nodes;
    let { node } = event;
    if (node === NONE) node = nodes.add(event);
    else this.#take(node);
    nodes.times[node] = time;
    nodes.sequences[node] = this.#sequence++;
    this.#put(node, time);
  }

  #put(node: number, time: number): void {
    if (time < this.#nearEnd) this.#near.push(node, time);
    else if (time < this.#fineEnd) this.#fine.link(node, Math.floor((time - this.#fineBase) / FINE_NS));
    else if (time < this.#coarseEnd) this.#coarse.link(node, Math.floor(time / COARSE_NS) % SLOTS);
    else this.#far.push(node, time);
  }

  /** False if it does not wait. */
  remove(event: QueuedEvent): boolean {
    const { node } = event;
    if (node === NONE) return false;
    this.#take(node);
    this.#nodes.release(node);
    return true;
  }

  #take(node: number): void {
    const place = this.#nodes.places[node]!;
    const index = place & ~PLACE;
    switch (place & PLACE) {
      case NEAR:
        this.#near.remove(index);
        break;
      case FINE:
        this.#fine.unlink(node, index);
        break;
      case COARSE:
        this.#coarse.unlink(node, index);
        break;
      default:
        this.#far.remove(index);
    }
  }

  /** Nothing is near: the next fine slot with something in it is. False if nothing waits. */
  #turn(): boolean {
    while (this.#fine.size === 0) if (!this.#turnCoarse()) return false;
    const { next, times } = this.#nodes;
    const at = this.#fine.nextFilled(Math.floor((this.#nearEnd - this.#fineBase) / FINE_NS));
    this.#nearEnd = this.#fineBase + (at + 1) * FINE_NS;
    for (let node = this.#fine.take(at); node !== NONE; node = next[node]!) this.#near.push(node, times[node]!);
    return true;
  }

  /** The fine wheel is empty: the next coarse slot with something in it becomes it. False if nothing waits. */
  #turnCoarse(): boolean {
    let slot = Math.floor(this.#fineEnd / COARSE_NS);
    if (this.#coarse.size > 0) slot += (this.#coarse.nextFilled(slot % SLOTS) - (slot % SLOTS) + SLOTS) % SLOTS;
    else if (this.#far.size > 0) slot = Math.floor(this.#far.firstTime / COARSE_NS);
    else return false;
    this.#fineBase = slot * COARSE_NS;
    this.#nearEnd = this.#fineBase;
    this.#fineEnd = this.#fineBase + COARSE_NS;
    this.#coarseEnd = this.#fineEnd + (SLOTS - 1) * COARSE_NS;
    const { next, times } = this.#nodes;
    for (let node = this.#coarse.take(slot % SLOTS); node !== NONE; ) {
      const following = next[node]!;
      this.#fine.link(node, Math.floor((times[node]! - this.#fineBase) / FINE_NS));
      node = following;
    }
    while (this.#far.size > 0 && this.#far.firstTime < this.#coarseEnd) {
      const node = this.#far.shift();
      this.#put(node, times[node]!);
    }
    return true;
  }
}

/** Slots of unordered events. */
class Wheel {
  size = 0;
  readonly #heads = new Int32Array(SLOTS).fill(NONE);
  /** A bit for each slot that is not empty. */
  readonly #filled = new Int32Array(SLOTS / 32);

  constructor(
    private readonly nodes: Nodes,
    private readonly place: number,
  ) {}

  link(node: number, at: number): void {
    const { next, previous, places } = this.nodes;
    const head = this.#heads[at]!;
    places[node] = this.place | at;
    next[node] = head;
    previous[node] = NONE;
    if (head !== NONE) previous[head] = node;
    else this.#filled[at >>> 5]! |= 1 << (at & 31);
    this.#heads[at] = node;
    this.size++;
  }

  unlink(node: number, at: number): void {
    const { next, previous } = this.nodes;
    const after = next[node]!;
    const before = previous[node]!;
    this.size--;
    if (after !== NONE) previous[after] = before;
    if (before !== NONE) next[before] = after;
    else {
      this.#heads[at] = after;
      if (after === NONE) this.#filled[at >>> 5]! &= ~(1 << (at & 31));
    }
  }

  /** Empties a slot; its first event, with the others behind it. */
  take(at: number): number {
    const { next } = this.nodes;
    const head = this.#heads[at]!;
    this.#heads[at] = NONE;
    this.#filled[at >>> 5]! &= ~(1 << (at & 31));
    for (let node = head; node !== NONE; node = next[node]!) this.size--;
    return head;
  }

  /** The first slot with events from this one on, past the last one from the first again; of a wheel that is not empty. */
  nextFilled(from: number): number {
    const filled = this.#filled;
    let word = from >>> 5;
    let bits = filled[word]! & (-1 << (from & 31));
    while (bits === 0) {
      word = (word + 1) % (SLOTS / 32);
      bits = filled[word]!;
    }
    return 32 * word + 31 - Math.clz32(bits & -bits);
  }
}

/** A binary heap whose events know where they are in it. */
class EventHeap {
  #order = new Int32Array(64);
  /** Their times, side by side. */
  #times = new Float64Array(64);
  size = 0;

  constructor(
    private readonly nodes: Nodes,
    private readonly place: number,
  ) {}

  /** Of a heap that is not empty. */
  get firstTime(): number {
    return this.#times[0]!;
  }

  push(node: number, time: number): void {
    const index = this.size++;
    if (index === this.#times.length) {
      const times = new Float64Array(2 * index);
      const order = new Int32Array(2 * index);
      times.set(this.#times);
      order.set(this.#order);
      this.#times = times;
      this.#order = order;
    }
    this.#up(node, time, index);
  }

  /** Removes the first, of a heap that is not empty. */
  shift(): number {
    const first = this.#order[0]!;
    const size = --this.size;
    if (size > 0) this.#down(this.#order[size]!, this.#times[size]!, 0, size);
    return first;
  }

  remove(index: number): void {
    const size = --this.size;
    if (index === size) return;
    // The last one belongs below, or above in another branch.
    const last = this.#order[size]!;
    const time = this.#times[size]!;
    if (index > 0 && this.#before(time, last, (index - 1) >> 1)) this.#up(last, time, index);
    else this.#down(last, time, index, size);
  }

  /** Is an event before the one at this place? */
  #before(time: number, node: number, index: number): boolean {
    const other = this.#times[index]!;
    if (time !== other) return time < other;
    const { sequences } = this.nodes;
    return sequences[node]! < sequences[this.#order[index]!]!;
  }

  #up(node: number, time: number, from: number): void {
    const order = this.#order;
    const times = this.#times;
    const { places } = this.nodes;
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(time, node, parent)) break;
      const above = order[parent]!;
      order[index] = above;
      times[index] = times[parent]!;
      places[above] = this.place | index;
      index = parent;
    }
    order[index] = node;
    times[index] = time;
    places[node] = this.place | index;
  }

  #down(node: number, time: number, from: number, size: number): void {
    const order = this.#order;
    const times = this.#times;
    const { places } = this.nodes;
    let index = from;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#before(times[child + 1]!, order[child + 1]!, child)) child++;
      if (this.#before(time, node, child)) break;
      const below = order[child]!;
      order[index] = below;
      times[index] = times[child]!;
      places[below] = this.place | index;
      index = child;
    }
    order[index] = node;
    times[index] = time;
    places[node] = this.place | index;
  }
}
