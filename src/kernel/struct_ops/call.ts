import * as abi from '../../../assembly/abi.js';
import { BTF_KIND, type BtfView } from '../../btf/types.js';
import { InputError, located, VmtableError } from '../../errors.js';
import { ownCopy } from '../../vm/own_copy.js';
import type { LoadedProg } from '../../vm/prog.js';
import type { GuestPtr, VmFault, VmProg } from '../../vm/types.js';
import { INVOKE_DONE, type Vm } from '../../vm/vm.js';
import type { ProgramFault } from '../fault.js';
import { heldFault, returnFault } from '../fault_of.js';
import type { Held, HeldTable } from '../held.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import type { RcuSection } from '../rcu.js';
import type { ProgTrampoline } from '../trace/trampoline.js';
import type { OpArg, OpResult, StructOpsCallable } from '../types.js';
import { type Arg, argOf, kindCode, returned, S32, storeArg } from './args.js';
import type { ArgTag, FuncModel, MemberDesc, StructOpsDesc } from './desc.js';
import { makeOp, type Op, OVER, type QuickOp } from './op.js';

/**
 * Runs that are timed while statistics are on: the first ones of an op, then each so many-th, in whose time the others count. Two looks at
 * the host's clock take as long as a small program.
 */
const TIMED_FIRST = 64;
const TIMED_EACH = 17;
/** r0 of a call that did not take place. */
const NOTHING = { r0lo: 0, r0hi: 0 };

/** An argument that the program is given for good: it gives it back, stores it or returns it (stub argument `__ref`). */
interface RefArg {
  slot: number;
  name: string;
  /** `sk_buff` */
  struct: string;
}

/**
 * One op of one vtable, callable (kernel: the trampoline of a member and its return handling). The program's context is an
 * array of u64 slots, one an argument (two for a struct of 9 to 16 bytes), which it may only read.
 *
 * A call runs inside the read sections that a trampoline holds. There are two ways in. The quick one (op.ts) is of calls that
 * nothing is special about: no call of this op is running, no references that change hands, nothing held by programs below, no
 * statistics. `slow` is of all others.
 */
export class StructOpsCall implements QuickOp {
  readonly callable: StructOpsCallable;
  readonly stats = { runs: 0, insns: 0, ns: 0, lastNs: -1 };
  private readonly vm: Vm;
  private readonly vmProg: VmProg;
  private readonly held: HeldTable;
  private readonly section: RcuSection;
  private readonly ret: number;
  /** @internal */
  context: GuestPtr = 0;
  /** @internal */
  slot0 = 0;
  /** @internal */
  quick = false;
  /** @internal */
  depth = 0;
  /** @internal */
  quickCpu = -1;
  readonly #model: FuncModel;
  readonly #memory: Kernel['vm']['memory'];
  readonly #args: readonly Arg[];
  readonly #refs: readonly RefArg[];
  /** The program gives or gets objects of the kernel: #refs, or a pointer that it returns. */
  readonly #owns: boolean;
  /** Contexts by depth of nested calls of this op. */
  readonly #contexts: GuestPtr[] = [];
  #freed = false;
  #counted = 0;
  readonly #forget: () => void;
  /** CPUs on which a program with a private stack is running, but for `quickCpu`. */
  readonly #active = new Set<number>();
  readonly #guarded: boolean;

  constructor(
    private readonly kernel: Kernel,
    private readonly desc: StructOpsDesc,
    private readonly member: MemberDesc,
    readonly prog: BpfProg,
  ) {
    if (!member.model) throw new Error(`struct_ops: ${desc.name}.${member.name} has no function model`);
    if (!prog.vm) throw new VmtableError(`prog "${prog.name}": freed`);
    this.#model = member.model;
    this.#memory = kernel.vm.memory;
    this.vm = kernel.vm;
    this.vmProg = prog.vm;
    // A range that is empty: arena pointers never go the quick way.
    this.#args = member.model.args.map((arg) =>
      isArena(arg.tag) ? { ...argOf({ ...arg, kind: 'u64' }), min: 1, max: 0 } : argOf(arg),
    );
    this.#guarded = prog.aux.priv_stack_requested;
    this.ret = kindCode(member.model.ret);
    this.#refs = member.model.args
      .filter(({ tag }) => tag === 'ref')
      .map(({ slot, name, type }) => ({ slot, name, struct: pointee(desc.btf.view, type) }));
    this.#owns = this.#refs.length > 0 || member.model.ret === 'ptr';
    this.section = kernel.rcu.trampoline(prog.sleepable);
    this.held = kernel.held;
    this.#forget = prog.onTrampoline(() => this.#open());
    const { one, many } = this.#compile();
    this.callable = Object.assign(one, { prog, stats: this.stats, callMany: many });
  }

  /** The map is gone; a callable that someone kept finds no context and says so. */
  free(): void {
    this.#freed = true;
    this.quick = false;
    this.#forget();
    for (const context of this.#contexts) this.#memory.free(context);
    this.#contexts.length = 0;
  }

  /** Functions of the op's own, whose calls lead nowhere else. */
  #compile(): Op {
    const { vm, kernel, held, section, stats } = this;
    return ownCopy(makeOp)({
      op: this,
      args: this.#args,
      ret: this.ret,
      s32: S32,
      returned,
      prog: this.vmProg as LoadedProg,
      kernel,
      held,
      entries: held.entries,
      sections: abi.RCU_SECTIONS >>> 2,
      section,
      stats,
      vm,
      core: vm.core,
      enter: (this.vmProg as LoadedProg).enter,
      slice: vm.slice,
      fuel: vm.quickFuel,
      over: OVER,
      curCtx: abi.CUR_CTX >>> 2,
      idleCtx: abi.IDLE_CTX >>> 2,
      nestDepth: abi.NEST_DEPTH >>> 2,
      resultAt: abi.RESULT >>> 2,
    });
  }

  /** @internal */
  goOn(entered: number, given: number): OpResult {
    const { vm, kernel } = this;
    let left: Held[] | undefined;
    let result: OpResult;
    try {
      const status =
        entered === INVOKE_DONE || given === OVER
          ? entered
          : vm.goOn(entered, this.vmProg, this.context, kernel.currentCpu, given);
      result = this.#result(status);
    } finally {
      left = this.#end(0);
    }
    if (left !== undefined) throw this.#located(heldFault(kernel, left));
    return result;
  }

  /** Ends a run that began when `floor` things were held; what it still holds. */
  #end(floor: number): Held[] | undefined {
    this.depth--;
    const left = this.held.leave(floor);
    this.section.exit();
    return left;
  }

  // ---- All other calls -----------------------------------------------------------------------------------------------------

  /** @internal */
  slow(values: readonly (OpArg | undefined)[]): OpResult {
    const { kernel, section, held } = this;
    const context = this.#contexts[this.depth] ?? this.#newContext();
    for (let i = 0; i < this.#args.length; i++) this.#store(context, this.#args[i] as Arg, values[i]);
    if (this.depth === 0) this.quickCpu = -1;
    if (this.#guarded && !this.#enter()) return returned(this.ret, NOTHING);
    this.depth++;
    section.enter();
    const outer = held.begin();
    this.stats.runs++;
    let left: Held[] | undefined;
    let result: OpResult;
    try {
      if (this.#owns) this.#take(context);
      result = this.prog.trampoline === null ? this.#run(context) : this.#runTraced(context, this.prog.trampoline);
      if (this.#owns) this.#giveBack(result as number);
    } finally {
      if (this.#guarded) this.#active.delete(kernel.currentCpu);
      left = this.#end(outer);
    }
    if (left !== undefined) throw this.#located(heldFault(kernel, left));
    return result;
  }

  #run(context: GuestPtr): OpResult {
    const { kernel, vm } = this;
    if (kernel.statsHolders > 0) return this.#measured(context);
    return this.#result(vm.invoke(this.vmProg, context, kernel.currentCpu));
  }

  /** Other programs run around this one; its result is what it was before them. */
  #runTraced(context: GuestPtr, trampoline: ProgTrampoline): OpResult {
    const { kernel, vm } = this;
    let result: OpResult;
    kernel.tracing.aroundProg(trampoline, this.#memory.address(context), () => {
      result = this.#run(context);
      return (BigInt(vm.r0hi >>> 0) << 32n) | BigInt(vm.r0lo >>> 0);
    });
    return result;
  }

  #result(status: number): OpResult {
    const { vm, kernel } = this;
    if (status !== INVOKE_DONE) throw this.#located(kernel.faultOf(vm.lastFault as VmFault));
    return returned(this.ret, vm);
  }

  /** Slots for a call at the present depth; those of the outermost are the quick way's, too. */
  #newContext(): GuestPtr {
    if (this.#freed) throw new VmtableError(`${this.#name}: called after its map was freed`);
    const context = this.#memory.alloc(Math.max(this.#model.slots * 8, 8), {
      access: abi.ACCESS_RO,
      name: `context of ${this.desc.name}.${this.member.name}`,
    });
    this.#contexts[this.depth] = context;
    if (this.depth === 0) {
      this.context = context;
      this.slot0 = (context + abi.WINDOW_BASE) >>> 2;
      this.#open();
    }
    return context;
  }

  /** Opens or shuts the quick way. */
  #open(): void {
    this.quick = this.context !== 0 && !this.#freed && !this.#owns && this.prog.trampoline === null;
  }

  get #name(): string {
    return `struct_ops ${this.desc.name}.${this.member.name}`;
  }

  /**
   * A pointer into the arena reaches the program as the low half of its user address (kernel: save_args, arch/x86/net/bpf_jit_comp.c);
   * NULL stays NULL.
   */
  #arenaArg(value: OpArg | undefined): OpArg | undefined {
    const ptr = typeof value === 'object' ? value?.ptr : value;
    const arena = this.prog.aux.arena;
    if (typeof ptr !== 'number' || ptr <= 0 || !arena) return value;
    return Number(this.vm.exports.castUser(arena.handle, this.#memory.address(ptr)) & 0xffffffffn);
  }

  #store(context: GuestPtr, arg: Arg, given: OpArg | undefined): void {
    const value = isArena(arg.tag) ? this.#arenaArg(given) : given;
    const wrong = storeArg(this.#memory, context + arg.slot * 8, arg, value);
    if (wrong !== '') {
      throw new InputError(`${this.#name}: argument ${arg.name} (${arg.kind}) cannot be ${wrong}`);
    }
  }

  /** The program owns its `__ref` arguments from now on (kernel: acquire_reference in do_check_main). */
  #take(context: GuestPtr): void {
    const { kernel } = this;
    for (const { slot, name, struct } of this.#refs) {
      const ptr = this.#memory.ptr(context + slot * 8);
      if (ptr <= 0) continue;
      const at = { prog: this.prog.vm!, insn: 0 };
      this.held.acquire(at, 'reference', ptr, `argument ${name} (struct ${struct})`, () => {
        // A type without destructor stays its subsystem's, which hears of the fault.
        if (kernel.dtors.has(struct)) kernel.dtors.release(struct, ptr);
      });
    }
  }

  /** A pointer that the program returns is NULL or one that it owns, and owns no longer (kernel: check_return_code). */
  #giveBack(result: number): void {
    if (this.#model.ret !== 'ptr' || result === 0 || this.held.release('reference', result)) return;
    throw this.#located(returnFault(this.kernel, this.prog.vm!, result));
  }

  /** Slower, with exact counts of insns and the host's time. */
  #measured(context: GuestPtr): OpResult {
    const { kernel } = this;
    if (kernel.opTimer !== null) return this.#timed(context, kernel.opTimer);
    return this.#result(this.#count(context));
  }

  /** @internal */
  counted(): number {
    return this.#count(this.context);
  }

  /** A run whose insns are counted, and time if it is one of those that stand for all. */
  #count(context: GuestPtr): number {
    const start = this.startCount();
    const status = this.vm.invokeCounted(this.vmProg, context, this.kernel.currentCpu);
    this.#add(start);
    return status;
  }

  /** @internal */
  startCount(): number {
    const number = this.#counted++;
    return number < TIMED_FIRST || number % TIMED_EACH === 0 ? performance.now() : -1;
  }

  /** @internal */
  endCount(status: number, given: number, start: number): number {
    const end = this.vm.counted(status, this.vmProg, this.context, this.kernel.currentCpu, given);
    this.#add(start);
    return end;
  }

  #add(start: number): void {
    const { prog, stats } = this;
    stats.lastNs = start < 0 ? -1 : (performance.now() - start) * 1e6;
    stats.insns += this.vm.insns;
    prog.aux.runCount++;
    if (start < 0) return;
    const ns = stats.lastNs * (this.#counted <= TIMED_FIRST ? 1 : TIMED_EACH);
    stats.ns += ns;
    prog.aux.runTimeNs += ns;
  }

  #timed(context: GuestPtr, timer: NonNullable<Kernel['opTimer']>): OpResult {
    const { vm, kernel } = this;
    const start = performance.now();
    const result = this.#result(vm.invoke(this.vmProg, context, kernel.currentCpu));
    timer(this.callable, (performance.now() - start) * 1e6);
    return result;
  }

  #located(fault: ProgramFault): unknown {
    return located(`member "${this.member.name}"`, fault);
  }

  /** Kernel: __bpf_prog_enter_recur; false if this CPU runs the program already. */
  #enter(): boolean {
    const cpu = this.kernel.currentCpu;
    if (cpu !== this.quickCpu && !this.#active.has(cpu)) {
      this.#active.add(cpu);
      return true;
    }
    this.prog.aux.recursionMisses++;
    this.prog.aux.recursion_detected?.(this.prog);
    return false;
  }
}

function isArena(tag: ArgTag | undefined): boolean {
  return tag === 'arena' || tag === 'arena_nullable';
}

/** Name of the struct that a pointer type points to. */
function pointee(view: BtfView, id: number): string {
  const type = view.type(view.resolve(id));
  return type.kind === BTF_KIND.PTR ? view.nameOf(view.resolve(type.type)) : '';
}
