import { ACCESS_RO } from '../../../assembly/abi.js';
import { InputError, located } from '../../errors.js';
import type { GuestMemory, GuestPtr } from '../../vm/types.js';
import { INVOKE_DONE } from '../../vm/vm.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import type { RcuFlavour } from '../rcu.js';
import type { OpArg, StructOpsCallable } from '../types.js';
import type { ArgModel, FuncModel, MemberDesc, ScalarKind, StructOpsDesc } from './desc.js';

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
  readonly #memory: GuestMemory;
  readonly #flavour: RcuFlavour;
  /** Contexts by depth of nested calls of this op. */
  readonly #contexts: GuestPtr[] = [];
  #depth = 0;
  /** CPUs on which a program with a private stack is running. */
  readonly #active = new Set<number>();

  constructor(
    private readonly kernel: Kernel,
    private readonly desc: StructOpsDesc,
    private readonly member: MemberDesc,
    readonly prog: BpfProg,
  ) {
    if (!member.model) throw new Error(`struct_ops: ${desc.name}.${member.name} has no function model`);
    this.#model = member.model;
    this.#memory = kernel.memory;
    this.#flavour = prog.sleepable ? 'tasksTrace' : 'rcu';
    this.callable = Object.assign(this.#compile(), { prog, stats: this.stats });
  }

  free(): void {
    for (const context of this.#contexts) this.#memory.free(context);
    this.#contexts.length = 0;
  }

  /** A function of the op's own arity, so that usual calls need no array of arguments. */
  #compile(): (...args: OpArg[]) => number | bigint | boolean | undefined {
    const { args } = this.#model;
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
    const context = this.#memory.alloc(Math.max(this.#model.slots * 8, 8), {
      access: ACCESS_RO,
      name: `context of ${this.desc.name}.${this.member.name}`,
    });
    this.#contexts[this.#depth] = context;
    return context;
  }

  #store(context: GuestPtr, arg: ArgModel, value: OpArg | undefined): void {
    const slot = context + arg.slot * 8;
    if (typeof value === 'number') {
      this.#storeNumber(slot, arg, value);
      return;
    }
    switch (typeof value) {
      case 'boolean':
        this.#storeNumber(slot, arg, value ? 1 : 0);
        return;
      case 'bigint':
        if (arg.kind === 'ptr' || arg.kind === 'struct') break;
        if (arg.size < 8) this.#storeNumber(slot, arg, Number(BigInt.asIntN(32, value)));
        else this.#memory.setU64(slot, BigInt.asUintN(64, value));
        return;
      case 'object':
        this.#storeNumber(slot, arg, value.ptr);
        return;
    }
    throw new InputError(
      `struct_ops ${this.desc.name}.${this.member.name}: argument ${arg.name} (${arg.kind}) cannot be ${typeof value}`,
    );
  }

  /** Sub-word values fill their slot, extended as their type says. */
  #storeNumber(slot: GuestPtr, arg: ArgModel, value: number): void {
    const memory = this.#memory;
    switch (arg.kind) {
      case 'ptr':
        memory.setPtr(slot, value);
        return;
      case 'u32':
        memory.setU32(slot, value >>> 0);
        memory.setU32(slot + 4, 0);
        return;
      case 's32':
        memory.setU32(slot, value >>> 0);
        memory.setU32(slot + 4, (value >> 31) >>> 0);
        return;
      case 'u64':
      case 's64':
        memory.setU64n(slot, value);
        return;
      case 'bool':
        memory.setU64n(slot, value === 0 ? 0 : 1);
        return;
      case 'u8':
        memory.setU64n(slot, value & 0xff);
        return;
      case 'u16':
        memory.setU64n(slot, value & 0xffff);
        return;
      case 's8':
        memory.setU64n(slot, (value << 24) >> 24);
        return;
      case 's16':
        memory.setU64n(slot, (value << 16) >> 16);
        return;
      case 'struct':
        // By value: the caller points to it in guest memory.
        memory.bytes(slot, Math.ceil(arg.size / 8) * 8).fill(0);
        memory.bytes(slot, arg.size).set(memory.bytes(value, arg.size));
        return;
      case 'void':
        return;
    }
  }

  #run(context: GuestPtr): number | bigint | boolean | undefined {
    const { kernel, prog } = this;
    if (prog.aux.priv_stack_requested && !this.#enter()) return result(this.#model.ret, 0, 0);
    const { rcu } = kernel;
    this.#depth++;
    rcu.readLock(this.#flavour);
    rcu.readLock('tasks');
    this.stats.runs++;
    try {
      if (kernel.statsEnabled) return this.#measured(context);
      const status = kernel.vm.invoke(prog.vm!, context, kernel.currentCpu);
      if (status !== INVOKE_DONE) throw this.#fault();
      return result(this.#model.ret, kernel.vm.r0lo, kernel.vm.r0hi);
    } finally {
      this.#depth--;
      if (prog.aux.priv_stack_requested) this.#active.delete(kernel.currentCpu);
      rcu.readUnlock('tasks');
      rcu.readUnlock(this.#flavour);
    }
  }

  /** Slower, with exact counts of insns and the host's time. */
  #measured(context: GuestPtr): number | bigint | boolean | undefined {
    const { kernel, prog } = this;
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
    if (fault) throw located(`member "${this.member.name}"`, kernel.faultOf(fault));
    return result(this.#model.ret, Number(r0 & 0xffffffffn), Number(r0 >> 32n));
  }

  #fault(): unknown {
    return located(`member "${this.member.name}"`, this.kernel.faultOf(this.kernel.vm.lastFault!));
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

/** Only the bytes that the return type has count (kernel: the caller's view of RAX). */
function result(kind: ScalarKind, lo: number, hi: number): number | bigint | boolean | undefined {
  switch (kind) {
    case 'void':
      return undefined;
    case 'bool':
      return (lo & 0xff) !== 0;
    case 's32':
      return lo | 0;
    case 'u32':
      return lo >>> 0;
    case 'u8':
      return lo & 0xff;
    case 'u16':
      return lo & 0xffff;
    case 's8':
      return (lo << 24) >> 24;
    case 's16':
      return (lo << 16) >> 16;
    case 'u64':
      return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
    case 's64':
      return (BigInt(hi | 0) << 32n) | BigInt(lo >>> 0);
    default:
      return lo >>> 0;
  }
}
