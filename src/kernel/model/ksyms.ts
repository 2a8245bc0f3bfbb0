import { ACCESS_RO } from '../../../assembly/abi.js';
import type { Kernel } from '../kernel.js';
import { PERCPU_VARS } from './percpu_vars.js';

const SCHED_CLASSES = ['stop', 'dl', 'rt', 'fair', 'ext', 'idle'] as const;

/** Kernel variables that the model keeps, by their names in kallsyms; made when a program names one. */
export function provideModelKsyms(kernel: Kernel): void {
  const { ksyms, memory, percpu } = kernel;
  ksyms.provide('runqueues', () => {
    const { rqs } = kernel;
    rqs.show();
    return percpu.defineVariable('runqueues', rqs.layout.struct.size, (cpu) => rqs.of(cpu).ptr);
  });
  for (const name of Object.keys(PERCPU_VARS) as (keyof typeof PERCPU_VARS)[]) {
    ksyms.provide(name, () => kernel.model.percpu.of(name).define());
  }
  for (const name of SCHED_CLASSES) ksyms.provide(`${name}_sched_class`, () => kernel.tasks.schedClass(name));
  ksyms.provide('init_task', () => kernel.tasks.init.ptr);
  ksyms.provide('init_pid_ns', () => kernel.tasks.initPidNs);
  ksyms.provide('__cpu_possible_mask', () => kernel.cpumasks.possible);
  ksyms.provide('__cpu_present_mask', () => kernel.cpumasks.present);
  ksyms.provide('__cpu_online_mask', () => kernel.cpumasks.online);
  ksyms.provide('__cpu_active_mask', () => kernel.cpumasks.active);
  ksyms.provide('nr_cpu_ids', () => {
    const ptr = memory.alloc(4, { access: ACCESS_RO, name: 'kernel variable nr_cpu_ids' });
    memory.setU32(ptr, kernel.cpus);
    return ptr;
  });
}
