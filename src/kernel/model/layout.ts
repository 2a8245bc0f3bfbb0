import { ACCESS_RO, ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import { UnsupportedError, VmtableError } from '../../errors.js';
import type { AccessClass, GuestMemory, GuestPtr } from '../../vm/types.js';
import type { Field, StructType, Types } from '../view.js';
import { ALWAYS_NULL, type FieldTable } from './fields.js';

/**
 * A kernel struct with the declared list of its modelled fields. Objects of it are made by stamping one pattern of access
 * classes: what is not declared faults by name, whatever the number of objects and fields.
 */
export class Layout<Path extends string = string> {
  readonly struct: StructType;
  readonly #memory: GuestMemory;
  /** Fields of this kernel that programs may read, with the class of those that some may write. */
  readonly #access = new Map<string, AccessClass>();
  readonly #known = new Set<string>();
  readonly #closed: Set<string>;
  /** Shadow of the struct, taken from the first object. */
  #pattern: Uint8Array | null = null;

  /** Pointers that are NULL as long as the machine runs. */
  readonly nulls: readonly string[];

  /** `later`: those that nobody may look at before `open`. */
  constructor(types: Types, struct: string, fields: FieldTable, later: readonly string[] = []) {
    this.#closed = new Set(later);
    this.nulls = ALWAYS_NULL[struct] ?? [];
    this.#memory = types.memory;
    this.struct = types.struct(struct);
    this.declare(Object.keys(fields));
    types.layouts.set(struct, this);
  }

  /** Further fields that are kept as a kernel keeps them, by path. Those that this kernel's struct lacks are left out. */
  declare(paths: readonly string[]): void {
    for (const path of paths) {
      this.#known.add(path);
      if (this.struct.tryField(path) && !this.#access.has(path)) this.#access.set(path, ACCESS_RO);
    }
    this.#pattern = null;
  }

  /** Programs may look at these from now on; objects that are there need `stamp`. */
  open(paths: readonly string[]): void {
    for (const path of paths) this.#closed.delete(path);
    this.#pattern = null;
  }

  /** Gives a declared field an access class (Kernel.newAccessClass), so that some programs may write it. */
  grant(path: string, access: AccessClass): void {
    if (!this.#known.has(path))
      throw new VmtableError(`struct ${this.struct.name}: ${path} is not declared as modelled`);
    if (this.#access.has(path)) this.#access.set(path, access);
    this.#pattern = null;
  }

  /** Paths of the modelled fields that this kernel has, in the order of declaration. */
  get modelled(): string[] {
    return [...this.#access.keys()];
  }

  /** A modelled field. Throws UnsupportedError if this kernel's struct lacks it. */
  field(path: Path): Field {
    const field = this.tryField(path);
    if (!field) throw new UnsupportedError(`struct ${this.struct.name}: this kernel's has no field ${path}`);
    return field;
  }

  /** A modelled field, or undefined on a kernel whose struct lacks it. */
  tryField(path: Path): Field | undefined {
    if (!this.#known.has(path))
      throw new VmtableError(`struct ${this.struct.name}: ${path} is not declared as modelled`);
    return this.struct.tryField(path);
  }

  /** Memory of one object, zeroed. */
  alloc(name: string): GuestPtr {
    const ptr = this.#memory.alloc(this.struct.size, { align: 64, access: ACCESS_UNMODELLED, name });
    this.stamp(ptr);
    return ptr;
  }

  /** Lays the classes over an object again, after declare or grant. */
  stamp(ptr: GuestPtr): void {
    if (this.#pattern) {
      this.#memory.stampAccess(ptr, this.#pattern);
      return;
    }
    this.#lay(ptr);
    this.#pattern = this.#memory.accessPattern(ptr, this.struct.size);
  }

  /** Memory of one object that ends in a flexible array: `count` elements of `bytes` at the modelled field `path`. */
  allocFlexible(name: string, path: Path, count: number, bytes: number): GuestPtr {
    const { offset } = this.field(path);
    const size = Math.max(this.struct.size, offset + count * bytes);
    const ptr = this.#memory.alloc(size, { align: 64, access: ACCESS_UNMODELLED, name });
    this.#lay(ptr);
    this.#memory.setAccess(ptr + offset, count * bytes, ACCESS_RO);
    return ptr;
  }

  #lay(ptr: GuestPtr): void {
    for (const [path, access] of this.#access) {
      if (this.#closed.has(path)) continue;
      const { offset, size } = this.struct.field(path);
      if (size > 0) this.#memory.setAccess(ptr + offset, size, access);
    }
  }
}
