import { checkArgument } from '../../argument.js';
import { within } from '../../errors.js';
import { JsonNode } from '../json_node.js';
import { EVENT_NAMES, eventReader, MAX_INT } from './events.js';
import type { RtAppAttributes, RtAppEvent, RtAppPhase, RtAppPolicy, RtAppSched, RtAppSpec, RtAppTask } from './spec.js';

/** Throws InputError: one line with the JSON path and the line of what is wrong. */
export function parseRtApp(text: string): RtAppSpec {
  checkArgument('parseRtApp: text', text, 'text');
  return within('rt-app', () => new Parser().document(JsonNode.parse(text)));
}

const MAX_TASKS = 200_000;
const POLICIES: Readonly<Record<string, RtAppPolicy>> = {
  SCHED_OTHER: 'other',
  SCHED_BATCH: 'batch',
  SCHED_IDLE: 'idle',
  SCHED_RR: 'rr',
  SCHED_FIFO: 'fifo',
  SCHED_DEADLINE: 'deadline',
  SCHED_EXT: 'ext',
};

const RESOURCES = ['mutex', 'wait', 'signal', 'sync', 'broadcast', 'sleep', 'run', 'timer', 'timer_unique', 'suspend'];
const MORE_RESOURCES = ['resume', 'mem', 'iorun', 'runtime', 'yield', 'barrier', 'fork'];

/** Log files and the like. `frag` stands in the examples that come with rt-app, which does not read it. */
const QUIET = [
  'calibration',
  'lock_pages',
  'logdir',
  'log_basename',
  'log_size',
  'ftrace',
  'gnuplot',
  'cumulative_slack',
];
const GLOBAL_KEYS = ['duration', 'default_policy', 'pi_enabled', 'io_device', 'mem_buffer_size', 'frag', ...QUIET];

const SCHED_KEYS = [
  'policy',
  'priority',
  'nice_value',
  'dl-runtime',
  'dl-period',
  'dl-deadline',
  'dl-reclaim',
  'util_min',
  'util_max',
];
const ATTRIBUTE_KEYS = [...SCHED_KEYS, 'cpus', 'nodes_membind', 'membind_nodes', 'taskgroup'];
/** Of threads, names of dl-period and dl-deadline that go back to older files, besides `runtime`. */
const LEGACY_KEYS = ['period', 'deadline'];
const TASK_KEYS = ['instance', 'delay', 'loop', 'phases', ...ATTRIBUTE_KEYS, ...LEGACY_KEYS];
const PHASE_KEYS = ['loop', ...ATTRIBUTE_KEYS];

/** The members of an object that are no events, each there once; `events` gets the others. */
type Properties = ReadonlyMap<string, JsonNode>;

class Parser {
  readonly #notes = new Set<string>();
  #defaultPolicy: RtAppPolicy = 'other';

  document(root: JsonNode): RtAppSpec {
    const members = root.record(['tasks', 'global', 'resources']);
    const tasks = members.get('tasks') ?? root.fail('has no tasks');
    const global = members.get('global');
    const seconds = global ? this.#global(global) : null;
    const resources = members.get('resources');
    if (resources) this.#resources(resources);
    const parsed = this.#tasks(tasks);
    return { seconds, tasks: parsed, notes: [...this.#notes] };
  }

  // ---- Around the tasks

  #global(node: JsonNode): number | null {
    const members = node.record(GLOBAL_KEYS);
    const policy = members.get('default_policy');
    if (policy) this.#defaultPolicy = this.#policy(policy);
    for (const key of ['pi_enabled', 'lock_pages', 'gnuplot', 'cumulative_slack']) members.get(key)?.boolean();
    if (members.get('pi_enabled')?.boolean()) this.#notes.add('global.pi_enabled: mutexes lend no priority here');
    for (const key of ['logdir', 'log_basename', 'io_device']) members.get(key)?.text();
    members.get('mem_buffer_size')?.whole(1, MAX_INT);
    const quiet = [...members.keys()].filter((key) => QUIET.includes(key));
    if (quiet.length > 0) this.#notes.add(`global: ${quiet.join(', ')}: without effect here`);
    const seconds = members.get('duration')?.whole(-1, MAX_INT) ?? -1;
    return seconds > 0 ? seconds : null;
  }

  /** Declared resources; events make what is not declared. */
  #resources(node: JsonNode): void {
    for (const { value } of node.members()) {
      const type = value.record(['type']).get('type');
      if (type) type.oneOf([...RESOURCES, ...MORE_RESOURCES]);
    }
  }

  // ---- Tasks

  #tasks(node: JsonNode): RtAppTask[] {
    const tasks: RtAppTask[] = [];
    const names = new Set<string>();
    let total = 0;
    for (const { name, value } of node.members()) {
      // workgen makes keys unique so.
      let unique = name;
      for (let at = 1; names.has(unique); at++) unique = `${name}${at}`;
      names.add(unique);
      const task = this.#task(unique, value);
      total += task.instances;
      if (total > MAX_TASKS) value.fail(`${total} threads are more than ${MAX_TASKS}`);
      tasks.push(task);
    }
    if (total === 0) node.fail('no thread is there at the beginning');
    return tasks;
  }

  #task(name: string, node: JsonNode): RtAppTask {
    if (name === '' || name === 'self') node.fail(`"${name}" is no name of a thread`);
    const phased = node.members().some((member) => member.name === 'phases');
    const { properties, events } = this.#split(node, name, TASK_KEYS, phased);
    const instances = properties.get('instance')?.whole(0, MAX_INT) ?? 1;
    const delayUs = properties.get('delay')?.whole(0, MAX_INT) ?? 0;
    const attributes = this.#attributes(node, properties, true);
    const common = { name, place: node.place, instances, delayUs, ...attributes };
    const phases = properties.get('phases');
    if (phases) {
      const list = phases.members().map(({ value }) => this.#phase(value, name));
      if (list.length === 0) phases.fail('no phases');
      return { ...common, loop: this.#loop(properties, Number.POSITIVE_INFINITY, 0), phases: list };
    }
    if (events.length === 0) node.fail('has no events');
    // The thread object is its one phase: `loop` counts rounds of that, and then it is over.
    const loop = this.#loop(properties, Number.POSITIVE_INFINITY, 1);
    const phase = { place: node.place, loop, events };
    this.#checkEnd(node, phase);
    return { ...common, loop: 1, phases: [phase] };
  }

  #phase(node: JsonNode, task: string): RtAppPhase {
    const { properties, events } = this.#split(node, task, PHASE_KEYS, false);
    if (events.length === 0) node.fail('has no events');
    const attributes = this.#attributes(node, properties, false);
    const phase = { place: node.place, loop: this.#loop(properties, 1, 1), events, ...attributes };
    this.#checkEnd(node, phase);
    return phase;
  }

  /** Rounds: -1 are endless ones. */
  #loop(properties: Properties, otherwise: number, least: number): number {
    const loop = properties.get('loop');
    if (!loop) return otherwise;
    const times = loop.whole(-1, MAX_INT);
    if (times === -1) return Number.POSITIVE_INFINITY;
    return times >= least ? times : loop.fail('wants at least 1, or -1 for no end');
  }

  #checkEnd(node: JsonNode, { loop, events }: RtAppPhase): void {
    const nothing = (event: RtAppEvent) =>
      (event.type === 'run' || event.type === 'runtime') && event.us === 0
        ? true
        : (event.type === 'mem' || event.type === 'iorun') && event.bytes === 0;
    if (loop > 1_000_000 && events.every(nothing)) node.fail('a loop that takes no time has no end');
  }

  // ---- Members of threads and phases

  #split(node: JsonNode, task: string, known: readonly string[], phased: boolean) {
    const properties = new Map<string, JsonNode>();
    const events: RtAppEvent[] = [];
    for (const { name, value } of node.members()) {
      if (known.includes(name) || (phased && name === 'runtime')) {
        if (properties.has(name)) value.fail('is there twice');
        properties.set(name, value);
        continue;
      }
      const unknown = () => value.fail(`unknown (known here: ${[...known, ...EVENT_NAMES].join(', ')})`);
      const reader = eventReader(name) ?? unknown();
      if (phased) value.fail('an event beside phases, where none is done');
      if (name === 'runtime' && !properties.has(name)) properties.set(name, value);
      events.push(reader(value, task));
    }
    return { properties, events };
  }

  #attributes(node: JsonNode, properties: Properties, thread: boolean): RtAppAttributes {
    const sched = this.#sched(node, properties, thread);
    const cpus = properties.get('cpus');
    const list = cpus?.list().map((cpu) => cpu.whole(0, MAX_INT));
    if (cpus && list?.length === 0) cpus.fail('no CPU');
    for (const key of ['nodes_membind', 'membind_nodes']) {
      for (const member of properties.get(key)?.list() ?? []) member.whole(0, MAX_INT);
      if (properties.has(key)) this.#notes.add(`${key}: memory has no nodes here`);
    }
    const group = properties.get('taskgroup');
    const named = group?.text() ?? '';
    if (named !== '' && !/^\/[^\0\n]*$/.test(named))
      group!.fail('is no path of a cgroup, such as /group, or / for the root');
    // rt-app hands the path to mkdir(2) and open(2): slashes that are too many do not matter.
    const taskgroup = named && `/${named.split('/').filter(Boolean).join('/')}`;
    return { ...(sched && { sched }), ...(list && { cpus: list }), ...(taskgroup !== '' && { taskgroup }) };
  }

  #policy(node: JsonNode): RtAppPolicy {
    return POLICIES[node.oneOf(Object.keys(POLICIES))]!;
  }

  /** parse_sched_data(): a thread has all of it, a phase what it names. */
  #sched(node: JsonNode, properties: Properties, thread: boolean): RtAppSched | undefined {
    for (const key of ['util_min', 'util_max']) {
      if (properties.get(key)?.whole(-1, 1024) !== undefined)
        this.#notes.add(`${key}: clamps of utilization have no effect here`);
    }
    if (properties.get('dl-reclaim')?.boolean()) {
      this.#notes.add('dl-reclaim: threads get no runtime here that others leave (SCHED_FLAG_RECLAIM)');
    }
    const named = properties.get('policy');
    const policy = named ? this.#policy(named) : thread ? this.#defaultPolicy : undefined;
    const priority = properties.get('priority')?.whole(-20, 99) ?? properties.get('nice_value')?.whole(-20, 19);
    const deadline = this.#deadline(properties, thread && policy === 'deadline');
    if (policy === undefined && priority === undefined && !deadline) return undefined;
    if (deadline && policy !== undefined && policy !== 'deadline') {
      this.#notes.add('dl-runtime: a slice of a thread that is not SCHED_DEADLINE has no effect here');
    }
    if (policy === 'deadline' && !deadline) node.fail('SCHED_DEADLINE wants dl-runtime');
    return {
      place: node.place,
      ...(policy !== undefined && { policy }),
      ...(priority !== undefined && { priority }),
      ...(deadline && { deadline }),
    };
  }

  #deadline(properties: Properties, legacy: boolean): RtAppSched['deadline'] {
    const read = (key: string) => {
      const value = properties.get(`dl-${key}`) ?? (legacy ? properties.get(key) : undefined);
      return value?.whole(1, MAX_INT);
    };
    for (const key of LEGACY_KEYS)
      if (!legacy && properties.has(key)) this.#notes.add(`${key}: has no effect beside SCHED_DEADLINE`);
    const runtimeUs = read('runtime');
    if (runtimeUs === undefined) return undefined;
    const periodUs = read('period') ?? runtimeUs;
    const deadlineUs = read('deadline') ?? periodUs;
    return { runtimeUs, deadlineUs, periodUs };
  }
}
