import { ACCESS_UNMODELLED } from '../../assembly/abi.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import type { GuestMemory, GuestPtr } from '../vm/types.js';

/**
 * Addresses of kernel variables and functions that programs name through `extern … __ksym`. A variable that nobody defined
 * still has an address, as in the kernel; its memory is unmodelled, so that a program that looks at it faults by name.
 */
export class Ksyms {
  readonly #addresses = new Map<string, GuestPtr>();

  constructor(private readonly memory: GuestMemory) {}

  /** Gives a kernel variable its memory. */
  define(name: string, ptr: GuestPtr): void {
    this.#addresses.set(name, ptr);
  }

  /** Names that have an address: each keeps its memory as long as the kernel lives. */
  get size(): number {
    return this.#addresses.size;
  }

  /** Address of the VAR or FUNC `id`; the same for every program. */
  address(btf: BtfView, id: number): GuestPtr {
    const type = btf.type(id);
    const known = this.#addresses.get(type.name);
    if (known !== undefined) return known;
    const variable = type.kind === BTF_KIND.VAR;
    const ptr = this.memory.alloc(variable ? Math.max(btf.sizeOf(type.type), 1) : 16, {
      access: ACCESS_UNMODELLED,
      name: `kernel ${variable ? 'variable' : 'function'} ${type.name}`,
    });
    this.#addresses.set(type.name, ptr);
    return ptr;
  }
}
