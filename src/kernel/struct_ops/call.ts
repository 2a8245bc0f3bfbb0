import { ACCESS_RO, WINDOW_BASE } from '../../../assembly/abi.js';
import { BTF_KIND, type BtfView } from '../../btf/types.js';
import { InputError, located, VmtableError } from '../../errors.js';
import type { GuestPtr } from '../../vm/types.js';
import { INVOKE_DONE } from '../../vm/vm.js';
import type { ProgramFault } from '../fault.js';
import { heldFault, returnFault } from '../fault_of.js';
import type { Held, HeldTable } from '../held.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import type { RcuSection } from '../rcu.js';
import type { OpArg, StructOpsCallable } from '../types.js';
import { kindCode, returned, storeNumber, storeStruct } from './args.js';
import type { ArgModel, FuncModel, MemberDesc, StructOpsDesc } from './desc.js';

/** An argument with its kind as a small integer. */
interface Arg extends ArgModel {
  code: number;
  scalar: boolean;
}

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
 * A call runs inside the read sections that a trampoline holds: RCU and RCU-tasks, or RCU-tasks-trace and RCU-tasks for a
 * sleepable program.
 */
export class StructOpsCall {
  readonly callable: StructOpsCallable;
  readonly stats = { runs: 0, insns: 0, ns: 0 };
  readonly #model: FuncModel;
  readonly #memory: Kernel['vm']['memory'];
  readonly #args: readonly Arg[];
  readonly #ret: number;
  readonly #refs: readonly RefArg[];
  /** The program gives or gets objects of the kernel: #refs, or a pointer that it returns. */
  readonly #owns: boolean;
  /** RCU or RCU-tasks-trace, and RCU-tasks: what a trampoline holds. */
  readonly #section: RcuSection;
  readonly #tasks: RcuSection;
  readonly #held: HeldTable;
  /** Contexts by depth of nested calls of this op. */
  readonly #contexts: GuestPtr[] = [];
  #depth = 0;
  #freed = false;
  /** CPUs on which a program with a private stack is running. */
  readonly #active = new Set<number>();
  readonly #guarded: boolean;

  constructor(
    private readonly kernel: Kernel,
    private readonly desc: StructOpsDesc,
    private readonly member: MemberDesc,
    readonly prog: BpfProg,
  ) {
    if (!member.model) throw new Error(`struct_ops: ${desc.name}.${member.name} has no function model`);
    this.#model = member.model;
    this.#memory = kernel.vm.memory;
    this.#args = member.model.args.map((arg) => ({ ...arg, code: kindCode(arg.kind), scalar: arg.kind !== 'struct' }));
    this.#guarded = prog.aux.priv_stack_requested;
    this.#ret = kindCode(member.model.ret);
    this.#refs = member.model.args
      .filter(({ tag }) => tag === 'ref')
      .map(({ slot, name, type }) => ({ slot, name, struct: pointee(desc.btf.view, type) }));
    this.#owns = this.#refs.length > 0 || member.model.ret === 'ptr';
    this.#section = kernel.rcu.section(prog.sleepable ? 'tasksTrace' : 'rcu');
    this.#tasks = kernel.rcu.section('tasks');
    this.#held = kernel.held;
    this.callable = Object.assign(this.#compile(), { prog, stats: this.stats });
  }

  /** The map is gone; a callable that someone kept finds no context and says so. */
  free(): void {
    this.#freed = true;
    for (const context of this.#contexts) this.#memory.free(context);
    this.#contexts.length = 0;
  }

  /** A function of the op's own arity, so that usual calls need no array of arguments. */
  #compile(): (...args: OpArg[]) => number | bigint | boolean | undefined {
    const args = this.#args;
    const [a0, a1, a2, a3] = args;
    switch (args.length) {
      case 0:
        return () => this.#run(this.#context());
      case 1:
        return (v0) => {
          const context = this.#context();
          this.#store(context, a0!, v0);
          return this.#run(context);
        };
      case 2:
        return (v0, v1) => {
          const context = this.#context();
          this.#store(context, a0!, v0);
          this.#store(context, a1!, v1);
          return this.#run(context);
        };
      case 3:
        return (v0, v1, v2) => {
          const context = this.#context();
          this.#store(context, a0!, v0);
          this.#store(context, a1!, v1);
          this.#store(context, a2!, v2);
          return this.#run(context);
        };
      case 4:
        return (v0, v1, v2, v3) => {
          const context = this.#context();
          this.#store(context, a0!, v0);
          this.#store(context, a1!, v1);
          this.#store(context, a2!, v2);
          this.#store(context, a3!, v3);
          return this.#run(context);
        };
      default:
        return (...values) => {
          const context = this.#context();
          for (let i = 0; i < args.length; i++) this.#store(context, args[i]!, values[i]);
          return this.#run(context);
        };
    }
  }

  /** The slots for a call at the present depth. */
  #context(): GuestPtr {
    const context = this.#contexts[this.#depth];
    return context === undefined ? this.#newContext() : context;
  }

  #newContext(): GuestPtr {
    if (this.#freed) {
      throw new VmtableError(`struct_ops ${this.desc.name}.${this.member.name}: called after its map was freed`);
    }
    const context = this.#memory.alloc(Math.max(this.#model.slots * 8, 8), {
      access: ACCESS_RO,
      name: `context of ${this.desc.name}.${this.member.name}`,
    });
    this.#contexts[this.#depth] = context;
    return context;
  }

  #store(context: GuestPtr, arg: Arg, value: OpArg | undefined): void {
    if (typeof value === 'number' && arg.scalar) {
      const { core } = this.#memory;
      storeNumber(core.view, context + WINDOW_BASE + arg.slot * 8, arg.code, value);
    } else {
      this.#storeOther(context + arg.slot * 8, arg, value);
    }
  }

  #storeOther(slot: GuestPtr, arg: Arg, value: OpArg | undefined): void {
    const memory = this.#memory;
    const number = typeof value === 'object' ? value?.ptr : typeof value === 'boolean' ? Number(value) : value;
    if (typeof number === 'number') {
      if (arg.scalar) storeNumber(memory.core.view, slot + WINDOW_BASE, arg.code, number);
      else storeStruct(memory, slot, number, arg.size);
      return;
    }
    if (typeof number === 'bigint' && arg.scalar && arg.kind !== 'ptr') {
      if (arg.size === 8) memory.setU64(slot, BigInt.asUintN(64, number));
      else storeNumber(memory.core.view, slot + WINDOW_BASE, arg.code, Number(BigInt.asIntN(32, number)));
      return;
    }
    throw new InputError(
      `struct_ops ${this.desc.name}.${this.member.name}: argument ${arg.name} (${arg.kind}) cannot be ${typeof value}`,
    );
  }

  #run(context: GuestPtr): number | bigint | boolean | undefined {
    const { kernel } = this;
    if (this.#guarded && !this.#enter()) return returned(this.#ret, 0, 0);
    this.#depth++;
    this.#section.enter();
    this.#tasks.enter();
    const outer = this.#held.begin();
    this.stats.runs++;
    let left: Held[] | undefined;
    let result: number | bigint | boolean | undefined;
    try {
      if (this.#owns) this.#take(context);
      result = kernel.statsHolders > 0 ? this.#measured(context) : this.#invoke(context);
      if (this.#owns) this.#giveBack(result as number);
    } finally {
      this.#depth--;
      if (this.#guarded) this.#active.delete(kernel.currentCpu);
      left = this.#held.leave(outer);
      this.#tasks.exit();
      this.#section.exit();
    }
    if (left !== undefined) throw this.#located(heldFault(kernel, left));
    return result;
  }

  /** The program owns its `__ref` arguments from now on (kernel: acquire_reference in do_check_main). */
  #take(context: GuestPtr): void {
    const { kernel } = this;
    for (const { slot, name, struct } of this.#refs) {
      const ptr = this.#memory.ptr(context + slot * 8);
      if (ptr <= 0) continue;
      const at = { prog: this.prog.vm!, insn: 0 };
      this.#held.acquire(at, 'reference', ptr, `argument ${name} (struct ${struct})`, () => {
        // A type without destructor stays its subsystem's, which hears of the fault.
        if (kernel.dtors.has(struct)) kernel.dtors.release(struct, ptr);
      });
    }
  }

  /** A pointer that the program returns is NULL or one that it owns, and owns no longer (kernel: check_return_code). */
  #giveBack(result: number): void {
    if (this.#model.ret !== 'ptr' || result === 0 || this.#held.release('reference', result)) return;
    throw this.#located(returnFault(this.kernel, this.prog.vm!, result));
  }

  #invoke(context: GuestPtr): number | bigint | boolean | undefined {
    const { vm, currentCpu } = this.kernel;
    if (vm.invoke(this.prog.vm!, context, currentCpu) !== INVOKE_DONE) {
      throw this.#located(this.kernel.faultOf(vm.lastFault!));
    }
    return returned(this.#ret, vm.r0lo, vm.r0hi);
  }

  /** Slower, with exact counts of insns and the host's time. */
  #measured(context: GuestPtr): number | bigint | boolean | undefined {
    const { kernel, prog } = this;
    if (kernel.opTimer !== null) return this.#timed(context, kernel.opTimer);
    const start = performance.now();
    const { r0, insns, fault } = kernel.vm.run(prog.vm!, {
      args: [this.#memory.address(context)],
      cpu: kernel.currentCpu,
      countInsns: true,
    });
    const ns = (performance.now() - start) * 1e6;
    this.stats.insns += insns;
    this.stats.ns += ns;
    prog.aux.runCount++;
    prog.aux.runTimeNs += ns;
    if (fault) throw this.#located(kernel.faultOf(fault));
    return returned(this.#ret, Number(r0 & 0xffffffffn), Number(r0 >> 32n));
  }

  #timed(context: GuestPtr, timer: NonNullable<Kernel['opTimer']>): number | bigint | boolean | undefined {
    const start = performance.now();
    const result = this.#invoke(context);
    timer(this.callable, (performance.now() - start) * 1e6);
    return result;
  }

  #located(fault: ProgramFault): unknown {
    return located(`member "${this.member.name}"`, fault);
  }

  /** Kernel: __bpf_prog_enter_recur; false if this CPU runs the program already. */
  #enter(): boolean {
    const cpu = this.kernel.currentCpu;
    if (!this.#active.has(cpu)) {
      this.#active.add(cpu);
      return true;
    }
    this.prog.aux.recursionMisses++;
    this.prog.aux.recursion_detected?.(this.prog);
    return false;
  }
}

/** Name of the struct that a pointer type points to. */
function pointee(view: BtfView, id: number): string {
  const type = view.type(view.resolve(id));
  return type.kind === BTF_KIND.PTR ? view.nameOf(view.resolve(type.type)) : '';
}
