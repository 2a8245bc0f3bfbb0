import * as abi from '../../assembly/abi.js';
import { STACK_BYTES } from '../../assembly/isa.js';
import { VmtableError } from '../errors.js';
import type { ExecExports } from './exports.js';
import { callChain } from './fault.js';
import type { CoreMemory } from './memory.js';
import type { LoadedProg } from './prog.js';
import type { ArenaPointer, GuestPtr, HostCall, HostTraits, VmFault, VmProg } from './types.js';

const TWO_32 = 2 ** 32;
/** r0 and r1 among the u32 of linear memory. */
const R0 = abi.REG_R0 >>> 2;
const R1 = abi.REG_R1 >>> 2;
const BASE_R10 = abi.BASE_R10 >>> 2;
const RESULT = abi.CALL_RESULT >>> 2;

/** Thrown through a host function to stop the program that called it; carries the fault it stops with. */
export class Stop extends Error {
  constructor(
    readonly code: number,
    readonly address?: bigint,
    readonly size = 0,
  ) {
    super('the program stops');
  }
}

/** Thrown through a host function when a callback of the program that it ran has stopped. */
export class CallbackStopped extends Error {
  constructor(readonly fault: VmFault) {
    super(fault.message);
  }
}

/** What a host function's view of its caller needs of the VM. */
export interface CallSources {
  exports: ExecExports & {
    castKern(arena: number, value: bigint): bigint;
    castUser(arena: number, value: bigint): bigint;
  };
  memory: CoreMemory;
  progAt(handle: number): LoadedProg;
  /** How the host function of this index was registered. */
  traitsOf(index: number): HostTraits;
  /** Runs a code pointer on a context of its own; r0. Throws CallbackStopped. */
  runCallback(prog: LoadedProg, code: bigint, args: readonly bigint[], cpu: number): bigint;
}

/** The running call, read and written in place: arguments and result are the program's registers. */
export class Call implements HostCall {
  readonly memory: CoreMemory;
  /** @internal The u32 of linear memory; the core's to replace. Only declared: V8 takes a field that is set once for a constant. */
  declare words: Uint32Array;
  private readonly checkHalves: ExecExports['checkHalves'];
  private status = 0;

  constructor(private readonly vm: CallSources) {
    this.checkHalves = vm.exports.checkHalves;
    this.memory = vm.memory;
    const { core } = vm.memory;
    this.words = core.u32;
    core.keeper = this;
  }

  get prog(): LoadedProg {
    return this.vm.progAt(this.memory.u32At(abi.CUR_PROG));
  }

  isOf(prog: VmProg): boolean {
    return (this.words[abi.CUR_PROG >>> 2] as number) === (prog as LoadedProg).handle;
  }

  get insn(): number {
    return this.vm.exports.insnOf(this.memory.u32At(abi.CUR_PROG), this.memory.u32At(abi.RUN_PC)) >>> 0;
  }

  get cpu(): number {
    return this.words[abi.CUR_CPU >>> 2] as number;
  }

  get chain(): { prog: VmProg; insn: number }[] {
    const called = this.memory.u32At(this.memory.u32At(abi.RUN_PC) + abi.SLOT_OFF);
    if (!this.vm.traitsOf(called).walksStack)
      throw new VmtableError('a call chain is only for functions that walk the stack');
    return callChain(this.vm);
  }

  lo(i: number): number {
    return this.words[R1 + i * 2] as number;
  }

  hi(i: number): number {
    return this.words[R1 + i * 2 + 1] as number;
  }

  s32(i: number): number {
    return this.lo(i) | 0;
  }

  u32(i: number): number {
    return this.lo(i);
  }

  u64(i: number): bigint {
    return this.memory.u64At(abi.REG_R1 + i * 8);
  }

  u64n(i: number): number {
    return this.hi(i) * TWO_32 + this.lo(i);
  }

  ptr(i: number): GuestPtr {
    const ptr = this.tryPtr(i);
    if (ptr < 0) throw new Stop(abi.FAULT_BAD_POINTER, this.u64(i));
    return ptr;
  }

  tryPtr(i: number): GuestPtr {
    return this.memory.fromHalves(this.lo(i), this.hi(i));
  }

  mem(i: number, bytes: number, write: boolean): GuestPtr {
    const lo = this.lo(i);
    const fault = this.checkHalves(lo, this.hi(i), bytes, write);
    if (fault) throw this.refused(fault);
    return lo;
  }

  allows(i: number, bytes: number, write: boolean): boolean {
    return this.checkHalves(this.lo(i), this.hi(i), bytes, write) === 0;
  }

  access(ptr: GuestPtr, bytes: number, write: boolean): GuestPtr {
    const fault = this.checkHalves(ptr, ptr === 0 ? 0 : abi.GUEST_BASE_HI, bytes, write);
    if (fault) throw this.refused(fault);
    return ptr;
  }

  arena(i: number): ArenaPointer {
    const arena = this.memory.u32At(this.memory.u32At(abi.CUR_PROG) + abi.PROG_ARENA);
    if (arena === 0) return this.fail(new VmtableError(`argument ${i + 1}: the program has no arena`));
    const value = this.u64(i);
    const ptr = this.memory.fromAddress(this.vm.exports.castKern(arena, value));
    if (ptr < 0) throw new Stop(abi.FAULT_BAD_POINTER, value);
    return { ptr, user: ptr === 0 ? 0n : this.vm.exports.castUser(arena, value) };
  }

  cstring(i: number, max: number): string {
    const start = this.mem(i, 1, false);
    const room = Math.min(max, this.memory.windowBytes - start);
    const bytes = this.memory.bytes(start, room);
    const end = bytes.indexOf(0);
    const length = end < 0 ? room : end;
    this.mem(i, Math.min(length + 1, max), false);
    return new TextDecoder().decode(bytes.subarray(0, length));
  }

  private refused(fault: number): Stop {
    return new Stop(fault, this.memory.u64At(abi.ARG_ADDR), this.memory.u32At(abi.ARG_SIZE));
  }

  ret(value: number): void {
    const u32 = this.words;
    const int = value | 0;
    if (int === value) {
      u32[R0] = int;
      u32[R0 + 1] = int >> 31;
      return;
    }
    if (!Number.isSafeInteger(value)) throw new VmtableError(`${value} is no integer that a register can take`);
    u32[R0] = value >>> 0;
    u32[R0 + 1] = Math.floor(value / TWO_32) >>> 0;
    this.given();
  }

  retU64(value: bigint): void {
    this.memory.setU64At(abi.REG_R0, BigInt.asUintN(64, value));
    this.given();
  }

  retHalves(lo: number, hi: number): void {
    const u32 = this.words;
    u32[R0] = lo;
    u32[R0 + 1] = hi;
    this.given();
  }

  retPtr(ptr: GuestPtr): void {
    const u32 = this.words;
    u32[R0] = ptr;
    u32[R0 + 1] = ptr === 0 ? 0 : abi.GUEST_BASE_HI;
    if (this.frameOf(ptr) >= 0) this.given();
  }

  /** Which frame of the run an address lies in or behind, the outermost is 0; or -1. */
  private frameOf(ptr: GuestPtr): number {
    const at = ptr - (this.words[BASE_R10] as number) + STACK_BYTES;
    return at >= 0 && at < abi.CTX_STACK_BYTES ? Math.floor(at / abi.STACK_STRIDE) : -1;
  }

  /**
   * r0 is set: an address in a frame that compiled code may not expect, because no argument leads there, ends compiled execution.
   * Parts of frames that no pointer can reach are not in memory there (assembly/jit/stack.ts).
   */
  private given(): void {
    const u32 = this.words;
    const ptr = u32[R0] as number;
    if (u32[R0 + 1] !== abi.GUEST_BASE_HI) return;
    const frame = this.frameOf(ptr);
    if (frame < 0 || this.status !== 0) return;
    const called = this.memory.u32At(this.memory.u32At(abi.RUN_PC) + abi.SLOT_OFF);
    const { args = 5, address = true } = this.vm.traitsOf(called);
    for (let i = 0; address && i < args; i++) {
      if (this.hi(i) === abi.GUEST_BASE_HI && this.lo(i) <= ptr && this.frameOf(this.lo(i)) === frame) return;
    }
    this.status = abi.CALL_LEAVE;
  }

  callback(code: bigint, args: readonly bigint[]): bigint {
    return this.vm.runCallback(this.prog, code, args, this.cpu);
  }

  tailCall(prog: VmProg): void {
    const loaded = prog as LoadedProg;
    if (this.vm.progAt(loaded.handle) !== prog) throw new VmtableError(`tail call of "${prog.name}", which was freed`);
    this.memory.setU32At(abi.CALL_FN, loaded.handle);
    this.status = abi.CALL_TAIL;
  }

  callCore(fn: number): void {
    this.memory.setU32At(abi.CALL_FN, fn);
    this.status = abi.CALL_CORE;
  }

  get answered(): boolean {
    return this.status === 0 || this.status === abi.CALL_LEAVE;
  }

  /** What the function asks of the core beside its result, once: 0 or CALL_*. */
  asked(): number {
    const { status } = this;
    if (status === 0) return 0;
    this.status = 0;
    return status === abi.CALL_LEAVE ? this.leave() : status;
  }

  /** The result stands, and compiled code is to be left. */
  leave(): number {
    const u32 = this.words;
    u32[RESULT] = u32[R0] as number;
    u32[RESULT + 1] = u32[R0 + 1] as number;
    return abi.CALL_LEAVE;
  }

  fail(error: VmtableError): never {
    throw error;
  }
}
