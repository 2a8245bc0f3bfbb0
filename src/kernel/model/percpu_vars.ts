import { ACCESS_RO } from '../../../assembly/abi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';

/** A per-CPU variable of 4 or 8 bytes, or an array of such. */
export class PercpuVar {
  readonly #copies: readonly GuestPtr[];

  constructor(
    private readonly kernel: Kernel,
    readonly name: string,
    /** Bytes of one element. */
    private readonly width: 4 | 8,
    private readonly count: number,
    first: (cpu: number) => number,
  ) {
    this.#copies = kernel.cpumasks.all.map((cpu) => {
      const ptr = kernel.memory.alloc(width * count, { access: ACCESS_RO, name: `${name} of CPU ${cpu}` });
      if (width === 4) kernel.memory.setU32(ptr, first(cpu));
      else kernel.memory.setU64n(ptr, first(cpu));
      return ptr;
    });
  }

  /** Per-CPU pointer for programs. */
  define(): GuestPtr {
    const { name, width, count } = this;
    return this.kernel.percpu.defineVariable(name, width * count, (cpu) => this.ptr(cpu));
  }

  ptr(cpu: number, index = 0): GuestPtr {
    const base = this.#copies[cpu];
    if (base === undefined || index < 0 || index >= this.count)
      throw new RangeError(`${this.name}[${index}] of CPU ${cpu}`);
    return base + index * this.width;
  }

  get(cpu: number, index = 0): number {
    const ptr = this.ptr(cpu, index);
    return this.width === 4 ? this.kernel.memory.u32(ptr) : this.kernel.memory.u64n(ptr);
  }

  set(cpu: number, value: number, index = 0): void {
    const ptr = this.ptr(cpu, index);
    if (this.width === 4) this.kernel.memory.setU32(ptr, value);
    else this.kernel.memory.setU64n(ptr, value);
  }
}

/** Per-CPU variables that the model keeps besides runqueues, with what each holds. */
export const PERCPU_VARS = {
  cpu_number: 'number of the CPU',
  sd_llc_id: 'first CPU of those that share its last-level cache; all do until a driver says otherwise',
  sd_llc_size: 'how many share it',
  kernel_cpustat: 'ns in each of enum cpu_usage_stat, as a driver accounts them',
  sched_core_priority: '0: no core is preferred to others',
  cpufreq_cpu_data: 'NULL: no CPU has a driver that sets its frequency',
  __preempt_count: 'PREEMPT_ENABLED, and 1 for each bpf_preempt_disable',
} as const;

/** Pointers among them that are NULL as long as the machine runs. */
export const NULL_VARS: ReadonlySet<string> = new Set(['cpufreq_cpu_data']);

const PREEMPT_ENABLED = 0x80000000;

/** The same, made when a program or a driver first asks. */
export class PercpuVars {
  readonly #vars = new Map<keyof typeof PERCPU_VARS, PercpuVar>();

  constructor(private readonly kernel: Kernel) {}

  of(name: keyof typeof PERCPU_VARS): PercpuVar {
    let found = this.#vars.get(name);
    if (!found) {
      found = this.#make(name);
      this.#vars.set(name, found);
    }
    return found;
  }

  #make(name: keyof typeof PERCPU_VARS): PercpuVar {
    const { kernel } = this;
    switch (name) {
      case 'cpu_number':
        return new PercpuVar(kernel, name, 4, 1, (cpu) => cpu);
      case 'sd_llc_id':
        return new PercpuVar(kernel, name, 4, 1, () => 0);
      case 'sd_llc_size':
        return new PercpuVar(kernel, name, 4, 1, () => kernel.cpus);
      case 'kernel_cpustat':
        return new PercpuVar(kernel, name, 8, Number(kernel.profile.btf.enumerator('NR_STATS') ?? 10n), () => 0);
      case 'sched_core_priority':
        return new PercpuVar(kernel, name, 4, 1, () => 0);
      case 'cpufreq_cpu_data':
        return new PercpuVar(kernel, name, 8, 1, () => 0);
      case '__preempt_count':
        return new PercpuVar(kernel, name, 4, 1, () => PREEMPT_ENABLED);
    }
  }
}
