import { SCHED_POLICY, TASK_STATE } from '../kernel/model/task.js';
import type { TaskOptions } from '../kernel/model/tasks.js';
import { utf8Length } from '../kernel/name.js';
import { Random } from '../kernel/random.js';
import { Actor, type Stage } from './actor.js';
import { DeadlineEntity } from './deadline.js';
import { draw } from './duration.js';
import { WF } from './flags.js';
import type { HotplugChange } from './hotplug.js';
import type { SimMachine } from './machine.js';
import type { CgroupSpec, EventStep, PolicyName, Scenario, SimTasks, TaskSpec } from './scenario.js';
import { checkScenario, MAX_TASKS } from './scenario_check.js';
import { type FlatStep, flatten } from './script.js';
import { BLOCK, type Program, type SimTask } from './sim_task.js';
import { Futex, Gate, Mutex, Pipe, type Waitable } from './sync.js';
import { WorkloadError } from './workload_error.js';

export const POLICIES: Readonly<Record<PolicyName, number>> = {
  ext: SCHED_POLICY.EXT,
  other: SCHED_POLICY.NORMAL,
  batch: SCHED_POLICY.BATCH,
  idle: SCHED_POLICY.IDLE,
  fifo: SCHED_POLICY.FIFO,
  rr: SCHED_POLICY.RR,
  deadline: SCHED_POLICY.DEADLINE,
};

/** System calls that take locks behind which grace periods pass. */
const SLEEPING: ReadonlySet<FlatStep['verb']> = new Set<FlatStep['verb']>([
  'mkcgroup',
  'rmcgroup',
  'cgweight',
  'cgidle',
  'cgmax',
  'cgroup',
]);

const COMM_BYTES = 15;
const US = 1000;

/** A task of the scenario before it is born: what it does, and what it is. */
interface Role {
  readonly spec: TaskSpec;
  readonly script: readonly FlatStep[];
  /** Of its random numbers: the same whatever else runs. */
  readonly seed: number;
  births: number;
}

/** Tasks that do the steps of a scenario on a machine. */
export class Workload implements Stage {
  /** What became of each name: a task, or -errno of the fork that failed. */
  readonly tasks = new Map<string, SimTask | number>();
  /** Called by a task that begins a step. */
  onStep: ((task: SimTask, step: number) => void) | null = null;
  /** Called with each task that is born, before it is woken. */
  onBorn: ((task: SimTask, spec: TaskSpec) => void) | null = null;
  /** Pids of tasks by name; the others get the next free ones. */
  pids: Readonly<Record<string, number>> = {};
  readonly #roles = new Map<string, Role>();
  readonly #waitables = new Map<string, Waitable>();
  readonly #cgroups: readonly CgroupSpec[];
  readonly #events: NonNullable<Scenario['events']>;
  readonly #forked = new Set<string>();
  readonly timers = new Map<string, number>();
  /** Tasks that live, and those that are still to be started. */
  #alive = 0;
  #due = 0;

  /** Throws InputError for a scenario that names what is not there, with the path to it. */
  constructor(
    readonly machine: SimMachine,
    scenario: Scenario | SimTasks,
    private readonly seed = 1,
  ) {
    const { tasks, cgroups = [], events = [] } = isScenario(scenario) ? scenario : { tasks: specsOf(scenario) };
    this.#cgroups = cgroups;
    this.#events = events;
    checkScenario({ tasks, cgroups, events }, machine.cpus.length);
    for (const step of events) if (step.verb === 'cpu') machine.kthreads.hotplugger(machine.cpus[step.cpu]!);
    for (const [at, spec] of tasks.entries()) {
      const { repeat = 1 } = spec;
      const steps = repeat === 1 ? spec.steps : [{ verb: 'repeat' as const, times: repeat, steps: spec.steps }];
      const script = flatten(steps);
      for (const step of script) if (step.verb === 'cpu') machine.kthreads.hotplugger(machine.cpus[step.cpu]!);
      for (const step of script) if (step.verb === 'fork') this.#forked.add(step.task);
      const { copies = 1 } = spec;
      for (let copy = 0; copy < copies; copy++) {
        const name = copies === 1 ? spec.name : `${spec.name}-${copy}`;
        this.#roles.set(name, { spec, script, seed: mix(mix(seed, at), copy), births: 0 });
      }
    }
  }

  /** Are all tasks that were born gone from every CPU, and all born that are to be? */
  get done(): boolean {
    if (this.#due > 0) return false;
    if (this.#alive > 0) return false;
    return this.tasks.size > 0;
  }

  /** Makes the first task, as a child of nobody; `launch` makes it runnable. -errno if ops.init_task refuses it. */
  root(options: Partial<TaskOptions> = {}): SimTask | number {
    const [name] = this.#roles.keys();
    if (name === undefined) throw new WorkloadError('scenario: no tasks');
    return this.#spawn(name, options);
  }

  /** Makes the scenario's cgroups, and has its tasks and events come at their times. */
  start(): void {
    const { machine } = this;
    for (const spec of this.#cgroups) this.#makeCgroup(spec);
    for (const [name, role] of this.#roles) {
      const { startNs } = role.spec;
      if (startNs === undefined && this.#forked.has(role.spec.name)) continue;
      this.#due++;
      machine.at(machine.now + draw(startNs ?? 0, new Random(mix(role.seed, -1))), () => {
        this.#due--;
        machine.interrupt(machine.firstCpu, () => {
          const task = this.#spawn(name);
          if (typeof task !== 'number') machine.wakeups.wakeNew(task);
        });
      });
    }
    if (this.#due === 0) throw new WorkloadError('scenario: tasks: none begins: each is forked by one of them');
    for (const { atNs, ...step } of this.#events) {
      machine.at(machine.now + atNs, () => machine.interrupt(machine.firstCpu, () => this.#happen(step as EventStep)));
    }
  }

  #makeCgroup({ name, weight, idle, max }: CgroupSpec): void {
    const { cgroups } = this.machine.kernel;
    let parent = cgroups.root;
    for (const part of name.split('/')) {
      const found = parent.child(part);
      const cgroup = found ?? cgroups.create(parent, part, { cpu: true });
      const err = found ? 0 : this.machine.scx.cgroups.online(cgroup);
      if (err !== 0) throw new WorkloadError(`scenario: cgroup ${name}: ops.cgroup_init() failed (${err})`);
      if (!found) this.machine.tracepoints.cgroupMade(cgroup);
      parent = cgroup;
    }
    const cgroup = parent;
    if (weight !== undefined) this.machine.scx.cgroups.setWeight(cgroup, weight);
    if (idle) this.machine.scx.cgroups.setIdle(cgroup, idle);
    if (max !== undefined) this.#setMax(name, max);
  }

  /** Tasks may be called like members that every object has. */
  #pidOf(name: string): number | undefined {
    return Object.hasOwn(this.pids, name) ? this.pids[name] : undefined;
  }

  #spawn(name: string, options: Partial<TaskOptions> = {}): SimTask | number {
    const role = this.#roles.get(name)!;
    const { spec } = role;
    const pid = this.#pidOf(name);
    const cgroup = spec.cgroup === undefined ? undefined : this.machine.kernel.cgroups.byPath(`/${spec.cgroup}`);
    const all: TaskOptions = {
      comm: commOf(spec),
      cpu: spec.cpu ?? spec.cpus?.[0] ?? this.machine.here.id,
      ...(pid !== undefined && { pid }),
      ...(spec.policy !== undefined && { policy: POLICIES[spec.policy] }),
      ...(spec.priority !== undefined && { rtPriority: spec.priority }),
      ...(spec.nice !== undefined && { nice: spec.nice }),
      ...(spec.cpus !== undefined && { cpus: spec.cpus }),
      ...(spec.kthread !== undefined && { kthread: spec.kthread }),
      ...(cgroup && { cgroup }),
      ...options,
    };
    const task = this.machine.lives.spawn(name, all, (child) => this.#actor(child));
    return this.#born(name, role, task);
  }

  #actor(task: SimTask): Actor {
    const { script, spec } = this.#roles.get(task.name)!;
    return new Actor(this, task, script, commOf(spec));
  }

  #born(name: string, role: Role, task: SimTask | number): SimTask | number {
    this.tasks.set(name, task);
    if (typeof task === 'number') return task;
    if (++this.#alive > MAX_TASKS)
      throw new WorkloadError(`scenario: more than ${MAX_TASKS} tasks at a time (the last: ${name})`);
    const births = role.births++;
    if (births > 0) task.seed = mix(role.seed, births);
    else task.seed = role.seed;
    task.onDead = this.#dead;
    if (role.spec.deadline) task.deadline = new DeadlineEntity(role.spec.deadline);
    this.onBorn?.(task, role.spec);
    return task;
  }

  readonly #dead = (): void => {
    this.#alive--;
  };

  random(task: SimTask): Random {
    task.random ??= new Random(task.seed);
    return task.random;
  }

  /** Another task of the scenario, undefined before its fork and when it has been waited for. */
  #named(self: SimTask | null, name: string): SimTask | undefined {
    if (name === 'self') return self ?? undefined;
    const task = this.tasks.get(name);
    return typeof task === 'number' || !task?.kt.hashed ? undefined : task;
  }

  /** What it is called in steps names one task, or all copies of one. */
  #each(self: SimTask | null, name: string, body: (task: SimTask) => void): void {
    const one = this.#named(self, name);
    if (one) {
      body(one);
      return;
    }
    for (let copy = 0; this.#roles.has(`${name}-${copy}`); copy++) {
      const task = this.#named(self, `${name}-${copy}`);
      if (task) body(task);
    }
  }

  // ---- What steps sleep for

  waitable(step: FlatStep): Waitable {
    switch (step.verb) {
      case 'read':
        return this.#pipe(step.pipe);
      case 'futexwait':
        return this.#futex(step.word);
      case 'lock':
        return this.#mutex(step.mutex);
      case 'suspend':
        return this.#gate(`point ${step.point}`);
      default:
        throw new WorkloadError(`scenario: ${step.verb} waits for nothing`);
    }
  }

  #shared<T extends Waitable>(key: string, make: new () => T): T {
    let found = this.#waitables.get(key) as T | undefined;
    if (!found) {
      found = new make();
      this.#waitables.set(key, found);
    }
    return found;
  }

  #pipe(name: number | string): Pipe {
    return this.#shared(`pipe ${name}`, Pipe);
  }

  #futex(name: number | string): Futex {
    return this.#shared(`word ${name}`, Futex);
  }

  #mutex(name: string): Mutex {
    return this.#shared(`mutex ${name}`, Mutex);
  }

  #gate(key: string): Gate {
    return this.#shared(key, Gate);
  }

  #unlock(task: SimTask, name: string): void {
    const mutex = this.#mutex(name);
    if (mutex.owner !== task) return;
    mutex.owner = null;
    const next = mutex.shift();
    if (next) this.machine.wakeups.wake(next);
  }

  // ---- Steps of one point

  act(task: SimTask, step: FlatStep): void {
    const { machine } = this;
    switch (step.verb) {
      case 'write': {
        const pipe = this.#pipe(step.pipe);
        pipe.bytes++;
        pipe.wakeOne((reader) => machine.wakeups.wake(reader, step.sync === false ? 0 : WF.sync));
        return;
      }
      case 'futexwake': {
        const futex = this.#futex(step.word);
        futex.set = true;
        const waiter = futex.shift();
        if (waiter) machine.wakeups.wake(waiter, step.sync ? WF.sync : 0);
        return;
      }
      case 'unlock':
        this.#unlock(task, step.mutex);
        return;
      case 'signal': {
        const waiter = this.#gate(`cond ${step.cond}`).release();
        if (waiter) machine.wakeups.wake(waiter, step.sync ? WF.sync : 0);
        return;
      }
      case 'broadcast':
        this.#releaseAll(this.#gate(`cond ${step.cond}`), step.sync ? WF.sync : 0);
        return;
      case 'resume':
        this.#releaseAll(this.#gate(`point ${step.point}`), 0);
        return;
      default:
        this.#change(task, step);
    }
  }

  #releaseAll(gate: Gate, flags: number): void {
    for (let left = gate.waiting; left > 0; left--) {
      const waiter = gate.release();
      if (waiter) this.machine.wakeups.wake(waiter, flags);
    }
  }

  /** An event that no task brings about. */
  #happen(step: EventStep): void {
    if (step.verb === 'affinity') {
      this.#each(null, step.task, (task) => this.machine.changes.setCpus(task, step.cpus));
    } else this.#change(null, step);
  }

  /** Changes of tasks, cgroups and CPUs. */
  #change(task: SimTask | null, step: FlatStep): void {
    const { machine } = this;
    const { kernel, changes, scx } = machine;
    switch (step.verb) {
      case 'kill':
        this.#each(task, step.task, (target) => machine.signals.send(target, step.signal));
        return;
      case 'nice':
        this.#each(task, step.task, (target) => changes.setNice(target, step.value));
        return;
      case 'policy':
        this.#each(task, step.task, (target) =>
          changes.setPolicy(target, POLICIES[step.name], step.priority, step.deadline),
        );
        return;
      case 'mkcgroup': {
        const cgroup = kernel.cgroups.create(kernel.cgroups.root, step.cgroup, { cpu: true });
        const err = scx.cgroups.online(cgroup);
        if (err !== 0) kernel.cgroups.remove(cgroup);
        else machine.tracepoints.cgroupMade(cgroup);
        return;
      }
      case 'rmcgroup': {
        const cgroup = kernel.cgroups.byPath(`/${step.cgroup}`);
        if (cgroup) kernel.cgroups.remove(cgroup);
        return;
      }
      case 'cgweight': {
        const cgroup = kernel.cgroups.byPath(`/${step.cgroup}`);
        // sched_group_set_shares(): EINVAL
        if (cgroup && !cgroup.cpuIdle) scx.cgroups.setWeight(cgroup, step.weight);
        return;
      }
      case 'cgidle': {
        const cgroup = kernel.cgroups.byPath(`/${step.cgroup}`);
        if (cgroup) scx.cgroups.setIdle(cgroup, step.idle);
        return;
      }
      case 'cgmax':
        this.#setMax(step.cgroup, step.max);
        return;
      case 'cgroup': {
        const cgroup = kernel.cgroups.byPath(`/${step.cgroup}`);
        if (cgroup) this.#each(task, step.task, (target) => changes.enterCgroup(target, cgroup));
        return;
      }
      case 'cpu': {
        machine.hotplug.change(machine.cpus[step.cpu]!, step.online);
        return;
      }
      case 's2idle':
      case 'deep':
        machine.systemSleep.suspend(step.ns, step.verb);
        return;
      case 'sysrq':
        scx.disabling.sysrq();
    }
  }

  #setMax(name: string, { quotaNs, periodNs, burstNs }: NonNullable<CgroupSpec['max']>): void {
    const cgroup = this.machine.kernel.cgroups.byPath(`/${name}`);
    const max = { quotaUs: quotaNs / US, periodUs: periodNs / US, burstUs: burstNs / US };
    if (!cgroup) return;
    this.machine.scx.cgroups.setBandwidth(cgroup, max);
    this.machine.classes.setBandwidth(cgroup);
  }

  // ---- Steps of several points

  program(task: SimTask, step: FlatStep): Program | undefined {
    const { lives } = this.machine;
    switch (step.verb) {
      case 'fork':
        return this.#fork(task, step.task);
      case 'wait':
        return this.#wait(task, step.task);
      case 'exit':
        return lives.exit(task, step.status << 8);
      case 'exec':
        return this.#exec(task);
      case 'affinity':
        return this.#affinity(task, step.task, step.cpus);
      case 'cpu':
        return this.#cpu(task, step.cpu, step.online);
      case 'condwait':
        return this.#condWait(task, step.cond, step.mutex);
      case 'barrier':
        return this.#barrier(task, step.barrier, step.parties);
      default:
        return SLEEPING.has(step.verb) ? this.#sleeping(task, step) : undefined;
    }
  }

  /** A child that has been waited for, or never was, is waited for no longer than a system call takes (ECHILD). */
  #wait(task: SimTask, name: string | undefined): Program | undefined {
    const { lives } = this.machine;
    if (name === undefined) return lives.wait(task);
    const child = this.tasks.get(name);
    return child === undefined || typeof child === 'number' ? undefined : lives.wait(task, child);
  }

  *#exec(task: SimTask): Program {
    const { machine } = this;
    yield* machine.lives.sleepInKernel(task);
    yield machine.toward(task, 'effect', machine.costs.syscall);
    machine.lives.exec(task);
    yield* machine.lives.sleepInKernel(task);
    yield machine.toward(task, 'step', machine.costs.exec);
  }

  *#sleeping(task: SimTask, step: FlatStep): Program {
    const { machine } = this;
    yield* machine.lives.sleepInKernel(task);
    yield machine.toward(task, 'effect', machine.costs.syscall);
    if (step.verb === 'cgroup') yield* this.#enterCgroup(task, step.task, step.cgroup);
    else this.#change(task, step);
    yield* machine.lives.sleepInKernel(task);
  }

  /** A write to cgroup.procs: between the two halves the writer may lose its CPU. */
  *#enterCgroup(task: SimTask, name: string, path: string): Program {
    const { changes, costs, kernel } = this.machine;
    const cgroup = kernel.cgroups.byPath(`/${path}`);
    const targets: SimTask[] = [];
    if (cgroup) this.#each(task, name, (target) => targets.push(target));
    for (const target of targets) {
      if (!changes.staysIn(target, cgroup!)) {
        if (!changes.prepareMove(target, cgroup!)) continue;
        yield this.machine.toward(task, 'cgroup-move', costs.cgroupMove);
        changes.moveTo(target, cgroup!);
      }
      if (!target.dead) this.machine.tracepoints.attached(cgroup!, target.scx);
    }
  }

  /** A write to a CPU's file "online" in /sys. */
  *#cpu(task: SimTask, id: number, online: boolean): Program {
    const { machine } = this;
    yield* machine.lives.sleepInKernel(task);
    yield machine.toward(task, 'block', machine.costs.syscall);
    const change = machine.hotplug.change(machine.cpus[id]!, online, true);
    while (!change.done) {
      change.waiter = task;
      task.kt.state = TASK_STATE.UNINTERRUPTIBLE;
      yield BLOCK;
    }
    change.waiter = null;
    yield* machine.lives.sleepInKernel(task);
    if (change.goesDown) yield* this.#takeDown(task, change);
    machine.hotplug.unlock(change);
  }

  /** What the caller does itself when the CPU's thread is through. */
  *#takeDown(task: SimTask, change: HotplugChange): Program {
    const { machine } = this;
    yield machine.toward(task, 'stop-machine', machine.costs.syscall);
    machine.hotplug.takeDown(change);
    yield machine.toward(task, 'effect', 0);
    if (!change.gone) yield machine.toward(task, 'block', 0);
    while (!change.gone) {
      change.waiter = task;
      task.kt.state = TASK_STATE.UNINTERRUPTIBLE;
      yield BLOCK;
    }
    yield* machine.lives.sleepInKernel(task);
  }

  *#waitFor(task: SimTask, waitable: Waitable): Program {
    const { machine } = this;
    while (!waitable.take(task)) {
      waitable.add(task);
      task.kt.state = waitable.state;
      yield BLOCK;
      waitable.leave(task);
      if (machine.signals.pending(task)) yield machine.toward(task, 'step', 0, true);
    }
  }

  *#condWait(task: SimTask, cond: string, mutex: string): Program {
    const { machine } = this;
    yield machine.toward(task, 'block', machine.costs.syscall);
    const gate = this.#gate(`cond ${cond}`);
    gate.add(task);
    this.#unlock(task, mutex);
    yield* this.#waitFor(task, gate);
    yield* this.#waitFor(task, this.#mutex(mutex));
  }

  *#barrier(task: SimTask, name: string, parties: number): Program {
    const { machine } = this;
    yield machine.toward(task, 'block', machine.costs.syscall);
    const gate = this.#gate(`barrier ${name}`);
    if (gate.waiting + 1 >= parties) this.#releaseAll(gate, 0);
    else yield* this.#waitFor(task, gate);
  }

  *#fork(task: SimTask, name: string): Program {
    const { machine } = this;
    const cls = machine.lives.classOfChild(task);
    yield machine.toward(task, 'fork', machine.costs.fork);
    const role = this.#roles.get(name)!;
    const forked = machine.lives.fork(task, name, (one) => this.#actor(one), this.#pidOf(name), cls);
    const child = this.#born(name, role, forked);
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
    if (pending && !pending.done) yield machine.toward(task, 'block', 0);
    while (pending && !pending.done) {
      pending.waiter = task;
      task.kt.state = TASK_STATE.UNINTERRUPTIBLE;
      yield BLOCK;
    }
  }
}

function isScenario(scenario: Scenario | SimTasks): scenario is Scenario {
  const { tasks } = scenario as Scenario;
  return Array.isArray(tasks) && tasks.every((task) => typeof task === 'object' && 'steps' in task && 'name' in task);
}

/** Tasks by name, of which the first forks the others. */
function specsOf(tasks: SimTasks): TaskSpec[] {
  return Object.entries(tasks).map(([name, steps]) => ({ name, steps }));
}

/** As much of a name as task_struct has room for. */
function commOf({ name, comm: wanted = name }: TaskSpec): string {
  let comm = wanted.slice(0, COMM_BYTES);
  while (utf8Length(comm) > COMM_BYTES) comm = comm.slice(0, -1);
  return comm;
}

/** Seeds of different things that have nothing to do with each other. */
function mix(seed: number, what: number): number {
  let z = Math.imul(seed ^ Math.imul(what + 1, 0x9e3779b9), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 15), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}
