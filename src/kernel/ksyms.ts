import { ACCESS_UNMODELLED } from '../../assembly/abi.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import type { GuestMemory, GuestPtr } from '../vm/types.js';
import type { Percpu } from './percpu.js';

/** The section whose variables every CPU has a copy of (include/linux/percpu-defs.h). */
const PERCPU_SECTION = '.data..percpu';

/**
 * Addresses of kernel variables and functions that programs name through `extern … __ksym`. A variable that nobody defined
 * still has an address, as in the kernel; its memory is unmodelled, so that a program that looks at it faults by name. That
 * of a per-CPU variable is a per-CPU pointer.
 */
export class Ksyms {
  readonly #addresses = new Map<string, GuestPtr>();
  readonly #makers = new Map<string, () => GuestPtr>();
  /** Those of which nothing but the address is modelled. */
  readonly #opaque = new Set<string>();
  readonly #percpuVars = new Map<BtfView, ReadonlySet<number>>();

  constructor(
    private readonly memory: GuestMemory,
    private readonly percpu: Percpu,
  ) {}

  /** Gives a kernel variable its memory. */
  define(name: string, ptr: GuestPtr): void {
    this.#opaque.delete(name);
    this.#addresses.set(name, ptr);
  }

  /** The same for one that is made when a program first names it. */
  provide(name: string, make: () => GuestPtr): void {
    this.#makers.set(name, make);
  }

  /** Names that have an address: each keeps its memory as long as the kernel lives. */
  get size(): number {
    return this.#addresses.size;
  }

  /** Address of a symbol that somebody defined, as kallsyms has it; undefined for others. */
  lookup(name: string): GuestPtr | undefined {
    const known = this.#addresses.get(name);
    if (known !== undefined) return known;
    const ptr = this.#makers.get(name)?.();
    if (ptr !== undefined) this.#addresses.set(name, ptr);
    return ptr;
  }

  /** True if somebody defined the symbol. */
  has(name: string): boolean {
    return (this.#addresses.has(name) && !this.#opaque.has(name)) || this.#makers.has(name);
  }

  /** Address of a symbol of which nothing but the address is modelled. */
  opaque(name: string, bytes: number, what = `kernel variable ${name}`): GuestPtr {
    return this.lookup(name) ?? this.#remember(name, this.#poisoned(what, bytes));
  }

  /** Address of the VAR or FUNC `id`; the same for every program. */
  address(btf: BtfView, id: number): GuestPtr {
    const type = btf.type(id);
    const known = this.lookup(type.name);
    if (known !== undefined) return known;
    if (type.kind !== BTF_KIND.VAR) return this.opaque(type.name, 16, `kernel function ${type.name}`);
    const bytes = btf.sizeOf(type.type);
    if (!this.isPercpu(btf, id)) return this.opaque(type.name, bytes);
    const copy = (cpu: number) => this.#poisoned(`${type.name} of CPU ${cpu}`, bytes);
    return this.#remember(type.name, this.percpu.defineVariable(type.name, bytes, copy));
  }

  #remember(name: string, ptr: GuestPtr): GuestPtr {
    this.#opaque.add(name);
    this.#addresses.set(name, ptr);
    return ptr;
  }

  #poisoned(name: string, bytes: number): GuestPtr {
    return this.memory.alloc(Math.max(bytes, 1), { access: ACCESS_UNMODELLED, name });
  }

  /** True for a variable that every CPU has a copy of. */
  isPercpu(btf: BtfView, id: number): boolean {
    let vars = this.#percpuVars.get(btf);
    if (!vars) {
      const section = btf.find(PERCPU_SECTION, BTF_KIND.DATASEC);
      const type = section === 0 ? undefined : btf.type(section);
      vars = new Set(type?.kind === BTF_KIND.DATASEC ? type.vars.map((entry) => entry.type) : []);
      this.#percpuVars.set(btf, vars);
    }
    return vars.has(id);
  }
}
