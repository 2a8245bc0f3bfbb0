import { checkArgument } from '../argument.js';
import { within } from '../errors.js';
import type { Duration } from './duration.js';
import { JsonValue } from './json_path.js';
import { loneWake } from './lone_names.js';
import type {
  CgroupSpec,
  CpuMaxNs,
  DeadlineParams,
  EventStep,
  PolicyName,
  Scenario,
  SimStep,
  SysrqKey,
  TaskSpec,
  TimedEvent,
} from './scenario.js';

// The scenario form in JSON, docs/sim.md: each step is an object whose one key is what is done. Everything that is not known
// is named with its path.

const POLICY_NAMES: readonly PolicyName[] = ['ext', 'other', 'batch', 'idle', 'fifo', 'rr', 'deadline'];
const SYSRQ_KEYS: readonly SysrqKey[] = ['S'];
const SIGNALS: Readonly<Record<string, number>> = { kill: 9, cont: 18, stop: 19 };

/** Throws InputError: one line with the path of what is wrong. */
export function parseScenario(text: string): Scenario {
  checkArgument('parseScenario: text', text, 'text');
  return within('workload', () => {
    const members = JsonValue.parse(text).object(['name', 'cgroups', 'tasks', 'events']);
    const tasks = members.get('tasks') ?? new JsonValue(undefined, 'tasks').fail('is wanted: a list of tasks');
    const name = members.get('name')?.string();
    const cgroups = members.get('cgroups')?.list().map(cgroupOf);
    const events = members.get('events')?.list().map(eventOf);
    const list = tasks.list().map(taskOf);
    const lone = loneWake(list);
    if (lone) new JsonValue(undefined, lone.path).fail(lone.what);
    return {
      ...(name !== undefined && { name }),
      ...(cgroups && { cgroups }),
      tasks: list,
      ...(events && { events }),
    };
  });
}

const TASK_KEYS = [
  'name',
  'comm',
  'copies',
  'cpu',
  'steps',
  'repeat',
  'start',
  'policy',
  'priority',
  'deadline',
  'nice',
  'cpus',
  'cgroup',
];

function taskOf(value: JsonValue): TaskSpec {
  const members = value.object([...TASK_KEYS, 'kthread', 'group']);
  const name = members.get('name')?.string() ?? value.fail('has no name');
  const steps = members.get('steps')?.list().map(stepOf) ?? value.fail('has no steps');
  const deadline = members.get('deadline');
  const repeat = members.get('repeat');
  const start = members.get('start');
  const optional = {
    comm: members.get('comm')?.string(),
    copies: members.get('copies')?.whole(1),
    cpu: members.get('cpu')?.whole(0),
    repeat: repeat && timesOf(repeat, steps),
    startNs: start && durationOf(start),
    policy: members.get('policy')?.oneOf(POLICY_NAMES),
    priority: members.get('priority')?.whole(1, 99),
    deadline: deadline && deadlineOf(deadline),
    nice: members.get('nice')?.whole(-20, 19),
    cpus: members
      .get('cpus')
      ?.list()
      .map((cpu) => cpu.whole(0)),
    cgroup: members.get('cgroup')?.string(),
    kthread: members.get('kthread')?.boolean(),
    group: members.get('group')?.string(),
  };
  return { name, steps, ...defined(optional) };
}

/** Without the members that are undefined. */
function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}

function timesOf(value: JsonValue, steps: readonly SimStep[]): number {
  if (value.value !== 'forever') return value.whole(0);
  return steps.length > 0
    ? Number.POSITIVE_INFINITY
    : value.fail('a loop without steps takes no time: it would have no end');
}

/** `3ms`, ns, `{"uniform": [a, b]}`, `{"exponential": mean}`, `{"normal": [mean, deviation]}`. */
function durationOf(value: JsonValue): Duration {
  if (value.keys.length === 0) return value.time();
  const [[kind, of]] = [...value.object(['uniform', 'exponential', 'normal'])] as [[string, JsonValue]];
  if (value.keys.length > 1) value.fail('wants one of uniform, exponential, normal');
  if (kind === 'exponential') return { exponential: of.time() };
  const numbers = of.list().map((part) => part.time());
  if (numbers.length !== 2) of.fail('wants two times');
  const pair = numbers as [number, number];
  if (kind === 'normal') return { normal: pair };
  if (pair[0] > pair[1]) of.fail('wants the lower end first');
  return { uniform: pair };
}

function deadlineOf(value: JsonValue): DeadlineParams {
  const members = value.object(['runtime', 'deadline', 'period']);
  const time = (name: string) => members.get(name)?.time();
  const runtimeNs = time('runtime') ?? value.fail('has no runtime');
  const periodNs = time('period') ?? value.fail('has no period');
  return { runtimeNs, deadlineNs: time('deadline') ?? periodNs, periodNs };
}

/** cpu.max: `{"quota": "20ms", "period": "100ms", "burst": "0ms"}`; a quota of `max` is none. */
function maxOf(value: JsonValue): CpuMaxNs {
  const members = value.object(['quota', 'period', 'burst']);
  const quota = members.get('quota') ?? value.fail('has no quota');
  return {
    quotaNs: quota.value === 'max' ? Number.POSITIVE_INFINITY : quota.time(),
    periodNs: members.get('period')?.time() ?? 100_000_000,
    burstNs: members.get('burst')?.time() ?? 0,
  };
}

function cgroupOf(value: JsonValue): CgroupSpec {
  const members = value.object(['name', 'weight', 'idle', 'max']);
  const max = members.get('max');
  const name = members.get('name')?.string() ?? value.fail('has no name');
  const optional = {
    weight: members.get('weight')?.whole(1, 10_000),
    idle: members.get('idle')?.boolean(),
    max: max && maxOf(max),
  };
  return { name, ...defined(optional) };
}

type Members = ReadonlyMap<string, JsonValue>;
type Reader<T> = (value: JsonValue, members: Members) => T;

const task = (members: Members) => members.get('task')?.string() ?? 'self';
const cpusOf = (value: JsonValue) => value.list().map((cpu) => cpu.whole(0));
const nameOf = (value: JsonValue) => (typeof value.value === 'number' ? value.whole(0) : value.string());

/** Members besides the key that names the step. */
const MORE: Readonly<Record<string, readonly string[]>> = {
  nice: ['task'],
  affinity: ['task'],
  policy: ['task', 'priority', 'deadline'],
  cgroup: ['task'],
  weight: ['cgroup'],
  idle: ['cgroup'],
  max: ['cgroup'],
  wake: ['sync'],
  signal: ['sync'],
  broadcast: ['sync'],
  timer: ['period', 'absolute', 'shared'],
  write: ['sync'],
  wait_cond: ['mutex'],
  barrier: ['parties'],
  repeat: ['steps'],
};

function need(members: Members, name: string, of: JsonValue): JsonValue {
  return members.get(name) ?? of.fail(`wants ${name}, too`);
}

/** Steps that events may be, too. */
const CHANGES: Readonly<Record<string, Reader<EventStep>>> = {
  kill: (value) => ({ verb: 'kill', task: value.string(), signal: SIGNALS.kill! }),
  stop: (value) => ({ verb: 'kill', task: value.string(), signal: SIGNALS.stop! }),
  cont: (value) => ({ verb: 'kill', task: value.string(), signal: SIGNALS.cont! }),
  nice: (value, members) => ({ verb: 'nice', task: task(members), value: value.whole(-20, 19) }),
  affinity: (value, members) => ({ verb: 'affinity', task: task(members), cpus: cpusOf(value) }),
  policy: (value, members) => {
    const deadline = members.get('deadline');
    const priority = members.get('priority')?.whole(1, 99) ?? 0;
    const step = { verb: 'policy' as const, task: task(members), name: value.oneOf(POLICY_NAMES), priority };
    return { ...step, ...(deadline && { deadline: deadlineOf(deadline) }) };
  },
  cgroup: (value, members) => ({ verb: 'cgroup', task: task(members), cgroup: value.string() }),
  weight: (value, members) => ({
    verb: 'cgweight',
    cgroup: need(members, 'cgroup', value).string(),
    weight: value.whole(1, 10_000),
  }),
  idle: (value, members) => ({
    verb: 'cgidle',
    cgroup: need(members, 'cgroup', value).string(),
    idle: value.boolean(),
  }),
  max: (value, members) => ({ verb: 'cgmax', cgroup: need(members, 'cgroup', value).string(), max: maxOf(value) }),
  offline: (value) => ({ verb: 'cpu', cpu: value.whole(0), online: false }),
  online: (value) => ({ verb: 'cpu', cpu: value.whole(0), online: true }),
  s2idle: (value) => ({ verb: 's2idle', ns: value.time() }),
  deep: (value) => ({ verb: 'deep', ns: value.time() }),
  sysrq: (value) => ({ verb: 'sysrq', key: value.oneOf(SYSRQ_KEYS) }),
};

const flagOf = (members: Members, name: string) => members.get(name)?.boolean();
const sync = (members: Members) => members.get('sync')?.boolean() ?? false;

const STEPS: Readonly<Record<string, Reader<SimStep>>> = {
  run: (value) => ({ verb: 'run', ns: durationOf(value) }),
  sleep: (value) => ({ verb: 'sleep', ns: durationOf(value) }),
  spin: (value) => ({ verb: 'spin', ns: durationOf(value) }),
  timer: (value, members) => ({
    verb: 'timer',
    timer: value.string(),
    ns: durationOf(need(members, 'period', value)),
    ...defined({ absolute: flagOf(members, 'absolute'), shared: flagOf(members, 'shared') }),
  }),
  yield: (value) => flag('yield', value),
  wait: (value) => (typeof value.value === 'string' ? { verb: 'wait', task: value.value } : flag('wait', value)),
  exec: (value) => flag('exec', value),
  fork: (value) => ({ verb: 'fork', task: value.string() }),
  exit: (value) => ({ verb: 'exit', status: value.whole(0, 255) }),
  write: (value, members) => ({ verb: 'write', pipe: nameOf(value), ...defined({ sync: flagOf(members, 'sync') }) }),
  read: (value) => ({ verb: 'read', pipe: nameOf(value) }),
  await: (value) => ({ verb: 'futexwait', word: nameOf(value) }),
  wake: (value, members) => ({ verb: 'futexwake', word: nameOf(value), sync: sync(members) }),
  lock: (value) => ({ verb: 'lock', mutex: value.string() }),
  unlock: (value) => ({ verb: 'unlock', mutex: value.string() }),
  wait_cond: (value, members) => ({
    verb: 'condwait',
    cond: value.string(),
    mutex: need(members, 'mutex', value).string(),
  }),
  signal: (value, members) => ({ verb: 'signal', cond: value.string(), sync: sync(members) }),
  broadcast: (value, members) => ({ verb: 'broadcast', cond: value.string(), sync: sync(members) }),
  barrier: (value, members) => ({
    verb: 'barrier',
    barrier: value.string(),
    parties: need(members, 'parties', value).whole(1),
  }),
  suspend: (value) => ({ verb: 'suspend', point: value.string() }),
  resume: (value) => ({ verb: 'resume', point: value.string() }),
  mkcgroup: (value) => ({ verb: 'mkcgroup', cgroup: value.string() }),
  rmcgroup: (value) => ({ verb: 'rmcgroup', cgroup: value.string() }),
  repeat: (value, members) => {
    const steps = need(members, 'steps', value).list().map(stepOf);
    return { verb: 'repeat', times: timesOf(value, steps), steps };
  },
  ...CHANGES,
};

function flag(verb: 'yield' | 'wait' | 'exec', value: JsonValue): SimStep {
  return value.value === true ? { verb } : value.fail('wants true');
}

/** Of keys that are not known, in a message: characters of each, and how many. */
const MAX_NAME = 40;
const MAX_NAMES = 5;

function readerOf<T>(value: JsonValue, readers: Readonly<Record<string, Reader<T>>>, besides: readonly string[]): T {
  const { keys } = value;
  const verbs = keys.filter((key) => Object.hasOwn(readers, key) && !besides.includes(key));
  // What another step is called may be a member of this one.
  const covers = (verb: string) =>
    keys.every((key) => key === verb || MORE[verb]?.includes(key) || besides.includes(key));
  const verb = verbs.find(covers) ?? verbs[0];
  if (verb === undefined) {
    const names = keys.filter((key) => !besides.includes(key)).map((key) => JSON.stringify(key.slice(0, MAX_NAME)));
    if (names.length === 0) return value.fail('wants an object that says what is done');
    value.fail(`${names.slice(0, MAX_NAMES).join(', ')}: none of ${Object.keys(readers).join(', ')}`);
  }
  const members = value.object([verb, ...(MORE[verb] ?? []), ...besides]);
  return readers[verb]!(members.get(verb)!, members);
}

function stepOf(value: JsonValue): SimStep {
  return readerOf(value, STEPS, []);
}

function eventOf(value: JsonValue): TimedEvent {
  const step = readerOf(value, CHANGES, ['at']);
  const at = new JsonValue((value.value as { at?: unknown }).at, `${value.path}.at`);
  return { atNs: at.time(), ...step };
}
