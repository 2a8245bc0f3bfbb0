import type { GuestPtr } from '../vm/types.js';
import type { StructType } from './view.js';

/** A kernel object in guest memory whose bytes have names. */
export interface TypedObject {
  ptr: GuestPtr;
  size: number;
  struct: StructType;
  /** What faults call it: `task "worker"`. */
  name: string;
}

/** Kernel objects by address, so that a fault can say `task_struct.se.vruntime`. Looked at when a program faults only. */
export class ObjectTable {
  readonly #objects = new Map<GuestPtr, TypedObject>();
  /** Runs with an object's address when it goes: what hangs on it must go, too. */
  readonly onRemove = new Set<(ptr: GuestPtr) => void>();

  add(object: TypedObject): void {
    this.#objects.set(object.ptr, object);
  }

  remove(ptr: GuestPtr): void {
    if (!this.#objects.delete(ptr)) return;
    for (const hook of this.onRemove) hook(ptr);
  }

  startingAt(ptr: GuestPtr): TypedObject | undefined {
    return this.#objects.get(ptr);
  }

  /** Objects of which only the address is modelled: what struct begins at one, if any. */
  readonly handles: ((ptr: GuestPtr) => StructType | undefined)[] = [];

  /** `mm_struct.total_vm` for an address that one of the pointers leads to, if it is that of an object without memory. */
  describeBehind(ptr: GuestPtr, bases: readonly GuestPtr[]): string | undefined {
    for (const base of bases) {
      for (const handle of this.handles) {
        const struct = ptr >= base ? handle(base) : undefined;
        if (struct && ptr - base < struct.size) return `${struct.name}.${struct.describe(ptr - base)}`;
      }
    }
    return undefined;
  }

  /** The object that covers an address. */
  at(ptr: GuestPtr): TypedObject | undefined {
    for (const object of this.#objects.values()) {
      if (ptr >= object.ptr && ptr < object.ptr + object.size) return object;
    }
    return undefined;
  }

  /** `task_struct.se.vruntime of task "worker"`, or undefined. */
  describe(ptr: GuestPtr): string | undefined {
    const object = this.at(ptr);
    if (!object) return undefined;
    return `${object.struct.name}.${object.struct.describe(ptr - object.ptr)} of ${object.name}`;
  }
}
