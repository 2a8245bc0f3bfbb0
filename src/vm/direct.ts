import * as abi from '../../assembly/abi.js';
import type { Core } from './core.js';
import type { GuestPtr } from './types.js';

/** The core's functions of this sort that compiled code imports, by number; the others are words that it reads itself. */
export function directFunctions({ exports }: Core): Map<number, WebAssembly.ExportValue> {
  const functions = new Map<number, WebAssembly.ExportValue>();
  for (const [constant, number] of Object.entries(abi)) {
    if (!constant.startsWith('DIRECT_')) continue;
    // DIRECT_MASK_SET: directMaskSet.
    const name = constant.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    const fn = (exports as unknown as WebAssembly.Exports)[name];
    if (fn) functions.set(number, fn);
  }
  return functions;
}

/**
 * What functions of the core need to know that answer in place of host functions (HostTraits.direct): pointers that the host
 * vouches for, and words. A program's pointer that was never told of here, or is forgotten, is left to the host function.
 */
export class Direct {
  constructor(private readonly core: Core) {}

  /** A mask that programs may write through host functions, until it is dropped. */
  addMask(ptr: GuestPtr): void {
    this.core.exports.knownSet(ptr, abi.KNOWN_MASK);
  }

  /** A task that functions of the core tell the CPU of, until it is dropped; its struct has it at `taskCpu`. */
  addTask(ptr: GuestPtr): void {
    this.core.exports.knownSet(ptr, abi.KNOWN_TASK);
  }

  /** Forgets a mask or a task. */
  drop(ptr: GuestPtr): void {
    this.core.exports.knownDrop(ptr);
  }

  /** Bytes from the start of a task_struct. */
  set taskCpu(offset: number) {
    this.core.u32[abi.TASK_CPU >>> 2] = offset;
  }

  /** Ticks of `ns` each, of which the first has this number. */
  setTicks(ns: number, first: number): void {
    this.core.f64[abi.TICK_NS >>> 3] = ns;
    this.core.u32[abi.FIRST_JIFFY >>> 2] = first;
  }

  /** RCU read sections that programs entered in the core, and that takeSections has not given. */
  get sections(): number {
    return this.core.u32[abi.RCU_SECTIONS >>> 2] as number;
  }

  /** The program (handle) and slot of each, the outermost first; the core forgets them. */
  takeSections(): { handle: number; slot: number }[] {
    const { u32 } = this.core;
    const at = abi.RCU_ENTRIES >>> 2;
    const sections = Array.from({ length: this.sections }, (_, i) => ({
      handle: u32[at + i * 2] as number,
      slot: u32[at + i * 2 + 1] as number,
    }));
    u32[abi.RCU_SECTIONS >>> 2] = 0;
    return sections;
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
