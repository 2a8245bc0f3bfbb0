import { ERRNO } from '../errno.js';

/** Ids above this are never given out (kernel: INT_MAX of idr_alloc_cyclic). */
const MAX_ID = 0x7fffffff;

/**
 * Ids of one kind of object as the kernel gives them out: ascending from 1, never reused until they wrap
 * (idr_alloc_cyclic in bpf_map_alloc_id, bpf_prog_alloc_id, bpf_link_prime, btf_alloc_id).
 */
export class IdTable<T> {
  readonly #objects = new Map<number, T>();
  #next = 1;

  /** A new id for `object`, or -ENOSPC. */
  alloc(object: T): number {
    for (let tries = 0; tries <= this.#objects.size; tries++) {
      const id = this.#next;
      this.#next = id === MAX_ID ? 1 : id + 1;
      if (!this.#objects.has(id)) {
        this.#objects.set(id, object);
        return id;
      }
    }
    return -ERRNO.ENOSPC;
  }

  get(id: number): T | undefined {
    return this.#objects.get(id);
  }

  free(id: number): void {
    this.#objects.delete(id);
  }

  /** The lowest id above `id`, or 0. */
  after(id: number): number {
    let lowest = 0;
    for (const candidate of this.#objects.keys()) {
      if (candidate > id && (lowest === 0 || candidate < lowest)) lowest = candidate;
    }
    return lowest;
  }

  /** Every object, by ascending id. */
  values(): T[] {
    return [...this.#objects.entries()].sort(([a], [b]) => a - b).map(([, object]) => object);
  }

  get size(): number {
    return this.#objects.size;
  }
}
