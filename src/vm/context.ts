import * as abi from '../../assembly/abi.js';
import { VmtableError } from '../errors.js';
import type { ExecExports } from './exports.js';
import { registersOf } from './fault.js';
import type { CoreMemory } from './memory.js';
import type { LoadedProg } from './prog.js';
import type { ExecContext, GuestPtr, VmFault, VmProg } from './types.js';

/** Back-edges and calls after which the core is entered anew: V8 does not replace running code by optimised code. */
export const SLICE = 100_000;
/** The core counts fuel in an s32. */
export const MAX_FUEL = 2 ** 30;

/** What a context needs of the VM that owns it. */
export interface ContextOwner {
  exports: ExecExports;
  memory: CoreMemory;
  /** Checks that the program is live and of this VM. */
  own(prog: VmProg): LoadedProg;
  /** Insns of a program are to be counted. */
  count(prog: LoadedProg): void;
  /** Runs at most SLICE on. Whatever it throws, the context that ran before runs again. */
  step(ctx: number, fuel: number): number;
  /** The fault of a context that stopped with one. */
  fault(ctx: number): VmFault;
}

/** Allocates stack memory as contexts need it: frames apart by redzones, then the key slots of for_each. */
export function allocStack(memory: CoreMemory): GuestPtr {
  const stack = memory.alloc(abi.CTX_STACK_BYTES, { name: 'stack' });
  for (let end = abi.STACK_STRIDE; end <= abi.STACK_KEYS; end += abi.STACK_STRIDE) {
    memory.setAccess(stack + end - abi.STACK_REDZONE, abi.STACK_REDZONE, abi.ACCESS_REDZONE);
  }
  const gap = abi.STACK_KEY_STRIDE - 4;
  for (let key = abi.STACK_KEYS; key + abi.STACK_KEY_STRIDE < abi.CTX_STACK_BYTES; key += abi.STACK_KEY_STRIDE) {
    memory.setAccess(stack + key + 4, gap, abi.ACCESS_REDZONE);
  }
  return stack;
}

/** A context record in the core with its stack. Throws ErrnoError(ENOMEM). */
export function newContext(exports: ExecExports, memory: CoreMemory): number {
  const stack = allocStack(memory);
  const ctx = exports.ctxNew(stack) >>> 0;
  if (ctx === 0) {
    memory.free(stack);
    throw new VmtableError('no memory for an execution context');
  }
  return ctx;
}

/** Puts a program and its arguments into a context; `code` is a code pointer of it, or 0n for its start. */
export function startContext(
  owner: ContextOwner,
  ctx: number,
  prog: LoadedProg,
  code: bigint,
  args: readonly bigint[],
  cpu: number,
  flags: number,
): void {
  if (args.length > 5) throw new VmtableError(`${args.length} arguments, more than r1 to r5 hold`);
  if (flags & abi.CTX_COUNT_INSNS) owner.count(prog);
  if (owner.exports.ctxStart(ctx, prog.handle, code, cpu, flags) !== 0) {
    throw new VmtableError(`0x${BigInt.asUintN(64, code).toString(16)} is no function of program "${prog.name}"`);
  }
  args.forEach((arg, i) => {
    owner.memory.setU64At(ctx + abi.CTX_REGS + 8 + i * 8, BigInt.asUintN(64, arg));
  });
}

/** Runs a started context for at most `fuel`, in slices; compiled code, which the interpreter goes on with, in one. */
export function runContext(owner: ContextOwner, ctx: number, fuel: number): number {
  let left = fuel;
  const compiled = owner.memory.u32At(owner.memory.u32At(ctx + abi.CTX_PROG) + abi.PROG_CODE) !== 0;
  const most = compiled ? MAX_FUEL : SLICE;
  let status = abi.RUN_PAUSED;
  do {
    const slice = Math.min(left, most);
    status = owner.step(ctx, slice);
    left -= slice;
  } while (status === abi.RUN_PAUSED && left > 0);
  return status;
}

/** A context that its holder starts, resumes and frees. */
export class Context implements ExecContext {
  private stopped: VmFault | undefined;

  constructor(
    private readonly owner: ContextOwner,
    /** Core address of the record; 0 once freed. */
    public handle: number,
    private readonly release: (context: Context) => void,
  ) {}

  start(prog: VmProg, args: readonly bigint[], options: { cpu?: number; countInsns?: boolean } = {}): void {
    const loaded = this.owner.own(prog);
    this.idle();
    this.stopped = undefined;
    startContext(
      this.owner,
      this.handle,
      loaded,
      0n,
      args,
      options.cpu ?? 0,
      options.countInsns ? abi.CTX_COUNT_INSNS : 0,
    );
  }

  resume(fuel: number): 'done' | 'paused' | 'fault' {
    this.idle();
    if (this.state !== abi.CTX_READY) throw new VmtableError('the context has nothing to go on with: start it first');
    const status = runContext(this.owner, this.handle, fuel);
    if (status === abi.RUN_PAUSED) return 'paused';
    if (status === abi.RUN_DONE) return 'done';
    this.stopped = this.owner.fault(this.handle);
    return 'fault';
  }

  get r0(): bigint {
    return this.owner.memory.u64At(this.live() + abi.CTX_REGS);
  }

  get insns(): number {
    return Number(this.owner.memory.u64At(this.live() + abi.CTX_INSNS));
  }

  get fault(): VmFault | undefined {
    return this.stopped;
  }

  registers(): bigint[] {
    return registersOf(this.live(), this.owner);
  }

  free(): void {
    this.idle();
    this.release(this);
    this.handle = 0;
  }

  private get state(): number {
    return this.owner.memory.u32At(this.handle + abi.CTX_STATE);
  }

  private live(): number {
    if (this.handle === 0) throw new VmtableError('execution context used after it was freed');
    return this.handle;
  }

  private idle(): void {
    this.live();
    if (this.state === abi.CTX_RUNNING) throw new VmtableError('the execution context is running');
  }
}
