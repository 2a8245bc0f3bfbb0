/** What is due when, in order of time and, at one time, in order of arrival. */
export class EventQueue<T> {
  readonly #heap: { time: number; order: number; event: T }[] = [];
  #order = 0;

  add(time: number, event: T): void {
    const heap = this.#heap;
    const entry = { time, order: this.#order++, event };
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  /** Time of the next event; Infinity if there is none. */
  get nextTime(): number {
    return this.#heap[0]?.time ?? Number.POSITIVE_INFINITY;
  }

  take(): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first?.event;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first.event;
  }
}

function before(a: { time: number; order: number }, b: { time: number; order: number }): boolean {
  return a.time !== b.time ? a.time < b.time : a.order < b.order;
}
