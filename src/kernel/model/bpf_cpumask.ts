import { ErrnoError } from '../../errno.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { TypedObject } from '../objects.js';
import type { Field } from '../view.js';
import { BPF_CPUMASK_FIELDS } from './fields.js';
import { Layout } from './layout.js';

/** struct bpf_cpumask: masks that programs allocate, with a reference count (kernel: kernel/bpf/cpumask.c). */
export class BpfCpumasks {
  readonly #layout: Layout<keyof typeof BPF_CPUMASK_FIELDS>;
  readonly #usage: Field;
  readonly #live = new Map<GuestPtr, TypedObject>();

  constructor(private readonly kernel: Kernel) {
    this.#layout = new Layout(kernel.types, 'bpf_cpumask', BPF_CPUMASK_FIELDS);
    this.#usage = this.#layout.field('usage.refs.counter');
  }

  /** Bytes of one. */
  get size(): number {
    return this.#layout.struct.size;
  }

  /** Masks that are not freed. */
  get count(): number {
    return this.#live.size;
  }

  has(ptr: GuestPtr): boolean {
    return this.#live.has(ptr);
  }

  /** An empty mask with one reference; 0 if there is no memory for it. */
  tryCreate(): GuestPtr {
    const ptr = this.#alloc();
    if (ptr === 0) return 0;
    const { struct } = this.#layout;
    const object = { ptr, size: struct.size, struct, name: 'a struct bpf_cpumask' };
    this.#live.set(ptr, object);
    this.kernel.vm.direct.addMask(ptr);
    this.kernel.objects.add(object);
    this.#usage.set(ptr, 1);
    return ptr;
  }

  #alloc(): GuestPtr {
    try {
      return this.#layout.alloc('struct bpf_cpumask');
    } catch (error) {
      if (error instanceof ErrnoError) return 0;
      throw error;
    }
  }

  acquire(ptr: GuestPtr): void {
    this.#usage.set(ptr, this.#usage.get(ptr) + 1);
  }

  /** With the last reference the memory goes, after a grace period. */
  release(ptr: GuestPtr): void {
    const usage = this.#usage.get(ptr) - 1;
    this.#usage.set(ptr, usage);
    if (usage > 0) return;
    this.kernel.rcu.call(() => {
      this.#live.delete(ptr);
      this.kernel.vm.direct.drop(ptr);
      this.kernel.objects.remove(ptr);
      this.kernel.memory.free(ptr);
    });
  }
}
