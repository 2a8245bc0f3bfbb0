import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../../uapi.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import type { OpArg } from '../types.js';
import { TraceContext } from './context.js';

const { TRACE_RAW_TP, TRACE_FENTRY, TRACE_FEXIT, MODIFY_RETURN } = BPF_ATTACH_TYPE;

/** A program at an event. */
export interface Attached {
  readonly prog: BpfProg;
  /** What bpf_get_attach_cookie gives. */
  readonly cookie: bigint;
}

/** Programs at one name, in the order in which they run. */
interface Event {
  /** tp_btf and raw_tp. */
  tracepoint: Attached[];
  fentry: Attached[];
  modifyReturn: Attached[];
  fexit: Attached[];
}

/** Whatever a program may be attached to, other than a struct_ops member: by the name of a tracepoint or function. */
export class Tracing {
  readonly #events = new Map<string, Event>();
  readonly #raised = new Set<string>();
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

  /** Which list a program belongs to, or -EINVAL for one that is not attached by name. */
  static #slot(prog: BpfProg): keyof Event | undefined {
    if (prog.type === BPF_PROG_TYPE.RAW_TRACEPOINT || prog.type === BPF_PROG_TYPE.RAW_TRACEPOINT_WRITABLE) {
      return 'tracepoint';
    }
    if (prog.type !== BPF_PROG_TYPE.TRACING) return undefined;
    switch (prog.expectedAttachType) {
      case TRACE_RAW_TP:
        return 'tracepoint';
      case TRACE_FENTRY:
        return 'fentry';
      case MODIFY_RETURN:
        return 'modifyReturn';
      case TRACE_FEXIT:
        return 'fexit';
      default:
        return undefined;
    }
  }

  /** 0, -EINVAL for programs that are not attached so, -EBUSY for one that a trampoline has already. */
  attach(name: string, attached: Attached): number {
    const slot = Tracing.#slot(attached.prog);
    if (!slot) return -ERRNO.EINVAL;
    const event = this.#events.get(name) ?? { tracepoint: [], fentry: [], modifyReturn: [], fexit: [] };
    if (slot !== 'tracepoint' && event[slot].some(({ prog }) => prog === attached.prog)) return -ERRNO.EBUSY;
    this.#events.set(name, event);
    event[slot].push(attached);
    if (!this.raises(name)) {
      this.kernel.printk(
        `prog "${attached.prog.name}" is attached to ${name}, which nothing here raises: it will not run`,
      );
    }
    return 0;
  }

  detach(name: string, attached: Attached): void {
    const event = this.#events.get(name);
    if (!event) return;
    for (const list of [event.tracepoint, event.fentry, event.modifyReturn, event.fexit]) {
      const at = list.indexOf(attached);
      if (at >= 0) list.splice(at, 1);
    }
    const { tracepoint, fentry, modifyReturn, fexit } = event;
    if (tracepoint.length + fentry.length + modifyReturn.length + fexit.length === 0) this.#events.delete(name);
  }

  /**
   * A tracepoint is hit, or a function is called that returns `result`: runs what is attached. Integers as numbers or bigints,
   * pointers as anything with a `ptr`. Throws ProgramFault.
   */
  raise(name: string, args: readonly OpArg[], result: bigint | number = 0n): void {
    const event = this.#events.get(name);
    if (!event) return;
    this.#with(name, args, (context) => {
      for (const attached of [...event.tracepoint, ...event.fentry]) this.#run(attached, context);
      context.setResult(args.length, BigInt(result));
      for (const attached of [...event.fexit]) this.#run(attached, context);
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
      for (const attached of [...event.fentry]) this.#run(attached, context);
      for (const attached of [...event.modifyReturn]) {
        context.setResult(args.length, result);
        result = BigInt.asIntN(32, this.#run(attached, context));
        if (result !== 0n) break;
      }
      if (result === 0n) result = BigInt(body());
      context.setResult(args.length, result);
      for (const attached of [...event.fexit]) this.#run(attached, context);
    });
    return result;
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
