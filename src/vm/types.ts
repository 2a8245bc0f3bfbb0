import type { VmtableError } from '../errors.js';

/**
 * A guest pointer as the host holds it: a byte offset into the guest window, an unsigned 32-bit number; 0 is NULL.
 * A program sees the 64-bit address GUEST_BASE + offset. The low 32 bits of GUEST_BASE are 0, so the low half of any
 * address in the window is the offset and the host follows pointers without BigInt.
 */
export type GuestPtr = number;

/**
 * interp: the interpreter. jit: compiled to Wasm when loaded. auto: interpreted first, compiled when hot. What cannot be
 * compiled is interpreted; results are the same.
 */
export type EngineName = 'interp' | 'jit' | 'auto';
export const ENGINE_NAMES: readonly EngineName[] = ['interp', 'jit', 'auto'];
export const DEFAULT_ENGINE: EngineName = 'auto';

/** isolate: one range check an access, the host is safe. object: shadow memory, guest objects are safe from each other. */
export type CheckStrength = 'isolate' | 'object';
export const CHECK_STRENGTHS: readonly CheckStrength[] = ['isolate', 'object'];

/**
 * kernel: what a kernel's exception handler passes over goes on and is counted: bad loads read 0, stores to arena pages that are
 * not there are dropped. strict: they stop the program.
 */
export type FaultPolicy = 'kernel' | 'strict';
export const FAULT_POLICIES: readonly FaultPolicy[] = ['kernel', 'strict'];

/** Access classes of guest bytes under object checks. Values from FIRST_OWN_CLASS on belong to subsystems: always
 *  readable, writable only by programs whose `writeClasses` has the class's bit. */
export type AccessClass = number;

export interface AllocOptions {
  /** Alignment in bytes, a power of two; default 16. */
  align?: number;
  /** Initial class of every byte; default read-write. */
  access?: AccessClass;
  /** What a fault calls this object, e.g. `map "stats" value`. */
  name: string;
}

/** The guest window. Offsets are checked against the window; views are valid until the next call that may grow the core. */
export interface GuestMemory {
  /** 64-bit address of offset 0. */
  readonly base: bigint;
  readonly windowBytes: number;
  /** Zeroed memory with redzones of at least 16 bytes on both sides. Throws ErrnoError(ENOMEM). */
  alloc(bytes: number, options: AllocOptions): GuestPtr;
  /** Poisons the object; its memory is reused late (quarantine). */
  free(ptr: GuestPtr): void;
  setAccess(ptr: GuestPtr, bytes: number, access: AccessClass): void;
  /** The access classes of an object's first bytes, for `stampAccess`: a copy, opaque to the caller. */
  accessPattern(ptr: GuestPtr, bytes: number): Uint8Array;
  /** Gives an object of the same size the access classes of that one, in one go. */
  stampAccess(ptr: GuestPtr, pattern: Uint8Array): void;
  /** Class of one byte of the window; ACCESS_NONE outside of it. */
  accessAt(ptr: GuestPtr): AccessClass;
  /** True if a program with these write classes could access all the bytes (object rules). */
  canAccess(ptr: GuestPtr, bytes: number, write: boolean, writeClasses?: number): boolean;
  /** What lies at or nearest to ptr, in words: `12 bytes past the end of map "stats" value (20 bytes)`. */
  describe(ptr: GuestPtr): string;
  address(ptr: GuestPtr): bigint;
  /** The offset of a 64-bit guest address, or -1 if it is outside the window. 0n gives 0. */
  fromAddress(address: bigint): GuestPtr;
  u8(ptr: GuestPtr): number;
  u16(ptr: GuestPtr): number;
  u32(ptr: GuestPtr): number;
  s32(ptr: GuestPtr): number;
  u64(ptr: GuestPtr): bigint;
  /** A u64 as a Number, exact up to 2^53. */
  u64n(ptr: GuestPtr): number;
  setU8(ptr: GuestPtr, value: number): void;
  setU16(ptr: GuestPtr, value: number): void;
  setU32(ptr: GuestPtr, value: number): void;
  setU64(ptr: GuestPtr, value: bigint): void;
  /** Stores a non-negative integer up to 2^53 or a negative one sign-extended. */
  setU64n(ptr: GuestPtr, value: number): void;
  /** Reads a pointer slot: window offset, or -1 if the value is no window address. */
  ptr(ptr: GuestPtr): GuestPtr;
  setPtr(ptr: GuestPtr, value: GuestPtr): void;
  bytes(ptr: GuestPtr, length: number): Uint8Array;
  /** Copies so many bytes, which may overlap. */
  copy(to: GuestPtr, from: GuestPtr, bytes: number): void;
  cstring(ptr: GuestPtr, max: number): string;
}

/** Where a call instruction goes. Core functions are numbered in assembly/abi.ts (FN_*). */
export type CallTarget =
  | { kind: 'core'; fn: number }
  | { kind: 'host'; index: number }
  /** Faults by name when executed; never when merely present. */
  | { kind: 'missing'; name: string };

export interface VmProgSpec {
  name: string;
  /** Main program first, then its subprograms, 8-byte insns. LD_IMM64 already resolved to plain values (src 0), except
   *  PSEUDO_FUNC (imm: pc-relative subprogram), which the core turns into an opaque code pointer. */
  insns: Uint8Array;
  /** Target of each helper call (src 0) and kfunc call (src 2), by insn index. */
  calls: ReadonlyMap<number, CallTarget>;
  checks: CheckStrength;
  faults: FaultPolicy;
  engine: EngineName;
  /** Bit c set: this program may write bytes of access class c (c >= FIRST_OWN_CLASS). */
  writeClasses?: number;
  /** Handle of the arena that addr_space_cast refers to. */
  arena?: number;
  /** Under fault policy kernel, an atomic that fetches from an arena page that is not there gets 0; else its register stays. */
  arenaFetchZeroes?: boolean;
  /** Insn of the subprogram that bpf_throw ends in; without one, the cookie is the result. */
  exceptionCallback?: number;
  /** Its r1 points to so many u64 slots, which whoever calls it fills each time (a struct_ops member's arguments). */
  contextSlots?: number;
}

export interface VmProg {
  readonly id: number;
  readonly name: string;
  /** Number of 8-byte insns. */
  readonly insnCount: number;
  /** What runs it now. */
  readonly engine: 'interp' | 'jit';
  /** Why it is not compiled although it should be. */
  readonly notCompiled: string | undefined;
  free(): void;
}

/** A program was refused by the core's structural checks. `code` is one of VERIFY_* in assembly/abi.ts. */
export interface VerifyErrorInfo {
  code: number;
  insn: number;
  reason: string;
}

export interface VmFault {
  /** Name of the FAULT_* code in assembly/abi.ts in lower case: `out_of_bounds`, `freed`, `out_of_fuel`, … */
  kind: string;
  prog: VmProg;
  /** Index of the 8-byte insn within the program. */
  insn: number;
  /** Address, size and direction of a faulting access. */
  address?: bigint;
  size?: number;
  write?: boolean;
  /** What the address was near. */
  near?: string;
  /** r0..r10 at the fault; 0 for those that nothing could read any more. */
  registers: bigint[];
  /** Call chain, innermost first: insn index of each frame's call. */
  frames: number[];
  /** Set when a host function threw, or stopped the program with an error of its own. */
  error?: unknown;
  message: string;
}

export interface RunOptions {
  /** Values of r1..r5; GuestPtr values go through memory.address(). */
  args?: readonly bigint[];
  /** Back-edges and calls that may be taken before the run stops with out_of_fuel. Default DEFAULT_FUEL. */
  fuel?: number;
  cpu?: number;
  /** Count executed insns exactly (slower). */
  countInsns?: boolean;
}

export interface RunResult {
  r0: bigint;
  /** Executed insns, when asked for. */
  insns: number;
  fault?: VmFault;
}

/** A load that read 0 as the kernel's exception handler would make it (null, unmapped, unallocated arena page). */
export interface MissedAccess {
  prog: VmProg;
  insn: number;
  count: number;
}

/** An execution context: registers, call stack, stack memory, program and CPU, as one record in core memory. */
export interface ExecContext {
  start(prog: VmProg, args: readonly bigint[], options?: { cpu?: number; countInsns?: boolean }): void;
  /** Runs on for at most `fuel`. `paused` means out of fuel and resumable by another call. */
  resume(fuel: number): 'done' | 'paused' | 'fault';
  readonly r0: bigint;
  readonly insns: number;
  readonly fault: VmFault | undefined;
  registers(): bigint[];
  free(): void;
}

/** What a host function (helper or kfunc in TypeScript) sees of its caller. One object, reused for every call. */
export interface HostCall {
  readonly memory: GuestMemory;
  /** The calling program and the index of its call insn. */
  readonly prog: VmProg;
  readonly insn: number;
  /** Is that program this one? */
  isOf(prog: VmProg): boolean;
  /**
   * The calling insn and the calls of subprograms (and tail calls) that led there, innermost first. Throws VmtableError in a
   * function that was registered without `walksStack`.
   */
  readonly chain: readonly { readonly prog: VmProg; readonly insn: number }[];
  readonly cpu: number;
  /** Argument i (0..4): low and high 32 bits, unsigned. */
  lo(i: number): number;
  hi(i: number): number;
  s32(i: number): number;
  u32(i: number): number;
  u64(i: number): bigint;
  /** A u64 as a Number (rounded above 2^53). */
  u64n(i: number): number;
  /** A pointer into the window or NULL (0). Anything else faults the program (`bad_pointer`). */
  ptr(i: number): GuestPtr;
  /** The same, -1 for what is no guest pointer. */
  tryPtr(i: number): GuestPtr;
  /** A pointer to `bytes` accessible bytes; faults the program as a load or store of its own would. */
  mem(i: number, bytes: number, write: boolean): GuestPtr;
  /** Would `mem` do so without a fault? */
  allows(i: number, bytes: number, write: boolean): boolean;
  /** The same for a pointer that is no argument: `bytes` accessible bytes at `ptr`. */
  access(ptr: GuestPtr, bytes: number, write: boolean): GuestPtr;
  /**
   * A pointer into the arena of the calling program: its user address, the low half of one, or what addr_space_cast made of it.
   * Faults the program if it has no arena, or for a place that the window does not map.
   */
  arena(i: number): ArenaPointer;
  /** NUL-terminated string argument, at most `max` bytes. */
  cstring(i: number, max: number): string;
  /** Results; void functions return nothing and r0 becomes 0. Numbers are sign-extended to 64 bits. */
  ret(value: number): void;
  retU64(value: bigint): void;
  /** A u64 as its two halves, each a u32 or s32: quicker than a bigint. */
  retHalves(lo: number, hi: number): void;
  retPtr(ptr: GuestPtr): void;
  /** Runs a code pointer (PSEUDO_FUNC argument) of the calling program below this frame; returns r0. */
  callback(code: bigint, args: readonly bigint[]): bigint;
  /** When the function returns, `prog` runs in place of the caller's frame (bpf_tail_call), r1 unchanged; the 34th time in
   *  a run nothing happens. */
  tailCall(prog: VmProg): void;
  /** Has the core do it: its function `fn` (FN_*) gets the same arguments, and its result is the call's. */
  callCore(fn: number): void;
  /** The function has left its result; false if the core or another program is yet to. */
  readonly answered: boolean;
  /** Stops the program with a fault of this message. */
  fail(error: VmtableError): never;
}

/** A place in an arena: where the host finds it (its page need not be allocated), and its user address; both 0 for NULL. */
export interface ArenaPointer {
  readonly ptr: GuestPtr;
  readonly user: bigint;
}

export type HostFn = (call: HostCall) => void;

/** What a host function does beside reading arguments and giving a result. */
export interface HostTraits {
  /** It asks for HostCall.chain. The interpreter, which alone keeps frames, makes such a call and goes on from there. */
  walksStack?: boolean;
  /** Arguments that it takes; default 5, as many as there can be. It must ask for no others. */
  args?: number;
  /** It may give an address in memory that an argument points to; default true. Compiled code looks closer at what it does with it. */
  address?: boolean;
  /**
   * A function of the core (DIRECT_* of assembly/abi.ts) that answers in its place, to the same effect, as long as nothing is unusual;
   * `rule` must let pass then what holds no lock, or not be there. Not with `walksStack`.
   */
  direct?: number;
  /** Called before it, with the same call. */
  rule?: (call: HostCall) => void;
}

/** Map types the core holds itself (values in the window, tables outside it). */
export interface VmMapSpec {
  /**
   * BPF_MAP_TYPE_ARRAY, _PERCPU_ARRAY, _HASH, _PERCPU_HASH, _LRU_HASH, _LRU_PERCPU_HASH, _QUEUE, _STACK, _BLOOM_FILTER, _RHASH; or
   * _ARRAY_OF_MAPS, _HASH_OF_MAPS, whose values are here the u64 addresses of the inner maps' structs.
   */
  type: number;
  name: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  /** Bytes of the guest-visible `struct bpf_map`, laid out by the host afterwards. */
  mapStructBytes: number;
  /** Bloom filters: hash functions; 0 or absent for the kernel's default. */
  hashes?: number;
}

/** Keys and values are exactly keySize / valueSize bytes. Negative results are -errno. */
export interface VmMap {
  /** Guest address of this map's `struct bpf_map`: the value of an LD_IMM64 map fd and the argument of map helpers. */
  readonly ptr: GuestPtr;
  /** Bytes from one element's value to the next (arrays). */
  readonly stride: number;
  /** Value of this key, or 0. Per-CPU maps: the value of `cpu`. */
  lookup(key: Uint8Array, cpu?: number): GuestPtr;
  /**
   * `cpu` says whose value it is in a per-CPU map; ALL_CPUS: `value` has one for each CPU, in multiples of 8 bytes. `on` is
   * the CPU that does it, on which depends which element an LRU hash evicts.
   */
  update(key: Uint8Array, value: Uint8Array, flags: number, cpu?: number, on?: number): number;
  delete(key: Uint8Array): number;
  /** 0 and `next` filled, or -ENOENT at the end. No or unknown key: the first. */
  nextKey(key: Uint8Array | null, next: Uint8Array): number;
  /** Queues, stacks and bloom filters. */
  push(value: Uint8Array, flags: number): number;
  /** Fills `value` with the next one, and with `take` removes it; a bloom filter is asked for the value that is there. */
  get(value: Uint8Array, take: boolean): number;
  readonly entries: number;
  free(): void;
}
