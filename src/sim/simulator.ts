import { checkArgument, checkOptions } from '../argument.js';
import { InputError } from '../errors.js';
import type { Kernel } from '../kernel/kernel.js';
import { Topology } from '../sched_ext/topology.js';
import { type MachineDescription, parseTopology } from './description.js';
import { SimMachine, type SimOptions } from './machine.js';
import { buildReport, type SimReport } from './report.js';
import type { Scenario, TaskSpec } from './scenario.js';
import { Collector } from './stats/collector.js';
import { UserProcess } from './user_process.js';
import { Workload } from './workload.js';

export interface MachineOptions extends Omit<SimOptions, 'topology'> {
  /** `1n1l4c1t`, a description in JSON (docs/sim.md), or places. Default: cores of one thread that share a cache. */
  topology?: string | MachineDescription | Topology;
  /** Of the workload's random durations; default 1. Those that programs draw are the kernel's (`KernelOptions.seed`). */
  seed?: number;
}

/**
 * A simulated machine on a kernel: registers sched_ext with it, owns its CPUs and tasks, and moves its time. Tasks are those of
 * a scenario, or are spawned one by one; what becomes of them is in the report.
 */
export class Machine extends SimMachine {
  readonly stats: Collector;
  readonly seed: number;
  readonly #specs: TaskSpec[] = [];
  #workload: Workload | null = null;
  #workloads: Workload[] = [];

  /** Throws InputError for a topology that is none, or has not as many CPUs as the kernel. */
  constructor(kernel: Kernel, options: MachineOptions = {}) {
    checkArgument('Machine: kernel', kernel, 'kernel');
    checkOptions('Machine:', options, { seed: 'number' });
    const { topology, seed = 1, ...rest } = options;
    const description = describe(topology);
    const cpus = description?.topology.cpus ?? kernel.cpus;
    if (cpus !== kernel.cpus) throw new InputError(`topology: ${cpus} CPUs, where the kernel has ${kernel.cpus}`);
    const { costs, ...machine } = description ?? {};
    super(kernel, { ...machine, ...rest, costs: { ...costs, ...rest.costs } });
    this.seed = seed;
    this.stats = new Collector(this);
    this.kthreads.start();
  }

  /** Adds a task, which is forked when it is due: with the next `run`, unless `startNs` says later. Throws InputError. */
  spawn(task: TaskSpec): void {
    checkArgument('spawn: task', task, 'options');
    checkArgument('spawn: name', task.name, 'text');
    this.#specs.push(task);
  }

  /** Adds the process that loads a scheduler and takes part in the run; it is counted as a group of its own. */
  process(comm: string): UserProcess {
    checkArgument('process: comm', comm, 'text');
    const process = new UserProcess(this, comm);
    this.stats.add(process.task, comm);
    return process;
  }

  /** Adds the tasks, cgroups and events of a scenario; its times count from now. Throws InputError with the path of a mistake. */
  load(scenario: Scenario): Workload {
    checkArgument('load: scenario', scenario, 'options');
    checkArgument('load: tasks', scenario.tasks, 'list');
    const workload = new Workload(this, scenario, this.seed + this.#workloads.length);
    workload.onBorn = (task, spec) => this.stats.add(task, spec.group ?? spec.name);
    workload.start();
    this.#workloads.push(workload);
    this.#workload = workload;
    return workload;
  }

  /** The scenario that was loaded last. */
  get workload(): Workload | null {
    return this.#workload;
  }

  /** Lets so many ns pass; less if every task has exited, or the scheduler that was attached has gone. */
  run(durationNs: number): void {
    checkArgument('run: durationNs', durationNs, 'count');
    if (this.#specs.length > 0) this.load({ tasks: this.#specs.splice(0) });
    const { scx } = this;
    const { root } = scx;
    const workloads = this.#workloads;
    this.runUntil(this.now + durationNs, () => {
      if (root !== null && scx.root !== root) return true;
      for (let i = 0; i < workloads.length; i++) if (!workloads[i]!.done) return false;
      return workloads.length > 0;
    });
  }

  /** What happened so far. */
  report(): SimReport {
    return buildReport(this);
  }
}

function describe(topology: MachineOptions['topology']): MachineDescription | undefined {
  if (typeof topology === 'string') return parseTopology(topology);
  return topology instanceof Topology ? { topology } : topology;
}

/** Adds sched_ext to a kernel, on a machine that has no tasks, for programs that are loaded and not run. */
export function addSchedExt(kernel: Kernel): SimMachine {
  checkArgument('addSchedExt: kernel', kernel, 'kernel');
  return new SimMachine(kernel);
}
