import { checkArgument } from '../../argument.js';
import { InputError } from '../../errors.js';
import type { PolicyName, Scenario, SimStep, TaskSpec } from '../../sim/index.js';
import { checkTarget, type LoadedWorkload, type WorkloadTarget } from '../target.js';
import type { RtAppAttributes, RtAppPhase, RtAppSched, RtAppSpec, RtAppTask } from './spec.js';
import { RtAppSteps } from './steps.js';

const US = 1000;
const DEFAULT_RT_PRIORITY = 10;

/** Makes tasks of threads. Throws InputError with the place of what the machine cannot do. */
export function compileRtApp(spec: RtAppSpec, target: WorkloadTarget): LoadedWorkload {
  checkArgument('compileRtApp: spec', spec, 'options');
  checkArgument('compileRtApp: tasks', spec.tasks, 'list');
  checkTarget('compileRtApp', target);
  const compiler = new Compiler(spec, target);
  const { seconds } = spec;
  return {
    scenario: compiler.scenario(),
    ...(seconds !== null && { durationNs: seconds * 1_000_000_000 }),
    notes: [...spec.notes, ...compiler.steps.notes],
  };
}

/** What is in force of a thread's attributes. */
interface Attributes {
  policy: PolicyName;
  nice: number;
  priority: number;
  deadline?: NonNullable<RtAppSched['deadline']>;
}

const ROOT = '/';
const groupName = (path: string): string => (path === ROOT ? path : path.slice(1));

class Compiler {
  readonly steps: RtAppSteps;
  readonly #forked: ReadonlySet<string>;

  constructor(
    private readonly spec: RtAppSpec,
    private readonly target: WorkloadTarget,
  ) {
    const events = spec.tasks.flatMap(({ phases }) => phases.flatMap((phase) => phase.events));
    this.#forked = new Set(events.flatMap((event) => (event.type === 'fork' ? [event.ref] : [])));
    this.steps = new RtAppSteps(spec.tasks, this.#forked);
  }

  scenario(): Scenario {
    const names = new Set<string>();
    const tasks = this.spec.tasks.flatMap((task) => this.#task(task));
    for (const task of this.spec.tasks) {
      for (let at = 0; at < (task.instances > 1 ? task.instances : 0); at++) names.add(`${task.name}-${at}`);
    }
    const clash = tasks.find(({ name }) => names.has(name));
    if (clash) throw new InputError(`rt-app: tasks.${clash.name}: an instance of another thread is called so, too`);
    const paths = this.spec.tasks.flatMap((task) => [task, ...task.phases].flatMap(({ taskgroup }) => taskgroup ?? []));
    const cgroups = [...new Set(paths)].filter((path) => path !== ROOT).map((path) => ({ name: groupName(path) }));
    return { tasks, ...(cgroups.length > 0 && { cgroups }) };
  }

  /** A thread that is there from the beginning, and one that is forked: both, if it is both. */
  #task(task: RtAppTask): TaskSpec[] {
    const { name, instances, taskgroup, phases } = task;
    const initial = this.#sched(task.sched!, { policy: 'other', nice: 0, priority: 0 });
    const cpus = phases.map((phase) => this.#cpus(phase) ?? this.#cpus(task));
    const forked = this.#forked.has(name);
    const body = this.#body(task, initial, cpus);
    const all: TaskSpec[] = [];
    if (instances > 0) {
      const { policy, nice, priority, deadline } = initial;
      const group = taskgroup === undefined || taskgroup === ROOT ? {} : { cgroup: groupName(taskgroup) };
      all.push({
        name,
        ...(instances > 1 && { copies: instances }),
        steps: [...this.steps.begin(task, false), ...body],
        startNs: 0,
        policy,
        ...(nice !== 0 && { nice }),
        ...(priority !== 0 && { priority }),
        ...(deadline && { deadline: deadlineNs(deadline) }),
        ...(cpus[0] && { cpus: cpus[0] }),
        ...group,
      });
    }
    if (forked) {
      // A child has what its parent has, until it changes that.
      const changes = [...policySteps(initial), ...groupSteps(task), ...(cpus[0] ? [affinity(cpus[0])] : [])];
      const steps = [...this.steps.begin(task, true), ...changes, ...body];
      all.push({ name: this.steps.forkName(name), comm: name, group: name, steps });
    }
    return all;
  }

  #body(task: RtAppTask, initial: Attributes, cpus: readonly (readonly number[] | undefined)[]): SimStep[] {
    const steps: SimStep[] = [];
    const last = task.phases.length - 1;
    let now = initial;
    for (const [at, phase] of task.phases.entries()) {
      const before = cpus[at === 0 ? last : at - 1];
      if (`${before}` !== `${cpus[at]}` && (at > 0 || task.loop > 1))
        steps.push(affinity(cpus[at] ?? this.#everywhere()));
      if (phase.sched) {
        now = this.#sched(phase.sched, now);
        steps.push(...policySteps(now));
      }
      steps.push(...groupSteps(phase));
      steps.push(...this.#phase(task, phase));
    }
    if (task.loop === 1) return steps;
    return [{ verb: 'repeat', times: task.loop, steps }];
  }

  #phase(task: RtAppTask, phase: RtAppPhase): SimStep[] {
    const steps = this.steps.events(task, phase);
    return phase.loop === 1 ? steps : [{ verb: 'repeat', times: phase.loop, steps }];
  }

  // ---- Attributes

  #everywhere(): number[] {
    return Array.from({ length: this.target.cpus }, (_, cpu) => cpu);
  }

  #cpus({ cpus, ...rest }: RtAppAttributes & { place: string }): readonly number[] | undefined {
    const wrong = cpus?.find((cpu) => cpu >= this.target.cpus);
    if (wrong === undefined) return cpus;
    throw new InputError(`rt-app: ${rest.place}: cpus: no CPU ${wrong} on a machine with ${this.target.cpus}`);
  }

  /** set_thread_param(): the priority of SCHED_OTHER and the like is a nice value. */
  #sched(sched: RtAppSched, now: Attributes): Attributes {
    const { place, policy = now.policy, priority, deadline = now.deadline } = sched;
    const named = sched.policy !== undefined;
    const fail = (what: string): never => {
      throw new InputError(`rt-app: ${place}: ${what}`);
    };
    if (policy === 'deadline') {
      if (!deadline) return fail('SCHED_DEADLINE wants dl-runtime');
      const { runtimeUs, deadlineUs, periodUs } = deadline;
      if (runtimeUs > deadlineUs || deadlineUs > periodUs) {
        fail(`runtime ${runtimeUs}, deadline ${deadlineUs} and period ${periodUs} do not rise`);
      }
      return { policy, nice: 0, priority: 0, deadline };
    }
    if (policy === 'fifo' || policy === 'rr') {
      const value = priority ?? (named ? DEFAULT_RT_PRIORITY : now.priority);
      return value >= 1 ? { policy, nice: now.nice, priority: value } : fail(`priority ${value} is not from 1 to 99`);
    }
    const nice = priority ?? (named ? 0 : now.nice);
    return nice <= 19 ? { policy, nice, priority: 0 } : fail(`priority ${nice} is no nice value (-20 to 19)`);
  }
}

function deadlineNs({ runtimeUs, deadlineUs, periodUs }: NonNullable<RtAppSched['deadline']>) {
  return { runtimeNs: runtimeUs * US, deadlineNs: deadlineUs * US, periodNs: periodUs * US };
}

function policySteps({ policy, nice, priority, deadline }: Attributes): SimStep[] {
  const set: SimStep = {
    verb: 'policy',
    task: 'self',
    name: policy,
    priority,
    ...(policy === 'deadline' && deadline && { deadline: deadlineNs(deadline) }),
  };
  const fair = policy !== 'fifo' && policy !== 'rr' && policy !== 'deadline';
  return fair ? [set, { verb: 'nice', task: 'self', value: nice }] : [set];
}

function groupSteps({ taskgroup }: RtAppAttributes): SimStep[] {
  return taskgroup === undefined ? [] : [{ verb: 'cgroup', task: 'self', cgroup: groupName(taskgroup) }];
}

const affinity = (cpus: readonly number[]): SimStep => ({ verb: 'affinity', task: 'self', cpus });
