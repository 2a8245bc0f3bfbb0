import { InputError } from '../errors.js';
import { SCHED_POLICY, TASK_STATE } from '../kernel/model/task.js';
import type { TaskOptions } from '../kernel/model/tasks.js';
import { WF } from './flags.js';
import type { SimMachine } from './machine.js';
import type { PolicyName, SimStep, SimTasks } from './scenario.js';
import { BLOCK, type Program, SCHEDULE, type SimTask } from './sim_task.js';

export const POLICIES: Readonly<Record<PolicyName, number>> = {
  ext: SCHED_POLICY.EXT,
  other: SCHED_POLICY.NORMAL,
  batch: SCHED_POLICY.BATCH,
  idle: SCHED_POLICY.IDLE,
  fifo: SCHED_POLICY.FIFO,
  rr: SCHED_POLICY.RR,
};

/** System calls that take locks behind which grace periods pass. */
const SLEEPING: ReadonlySet<SimStep['verb']> = new Set<SimStep['verb']>([
  'mkcgroup',
  'rmcgroup',
  'cgweight',
  'cgroup',
  'cpu',
]);

class Pipe {
  bytes = 0;
  readonly readers: SimTask[] = [];
}

class Futex {
  set = false;
  readonly waiters: SimTask[] = [];
}

/** Tasks that do the steps of a scenario on a machine. */
export class Workload {
  /** What became of each name: a task, or -errno of the fork that failed. */
  readonly tasks = new Map<string, SimTask | number>();
  /** Called by a task that begins a step. */
  onStep: ((task: SimTask, step: number) => void) | null = null;
  /** Pids of tasks by name; the others get the next free ones. */
  pids: Readonly<Record<string, number>> = {};
  readonly #pipes = new Map<number, Pipe>();
  readonly #futexes = new Map<number, Futex>();

  constructor(
    private readonly machine: SimMachine,
    private readonly scripts: SimTasks,
  ) {
    for (const [name, steps] of Object.entries(scripts)) {
      for (const [at, step] of steps.entries()) this.#check(step, `${name}[${at}]`);
    }
  }

  /** Are all tasks that were born gone from every CPU? */
  get done(): boolean {
    for (const task of this.tasks.values()) if (typeof task !== 'number' && !task.dead) return false;
    return this.tasks.size > 0;
  }

  /** Makes the first task, as a child of nobody; `launch` makes it runnable. -errno if ops.init_task refuses it. */
  root(options: Partial<TaskOptions> = {}): SimTask | number {
    const name = Object.keys(this.scripts)[0];
    if (name === undefined) throw new InputError('scenario: no tasks');
    const pid = this.pids[name];
    const all = { comm: name, ...(pid !== undefined && { pid }), ...options };
    const task = this.machine.lives.spawn(name, all, (child) => this.#program(child));
    this.tasks.set(name, task);
    return task;
  }

  #check(step: SimStep, where: string): void {
    const known = (task: string) => {
      if (task !== 'self' && !(task in this.scripts)) throw new InputError(`scenario: ${where}: no task ${task}`);
    };
    if ('task' in step) known(step.task);
    if ('ns' in step && !(Number.isSafeInteger(step.ns) && step.ns >= 0)) {
      throw new InputError(`scenario: ${where}: ${step.ns} is no number of ns`);
    }
    if (step.verb === 'affinity') {
      const wrong = step.cpus.find((cpu) => !this.machine.cpus[cpu]);
      if (wrong !== undefined || step.cpus.length === 0)
        throw new InputError(`scenario: ${where}: no CPU ${wrong ?? ''}`);
    }
    if (step.verb === 'policy' && !(step.name in POLICIES))
      throw new InputError(`scenario: ${where}: policy ${step.name}`);
    if (step.verb === 'cpu' && !this.machine.cpus[step.cpu])
      throw new InputError(`scenario: ${where}: no CPU ${step.cpu}`);
  }

  /** Another task of the scenario, undefined before its fork and when it has been waited for. */
  #named(self: SimTask, name: string): SimTask | undefined {
    if (name === 'self') return self;
    const task = this.tasks.get(name);
    return typeof task === 'number' || !task?.kt.hashed ? undefined : task;
  }

  *#program(task: SimTask): Program {
    const { machine } = this;
    let cost = machine.costs.start;
    for (const [at, step] of this.scripts[task.name]!.entries()) {
      yield machine.toward(task, 'step', cost, true);
      if (at === 0) task.kt.comm = task.name;
      task.step = at;
      this.onStep?.(task, at);
      yield* this.#step(task, step);
      cost = step.verb === 'run' ? 0 : machine.costs.syscallReturn;
    }
    yield* machine.lives.exit(task, 0);
  }

  *#step(task: SimTask, step: SimStep): Program {
    const { machine } = this;
    const { costs } = machine;
    switch (step.verb) {
      case 'run':
        yield machine.toward(task, 'effect', step.ns, true);
        return;
      case 'sleep':
        return yield* this.#sleep(task, step.ns);
      case 'fork':
        return yield* this.#fork(task, step.task);
      case 'wait':
        return yield* machine.lives.wait(task);
      case 'exit':
        return yield* machine.lives.exit(task, step.status << 8);
      case 'read':
        return yield* this.#read(task, this.#pipe(step.pipe));
      case 'futexwait':
        return yield* this.#futexWait(task, this.#futex(step.word));
      case 'affinity':
        return yield* this.#affinity(task, step.task, step.cpus);
      case 'exec':
        yield machine.toward(task, 'effect', costs.syscall);
        machine.lives.exec(task);
        yield machine.toward(task, 'step', costs.exec);
        return;
      case 'yield':
        yield machine.toward(task, 'effect', costs.syscall);
        if (task.ext) machine.scx.pick.yieldTask(machine.here.rq);
        else machine.classes.yieldTask(machine.here, task);
        yield SCHEDULE;
        return;
      default:
        if (SLEEPING.has(step.verb)) yield* this.#sleepInKernel(task);
        yield machine.toward(task, 'effect', costs.syscall);
        this.#act(task, step);
        if (SLEEPING.has(step.verb)) yield* this.#sleepInKernel(task);
    }
  }

  #act(task: SimTask, step: SimStep): void {
    const { machine } = this;
    const { kernel, changes, scx } = machine;
    switch (step.verb) {
      case 'kill': {
        const target = this.#named(task, step.task);
        if (target) machine.signals.send(target, step.signal);
        return;
      }
      case 'nice': {
        const target = this.#named(task, step.task);
        if (target) changes.setNice(target, step.value);
        return;
      }
      case 'policy': {
        const target = this.#named(task, step.task);
        if (target) changes.setPolicy(target, POLICIES[step.name], step.priority);
        return;
      }
      case 'write': {
        const pipe = this.#pipe(step.pipe);
        pipe.bytes++;
        const reader = pipe.readers.shift();
        if (reader) machine.wakeups.wake(reader, WF.sync);
        return;
      }
      case 'futexwake': {
        const futex = this.#futex(step.word);
        futex.set = true;
        const waiter = futex.waiters.shift();
        if (waiter) machine.wakeups.wake(waiter);
        return;
      }
      case 'mkcgroup': {
        const cgroup = kernel.cgroups.create(kernel.cgroups.root, step.cgroup, { cpu: true });
        const err = scx.cgroups.online(cgroup);
        if (err !== 0) kernel.cgroups.remove(cgroup);
        return;
      }
      case 'rmcgroup': {
        const cgroup = kernel.cgroups.byPath(`/${step.cgroup}`);
        if (cgroup) kernel.cgroups.remove(cgroup);
        return;
      }
      case 'cgweight': {
        const cgroup = kernel.cgroups.byPath(`/${step.cgroup}`);
        if (cgroup) scx.cgroups.setWeight(cgroup, step.weight);
        return;
      }
      case 'cgroup': {
        const target = this.#named(task, step.task);
        const cgroup = kernel.cgroups.byPath(`/${step.cgroup}`);
        if (target && cgroup) changes.enterCgroup(target, cgroup);
        return;
      }
      case 'cpu': {
        const cpu = machine.cpus[step.cpu]!;
        if (step.online) machine.hotplug.online(cpu);
        else machine.hotplug.offline(cpu);
      }
    }
  }

  /** Locks and grace periods on the way. */
  *#sleepInKernel(task: SimTask): Program {
    const { machine } = this;
    while (machine.timing.sleeps(task)) {
      yield machine.toward(task, 'block', machine.costs.syscall);
      const end = machine.timing.timer(task, machine.costs.gracePeriod);
      task.kt.state = TASK_STATE.UNINTERRUPTIBLE;
      machine.at(end, () => machine.interrupt(machine.cpuOf(task), () => machine.wakeups.wake(task)));
      yield BLOCK;
    }
  }

  /** nanosleep(2); a signal that stops the task does not end it. */
  *#sleep(task: SimTask, ns: number): Program {
    const { machine } = this;
    let over = false;
    task.timer = machine.at(machine.timing.timer(task, ns), () => {
      machine.interrupt(machine.cpuOf(task), () => {
        over = true;
        machine.wakeups.wake(task);
      });
    });
    yield machine.toward(task, 'block', machine.costs.syscall);
    while (!over) {
      task.kt.state = TASK_STATE.INTERRUPTIBLE;
      yield BLOCK;
      if (machine.signals.pending(task)) yield machine.toward(task, 'step', 0, true);
    }
  }

  *#fork(task: SimTask, name: string): Program {
    const { machine } = this;
    yield machine.toward(task, 'fork', machine.costs.fork);
    const child = machine.lives.fork(task, name, (one) => this.#program(one), this.pids[name]);
    this.tasks.set(name, child);
    if (typeof child === 'number') return;
    yield machine.toward(task, 'fork-wake', machine.costs.forkWake);
    machine.wakeups.wakeNew(child);
  }

  *#affinity(task: SimTask, name: string, cpus: readonly number[]): Program {
    const { machine } = this;
    yield machine.toward(task, 'effect', machine.costs.syscall);
    const target = this.#named(task, name);
    const pending = target ? machine.changes.setCpus(target, cpus) : null;
    // The stopper of this CPU takes over at once.
    if (pending) yield machine.toward(task, 'step', 0);
    while (pending && !pending.done) {
      pending.waiter = task;
      task.kt.state = TASK_STATE.UNINTERRUPTIBLE;
      yield BLOCK;
    }
  }

  #pipe(number: number): Pipe {
    const pipe = this.#pipes.get(number) ?? new Pipe();
    this.#pipes.set(number, pipe);
    return pipe;
  }

  #futex(number: number): Futex {
    const futex = this.#futexes.get(number) ?? new Futex();
    this.#futexes.set(number, futex);
    return futex;
  }

  *#read(task: SimTask, pipe: Pipe): Program {
    const { machine } = this;
    yield machine.toward(task, 'block', machine.costs.syscall);
    while (pipe.bytes === 0) {
      pipe.readers.push(task);
      task.kt.state = TASK_STATE.INTERRUPTIBLE;
      yield BLOCK;
      if (machine.signals.pending(task)) yield machine.toward(task, 'step', 0, true);
    }
    pipe.bytes--;
  }

  *#futexWait(task: SimTask, futex: Futex): Program {
    const { machine } = this;
    yield machine.toward(task, 'block', machine.costs.syscall);
    while (!futex.set) {
      futex.waiters.push(task);
      task.kt.state = TASK_STATE.INTERRUPTIBLE;
      yield BLOCK;
      if (machine.signals.pending(task)) yield machine.toward(task, 'step', 0, true);
    }
    futex.set = false;
  }
}
