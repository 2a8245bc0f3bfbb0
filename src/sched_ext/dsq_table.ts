import { TWO_32 } from './bits.js';
import type { Dsq } from './dsq.js';

/** High halves below this make ids that are exact as Numbers. */
const SMALL_HI = 0x200000;

/** User queues by id: a scheduler's own, on 6.12 the kernel's one table. */
export class DsqTable {
  readonly #small = new Map<number, Dsq>();
  /** The last that was found. */
  #last: Dsq | undefined;
  readonly #large = new Map<bigint, Dsq>();

  /** Halves of an id, signed. */
  find(hi: number, lo: number): Dsq | undefined {
    const last = this.#last;
    if (last?.lo === lo && last.hi === hi && !last.destroyed) return last;
    const dsq = this.#find(hi, lo);
    if (dsq) this.#last = dsq;
    return dsq;
  }

  #find(hi: number, lo: number): Dsq | undefined {
    return isSmall(hi) ? this.#small.get(smallId(hi, lo)) : this.#large.get(bigId(hi, lo));
  }

  add(dsq: Dsq): void {
    if (isSmall(dsq.hi)) this.#small.set(smallId(dsq.hi, dsq.lo), dsq);
    else this.#large.set(bigId(dsq.hi, dsq.lo), dsq);
  }

  /** Nothing may be inserted into it any more. */
  remove(dsq: Dsq): void {
    if (isSmall(dsq.hi)) this.#small.delete(smallId(dsq.hi, dsq.lo));
    else this.#large.delete(bigId(dsq.hi, dsq.lo));
    dsq.destroyed = true;
  }

  get size(): number {
    return this.#small.size + this.#large.size;
  }

  values(): Dsq[] {
    return [...this.#small.values(), ...this.#large.values()];
  }
}

function isSmall(hi: number): boolean {
  return hi >= 0 && hi < SMALL_HI;
}

function smallId(hi: number, lo: number): number {
  return hi * TWO_32 + (lo >>> 0);
}

function bigId(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}
