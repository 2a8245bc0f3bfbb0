// A hash map as the kernel's hashtab.c describes it, over plain JavaScript: buckets with the newest element first.
import { ERRNO } from '../../src/errno.js';

const rotl = (x: number, n: number) => (x << n) | (x >>> (32 - n));

/** Bob Jenkins's lookup3 as in include/linux/jhash.h, seed 0. */
export function jhash(key: Uint8Array): number {
  const words = new DataView(new ArrayBuffer(12));
  let [a, b, c] = [0, 0, 0].map(() => (0xdeadbeef + key.length) | 0) as [number, number, number];
  let at = 0;
  for (; key.length - at > 12; at += 12) {
    const view = new DataView(key.buffer, key.byteOffset + at, 12);
    a = (a + view.getUint32(0, true)) | 0;
    b = (b + view.getUint32(4, true)) | 0;
    c = (c + view.getUint32(8, true)) | 0;
    a = (((a - c) | 0) ^ rotl(c, 4)) | 0;
    c = (c + b) | 0;
    b = (((b - a) | 0) ^ rotl(a, 6)) | 0;
    a = (a + c) | 0;
    c = (((c - b) | 0) ^ rotl(b, 8)) | 0;
    b = (b + a) | 0;
    a = (((a - c) | 0) ^ rotl(c, 16)) | 0;
    c = (c + b) | 0;
    b = (((b - a) | 0) ^ rotl(a, 19)) | 0;
    a = (a + c) | 0;
    c = (((c - b) | 0) ^ rotl(b, 4)) | 0;
    b = (b + a) | 0;
  }
  if (at === key.length) return c >>> 0;
  new Uint8Array(words.buffer).set(key.subarray(at));
  a = (a + words.getUint32(0, true)) | 0;
  b = (b + words.getUint32(4, true)) | 0;
  c = (c + words.getUint32(8, true)) | 0;
  c = ((c ^ b) - rotl(b, 14)) | 0;
  a = ((a ^ c) - rotl(c, 11)) | 0;
  b = ((b ^ a) - rotl(a, 25)) | 0;
  c = ((c ^ b) - rotl(b, 16)) | 0;
  a = ((a ^ c) - rotl(c, 4)) | 0;
  b = ((b ^ a) - rotl(a, 14)) | 0;
  c = ((c ^ b) - rotl(b, 24)) | 0;
  return c >>> 0;
}

const text = (key: Uint8Array) => Array.from(key).join();

interface Element {
  key: Uint8Array;
  /** One a CPU, or one. */
  values: Uint8Array[];
}

export class HashModel {
  private readonly buckets: Element[][];
  count = 0;

  constructor(
    private readonly maxEntries: number,
    private readonly valueSize: number,
    /** CPUs of a per-CPU map, 0 for a plain one. */
    private readonly cpus: number,
  ) {
    this.buckets = Array.from({ length: 2 ** Math.ceil(Math.log2(maxEntries)) }, () => []);
  }

  private bucket(key: Uint8Array): Element[] {
    return this.buckets[jhash(key) & (this.buckets.length - 1)] as Element[];
  }

  private find(key: Uint8Array): Element | undefined {
    return this.bucket(key).find((element) => text(element.key) === text(key));
  }

  lookup(key: Uint8Array, cpu: number): Uint8Array | undefined {
    return this.find(key)?.values[this.cpus ? cpu : 0];
  }

  update(key: Uint8Array, value: Uint8Array, flags: number, cpu: number): number {
    // Without a bpf_spin_lock in the value BPF_F_LOCK is always refused.
    if (flags > 2) return -ERRNO.EINVAL;
    const old = this.find(key);
    if (old && flags === 1) return -ERRNO.EEXIST;
    if (!old && flags === 2) return -ERRNO.ENOENT;
    if (old && this.cpus) {
      old.values[cpu] = value;
      return 0;
    }
    if (!old && this.count === this.maxEntries) return -ERRNO.E2BIG;
    const bucket = this.bucket(key);
    if (old) bucket.splice(bucket.indexOf(old), 1);
    else this.count++;
    const values: Uint8Array[] = Array.from({ length: this.cpus || 1 }, () => new Uint8Array(this.valueSize));
    values[this.cpus ? cpu : 0] = value;
    bucket.unshift({ key, values });
    return 0;
  }

  delete(key: Uint8Array): number {
    const old = this.find(key);
    if (!old) return -ERRNO.ENOENT;
    this.bucket(key).splice(this.bucket(key).indexOf(old), 1);
    this.count--;
    return 0;
  }

  /** All keys in iteration order. */
  keys(): Uint8Array[] {
    return this.buckets.flat().map((element) => element.key);
  }

  nextKey(key: Uint8Array | null): Uint8Array | undefined {
    const keys = this.keys();
    return keys[key ? keys.findIndex((other) => text(other) === text(key)) + 1 : 0];
  }
}
