// The sched_ext suite: what goes into the guest, and what its console's text becomes.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Kernel, openObject, profileFromBtf } from 'vmtable';
import { loadCalls } from './load.mjs';
import { stepLine } from './steps.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const OBJECT = fileURLToPath(new URL('../../../samples/scx_trace.bpf.o', import.meta.url));
const SCHEDULER = 'trace_ops';
const MARK = '@ ';

const DEFAULTS = {
  policy: 'fifo',
  mistake: 'none',
  mistakeAfter: 0,
  sliceUs: 5000,
  flags: ['KEEP_BUILTIN_IDLE'],
  partial: true,
  without: [],
  timeoutMs: 0,
};
const FLAGS = { KEEP_BUILTIN_IDLE: 1, ENQ_LAST: 2, ENQ_EXITING: 4, SWITCH_PARTIAL: 8, ALWAYS_ENQ_IMMED: 0x80 };
const POLICIES = ['fifo', 'vtime', 'global', 'local', 'pid'];
const MISTAKES = [
  ...['none', 'select-bad-cpu', 'enqueue-no-dsq', 'enqueue-nothing', 'enqueue-twice', 'enqueue-error', 'enqueue-exit'],
  ...['local-on-wrong-cpu', 'local-on-no-cpu', 'init-fails', 'init-task-fails', 'fork-fails'],
];

/** Of tasks that are not of the scenario, only that they had a CPU is kept. */
const NOISE = new Set(['tp_waking', 'tp_wakeup', 'tp_wakeup_new', 'tp_fork', 'tp_exec', 'tp_exit', 'tp_migrate']);

const KERNELS = ['7.3', '6.18', '6.12'];

/** Every scenario as written, by topic: the file it stands in, which may name the kernels that it is recorded on. */
export async function topics() {
  const files = readdirSync(join(here, 'scenarios')).sort();
  return Promise.all(
    files.map(async (file) => {
      const { title, scenarios, part, kernels = KERNELS } = await import(`./scenarios/${file}`);
      return {
        topic: file.replace('.mjs', ''),
        title,
        part,
        kernels,
        scenarios: scenarios.map((one) => ({ cpus: 2, ...one, scheduler: { ...DEFAULTS, ...one.scheduler } })),
      };
    }),
  );
}

/** The tracing scheduler, set up as a scenario wants it. */
export function openScheduler(scheduler) {
  const { policy, mistake, mistakeAfter, sliceUs, flags, partial, without, timeoutMs, hotplugSeq } = scheduler;
  const object = openObject(new Uint8Array(readFileSync(OBJECT)), { name: 'scx_trace' });
  const at = (list, name) => {
    const index = list.indexOf(name);
    if (index < 0) throw new Error(`${name} is not one of ${list.join(', ')}`);
    return index;
  };
  object.variable('slice_ns').set(sliceUs * 1000);
  object.variable('policy').set(at(POLICIES, policy));
  object.variable('mistake').set(at(MISTAKES, mistake));
  object.variable('mistake_after').set(mistakeAfter);
  const ops = object.structOpsMap(SCHEDULER);
  ops.set(
    'flags',
    flags.reduce((bits, flag) => bits | FLAGS[flag], partial ? FLAGS.SWITCH_PARTIAL : 0),
  );
  ops.set('timeout_ms', timeoutMs);
  if (hotplugSeq !== undefined) ops.set('hotplug_seq', hotplugSeq);
  for (const member of without) {
    const program = ops.program(member);
    ops.setProgram(member, null);
    program.autoload = false;
  }
  return object;
}

function scriptOf({ id, tasks }, load, countOffset) {
  const labels = Object.keys(tasks);
  const body = labels.flatMap((label) => [`task ${label}`, ...tasks[label].map((step) => stepLine(labels, step))]);
  return [`scenario ${id} ${load} ${countOffset}`, ...body, 'end'];
}

/** Names of the events, from the object's own enum. */
export function eventNames(btf) {
  const names = new Map();
  for (let id = 1; id < btf.typeCount; id++) {
    const type = btf.type(id);
    if (type.name !== 'event' || !('values' in type)) continue;
    for (const { name, value } of type.values) names.set(Number(value), name.slice(3).toLowerCase());
  }
  return names;
}

/** The guest's lines, by scenario. */
function readConsole(text) {
  const scenarios = new Map();
  let current;
  let done = false;
  for (const line of text.split('\n')) {
    const at = line.indexOf(MARK);
    if (at < 0) continue;
    const [verb, ...words] = line.slice(at + MARK.length).split(' ');
    if (verb === 'scenario') {
      current = { events: [], tasks: {}, kernel: [] };
      scenarios.set(words[0], current);
    } else if (verb === 'loaded') current.loaded = Number(words[0]);
    else if (verb === 'e') current.events.push(words);
    else if (verb === 'task') current.tasks[words[0]] = Number(words[1]);
    else if (verb === 'bss') current.bss = Buffer.from(words[0], 'hex');
    else if (verb === 'end') current.status = Number(words[0]);
    else if (verb === 'failed') throw new Error(`scenario ${[...scenarios.keys()].at(-1)}: ${words.join(' ')}`);
    else if (verb === 'done') done = true;
  }
  if (!done) throw new Error(`the run did not come to its end; the console's last words:\n${text.slice(-3000)}`);
  return scenarios;
}

/** A u64 of the console: a number where it is one exactly. */
function u64(hex) {
  const value = BigInt(`0x${hex}`);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : `0x${hex}`;
}

function exitOf(bss, object) {
  const { offset } = object.variable('exit_record');
  const text = (at, size) =>
    bss
      .subarray(at, at + size)
      .toString('latin1')
      .replace(/\0.*$/s, '');
  return {
    kind: bss.readUInt32LE(offset),
    code: Number(bss.readBigInt64LE(offset + 8)),
    reason: text(offset + 16, 64),
    message: text(offset + 80, 256),
  };
}

function format({ events, ...head }) {
  const entries = Object.entries(head).map(([key, value]) => ` ${JSON.stringify(key)}: ${JSON.stringify(value)},`);
  return `{\n${entries.join('\n')}\n "events": [\n${events.map((event) => `  ${JSON.stringify(event)}`).join(',\n')}\n ]\n}\n`;
}

export const suite = {
  kernels: KERNELS,
  /** Two CPUs; four, on two cores of two threads; boots of their own for the topics of a part. */
  machines: [
    'two',
    'smt',
    'two-more',
    'smt-more',
    'two-mixed',
    'smt-mixed',
    'two-combined',
    'smt-combined',
    'two-realistic',
    'smt-realistic',
    'two-further',
    'smt-further',
    'two-exits',
  ],
  /** A part whose topics are not recorded on a kernel has no boot there. */
  boots: async (kernelName, { part }) =>
    (await topics()).some((one) => one.part === part && one.kernels.includes(kernelName)),
  sources: ['main.c', 'load.c', 'task.c'].map((file) => join(here, 'guest', file)),
  directories: ['proc', 'sys', 'dev', 'run'],

  /** Further files of the guest, by path. */
  async files(kernelName, { cpus, part }, btf) {
    const profile = btf ? await profileFromBtf(btf, { release: kernelName }) : kernelName;
    const kernel = await Kernel.create({ profile, cpus });
    const files = {};
    const lines = [];
    const loads = new Map();
    for (const { scenarios, part: belongs, kernels } of await topics()) {
      if (!kernels.includes(kernelName)) continue;
      for (const scenario of scenarios.filter((one) => one.cpus === cpus && belongs === part)) {
        const key = JSON.stringify(scenario.scheduler);
        const object = openScheduler(scenario.scheduler);
        if (!loads.has(key)) {
          const path = `load${loads.size}`;
          loads.set(key, path);
          files[path] = loadCalls(object, kernel.profile, {
            cpus,
            scheduler: SCHEDULER,
            first: [(o) => o.map('events').fd, (o) => o.map('.bss').fd, (o) => o.program('mark').fd],
          });
        }
        lines.push(...scriptOf(scenario, loads.get(key), object.variable('nr_events').offset));
      }
    }
    kernel.dispose();
    return { ...files, script: Buffer.from(`${lines.join('\n')}\n`) };
  },

  /** Recording files, by name, from one boot's console. */
  async record(text, { release }, machine) {
    const recorded = readConsole(text);
    const files = {};
    for (const { topic, scenarios, part, kernels } of await topics()) {
      if (!kernels.some((one) => release.startsWith(`${one}.`))) continue;
      for (const { id, what, cpus, scheduler, tasks } of scenarios) {
        if (cpus !== machine.cpus || part !== machine.part) continue;
        const answer = recorded.get(id);
        if (!answer) throw new Error(`scenario ${id} was not run`);
        const object = openScheduler(scheduler);
        const names = eventNames(object.spec.btf);
        const label = new Map(Object.entries(answer.tasks).map(([name, pid]) => [pid, name]));
        const own = new Set(label.values());
        const start = answer.events.length > 0 ? BigInt(answer.events[0][0]) : 0n;
        const events = answer.events.map(([time, event, cpu, pid, other, a, b, ...comm]) => [
          Number(BigInt(time) - start),
          Number(cpu),
          names.get(Number(event)) ?? `event ${event}`,
          pid === '-1' ? '-' : (label.get(Number(pid)) ?? `${comm.join(' ')}/${pid}`),
          label.get(Number(other)) ?? Number(other),
          u64(a),
          u64(b),
        ]);
        const first = Math.max(
          events.findIndex(([, , event]) => event === 'init'),
          0,
        );
        files[`${topic}/${id}.json`] = format({
          kernel: release,
          id,
          what,
          cpus,
          scheduler,
          tasks,
          pids: answer.tasks,
          loaded: answer.loaded,
          status: answer.status,
          exit: exitOf(answer.bss, object),
          columns: ['ns', 'cpu', 'event', 'task', 'other', 'a', 'b'],
          events: events.slice(first).filter(([, , event, task]) => !NOISE.has(event) || own.has(task)),
        });
      }
    }
    return files;
  },

  recordings: (release) => join(here, 'recordings', release),
};
