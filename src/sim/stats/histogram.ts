import { TIME } from '../../kernel/event_queue.js';

/** Buckets to each power of two: what is read from them is at most 1/32 above the value that was recorded. */
const SUB = 32;
const SUB_BITS = 5;
const EXACT = 2 * SUB;
const TWO_32 = 2 ** 32;
/** As long as there are so few values they are kept as they are. */
const FEW = 32;
const NO_BUCKETS = new Uint32Array(0);

function bucketOf(value: number): number {
  if (value < EXACT) return value;
  if (value < TWO_32) {
    const shift = 31 - SUB_BITS - Math.clz32(value);
    return EXACT + (shift - 1) * SUB + (value >>> shift) - SUB;
  }
  const shift = 63 - SUB_BITS - Math.clz32(Math.floor(value / TWO_32));
  return EXACT + (shift - 1) * SUB + Math.floor(value / 2 ** shift) - SUB;
}

/** The highest value of a bucket. */
function topOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const exponent = Math.floor((bucket - EXACT) / SUB) + SUB_BITS + 1;
  const sub = ((bucket - EXACT) % SUB) + SUB;
  return (sub + 1) * 2 ** (exponent - SUB_BITS) - 1;
}

export interface Percentiles {
  count: number;
  mean: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** Whole numbers from 0 on, in log-linear buckets: recording takes the same time whatever was recorded before. */
export class Histogram {
  count = 0;
  sum = TIME;
  max = TIME;
  #few: number[] | null = [];
  #buckets = NO_BUCKETS;

  constructor() {
    this.sum = 0;
    this.max = 0;
  }

  /** All that the others hold. */
  static of(parts: readonly Histogram[]): Histogram {
    const all = new Histogram();
    for (const part of parts) all.#add(part);
    return all;
  }

  record(value: number): void {
    this.count++;
    this.sum += value;
    if (value > this.max) this.max = value;
    if (this.#few === null) this.#put(bucketOf(value), 1);
    else this.#keep(this.#few, value);
  }

  #keep(few: number[], value: number): void {
    if (few.push(value) <= FEW) return;
    this.#few = null;
    for (const one of few) this.#put(bucketOf(one), 1);
  }

  #add(other: Histogram): void {
    if (other.#few) {
      for (const value of other.#few) this.record(value);
      return;
    }
    const few = this.#few ?? [];
    this.#few = null;
    for (const one of few) this.#put(bucketOf(one), 1);
    this.count += other.count;
    this.sum += other.sum;
    this.max = Math.max(this.max, other.max);
    const buckets = other.#buckets;
    for (let bucket = 0; bucket < buckets.length; bucket++) {
      if (buckets[bucket]! > 0) this.#put(bucket, buckets[bucket]!);
    }
  }

  #put(bucket: number, count: number): void {
    if (bucket >= this.#buckets.length) {
      const grown = new Uint32Array(Math.ceil((bucket + 1) / SUB) * SUB);
      grown.set(this.#buckets);
      this.#buckets = grown;
    }
    this.#buckets[bucket]! += count;
  }

  /** The least recorded value that a share of them, 0 to 1, does not exceed; 0 without any. At most 1/32 too high. */
  at(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.count));
    if (this.count === 0) return 0;
    if (this.#few) return [...this.#few].sort((a, b) => a - b)[rank - 1]!;
    let seen = 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      seen += this.#buckets[bucket]!;
      if (seen >= rank) return Math.min(topOf(bucket), this.max);
    }
    return this.max;
  }

  /** `mean` is rounded to whole numbers. */
  percentiles(): Percentiles {
    const mean = this.count === 0 ? 0 : Math.round(this.sum / this.count);
    return { count: this.count, mean, p50: this.at(0.5), p90: this.at(0.9), p99: this.at(0.99), max: this.max };
  }
}
