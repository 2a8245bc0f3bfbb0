/** A reference count that starts at 1 and must never be touched again once it is 0. */
export class RefCount {
  #count = 1;

  get count(): number {
    return this.#count;
  }

  inc(): void {
    if (this.#count === 0) throw new Error('refcount: use after free');
    this.#count++;
  }

  /** False, and nothing done, if it is 0 already (kernel: refcount_inc_not_zero). */
  incNotZero(): boolean {
    if (this.#count === 0) return false;
    this.#count++;
    return true;
  }

  /** True if this was the last reference. */
  dec(): boolean {
    if (this.#count === 0) throw new Error('refcount: underflow');
    return --this.#count === 0;
  }
}
