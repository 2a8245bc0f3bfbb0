import { ACCESS_RO, ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import { UnsupportedError, VmtableError } from '../../errors.js';
import type { AccessClass, GuestMemory, GuestPtr } from '../../vm/types.js';
import type { Field, StructType, Types } from '../view.js';
import type { FieldTable } from './fields.js';

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
  /** Shadow of the struct, taken from the first object. */
  #pattern: Uint8Array | null = null;

  constructor(types: Types, struct: string, fields: FieldTable) {
    this.#memory = types.memory;
    this.struct = types.struct(struct);
    this.declare(Object.keys(fields));
  }

  /** Further fields that are kept as a kernel keeps them, by path. Those that this kernel's struct lacks are left out. */
  declare(paths: readonly string[]): void {
    for (const path of paths) {
      this.#known.add(path);
      if (this.struct.tryField(path) && !this.#access.has(path)) this.#access.set(path, ACCESS_RO);
    }
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

  /** Memory of one object, zeroed; `tail` bytes of a flexible array behind it, which can be read. */
  alloc(name: string, tail = 0): GuestPtr {
    const { size } = this.struct;
    const ptr = this.#memory.alloc(size + tail, { align: 64, access: ACCESS_UNMODELLED, name });
    this.stamp(ptr, tail);
    return ptr;
  }

  /** Lays the classes over an object again, after declare or grant. */
  stamp(ptr: GuestPtr, tail = 0): void {
    const { size } = this.struct;
    if (this.#pattern && tail === 0) {
      this.#memory.stampAccess(ptr, this.#pattern);
      return;
    }
    for (const [path, access] of this.#access) {
      const { offset, size: bytes } = this.struct.field(path);
      if (bytes > 0) this.#memory.setAccess(ptr + offset, bytes, access);
    }
    if (tail > 0) this.#memory.setAccess(ptr + size, tail, ACCESS_RO);
    else this.#pattern = this.#memory.accessPattern(ptr, size);
  }
}
