import { BTF_KIND, type BtfView } from '../../btf/types.js';
import { VmtableError } from '../../errors.js';
import type { CallTarget, HostFn, HostTraits } from '../../vm/types.js';

/**
 * Program types whose programs may call a kfunc (kernel: the hooks that its btf_kfunc_id_set is registered with, and what the set's
 * filter says of a type).
 */
export type MayCall = (progType: number) => boolean;

/**
 * Kfuncs by name. Which exist says the kernel's BTF (a program names one by its type id there); what they do, whoever
 * registers them. One that exists and that nobody registered faults by name when a program calls it.
 */
export class KfuncTable {
  readonly #targets = new Map<string, CallTarget>();
  readonly #callers = new Map<string, MayCall>();

  constructor(
    private readonly btf: BtfView,
    private readonly addHost: (name: string, fn: HostFn, traits?: HostTraits) => number,
  ) {}

  has(name: string): boolean {
    return this.#targets.has(name);
  }

  /** Throws VmtableError if the name is registered already. Without `mayCall` all programs may call it. */
  register(name: string, target: HostFn | CallTarget, traits?: HostTraits, mayCall?: MayCall): void {
    if (this.#targets.has(name)) throw new VmtableError(`kfunc ${name}: registered already`);
    if (mayCall) this.#callers.set(name, mayCall);
    this.#targets.set(
      name,
      typeof target === 'function'
        ? { kind: 'host', index: this.addHost(name, target, { ...this.#traits(name), ...traits }) }
        : target,
    );
  }

  /** What the kfunc's prototype tells, if the profile has it and no argument takes two registers. */
  #traits(name: string): HostTraits {
    const { btf } = this;
    const id = btf.find(name, BTF_KIND.FUNC);
    const type = id === 0 ? undefined : btf.type(id);
    const proto = type?.kind === BTF_KIND.FUNC ? btf.type(type.type) : undefined;
    if (proto?.kind !== BTF_KIND.FUNC_PROTO || proto.params.length > 5) return {};
    const isOne = proto.params.every((param) => param.type !== 0 && btf.sizeOf(param.type) <= 8);
    const address = btf.type(btf.resolve(proto.returns)).kind === BTF_KIND.PTR;
    return isOne ? { args: proto.params.length, address } : { address };
  }

  mayCall(name: string, progType: number): boolean {
    return this.#callers.get(name)?.(progType) ?? true;
  }

  target(name: string): CallTarget {
    return this.#targets.get(name) ?? { kind: 'missing', name: `kfunc ${name}` };
  }
}
