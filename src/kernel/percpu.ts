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
    const base = this.memory.alloc(Math.max(bytes, 1), { access: ACCESS_UNMODELLED, name: `per-CPU ${name}` });
    this.#objects.set(base, { name, bytes, copyOf, copies: [] });
    this.direct.addPercpu(base);
    return base;
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
