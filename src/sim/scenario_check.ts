import { InputError } from '../errors.js';
import { type Duration, durationFault } from './duration.js';
import type { CpuMaxNs, DeadlineParams, Scenario, SimStep, TimedEvent } from './scenario.js';
import { checkStep, checkSteps } from './step_shapes.js';

/** More tasks than this are a mistake, or want another tool. */
export const MAX_TASKS = 200_000;

const POLICY_NAMES = ['ext', 'other', 'batch', 'idle', 'fifo', 'rr', 'deadline'];

/** Throws InputError, with the path to what is wrong, for a scenario that a machine with so many CPUs cannot play. */
export function checkScenario(scenario: Scenario, cpus: number): void {
  new Check(scenario, cpus).run();
}

class Check {
  readonly #names = new Set<string>();
  readonly #cgroups = new Set<string>();
  /** Tasks of several copies. */
  readonly #several = new Set<string>();

  constructor(
    private readonly scenario: Scenario,
    private readonly cpus: number,
  ) {}

  run(): void {
    const { tasks, cgroups = [], events = [] } = this.scenario;
    if (tasks.length === 0) this.#fail('tasks', 'no tasks');
    let total = 0;
    for (const [at, { name, copies = 1 }] of tasks.entries()) {
      const path = `tasks[${at}]`;
      if (name === '' || name === 'self') this.#fail(`${path}.name`, `"${name}" is no name of a task`);
      if (this.#names.has(name)) this.#fail(`${path}.name`, `"${name}" is there twice`);
      this.#names.add(name);
      this.#whole(`${path}.copies`, copies, 1);
      total += copies;
      if (total > MAX_TASKS) this.#fail(`${path}.copies`, `${total} tasks are more than ${MAX_TASKS}`);
      if (copies > 1) this.#several.add(name);
      if (copies > 1) for (let copy = 0; copy < copies; copy++) this.#names.add(`${name}-${copy}`);
    }
    for (const [at, { name, weight, max }] of cgroups.entries()) {
      const path = `cgroups[${at}]`;
      if (!/^[^/\n\0]+(\/[^/\n\0]+)*$/.test(name)) this.#fail(`${path}.name`, `"${name}" is no name of a cgroup`);
      if (this.#cgroups.has(name)) this.#fail(`${path}.name`, `"${name}" is there twice`);
      this.#cgroups.add(name);
      if (weight !== undefined) this.#whole(`${path}.weight`, weight, 1, 10_000);
      if (max) this.#max(`${path}.max`, max);
    }
    const madeLater = (steps: readonly SimStep[]) => {
      for (const step of steps) {
        if (step.verb === 'mkcgroup') this.#cgroups.add(step.cgroup);
        if (step.verb === 'repeat') madeLater(step.steps);
      }
    };
    for (const [at, { steps }] of tasks.entries()) checkSteps(`scenario: tasks[${at}].steps`, steps);
    for (const { steps } of tasks) madeLater(steps);
    for (const [at, task] of tasks.entries()) this.#task(`tasks[${at}]`, task);
    for (const [at, event] of events.entries()) this.#event(`events[${at}]`, event);
  }

  #fail(path: string, what: string): never {
    throw new InputError(`scenario: ${path}: ${what}`);
  }

  #task(path: string, task: Scenario['tasks'][number]): void {
    const { repeat = 1, startNs, policy, priority, nice, cpus, cpu, cgroup, deadline } = task;
    this.#rounds(`${path}.repeat`, repeat, task.steps);
    if (startNs !== undefined) this.#duration(`${path}.startNs`, startNs);
    if (policy !== undefined) this.#policy(path, policy, priority ?? 0, deadline !== undefined);
    if (nice !== undefined) this.#whole(`${path}.nice`, nice, -20, 19);
    if (cpus) this.#cpuList(`${path}.cpus`, cpus);
    if (cpu !== undefined) this.#cpuList(`${path}.cpu`, [cpu]);
    if (cpu !== undefined && cpus && !cpus.includes(cpu)) this.#fail(`${path}.cpu`, `CPU ${cpu} is not among its cpus`);
    if (cgroup !== undefined) this.#cgroup(`${path}.cgroup`, cgroup);
    if (deadline) this.#deadline(`${path}.deadline`, deadline);
    this.#steps(`${path}.steps`, task.steps);
  }

  #steps(path: string, steps: readonly SimStep[]): void {
    for (const [at, step] of steps.entries()) {
      if (step.verb === 'repeat') {
        this.#rounds(`${path}[${at}].times`, step.times, step.steps);
        this.#steps(`${path}[${at}].steps`, step.steps);
      } else this.#step(`${path}[${at}]`, step);
    }
  }

  #rounds(path: string, times: number, { length }: readonly SimStep[]): void {
    if (times !== Number.POSITIVE_INFINITY) this.#whole(path, times, 0);
    else if (length === 0) this.#fail(path, 'a loop without steps takes no time: it would have no end');
  }

  #step(path: string, step: SimStep | TimedEvent): void {
    if ('task' in step && step.task !== undefined && step.task !== 'self' && !this.#names.has(step.task)) {
      this.#fail(path, `no task ${step.task}`);
    }
    if (step.verb === 'wait' && step.task === 'self') this.#fail(path, 'a task is no child of its own');
    if ((step.verb === 'fork' || step.verb === 'wait') && step.task !== undefined && this.#several.has(step.task))
      this.#fail(
        path,
        `${step.task} has several copies: ${step.verb} ${step.verb === 'wait' ? 'for ' : ''}one of them`,
      );
    if ('ns' in step) this.#duration(path, step.ns);
    if ('cgroup' in step && step.cgroup !== '/') this.#cgroup(path, step.cgroup);
    switch (step.verb) {
      case 'affinity':
        this.#cpuList(path, step.cpus);
        return;
      case 'policy':
        this.#policy(path, step.name, step.priority, step.deadline !== undefined);
        if (step.deadline) this.#deadline(path, step.deadline);
        return;
      case 'nice':
        this.#whole(path, step.value, -20, 19);
        return;
      case 'cpu':
        if (!(Number.isInteger(step.cpu) && step.cpu >= 0 && step.cpu < this.cpus)) {
          this.#fail(path, `no CPU ${step.cpu}`);
        }
        return;
      case 'cgweight':
        this.#whole(path, step.weight, 1, 10_000);
        return;
      case 'cgmax':
        this.#max(path, step.max);
        return;
      case 'sysrq':
        if (step.key !== 'S') this.#fail(`${path}.key`, `no sysrq ${step.key}`);
        return;
      case 'barrier':
        this.#whole(path, step.parties, 1);
    }
  }

  #event(path: string, event: TimedEvent): void {
    checkStep(`scenario: ${path}`, event);
    this.#whole(`${path}.atNs`, event.atNs, 0);
    if ('task' in event && event.task === 'self') this.#fail(path, 'an event is nobody: it has no self');
    this.#step(path, event);
  }

  #duration(path: string, duration: Duration): void {
    const fault = durationFault(duration);
    if (fault) this.#fail(path, fault);
  }

  #whole(path: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): void {
    if (Number.isSafeInteger(value) && value >= least && value <= most) return;
    const range = most === Number.MAX_SAFE_INTEGER ? `a whole number from ${least} on` : `from ${least} to ${most}`;
    this.#fail(path, `${value} is not ${range}`);
  }

  #policy(path: string, name: string, priority: number, deadline: boolean): void {
    if (!POLICY_NAMES.includes(name)) this.#fail(path, `policy ${name}`);
    if (name === 'fifo' || name === 'rr') this.#whole(`${path}.priority`, priority, 1, 99);
    else if (priority !== 0) this.#fail(`${path}.priority`, `policy ${name} has no priority`);
    if ((name === 'deadline') !== deadline) {
      this.#fail(path, deadline ? `policy ${name} has no deadline` : 'policy deadline wants its deadline');
    }
  }

  #deadline(path: string, { runtimeNs, deadlineNs, periodNs }: DeadlineParams): void {
    this.#whole(`${path}.runtimeNs`, runtimeNs, 1024);
    this.#whole(`${path}.deadlineNs`, deadlineNs, runtimeNs);
    this.#whole(`${path}.periodNs`, periodNs, deadlineNs);
  }

  #cpuList(path: string, cpus: readonly number[]): void {
    const wrong = cpus.find((cpu) => !(Number.isInteger(cpu) && cpu >= 0 && cpu < this.cpus));
    if (cpus.length === 0) this.#fail(path, 'no CPUs');
    if (wrong !== undefined) this.#fail(path, `no CPU ${wrong}`);
  }

  #cgroup(path: string, name: string): void {
    // Those above one are made with it.
    const isAbove = (other: string) => other.startsWith(`${name}/`);
    if (!this.#cgroups.has(name) && ![...this.#cgroups].some(isAbove)) this.#fail(path, `no cgroup ${name}`);
  }

  #max(path: string, { quotaNs, periodNs, burstNs }: CpuMaxNs): void {
    if (quotaNs !== Number.POSITIVE_INFINITY) this.#whole(`${path}.quotaNs`, quotaNs, 1_000_000);
    this.#whole(`${path}.periodNs`, periodNs, 1_000_000, 1_000_000_000);
    this.#whole(`${path}.burstNs`, burstNs, 0, quotaNs === Number.POSITIVE_INFINITY ? undefined : quotaNs);
    // cpu.max is written in us.
    for (const [name, ns] of Object.entries({ quotaNs, periodNs, burstNs }))
      if (Number.isFinite(ns) && ns % 1000 !== 0) this.#fail(`${path}.${name}`, `${ns} ns are no whole us`);
  }
}
