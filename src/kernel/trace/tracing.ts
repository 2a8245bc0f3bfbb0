import { BTF_KIND } from '../../btf/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import type { OpArg } from '../types.js';
import { type Attached, AttachedProgs } from './attached.js';
import { TraceContext } from './context.js';
import { ProgTrampoline } from './trampoline.js';

/** A tracepoint or function that a subsystem raises often: whether programs are there is known without a look-up. */
export class TracePoint {
  /** A program is attached. */
  used = false;

  constructor(
    readonly name: string,
    private readonly tracing: Tracing,
  ) {}

  /** As Tracing.raise. */
  raise(args: readonly OpArg[], result: bigint | number = 0n): void {
    this.tracing.raise(this.name, args, result);
  }
}

/** Whatever a program may be attached to, other than a struct_ops member: by the name of a tracepoint or function. */
export class Tracing {
  readonly #events = new Map<string, AttachedProgs>();
  readonly #raised = new Set<string>();
  readonly #points = new Map<string, TracePoint>();
  /** CPUs on which a program is running because of an event (kernel: prog->active). */
  readonly #active = new Map<BpfProg, Set<number>>();
  readonly #contexts: TraceContext[] = [];
  /** Cookie of the innermost attachment that is running. */
  cookie = 0n;

  constructor(private readonly kernel: Kernel) {}

  /** A subsystem says which tracepoints and functions it raises. */
  declare(...names: string[]): void {
    for (const name of names) this.#raised.add(name);
  }

  /** Declares one, to be raised by the point that is returned. */
  point(name: string): TracePoint {
    this.declare(name);
    const point = this.#points.get(name) ?? new TracePoint(name, this);
    point.used = this.has(name);
    this.#points.set(name, point);
    return point;
  }

  /** Does any subsystem raise it? Programs at other events are attached and never run. */
  raises(name: string): boolean {
    return this.#raised.has(name);
  }

  /** True if a program is attached to the name: whoever raises often need not build arguments in vain. */
  has(name: string): boolean {
    return this.#events.has(name);
  }

  /** True if the profile's kernel has such a tracepoint. */
  isTracepoint(name: string): boolean {
    return this.kernel.profile.btf.find(`btf_trace_${name}`, BTF_KIND.TYPEDEF) !== 0;
  }

  /** 0, or -errno of AttachedProgs.add. */
  attach(name: string, attached: Attached): number {
    const event = this.#events.get(name) ?? new AttachedProgs();
    const result = event.add(attached);
    if (result < 0) return result;
    this.#events.set(name, event);
    this.#noteUse(name);
    if (!this.raises(name)) {
      this.kernel.printk(
        `prog "${attached.prog.name}" is attached to ${name}, which nothing here raises: it will not run`,
      );
    }
    return 0;
  }

  detach(name: string, attached: Attached): void {
    const event = this.#events.get(name);
    event?.remove(attached);
    if (event?.empty) this.#events.delete(name);
    this.#noteUse(name);
  }

  #noteUse(name: string): void {
    const point = this.#points.get(name);
    if (point) point.used = this.has(name);
  }

  /** The same for a program that runs around the main function of another one. */
  attachToProg(target: BpfProg, attached: Attached): number {
    const trampoline = target.trampoline ?? new ProgTrampoline(this.kernel, target);
    const result = trampoline.progs.add(attached);
    if (result === 0) target.setTrampoline(trampoline);
    return result;
  }

  detachFromProg(target: BpfProg, attached: Attached): void {
    const { trampoline } = target;
    trampoline?.progs.remove(attached);
    if (trampoline?.progs.empty) {
      target.setTrampoline(null);
      trampoline.free();
    }
  }

  /**
   * A tracepoint is hit, or a function is called that returns `result`: runs what is attached. Integers as numbers or bigints,
   * pointers as anything with a `ptr`. Throws ProgramFault.
   */
  raise(name: string, args: readonly OpArg[], result: bigint | number = 0n): void {
    const event = this.#events.get(name);
    if (!event) return;
    this.#with(name, args, (context) => {
      for (const attached of [...event.tracepoint]) this.#run(attached, context);
      for (const attached of [...event.fentry]) this.#runAround(attached, context);
      context.setResult(args.length, BigInt(result));
      for (const attached of [...event.fexit]) this.#runAround(attached, context);
    });
  }

  /**
   * A function is called: fentry programs, then fmod_ret ones up to the first that returns something else than 0, which is
   * the function's result in place of `body`'s, then fexit ones. Throws ProgramFault.
   */
  around(name: string, args: readonly OpArg[], body: () => bigint | number): bigint {
    const event = this.#events.get(name);
    if (!event) return BigInt(body());
    let result = 0n;
    this.#with(name, args, (context) => {
      for (const attached of [...event.fentry]) this.#runAround(attached, context);
      for (const attached of [...event.modifyReturn]) {
        context.setResult(args.length, result);
        result = BigInt.asIntN(32, this.#runAround(attached, context));
        if (result !== 0n) break;
      }
      if (result === 0n) result = BigInt(body());
      context.setResult(args.length, result);
      for (const attached of [...event.fexit]) this.#runAround(attached, context);
    });
    return result;
  }

  /** A program with others around it is called: fentry ones, `body`, which runs it and gives r0, fexit ones. Throws ProgramFault. */
  aroundProg(trampoline: ProgTrampoline, r1: bigint, body: () => bigint): void {
    const { progs, args } = trampoline;
    trampoline.with(r1, (context) => {
      for (const attached of [...progs.fentry]) this.#runAround(attached, context);
      context.setResult(args, body());
      for (const attached of [...progs.fexit]) this.#runAround(attached, context);
    });
  }

  #with(name: string, args: readonly OpArg[], body: (context: TraceContext) => void): void {
    const { memory } = this.kernel;
    const context = this.#contexts.pop() ?? new TraceContext(this.kernel);
    try {
      const words = args.map((arg) => (typeof arg === 'object' ? memory.address(arg.ptr) : BigInt(arg)));
      context.fill(words, this.#address(name));
      body(context);
    } finally {
      this.#contexts.push(context);
    }
  }

  #address(name: string): bigint {
    const { btf } = this.kernel.profile;
    const id = btf.find(name, BTF_KIND.FUNC);
    return id === 0 ? 0n : this.kernel.memory.address(this.kernel.ksyms.address(btf, id));
  }

  /** A trampoline keeps its program on its CPU, with preemptible RCU at least: programs look at that (migrate_disable). */
  #runAround(attached: Attached, context: TraceContext): bigint {
    const { current } = this.kernel;
    current.migrationDisabled++;
    try {
      return this.#run(attached, context);
    } finally {
      current.migrationDisabled--;
    }
  }

  /** Kernel: __bpf_prog_enter_recur, __bpf_trace_run: a program that runs on this CPU already is skipped and counted. */
  #run({ prog, cookie }: Attached, context: TraceContext): bigint {
    const { kernel } = this;
    const cpu = kernel.currentCpu;
    const active = this.#active.get(prog) ?? new Set<number>();
    this.#active.set(prog, active);
    if (active.has(cpu)) {
      prog.aux.recursionMisses++;
      prog.aux.recursion_detected?.(prog);
      return 0n;
    }
    active.add(cpu);
    const outer = this.cookie;
    this.cookie = cookie;
    try {
      return kernel.runProg(prog, [kernel.memory.address(context.ptr)]);
    } finally {
      this.cookie = outer;
      active.delete(cpu);
      if (active.size === 0) this.#active.delete(prog);
    }
  }
}
