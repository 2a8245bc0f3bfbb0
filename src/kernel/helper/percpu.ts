import { DIRECT_PER_CPU_PTR, DIRECT_THIS_CPU_PTR } from '../../../assembly/abi.js';
import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';

/** bpf_per_cpu_ptr and bpf_this_cpu_ptr (kernel: kernel/bpf/helpers.c): a CPU's copy behind a per-CPU pointer. */
export function registerPercpuHelpers(kernel: Kernel): void {
  const copy = (call: HostCall, cpu: number): GuestPtr => {
    const ptr = call.ptr(0);
    const found = kernel.percpu.ptr(ptr, cpu);
    if (found !== undefined) return found;
    return call.fail(new VmtableError(`argument 1 is no per-CPU pointer but ${call.memory.describe(ptr)}`));
  };
  // NULL for a CPU number that is not possible.
  kernel.registerHelper('per_cpu_ptr', (call) => call.retPtr(copy(call, call.u32(1))), {
    args: 2,
    direct: DIRECT_PER_CPU_PTR,
  });
  kernel.registerHelper('this_cpu_ptr', (call) => call.retPtr(copy(call, call.cpu)), {
    args: 1,
    direct: DIRECT_THIS_CPU_PTR,
  });
}
