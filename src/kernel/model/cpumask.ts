import { ACCESS_RO } from '../../../assembly/abi.js';
import { InputError } from '../../errors.js';
import type { GuestMemory, GuestPtr } from '../../vm/types.js';
import type { Types } from '../view.js';

const BITS_PER_LONG = 64;

/**
 * struct cpumask of the profile's NR_CPUS bits in guest memory, and the kernel's operations on it (include/linux/cpumask.h,
 * lib/bitmap.c). Searches that find no CPU give -1 where the kernel's give `bits` or more.
 */
export class Cpumasks {
  /** Bytes of a struct cpumask. */
  readonly size: number;
  /** Bits that operations look at: nr_cpu_ids, or NR_CPUS in a kernel whose mask is one long (small_cpumask_bits). */
  readonly bits: number;
  /** Bytes that they look at: whole longs. */
  readonly bytes: number;
  /** __cpu_possible_mask, __cpu_online_mask, … of this machine. */
  readonly possible: GuestPtr;
  readonly present: GuestPtr;
  readonly online: GuestPtr;
  readonly active: GuestPtr;
  /** All possible CPUs, ascending. */
  readonly all: readonly number[];
  /** The kernel's mask is one long. */
  readonly #small: boolean;
  /** Words of 32 bits that hold them, up to a whole long. */
  readonly #words: number;
  /** Bits of each word that count. */
  readonly #valid: Uint32Array;

  constructor(
    private readonly memory: GuestMemory,
    types: Types,
    /** nr_cpu_ids: CPUs 0 to n - 1 are possible. */
    readonly cpus: number,
    /** NR_CPUS, default what struct cpumask has room for. */
    configured?: number,
  ) {
    this.size = types.struct('cpumask').size;
    const nrCpus = configured ?? this.size * 8;
    if (cpus > nrCpus) throw new InputError(`${cpus} CPUs: this kernel is built for at most ${nrCpus}`);
    this.#small = nrCpus <= BITS_PER_LONG;
    this.bits = this.#small ? nrCpus : cpus;
    this.all = Array.from({ length: cpus }, (_, cpu) => cpu);
    this.#words = 2 * Math.ceil(this.bits / BITS_PER_LONG);
    this.bytes = 4 * this.#words;
    this.#valid = Uint32Array.from({ length: this.#words }, (_, word) => lowBits(this.bits - 32 * word));
    this.possible = this.alloc('__cpu_possible_mask');
    this.present = this.alloc('__cpu_present_mask');
    this.online = this.alloc('__cpu_online_mask');
    this.active = this.alloc('__cpu_active_mask');
    for (const mask of [this.possible, this.present, this.online, this.active]) {
      for (const cpu of this.all) this.set(mask, cpu);
    }
  }

  /** An empty mask that programs read. */
  alloc(name: string): GuestPtr {
    return this.memory.alloc(this.size, { access: ACCESS_RO, name });
  }

  /** A mask of these CPUs, ascending or not. Throws InputError for one that is not possible. */
  of(cpus: Iterable<number>, name: string): GuestPtr {
    const mask = this.alloc(name);
    this.assign(mask, cpus);
    return mask;
  }

  /** Makes a mask hold exactly these CPUs. Throws InputError for one that is not possible. */
  assign(mask: GuestPtr, cpus: Iterable<number>): void {
    const list = [...cpus];
    for (const cpu of list) {
      if (!this.isCpu(cpu)) throw new InputError(`CPU ${cpu} of a machine with ${this.cpus}`);
    }
    this.clearAll(mask);
    for (const cpu of list) this.set(mask, cpu);
  }

  isCpu(cpu: number): boolean {
    return Number.isInteger(cpu) && cpu >= 0 && cpu < this.cpus;
  }

  test(mask: GuestPtr, cpu: number): boolean {
    return ((this.memory.u32(mask + 4 * (cpu >>> 5)) >>> (cpu & 31)) & 1) !== 0;
  }

  /** 32 of its bits. */
  word(mask: GuestPtr, i: number): number {
    return this.memory.u32(mask + 4 * i);
  }

  set(mask: GuestPtr, cpu: number): void {
    const at = mask + 4 * (cpu >>> 5);
    this.memory.setU32(at, (this.memory.u32(at) | (1 << (cpu & 31))) >>> 0);
  }

  clear(mask: GuestPtr, cpu: number): void {
    const at = mask + 4 * (cpu >>> 5);
    this.memory.setU32(at, (this.memory.u32(at) & ~(1 << (cpu & 31))) >>> 0);
  }

  /** cpumask_setall: of a mask of one long nr_cpu_ids bits, of longer ones whole longs. */
  setAll(mask: GuestPtr): void {
    if (!this.#small) this.memory.bytes(mask, this.bytes).fill(0xff);
    else for (let i = 0; i < this.#words; i++) this.memory.setU32(mask + 4 * i, lowBits(this.cpus - 32 * i));
  }

  clearAll(mask: GuestPtr): void {
    this.memory.bytes(mask, this.bytes).fill(0);
  }

  copy(to: GuestPtr, from: GuestPtr): void {
    this.memory.bytes(to, this.bytes).set(this.memory.bytes(from, this.bytes));
  }

  /** to = a & b; true if that holds a CPU. `to` may be a or b, here and below. */
  and(to: GuestPtr, a: GuestPtr, b: GuestPtr): boolean {
    let any = 0;
    for (let i = 0; i < this.#words; i++) {
      const word = this.memory.u32(a + 4 * i) & this.memory.u32(b + 4 * i) & this.#valid[i]!;
      this.memory.setU32(to + 4 * i, word >>> 0);
      any |= word;
    }
    return any !== 0;
  }

  or(to: GuestPtr, a: GuestPtr, b: GuestPtr): void {
    for (let i = 0; i < this.#words; i++) {
      this.memory.setU32(to + 4 * i, (this.memory.u32(a + 4 * i) | this.memory.u32(b + 4 * i)) >>> 0);
    }
  }

  xor(to: GuestPtr, a: GuestPtr, b: GuestPtr): void {
    for (let i = 0; i < this.#words; i++) {
      this.memory.setU32(to + 4 * i, (this.memory.u32(a + 4 * i) ^ this.memory.u32(b + 4 * i)) >>> 0);
    }
  }

  /** True if f(a, b) holds no CPU. */
  none(a: GuestPtr, b: GuestPtr, f: (a: number, b: number) => number): boolean {
    for (let i = 0; i < this.#words; i++) {
      if ((f(this.memory.u32(a + 4 * i), this.memory.u32(b + 4 * i)) & this.#valid[i]!) !== 0) return false;
    }
    return true;
  }

  empty(mask: GuestPtr): boolean {
    return this.nextAnd(mask, mask) < 0;
  }

  full(mask: GuestPtr): boolean {
    return this.none(mask, mask, (a) => ~a);
  }

  equal(a: GuestPtr, b: GuestPtr): boolean {
    return this.none(a, b, (x, y) => x ^ y);
  }

  intersects(a: GuestPtr, b: GuestPtr): boolean {
    return this.nextAnd(a, b) >= 0;
  }

  /** Is every CPU of `a` in `b`? */
  subset(a: GuestPtr, b: GuestPtr): boolean {
    return this.none(a, b, (x, y) => x & ~y);
  }

  weight(mask: GuestPtr): number {
    let count = 0;
    for (let i = 0; i < this.#words; i++) count += popcount(this.memory.u32(mask + 4 * i) & this.#valid[i]!);
    return count;
  }

  /** The lowest CPU of the mask, from `start` on; -1 if there is none. */
  next(mask: GuestPtr, start = 0): number {
    return this.nextAnd(mask, mask, start);
  }

  nextZero(mask: GuestPtr, start = 0): number {
    return this.nextOf(mask, mask, start, (a) => ~a);
  }

  nextAnd(a: GuestPtr, b: GuestPtr, start = 0): number {
    let mask = (0xffffffff << (start & 31)) >>> 0;
    for (let i = start >>> 5; i < this.#words; i++) {
      const word = this.memory.u32(a + 4 * i) & this.memory.u32(b + 4 * i) & this.#valid[i]! & mask;
      if (word !== 0) return 32 * i + 31 - Math.clz32(word & -word);
      mask = 0xffffffff;
    }
    return -1;
  }

  /** CPUs of the mask, ascending. */
  list(mask: GuestPtr): number[] {
    const cpus: number[] = [];
    for (let cpu = this.next(mask); cpu >= 0; cpu = this.next(mask, cpu + 1)) cpus.push(cpu);
    return cpus;
  }

  /** The next CPU after `previous` in both, from the start again behind the last (find_next_bit_wrap). */
  nextWrap(a: GuestPtr, b: GuestPtr, previous: number): number {
    const next = this.nextAnd(a, b, previous + 1);
    return next >= 0 ? next : this.nextAnd(a, b);
  }

  private nextOf(a: GuestPtr, b: GuestPtr, start: number, f: (a: number, b: number) => number): number {
    let mask = (0xffffffff << (start & 31)) >>> 0;
    for (let i = start >>> 5; i < this.#words; i++) {
      const word = f(this.memory.u32(a + 4 * i), this.memory.u32(b + 4 * i)) & this.#valid[i]! & mask;
      if (word !== 0) return 32 * i + 31 - Math.clz32(word & -word);
      mask = 0xffffffff;
    }
    return -1;
  }
}

/** A word with its n lowest bits set, none for n below 1, all for n above 31. */
function lowBits(n: number): number {
  return n <= 0 ? 0 : n >= 32 ? 0xffffffff : 2 ** n - 1;
}

function popcount(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
