import * as abi from '../../assembly/abi.js';
import type { Core } from './core.js';
import type { GuestPtr } from './types.js';

/** The core's functions of this sort that compiled code imports, by number; the others are words that it reads itself. */
export const DIRECT_IMPORTS: ReadonlyMap<number, string> = new Map([
  [abi.DIRECT_PER_CPU_PTR, 'directPerCpuPtr'],
  [abi.DIRECT_THIS_CPU_PTR, 'directThisCpuPtr'],
  [abi.DIRECT_ITER_NEXT, 'directIterNext'],
  [abi.DIRECT_MAP_LOOKUP, 'directMapLookup'],
  [abi.DIRECT_MAP_LOOKUP_PERCPU, 'directMapLookupPercpu'],
  [abi.DIRECT_MASK_TEST, 'directMaskTest'],
  [abi.DIRECT_MASK_SET, 'directMaskSet'],
  [abi.DIRECT_MASK_CLEAR, 'directMaskClear'],
  [abi.DIRECT_MASK_TEST_AND_SET, 'directMaskTestAndSet'],
  [abi.DIRECT_MASK_TEST_AND_CLEAR, 'directMaskTestAndClear'],
  [abi.DIRECT_MASK_FIRST, 'directMaskFirst'],
  [abi.DIRECT_MASK_FIRST_ZERO, 'directMaskFirstZero'],
  [abi.DIRECT_MASK_FIRST_AND, 'directMaskFirstAnd'],
  [abi.DIRECT_MASK_EMPTY, 'directMaskEmpty'],
  [abi.DIRECT_MASK_FULL, 'directMaskFull'],
  [abi.DIRECT_MASK_EQUAL, 'directMaskEqual'],
  [abi.DIRECT_MASK_INTERSECTS, 'directMaskIntersects'],
  [abi.DIRECT_MASK_SUBSET, 'directMaskSubset'],
  [abi.DIRECT_MASK_WEIGHT, 'directMaskWeight'],
  [abi.DIRECT_MASK_AND, 'directMaskAnd'],
  [abi.DIRECT_MASK_OR, 'directMaskOr'],
  [abi.DIRECT_MASK_XOR, 'directMaskXor'],
  [abi.DIRECT_MASK_COPY, 'directMaskCopy'],
  [abi.DIRECT_MASK_CLEAR_ALL, 'directMaskClearAll'],
  [abi.DIRECT_MASK_ANY, 'directMaskAny'],
  [abi.DIRECT_MASK_ANY_AND, 'directMaskAnyAnd'],
]);

/**
 * What functions of the core need to know that answer in place of host functions (HostTraits.direct): pointers that the host
 * vouches for, and words. A program's pointer that was never told of here, or is forgotten, is left to the host function.
 */
export class Direct {
  constructor(private readonly core: Core) {}

  /** A mask that programs may write through host functions, until it is forgotten. */
  addMask(ptr: GuestPtr): void {
    this.core.exports.knownSet(ptr, abi.KNOWN_MASK);
  }

  forgetMask(ptr: GuestPtr): void {
    this.core.exports.knownDrop(ptr);
  }

  /** A per-CPU pointer, until it is forgotten; copies are told of when they are there. */
  addPercpu(base: GuestPtr): void {
    this.core.exports.perCpuDefine(base);
  }

  addCopy(base: GuestPtr, cpu: number, copy: GuestPtr): void {
    this.core.exports.perCpuCopy(base, cpu, copy);
  }

  forgetPercpu(base: GuestPtr): void {
    this.core.exports.perCpuDrop(base);
  }

  /** Bits of a mask that count, from now on. */
  set maskBits(bits: number) {
    this.core.u32[abi.MASK_BITS >>> 2] = bits;
  }

  /** The bit of any mask that a CPU took last; kept in the core alone. */
  distributed(cpu: number): number {
    return this.core.u32[this.#distributed(cpu)] as number;
  }

  setDistributed(cpu: number, bit: number): void {
    this.core.u32[this.#distributed(cpu)] = bit;
  }

  #distributed(cpu: number): number {
    return ((this.core.u32[abi.DISTRIBUTED >>> 2] as number) >>> 2) + cpu;
  }

  /** Whom programs run as, 0 if nobody says; kept in the core alone. */
  get current(): GuestPtr {
    return this.core.u32[abi.CURRENT >>> 2] ?? 0;
  }

  set current(ptr: GuestPtr) {
    this.core.u32[abi.CURRENT >>> 2] = ptr;
  }
}
