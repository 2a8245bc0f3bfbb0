/** ns of a bucket: of what waits, only the earliest bucket is kept in order. */
const BUCKET_NS = 2 ** 18;

/** Something that happens at a time. It may be armed again and again; while it waits that moves it. */
export class QueuedEvent {
  /** ns since boot; of what does not wait, when it happened or would have. */
  time = 0;
  /** @internal Order among events of one time. */
  sequence = 0;
  /** @internal Place in the heap or in its bucket, -1 in neither. */
  index = -1;
  /** @internal Null in the heap. */
  bucket: QueuedEvent[] | null = null;

  constructor(readonly action: () => void) {}
}

/**
 * Events in the order of their times, of equal ones in that of their arming. Those of the earliest stretch of time lie in a binary
 * heap, later ones unordered in a bucket for each stretch until it is the earliest: the cost of an event hangs on how many
 * happen at about its time, and hardly on how many wait.
 */
export class EventQueue {
  readonly #heap: QueuedEvent[] = [];
  /** Times of what is in the heap, side by side. */
  #times = new Float64Array(64);
  /** Events before this time are in the heap. */
  #horizon = 0;
  readonly #buckets = new Map<number, QueuedEvent[]>();
  /** Numbers of the buckets, a binary heap. */
  readonly #numbers: number[] = [];
  readonly #spare: QueuedEvent[][] = [];
  #sequence = 0;
  size = 0;

  /** The earliest event, undefined if none waits. */
  get first(): QueuedEvent | undefined {
    while (this.#heap.length === 0 && this.#numbers.length > 0) this.#nextBucket();
    return this.#heap[0];
  }

  /** Puts an event to its time, wherever it is now. */
  arm(event: QueuedEvent, time: number): void {
    if (event.index >= 0) this.remove(event);
    event.time = time;
    event.sequence = this.#sequence++;
    this.size++;
    if (time < this.#horizon) this.#push(event);
    else this.#toBucket(event);
  }

  /** False if it does not wait. */
  remove(event: QueuedEvent): boolean {
    const { index, bucket } = event;
    if (index < 0) return false;
    this.size--;
    event.index = -1;
    if (bucket === null) {
      this.#takeOut(index);
      return true;
    }
    event.bucket = null;
    const last = bucket.pop()!;
    if (last !== event) {
      bucket[index] = last;
      last.index = index;
    }
    return true;
  }

  // ---- Buckets

  #toBucket(event: QueuedEvent): void {
    const number = Math.floor(event.time / BUCKET_NS);
    let bucket = this.#buckets.get(number);
    if (!bucket) {
      bucket = this.#spare.pop() ?? [];
      this.#buckets.set(number, bucket);
      this.#pushNumber(number);
    }
    event.bucket = bucket;
    event.index = bucket.length;
    bucket.push(event);
  }

  #nextBucket(): void {
    const number = this.#popNumber();
    const bucket = this.#buckets.get(number)!;
    this.#buckets.delete(number);
    this.#horizon = (number + 1) * BUCKET_NS;
    for (let i = 0; i < bucket.length; i++) {
      const event = bucket[i]!;
      event.bucket = null;
      this.#push(event);
    }
    bucket.length = 0;
    this.#spare.push(bucket);
  }

  #pushNumber(number: number): void {
    const numbers = this.#numbers;
    let index = numbers.length;
    numbers.push(number);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (numbers[parent]! < number) break;
      numbers[index] = numbers[parent]!;
      index = parent;
    }
    numbers[index] = number;
  }

  #popNumber(): number {
    const numbers = this.#numbers;
    const first = numbers[0]!;
    const number = numbers.pop()!;
    const { length } = numbers;
    if (length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      if (child + 1 < length && numbers[child + 1]! < numbers[child]!) child++;
      if (numbers[child]! >= number) break;
      numbers[index] = numbers[child]!;
      index = child;
    }
    numbers[index] = number;
    return first;
  }

  // ---- The heap

  #push(event: QueuedEvent): void {
    const index = this.#heap.length;
    if (index === this.#times.length) {
      const grown = new Float64Array(2 * index);
      grown.set(this.#times);
      this.#times = grown;
    }
    this.#heap.push(event);
    this.#up(event, index);
  }

  #takeOut(index: number): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    const { length } = heap;
    if (index === length) return;
    // The last one belongs somewhere below, or in another branch above.
    const parent = (index - 1) >> 1;
    if (index > 0 && this.#before(last.time, last, parent)) this.#up(last, index);
    else this.#down(last, index, length);
  }

  /** Is an event before the one at this place? */
  #before(time: number, event: QueuedEvent, index: number): boolean {
    const other = this.#times[index]!;
    return time < other || (time === other && event.sequence < this.#heap[index]!.sequence);
  }

  #up(event: QueuedEvent, from: number): void {
    const heap = this.#heap;
    const times = this.#times;
    const { time } = event;
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(time, event, parent)) break;
      const above = heap[parent]!;
      heap[index] = above;
      times[index] = times[parent]!;
      above.index = index;
      index = parent;
    }
    heap[index] = event;
    times[index] = time;
    event.index = index;
  }

  #down(event: QueuedEvent, from: number, length: number): void {
    const heap = this.#heap;
    const times = this.#times;
    const { time } = event;
    let index = from;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#before(times[child + 1]!, heap[child + 1]!, child)) child++;
      if (this.#before(time, event, child)) break;
      const below = heap[child]!;
      heap[index] = below;
      times[index] = times[child]!;
      below.index = index;
      index = child;
    }
    heap[index] = event;
    times[index] = time;
    event.index = index;
  }
}
