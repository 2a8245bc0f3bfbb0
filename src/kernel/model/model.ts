import type { Kernel } from '../kernel.js';
import { BpfCpumasks } from './bpf_cpumask.js';
import { CgroupTree } from './cgroup.js';
import { Cpumasks } from './cpumask.js';
import { PercpuVars } from './percpu_vars.js';
import { RunQueues } from './rq.js';
import { TaskTable } from './tasks.js';

/**
 * The one model of tasks, cgroups, cpumasks and run queues: structs of the profile's BTF in guest memory, and beside each an
 * object of the host. Made when something first asks for it. Throws UnsupportedError if this kernel's BTF lacks what it needs.
 */
export class Model {
  readonly cpumasks: Cpumasks;
  readonly bpfCpumasks: BpfCpumasks;
  readonly cgroups: CgroupTree;
  readonly tasks: TaskTable;
  readonly rqs: RunQueues;
  readonly percpu: PercpuVars;

  constructor(kernel: Kernel) {
    const { CONFIG_NR_CPUS } = kernel.profile.behaviours.config;
    const configured = CONFIG_NR_CPUS === undefined ? undefined : Number(CONFIG_NR_CPUS);
    this.cpumasks = new Cpumasks(kernel.memory, kernel.types, kernel.cpus, configured);
    kernel.vm.direct.maskBits = this.cpumasks.bits;
    this.bpfCpumasks = new BpfCpumasks(kernel);
    this.cgroups = new CgroupTree(kernel, this.cpumasks);
    this.tasks = new TaskTable(kernel, this.cpumasks, this.cgroups);
    this.rqs = new RunQueues(kernel, this.tasks);
    this.percpu = new PercpuVars(kernel);
  }
}
