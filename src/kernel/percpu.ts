import { ACCESS_UNMODELLED } from '../../assembly/abi.js';
import type { Direct } from '../vm/direct.js';
import type { GuestMemory, GuestPtr } from '../vm/types.js';

/** One per-CPU variable or allocation. */
interface PercpuObject {
  readonly name: string;
  readonly bytes: number;
  /** Address of a CPU's copy; called once a CPU, when somebody asks for it. */
  readonly copyOf: (cpu: number) => GuestPtr;
  readonly copies: (GuestPtr | undefined)[];
  /** Bytes from its pointer on that are the kernel's section of per-CPU variables; 0 for an allocation. */
  readonly place: number;
}

/**
 * Per-CPU memory. A per-CPU pointer is no address that can be looked at: bpf_per_cpu_ptr and bpf_this_cpu_ptr turn it into
 * that of a CPU's copy. It has memory of its own here, unmodelled, so that a program that follows it faults by name.
 */
export class Percpu {
  readonly #objects = new Map<GuestPtr, PercpuObject>();

  constructor(
    private readonly memory: GuestMemory,
    private readonly cpus: number,
    private readonly direct: Direct,
  ) {}

  /** A per-CPU pointer to copies that the caller makes. */
  define(name: string, bytes: number, copyOf: (cpu: number) => GuestPtr): GuestPtr {
    return this.#add(name, bytes, Math.max(bytes, 1), copyOf, 0);
  }

  /** The same of a variable of the kernel, around which others stand: a program that takes it for an array is among them. */
  defineVariable(variable: string, bytes: number, copyOf: (cpu: number) => GuestPtr): GuestPtr {
    const place = bytes + 8 * this.cpus;
    return this.#add(`variable ${variable}`, bytes, place, copyOf, place);
  }

  #add(name: string, bytes: number, held: number, copyOf: (cpu: number) => GuestPtr, place: number): GuestPtr {
    const base = this.memory.alloc(held, { access: ACCESS_UNMODELLED, name: `per-CPU ${name}` });
    this.#objects.set(base, { name, bytes, copyOf, copies: [], place });
    this.direct.addPercpu(base);
    return base;
  }

  /**
   * Is it in the section of per-CPU variables itself, of which each CPU has a copy elsewhere? Its addresses are offsets up to
   * 6.14, behind which user space is; later they are the kernel's, whose memory is given back once all copies are made, and not
   * mapped any more (x86: free_kernel_image_pages() where page tables are isolated).
   */
  isPlace(ptr: GuestPtr): boolean {
    for (const [base, { place }] of this.#objects) if (ptr >= base && ptr < base + place) return true;
    return false;
  }

  /** Forgets a per-CPU pointer and poisons it; the copies are the caller's. */
  remove(base: GuestPtr): void {
    if (!this.#objects.delete(base)) return;
    this.direct.forgetPercpu(base);
    this.memory.free(base);
  }

  has(base: GuestPtr): boolean {
    return this.#objects.has(base);
  }

  /** Address of a CPU's copy: undefined for what is no per-CPU pointer, 0 for a CPU that is not possible. */
  ptr(base: GuestPtr, cpu: number): GuestPtr | undefined {
    const object = this.#objects.get(base);
    if (!object) return undefined;
    if (!(Number.isInteger(cpu) && cpu >= 0 && cpu < this.cpus)) return 0;
    let copy = object.copies[cpu];
    if (copy === undefined) {
      copy = object.copyOf(cpu);
      object.copies[cpu] = copy;
      this.direct.addCopy(base, cpu, copy);
    }
    return copy;
  }
}
