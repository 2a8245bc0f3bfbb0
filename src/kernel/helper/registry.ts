import { BTF_KIND, type BtfView } from '../../btf/types.js';
import { VmtableError } from '../../errors.js';
import type { CallTarget, HostFn, HostTraits } from '../../vm/types.js';
import { GPL_ONLY_HELPERS } from './gpl.js';

/** A helper of the profile's kernel. */
export interface Helper {
  /** `map_lookup_elem` */
  name: string;
  number: number;
  gplOnly: boolean;
  target: CallTarget;
}

/**
 * Helpers by number. Which exist, and under which numbers, says enum bpf_func_id of the profile's BTF; what they do, whoever
 * registers them by name. A helper that exists and that nobody registered faults by name when a program calls it.
 */
export class HelperTable {
  readonly #names = new Map<number, string>();
  readonly #targets = new Map<string, CallTarget>();

  constructor(
    btf: BtfView,
    private readonly addHost: (name: string, fn: HostFn, traits?: HostTraits) => number,
    /** What the core answers goes through the host first. */
    private readonly coreByHost = false,
  ) {
    const id = btf.find('bpf_func_id', BTF_KIND.ENUM);
    const type = id === 0 ? undefined : btf.type(id);
    if (type?.kind !== BTF_KIND.ENUM) return;
    for (const { name, value } of type.values) {
      // BPF_FUNC_unspec (0) and __BPF_FUNC_MAX_ID are no helpers.
      if (name.startsWith('BPF_FUNC_') && value !== 0n) this.#names.set(Number(value), name.slice('BPF_FUNC_'.length));
    }
  }

  /** Names of every helper of this kernel, by number. */
  get names(): ReadonlyMap<number, string> {
    return this.#names;
  }

  has(name: string): boolean {
    return this.#targets.has(name);
  }

  /** `name` with or without the prefix `bpf_`. Throws VmtableError if it is registered already. */
  register(name: string, target: HostFn | CallTarget, traits?: HostTraits): void {
    const key = name.replace(/^bpf_/, '');
    if (this.#targets.has(key)) throw new VmtableError(`helper bpf_${key}: registered already`);
    const host = (fn: HostFn): CallTarget => ({
      kind: 'host',
      index: this.addHost(`bpf_${key}`, fn, { address: false, ...traits }),
    });
    if (typeof target === 'function') this.#targets.set(key, host(target));
    else if (target.kind === 'core' && this.coreByHost)
      this.#targets.set(
        key,
        host((call) => call.callCore(target.fn)),
      );
    else this.#targets.set(key, target);
  }

  /** The helper of this number, or undefined if the kernel has none. */
  byNumber(number: number): Helper | undefined {
    const name = this.#names.get(number);
    if (name === undefined) return undefined;
    const target = this.#targets.get(name) ?? { kind: 'missing', name: `helper bpf_${name}` };
    return { name, number, gplOnly: GPL_ONLY_HELPERS.has(name), target };
  }
}
