import * as abi from '../../assembly/abi.js';
import { VmtableError } from '../errors.js';
import { type ArenaSpec, CoreArena } from './arena.js';
import { Call, CallbackStopped, type CallSources, Stop } from './call.js';
import { Context, type ContextOwner, MAX_FUEL, newContext, runContext, SLICE, startContext } from './context.js';
import { type Core, instantiateCore } from './core.js';
import { Direct } from './direct.js';
import { Engines } from './engine.js';
import type { ExecExports } from './exports.js';
import { callChain, type FaultSources, type Frame, faultOf, placeOf } from './fault.js';
import { Jit } from './jit.js';
import { type CoreMap, type ForeignHandle, type ForeignMap, Maps } from './map.js';
import { CoreMemory } from './memory.js';
import { ownCopy } from './own_copy.js';
import { type LoadedProg, loadProg } from './prog.js';
import type {
  ExecContext,
  GuestPtr,
  HostFn,
  HostTraits,
  MissedAccess,
  RunOptions,
  RunResult,
  VmFault,
  VmMapSpec,
  VmProg,
  VmProgSpec,
} from './types.js';

export interface VmOptions {
  /** Guest window, a multiple of 64 KiB; default 512 MiB, reserved and not touched. */
  windowBytes?: number;
  /** Possible CPUs; default 1. */
  cpus?: number;
  /** Back-edges and calls that a run, an invoke or a callback may take; default DEFAULT_FUEL. */
  fuel?: number;
}

export const DEFAULT_FUEL = 100_000_000;

/** Result of invoke. */
export const INVOKE_DONE = abi.RUN_DONE;
export const INVOKE_FAULT = abi.RUN_FAULT;

// What is needed where the host has no stack left for a call: a module's own constants, because bundlers may make an import one.
const CUR_CTX = abi.CUR_CTX >>> 2;
const IDLE_CTX = abi.IDLE_CTX >>> 2;
const NEST_DEPTH = abi.NEST_DEPTH >>> 2;
const INVOKE_INSNS = abi.INVOKE_INSNS >>> 2;
const { CTX_STATE, CTX_FAULTED } = abi;

/** One core: guest memory, maps, programs, and the host functions that programs call. */
export class Vm implements ContextOwner, CallSources {
  readonly exports: Core['exports'];
  readonly memory: CoreMemory;
  readonly maps: Maps;
  readonly direct: Direct;
  readonly fuel: number;
  /** Fault of the last invoke that gave INVOKE_FAULT. */
  lastFault: VmFault | undefined;
  /** What the last run that was counted took. */
  insns = 0;
  private readonly hostFns: HostFn[] = [];
  private readonly hostNames: string[] = [];
  private readonly hostTraits: HostTraits[] = [];
  private readonly hostRules: HostTraits['rule'][] = [];
  private readonly hostEntries: (() => number)[] = [];
  private readonly progs = new Map<number, LoadedProg>();
  private readonly arenas = new Map<number, CoreArena>();
  private readonly contexts = new Set<Context>();
  private readonly call: Call;
  private readonly jit: Jit;
  private readonly engines: Engines;
  /** What a host function threw, and the fault it takes from a callback, until the run that stops picks them up. */
  private thrown: unknown;
  private thrownBy = '';
  private inner: VmFault | undefined;
  private disposed = false;
  /** @internal Host functions that are running; of them, those that compiled code which is no longer right called. */
  hostCalls = 0;
  stale = 0;
  /** @internal What a program's own `invoke` is given: compiled code needs no slices; and what the core's `invoke` is. */
  readonly quickFuel: number;
  readonly slice: number;

  #pooled = 0;

  private constructor(
    readonly core: Core,
    dispatch: { vm: Vm | undefined },
    options: VmOptions,
  ) {
    this.exports = core.exports;
    this.memory = new CoreMemory(core);
    this.maps = new Maps(core, this.memory);
    this.direct = new Direct(core);
    this.fuel = options.fuel ?? DEFAULT_FUEL;
    this.quickFuel = Math.min(this.fuel, MAX_FUEL);
    this.slice = Math.min(this.fuel, SLICE);
    this.call = new Call(this);
    this.jit = new Jit(core, (index) => this.hostEntry(index));
    this.engines = new Engines(this.jit);
    dispatch.vm = this;
    this.maps.onFrozenGone = (id) => this.forget(id);
    this.maps.onError = (error) => {
      if (this.memory.u32At(abi.CUR_CTX) === 0) throw error;
      this.thrown = error;
      this.thrownBy = 'a map';
    };
    core.exports.ctxInit();
    this.growPool();
  }

  /** Throws InputError for sizes that cannot be, ErrnoError(ENOMEM) if the host refuses the memory. */
  static async create(options: VmOptions = {}): Promise<Vm> {
    const dispatch: { vm: Vm | undefined } = { vm: undefined };
    const core = await instantiateCore({
      ...(options.windowBytes === undefined ? {} : { windowBytes: options.windowBytes }),
      ...(options.cpus === undefined ? {} : { cpus: options.cpus }),
      // One function of one method: V8 can make the way from the core to it direct, however many VMs there are.
      env: {
        host: (fn: number) => (dispatch.vm as Vm).callHost(fn),
        hot: (prog: number) => (dispatch.vm as Vm).compile(prog >>> 0),
        arenaViolation: (write: number) => (dispatch.vm as Vm).arenaViolation(write !== 0),
      },
    });
    return new Vm(core, dispatch, options);
  }

  // ---- Programs, functions, maps ---------------------------------------------------------------------------------------

  /** Checks and decodes a program. Throws VerifyError (an InputError) naming the insn. */
  loadProg(spec: VmProgSpec): VmProg {
    this.alive();
    if (spec.arena !== undefined && !this.arenas.has(spec.arena)) {
      throw new VmtableError(`program "${spec.name}": no arena ${spec.arena}`);
    }
    if (spec.checks === 'isolate' && this.memory.u32At(abi.ISOLATE_SEEN) === 0) {
      this.memory.setU32At(abi.ISOLATE_SEEN, 1);
      this.forget();
    }
    const prog = loadProg(this.core, this.memory, spec, this.engines.named(spec.engine), this.hostTraits, (gone) =>
      this.freeProg(gone),
    );
    this.progs.set(prog.handle, prog);
    return prog;
  }

  /** Throws InputError for a place that cannot be, ErrnoError(ENOMEM) if the window has no room. */
  createArena(spec: ArenaSpec): CoreArena {
    this.alive();
    const arena = new CoreArena(this.core, this.memory, spec, () => {
      for (const prog of this.progs.values()) {
        if (prog.arena === arena.handle)
          throw new VmtableError(`arena "${spec.name}" freed before program "${prog.name}"`);
      }
      this.arenas.delete(arena.handle);
    });
    this.arenas.set(arena.handle, arena);
    return arena;
  }

  /** Frozen values of a map, or of all, are not what compiled code knows any more. */
  private forget(map?: number): void {
    if (this.jit.forget(map)) this.stale = this.hostCalls;
  }

  /**
   * Told of each access to an arena page that is not there and that a program gets away with: the call chain, whose first level
   * made it, and the user address. Must not throw.
   */
  onArenaViolation: ((chain: readonly Frame[], address: bigint, write: boolean) => void) | undefined;

  private arenaViolation(write: boolean): void {
    const { onArenaViolation, memory } = this;
    if (!onArenaViolation) return;
    onArenaViolation(callChain(this.sources()), memory.u64At(memory.u32At(abi.CUR_CTX) + abi.CTX_FAULT_ADDR), write);
  }

  /** The core found a program hot. */
  private compile(handle: number): void {
    this.jit.hot(this.progAt(handle));
  }

  private freeProg(prog: LoadedProg): void {
    this.own(prog);
    for (const context of this.contexts) {
      const { handle } = context;
      const state = this.memory.u32At(handle + abi.CTX_STATE);
      if (state === abi.CTX_READY || state === abi.CTX_RUNNING) this.keepIf(prog, handle);
    }
    for (let ctx = this.memory.u32At(abi.CUR_CTX); ctx !== 0; ctx = this.memory.u32At(ctx + abi.CTX_PARENT)) {
      this.keepIf(prog, ctx);
    }
    this.progs.delete(prog.handle);
    prog.unload();
    this.exports.freeProg(prog.handle);
  }

  /** Throws if the context has the program in its call chain. */
  private keepIf(prog: LoadedProg, ctx: number): void {
    if (
      this.memory.u32At(abi.CUR_CTX) === ctx
        ? this.memory.u32At(abi.CUR_PROG) === prog.handle
        : placeOf(ctx, this.sources()).prog === prog
    ) {
      throw new VmtableError(`program "${prog.name}" freed while it runs`);
    }
  }

  /** The program with this core handle. */
  progAt(handle: number): LoadedProg {
    const prog = this.progs.get(handle);
    if (!prog) throw new VmtableError(`no program at 0x${handle.toString(16)}`);
    return prog;
  }

  /** RCU read sections that programs entered in the core: where, the outermost first. The core forgets them. */
  takeSections(): { prog: VmProg; insn: number }[] {
    return this.direct.takeSections().map(({ handle, slot }) => ({
      prog: this.progAt(handle),
      insn: this.exports.insnOf(handle, slot) >>> 0,
    }));
  }

  own(prog: VmProg): LoadedProg {
    this.alive();
    const loaded = prog as LoadedProg;
    if (this.progs.get(loaded.handle) !== loaded) throw new VmtableError(`program "${prog.name}" is not loaded here`);
    return loaded;
  }

  /** Adds a function that programs may call; the index is for CallTarget. */
  registerHost(name: string, fn: HostFn, traits: HostTraits = {}): number {
    this.alive();
    this.hostFns.push(fn);
    this.hostRules.push(traits.rule);
    this.hostTraits.push(traits);
    return this.hostNames.push(name) - 1;
  }

  createMap(spec: VmMapSpec): CoreMap {
    this.alive();
    return this.maps.create(spec);
  }

  createForeignMap(spec: VmMapSpec, map: ForeignMap): ForeignHandle {
    this.alive();
    return this.maps.createForeign(spec, map);
  }

  // ---- Running -----------------------------------------------------------------------------------------------------------

  createContext(): ExecContext {
    this.alive();
    const context = new Context(this, newContext(this.exports, this.memory), (gone) => {
      this.contexts.delete(gone);
      const stack = this.memory.u32At(gone.handle + abi.CTX_STACK);
      this.exports.ctxFree(gone.handle);
      this.memory.free(stack);
    });
    this.contexts.add(context);
    return context;
  }

  /** Runs a program to its end. A fault is a result, not an exception. */
  run(prog: VmProg, options: RunOptions = {}): RunResult {
    return this.runOn(this.own(prog), 0n, options, 0);
  }

  private runOn(prog: LoadedProg, code: bigint, options: RunOptions, flags: number): RunResult {
    const ctx = this.takeContext();
    try {
      const counting = options.countInsns ? abi.CTX_COUNT_INSNS : 0;
      startContext(this, ctx, prog, code, options.args ?? [], options.cpu ?? 0, counting | flags);
      const status = runContext(this, ctx, options.fuel ?? this.fuel);
      const result: RunResult = {
        r0: this.memory.u64At(ctx + abi.CTX_REGS),
        insns: counting ? Number(this.memory.u64At(ctx + abi.CTX_INSNS)) : 0,
      };
      if (status !== abi.RUN_DONE) result.fault = this.fault(ctx);
      return result;
    } finally {
      this.exports.ctxGive(ctx);
    }
  }

  /**
   * Runs a program with r1 = a guest pointer: the hot path of struct_ops callbacks, without BigInt or allocation.
   * INVOKE_DONE: r0 is in r0lo and r0hi. INVOKE_FAULT: `lastFault` says why.
   */
  invoke(prog: VmProg, arg: GuestPtr, cpu: number): number {
    const status = this.entered((prog as LoadedProg).enter, prog, arg, cpu);
    return status === abi.RUN_DONE ? status : this.goOn(status, prog, arg, cpu, this.slice);
  }

  /**
   * What `enter` says. An exception out of the core means that the host ran out of stack inside of it, where nothing was unwound.
   * Below a host function callHost puts that right; here nothing may be called for it, because there is no stack to call on.
   */
  private entered(enter: ExecExports['invoke'], prog: VmProg, arg: GuestPtr, cpu: number): number {
    let status = -1;
    try {
      status = enter((prog as LoadedProg).handle, arg, cpu, this.slice);
    } finally {
      if (status < 0 && this.hostCalls === 0) {
        const { u32 } = this.core;
        u32[CUR_CTX] = 0;
        u32[IDLE_CTX] = 0;
        u32[NEST_DEPTH] = 0;
      }
    }
    return status;
  }

  /** Whether the code of this program, if it is compiled, counts insns: from its first counted run on, until it is told not to. */
  count(prog: VmProg, on = true): void {
    const own = prog as LoadedProg;
    if (own.counts !== on) this.jit.count(own, on);
  }

  /** invoke, which counts insns besides: as many as `insns` says. */
  invokeCounted(prog: VmProg, arg: GuestPtr, cpu: number): number {
    this.count(prog);
    const status = this.entered(this.exports.invokeCounted, prog, arg, cpu);
    return this.counted(status, prog, arg, cpu, this.slice);
  }

  /** @internal The end of a run in code that counts, which was given so much fuel. */
  counted(status: number, prog: VmProg, arg: GuestPtr, cpu: number, given: number): number {
    if (status === abi.RUN_NO_CTX) {
      this.growPool();
      return this.invokeCounted(prog, arg, cpu);
    }
    if (status !== abi.RUN_DONE) return this.goOn(status, prog, arg, cpu, given);
    const { u32 } = this.core;
    this.insns = (u32[INVOKE_INSNS + 1] as number) * 2 ** 32 + (u32[INVOKE_INSNS] as number);
    return status;
  }

  /** A function that does what invoke does with this program, quicker: V8 makes calls from there straight to compiled code. */
  invoker(prog: VmProg): (arg: GuestPtr, cpu: number) => number {
    const own = this.own(prog);
    return ownCopy(makeInvoker)(
      this,
      own,
      own.contextSlots === 0 ? own : { invoke: undefined },
      this.core,
      own.enter,
      this.quickFuel,
      this.slice,
      CUR_CTX,
      IDLE_CTX,
      NEST_DEPTH,
    );
  }

  /**
   * @internal What invoke does when a program's `enter`, or the program's own `invoke`, does not say RUN_DONE; `given` is the fuel
   * that it got. Callers with a hot path of their own call `enter(handle, arg, cpu, slice)` from there, a call that V8 can then
   * make straight to the core.
   */
  goOn(status: number, prog: VmProg, arg: GuestPtr, cpu: number, given: number): number {
    if (status === abi.RUN_NO_CTX) {
      this.growPool();
      return this.invoke(prog, arg, cpu);
    }
    const ctx = this.memory.u32At(abi.RESULT_CTX);
    try {
      let end = status;
      if (end === abi.RUN_PAUSED) end = runContext(this, ctx, this.fuel - given);
      if (end === abi.RUN_DONE) {
        this.memory.setU64At(abi.RESULT, this.memory.u64At(ctx + abi.CTX_REGS));
        return abi.RUN_DONE;
      }
      this.lastFault = this.fault(ctx);
      return abi.RUN_FAULT;
    } finally {
      this.insns = this.memory.u32At(ctx + abi.CTX_INSNS + 4) * 2 ** 32 + this.memory.u32At(ctx + abi.CTX_INSNS);
      this.exports.ctxGive(ctx);
    }
  }

  /** Halves of the last invoke's r0, signed. */
  get r0lo(): number {
    return this.memory.u32At(abi.RESULT) | 0;
  }

  get r0hi(): number {
    return this.memory.u32At(abi.RESULT + 4) | 0;
  }

  step(ctx: number, fuel: number): number {
    const { core } = this;
    let status = -1;
    try {
      status = this.exports.resume(ctx, fuel);
    } finally {
      if (status < 0) {
        const { u32 } = core;
        u32[(ctx + CTX_STATE) >>> 2] = CTX_FAULTED;
        if (this.hostCalls === 0) {
          u32[CUR_CTX] = 0;
          u32[IDLE_CTX] = 0;
          u32[NEST_DEPTH] = 0;
        }
      }
    }
    return status;
  }

  runCallback(prog: LoadedProg, code: bigint, args: readonly bigint[], cpu: number): bigint {
    const { r0, fault } = this.runOn(prog, code, { args, cpu }, abi.CTX_CALLBACK);
    if (fault) throw new CallbackStopped(fault);
    return r0;
  }

  private takeContext(): number {
    this.alive();
    return this.exports.ctxTake() >>> 0 || this.newPooled();
  }

  /** Contexts made for runs: as many as were ever nested at once. They are kept for the next run. */
  get pooled(): number {
    return this.#pooled;
  }

  private newPooled(): number {
    const ctx = newContext(this.exports, this.memory);
    this.#pooled++;
    return ctx;
  }

  private growPool(): void {
    this.exports.ctxGive(this.newPooled());
  }

  // ---- Host functions ------------------------------------------------------------------------------------------------------

  /** Runs a host function that the interpreter calls: 0 to go on, FAULT_* or CALL_*. No exception passes through the core. */
  private callHost(index: number): number {
    const { call, hostCalls: outside } = this;
    const ctx = call.words[CUR_CTX] as number;
    let status = 0;
    this.hostCalls = outside + 1;
    try {
      const rule = this.hostRules[index];
      if (rule !== undefined) rule(call);
      (this.hostFns[index] as HostFn)(call);
      status = this.stale === 0 ? call.asked() : this.askedOf();
    } catch (error) {
      this.hostCalls = outside;
      return this.threw(ctx, index, error);
    }
    this.hostCalls = outside;
    return status;
  }

  /** The same for compiled code, as a function of each host function's own. */
  private hostEntry(index: number): () => number {
    let entry = this.hostEntries[index];
    if (!entry) {
      const fn = this.hostFns[index] as HostFn;
      entry = ownCopy(makeHostEntry)(this, fn, this.hostRules[index], index, this.call, CUR_CTX);
      this.hostEntries[index] = entry;
    }
    return entry;
  }

  /** @internal What a host function asks for where its caller may have to leave compiled code. */
  askedOf(): number {
    const status = this.call.asked();
    if (this.hostCalls > this.stale) return status;
    this.stale = this.hostCalls - 1;
    return status === 0 ? this.call.leave() : status;
  }

  /** @internal A host function, no longer one of `hostCalls`, threw: what the program which called it is to stop with. */
  threw(ctx: number, index: number, error: unknown): number {
    const { memory } = this;
    if (this.stale > this.hostCalls) this.stale = this.hostCalls;
    if (memory.u32At(abi.CUR_CTX) !== ctx) this.exports.abandon(ctx);
    this.call.asked();
    this.thrownBy = this.nameOf(index);
    if (error instanceof CallbackStopped) {
      if (error.fault.kind === 'exception') {
        memory.setU64At(abi.THROW_COOKIE, error.fault.registers[1] ?? 0n);
        return abi.CALL_THROW;
      }
      this.inner = error.fault;
    }
    if (error instanceof Stop) {
      memory.setU64At(ctx + abi.CTX_FAULT_ADDR, error.address ?? 0n);
      memory.setU32At(ctx + abi.CTX_FAULT_SIZE, error.size);
      return error.code;
    }
    this.thrown = error;
    return abi.FAULT_HOST;
  }

  traitsOf(index: number): HostTraits {
    return this.hostTraits[index] ?? {};
  }

  private nameOf(index: number): string {
    return this.hostNames[index] ?? `function ${index}`;
  }

  fault(ctx: number): VmFault {
    const fault = faultOf(ctx, this.sources());
    const { inner } = this;
    this.thrown = undefined;
    this.inner = undefined;
    // A callback's fault is the program's own: the host function between them only adds its frames.
    return inner ? { ...inner, frames: [...inner.frames, fault.insn, ...fault.frames] } : fault;
  }

  private sources(): FaultSources {
    return {
      exports: this.exports,
      memory: this.memory,
      progAt: (handle) => this.progAt(handle),
      error: this.thrown,
      thrownBy: this.thrownBy,
    };
  }

  // ---- Accounts ------------------------------------------------------------------------------------------------------------

  /** Accesses of live programs to no memory, by program and insn: loads that read 0, stores that were dropped. */
  missedAccesses(): MissedAccess[] {
    const loads: MissedAccess[] = [];
    for (const prog of this.progs.values()) {
      const slots = this.memory.u32At(prog.handle + abi.PROG_SLOT_COUNT);
      const counters = this.memory.u32At(prog.handle + abi.PROG_ZEROED);
      const insns = this.memory.u32At(prog.handle + abi.PROG_SLOT_INSN);
      for (let i = 0; i < slots; i++) {
        const count = this.memory.u32At(counters + i * 4);
        if (count > 0) loads.push({ prog, insn: this.memory.u32At(insns + i * 4), count });
      }
    }
    return loads;
  }

  /** Gives the core up; everything of this VM throws afterwards. */
  dispose(): void {
    if (this.disposed) return;
    this.alive();
    if (this.memory.u32At(abi.CUR_CTX) !== 0) throw new VmtableError('the VM was disposed of while a program runs');
    this.disposed = true;
    this.progs.clear();
    this.contexts.clear();
    this.core.dispose();
  }

  private alive(): void {
    if (this.disposed) throw new VmtableError('the VM was disposed of');
  }
}

/** Self-contained, for ownCopy. */
function makeInvoker(
  vm: Vm,
  prog: LoadedProg,
  compiled: Pick<LoadedProg, 'invoke'>,
  core: Core,
  enter: ExecExports['invoke'],
  fuel: number,
  slice: number,
  curCtx: number,
  idleCtx: number,
  nestDepth: number,
): (arg: GuestPtr, cpu: number) => number {
  const { handle } = prog;
  return (arg, cpu) => {
    const { invoke } = compiled;
    let status = -1;
    try {
      status = invoke === undefined ? enter(handle, arg, cpu, slice) : invoke(fuel, cpu, arg);
    } finally {
      if (status < 0 && vm.hostCalls === 0) {
        const { u32 } = core;
        u32[curCtx] = 0;
        u32[idleCtx] = 0;
        u32[nestDepth] = 0;
      }
    }
    return status === 0 ? 0 : vm.goOn(status, prog, arg, cpu, invoke === undefined ? slice : fuel);
  };
}

/** callHost for one function, self-contained as well. */
function makeHostEntry(
  vm: Vm,
  fn: HostFn,
  rule: HostTraits['rule'],
  index: number,
  call: Call,
  curCtx: number,
): () => number {
  return () => {
    const ctx = call.words[curCtx] as number;
    const outside = vm.hostCalls;
    let status = 0;
    vm.hostCalls = outside + 1;
    try {
      if (rule !== undefined) rule(call);
      fn(call);
      status = vm.stale === 0 ? call.asked() : vm.askedOf();
    } catch (error) {
      vm.hostCalls = outside;
      return vm.threw(ctx, index, error);
    }
    vm.hostCalls = outside;
    return status;
  };
}
