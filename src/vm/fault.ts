import * as abi from '../../assembly/abi.js';
import { STACK_BYTES } from '../../assembly/isa.js';
import type { ExecExports } from './exports.js';
import { type CoreMemory, GUEST_BASE } from './memory.js';
import type { LoadedProg } from './prog.js';
import type { GuestPtr, VmFault } from './types.js';

/** Fault codes and their kinds: `FAULT_OUT_OF_BOUNDS` is `out_of_bounds`. */
export const FAULT_KINDS: ReadonlyMap<number, string> = new Map(
  Object.entries(abi)
    .filter(([name, value]) => name.startsWith('FAULT_') && (value as number) < 0x100)
    .map(([name, value]) => [value as number, name.slice('FAULT_'.length).toLowerCase()]),
);

/** What a fault needs to know beside the context's record. */
export interface FaultSources {
  exports: ExecExports;
  memory: CoreMemory;
  progAt(handle: number): LoadedProg;
  /** What a host function threw, if it did, and its name. */
  error: unknown;
  thrownBy: string;
}

/** Where a run stands: program and insn, and the insns of the calls that led there, innermost first. */
export interface Place {
  prog: LoadedProg;
  insn: number;
  frames: number[];
}

/** One level of a run: a program and an insn of it. */
export interface Frame {
  prog: LoadedProg;
  insn: number;
}

type WalkSources = Pick<FaultSources, 'exports' | 'memory' | 'progAt'>;

/** The levels of a context, innermost first: where it stands, and the calls that led there. */
function walk(ctx: number, program: number, pc: number, top: number, sources: WalkSources): Frame[] {
  const { exports, memory } = sources;
  let handle = program;
  const level = (slot: number): Frame => ({ prog: sources.progAt(handle), insn: exports.insnOf(handle, slot) >>> 0 });
  const levels = [level(pc)];
  for (let frame = top; frame > ctx + abi.CTX_FRAMES; frame -= abi.FRAME_BYTES) {
    let ret = memory.u32At(frame + abi.FRAME_RET);
    if (ret === abi.TAIL_RETURN_SLOT) {
      handle = memory.u32At(frame + abi.FRAME_TAIL_PROG);
      ret = memory.u32At(frame + abi.FRAME_TAIL_RET);
    }
    if (ret === abi.LOOP_SLOT || ret === abi.FOR_EACH_SLOT) ret = memory.u32At(frame + abi.FRAME_LOOP_RET);
    levels.push(level(ret - abi.SLOT_BYTES));
  }
  return levels;
}

/** The levels of a context that does not run. */
function levelsOf(ctx: number, sources: WalkSources): Frame[] {
  const word = (at: number) => sources.memory.u32At(ctx + at);
  return walk(ctx, word(abi.CTX_PROG), word(abi.CTX_PC), word(abi.CTX_FRAME), sources);
}

/** The place of a context that does not run. */
export function placeOf(ctx: number, sources: WalkSources): Place {
  const [here, ...callers] = levelsOf(ctx, sources) as [Frame, ...Frame[]];
  return { ...here, frames: callers.map(({ insn }) => insn) };
}

/** Every level of the context that runs, innermost first: the call out is at the first. */
export function callChain(sources: WalkSources): Frame[] {
  const word = (at: number) => sources.memory.u32At(at);
  return walk(word(abi.CUR_CTX), word(abi.CUR_PROG), word(abi.RUN_PC), word(abi.CUR_FRAME), sources);
}

/** r0..r10 of a context that does not run; those that nothing can read any more are 0, whatever an engine left in them. */
export function registersOf(ctx: number, { exports, memory }: Pick<FaultSources, 'exports' | 'memory'>): bigint[] {
  const live = exports.liveRegisters(memory.u32At(ctx + abi.CTX_PROG), memory.u32At(ctx + abi.CTX_PC)) | (1 << 10);
  return Array.from({ length: abi.REGS_BYTES / 8 }, (_, i) =>
    (live >> i) & 1 ? memory.u64At(ctx + abi.CTX_REGS + i * 8) : 0n,
  );
}

/** The fault of a context that stopped with one, or that ran out of fuel (then the record holds none). */
export function faultOf(ctx: number, sources: FaultSources): VmFault {
  const { memory, error } = sources;
  const code = memory.u32At(ctx + abi.CTX_FAULT) || abi.FAULT_OUT_OF_FUEL;
  const place = placeOf(ctx, sources);
  const kind = FAULT_KINDS.get(code) ?? `fault_${code}`;
  const fault: VmFault = { kind, ...place, registers: registersOf(ctx, sources), message: kind };
  if (hasAddress(code)) {
    const address = memory.u64At(ctx + abi.CTX_FAULT_ADDR);
    const size = memory.u32At(ctx + abi.CTX_FAULT_SIZE);
    fault.address = address;
    fault.size = size & ~abi.FAULT_WRITE_BIT;
    fault.write = (size & abi.FAULT_WRITE_BIT) !== 0;
    fault.near = near(address, fault.size, memory, stackOf(ctx, memory));
  }
  if (error !== undefined) fault.error = error;
  fault.message = `${kind}: ${describe(code, fault, place, sources)}`;
  return fault;
}

function hasAddress(code: number): boolean {
  return (
    (code >= abi.FAULT_NULL && code <= abi.FAULT_PROTECTED) ||
    code === abi.FAULT_BAD_POINTER ||
    code === abi.FAULT_BAD_MAP
  );
}

function stackOf(ctx: number, memory: CoreMemory): GuestPtr {
  return memory.u32At(ctx + abi.CTX_STACK);
}

/** What an address is at or next to, in words. */
function near(address: bigint, size: number, memory: CoreMemory, stack: GuestPtr): string {
  const ptr = Number(address - GUEST_BASE);
  if (address < BigInt(abi.NULL_PAGE)) return address === 0n ? 'NULL' : `NULL + ${address}`;
  if (address >= 2n ** 64n - BigInt(abi.NULL_PAGE)) return `NULL - ${2n ** 64n - address}`;
  if (address >> 32n === BigInt(abi.ARENA_HOLE_HI)) {
    return `arena offset 0x${(address & 0xffffffffn).toString(16)}, which the window does not map`;
  }
  if (ptr < 0 || ptr >= memory.windowBytes) return 'outside the guest window';
  if (ptr + size > memory.windowBytes) return 'across the end of the guest window';
  const inStack = ptr - stack;
  if (inStack < -abi.STACK_REDZONE || inStack >= abi.STACK_KEYS) return memory.describe(ptr);
  const frame = Math.floor(inStack / abi.STACK_STRIDE);
  const inFrame = inStack - frame * abi.STACK_STRIDE;
  if (inStack < 0) return `${-inStack} bytes below the stack of frame 0`;
  if (inFrame < STACK_BYTES) return `r10 - ${STACK_BYTES - inFrame} of frame ${frame}`;
  // In the redzone between two frames.
  const above = inFrame - STACK_BYTES;
  return above < abi.STACK_REDZONE / 2
    ? `r10 + ${above} of frame ${frame}, past its stack`
    : `${abi.STACK_STRIDE - inFrame} bytes below the stack of frame ${frame + 1}`;
}

function hex(address: bigint): string {
  return `0x${address.toString(16).padStart(16, '0')}`;
}

/** A call target that is missing has a name, or words of whoever put the call there that say why. */
function missing(what = 'an unknown function'): string {
  return /^(?:\w+ )?\S+$/.test(what) || what === 'an unknown function' ? `call of ${what}, which is not there` : what;
}

function describe(code: number, fault: VmFault, place: Place, { error, thrownBy }: FaultSources): string {
  switch (code) {
    case abi.FAULT_OUT_OF_FUEL:
      return 'the run took more back-edges and calls than it may';
    case abi.FAULT_CALL_DEPTH:
      return 'more than 8 call frames';
    case abi.FAULT_BAD_CODE_POINTER:
      return 'the called pointer is no function of this program';
    case abi.FAULT_MISSING_FUNCTION:
      return missing(place.prog.missing.get(place.insn));
    case abi.FAULT_HOST:
      return `${thrownBy}: ${error instanceof Error ? error.message : String(error)}`;
    case abi.FAULT_EXCEPTION:
      return 'bpf_throw in a callback of the host';
    case abi.FAULT_NESTING:
      return `more than ${abi.MAX_NESTING} runs inside each other`;
    case abi.FAULT_LOCKED:
      return 'function calls are not allowed while holding a lock';
    case abi.FAULT_ILLEGAL_INSN:
      return 'an insn that may only stand in unreachable code';
    case abi.FAULT_BAD_MAP:
      return `${hex(fault.address ?? 0n)} is no map (${fault.near})`;
    case abi.FAULT_BAD_POINTER:
      return `argument ${hex(fault.address ?? 0n)} of ${thrownBy} is no guest pointer`;
    default:
      return `${fault.size}-byte ${fault.write ? 'store' : 'load'} at ${hex(fault.address ?? 0n)} (${fault.near})`;
  }
}
