import type { Cpumasks } from '../kernel/model/cpumask.js';
import type { GuestPtr } from '../vm/types.js';

/**
 * A struct cpumask that programs may read and that is written here alone. Its words are here, too, and where they can be other than
 * 0, so that looking for a CPU in it costs the words of a cache or node, not those of the whole machine.
 */
export class HostMask {
  /** 0 for a mask that programs do not see. */
  readonly ptr: GuestPtr;
  readonly words: Int32Array;
  /** Words before `from`, and from `end` on, hold no CPU. */
  from = 0;
  end: number;

  constructor(
    private readonly masks: Cpumasks,
    name: string | null,
  ) {
    this.ptr = name === null ? 0 : masks.alloc(name);
    this.words = new Int32Array(masks.bytes >>> 2);
    this.end = this.words.length;
  }

  test(cpu: number): boolean {
    return (((this.words[cpu >>> 5] as number) >>> (cpu & 31)) & 1) !== 0;
  }

  set(cpu: number): void {
    this.words[cpu >>> 5] = (this.words[cpu >>> 5] as number) | (1 << (cpu & 31));
    if (this.ptr !== 0) this.masks.set(this.ptr, cpu);
  }

  clear(cpu: number): void {
    this.words[cpu >>> 5] = (this.words[cpu >>> 5] as number) & ~(1 << (cpu & 31));
    if (this.ptr !== 0) this.masks.clear(this.ptr, cpu);
  }

  clearAll(): void {
    this.words.fill(0);
    if (this.ptr !== 0) this.masks.clearAll(this.ptr);
  }

  /** Makes it hold exactly these CPUs, ascending; they do not change any more but by another `assign`. */
  assign(cpus: readonly number[]): void {
    this.clearAll();
    for (const cpu of cpus) this.set(cpu);
    this.from = (cpus[0] ?? 0) >>> 5;
    this.end = cpus.length === 0 ? 0 : ((cpus.at(-1) as number) >>> 5) + 1;
  }

  /** Here, not in guest memory: the CPUs of `of` that the struct cpumask at `other` holds. False if there are none. */
  narrow(of: HostMask, other: GuestPtr): boolean {
    let any = 0;
    this.from = of.from;
    this.end = of.end;
    for (let i = of.from; i < of.end; i++) {
      const word = (of.words[i] as number) & this.masks.word(other, i);
      this.words[i] = word;
      any |= word;
    }
    return any !== 0;
  }

  /** The lowest CPU from `start` on that is in the other mask, too; -1 if there is none. */
  nextAnd(other: HostMask, start: number): number {
    const first = start >>> 5;
    const { from } = other;
    let i = first > from ? first : from;
    let mask = i === first ? -1 << (start & 31) : -1;
    for (; i < other.end; i++) {
      const word = (this.words[i] as number) & (other.words[i] as number) & mask;
      if (word !== 0) return 32 * i + 31 - Math.clz32(word & -word);
      mask = -1;
    }
    return -1;
  }

  /** The same with a struct cpumask that anyone may write. */
  nextAndAt(other: GuestPtr, start: number): number {
    let mask = -1 << (start & 31);
    for (let i = start >>> 5; i < this.end; i++) {
      const own = (this.words[i] as number) & mask;
      const word = own === 0 ? 0 : own & this.masks.word(other, i);
      if (word !== 0) return 32 * i + 31 - Math.clz32(word & -word);
      mask = -1;
    }
    return -1;
  }
}
