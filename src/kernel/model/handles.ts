import { ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import type { GuestMemory, GuestPtr } from '../../vm/types.js';
import type { ObjectTable } from '../objects.js';
import type { StructType, Types } from '../view.js';

/** Addresses in one block. */
const BLOCK = 256;
const STEP = 16;

/**
 * Kernel objects of which nothing but the address is modelled: programs compare it and test it for NULL. The addresses lie
 * close together in blocks that are unmodelled as far as any of the objects would reach, so that a look at one faults.
 */
export class Handles {
  readonly #free: GuestPtr[] = [];
  readonly #blocks: GuestPtr[] = [];
  readonly #memory: GuestMemory;

  constructor(
    types: Types,
    objects: ObjectTable,
    private readonly struct: StructType,
  ) {
    this.#memory = types.memory;
    types.layouts.set(struct.name, { modelled: [] });
    objects.handles.push((ptr) => (this.#isOne(ptr) ? struct : undefined));
  }

  alloc(): GuestPtr {
    if (this.#free.length === 0) {
      const bytes = BLOCK * STEP + this.struct.size;
      const block = this.#memory.alloc(bytes, {
        align: 64,
        access: ACCESS_UNMODELLED,
        name: `struct ${this.struct.name}, which is not modelled`,
      });
      this.#blocks.push(block);
      for (let i = BLOCK - 1; i >= 0; i--) this.#free.push(block + i * STEP);
    }
    return this.#free.pop() as GuestPtr;
  }

  #isOne(ptr: GuestPtr): boolean {
    return this.#blocks.some((block) => ptr >= block && ptr < block + BLOCK * STEP && (ptr - block) % STEP === 0);
  }

  free(ptr: GuestPtr): void {
    this.#free.push(ptr);
  }
}
