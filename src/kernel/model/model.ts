import type { Kernel } from '../kernel.js';
import { CgroupTree } from './cgroup.js';
import { Cpumasks } from './cpumask.js';
import { RunQueues } from './rq.js';
import { TaskTable } from './tasks.js';

/**
 * The one model of tasks, cgroups, cpumasks and run queues: structs of the profile's BTF in guest memory, and beside each an
 * object of the host. Made when something first asks for it. Throws UnsupportedError if this kernel's BTF lacks what it needs.
 */
export class Model {
  readonly cpumasks: Cpumasks;
  readonly cgroups: CgroupTree;
  readonly tasks: TaskTable;
  readonly rqs: RunQueues;

  constructor(kernel: Kernel) {
    this.cpumasks = new Cpumasks(kernel.memory, kernel.types, kernel.cpus);
    this.cgroups = new CgroupTree(kernel);
    this.tasks = new TaskTable(kernel, this.cpumasks, this.cgroups);
    this.rqs = new RunQueues(kernel, this.tasks);
  }
}
