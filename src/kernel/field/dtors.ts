import { VmtableError } from '../../errors.js';
import type { GuestPtr } from '../../vm/types.js';

/** Gives back one reference to a kernel object (kernel: dtor_func_t). */
export type Dtor = (ptr: GuestPtr) => void;

/**
 * Destructors by struct name: which of the kernel's structs a kptr may own, and what gives one back when a map value or an
 * object with such a kptr goes (kernel: register_btf_id_dtor_kfuncs).
 */
export class Dtors {
  readonly #byStruct = new Map<string, Dtor>();

  has(struct: string): boolean {
    return this.#byStruct.has(struct);
  }

  /** `struct` as in the kernel's BTF: `task_struct`. Throws VmtableError if it has one already. */
  register(struct: string, dtor: Dtor): void {
    if (this.#byStruct.has(struct)) throw new VmtableError(`destructor of struct ${struct}: registered already`);
    this.#byStruct.set(struct, dtor);
  }

  /** Gives a reference back. Throws VmtableError for a struct without destructor. */
  release(struct: string, ptr: GuestPtr): void {
    const dtor = this.#byStruct.get(struct);
    if (!dtor) throw new VmtableError(`struct ${struct} has no destructor`);
    dtor(ptr);
  }
}
