import type { RecordedEvent, Recording } from '../recording.js';

// What is compared, and what of it. Every rule is applied to both sides alike; controls.ts shows of each that it hides nothing
// that is checked.

/** Rules by name: what they take away, and why. */
export const NORMALISATIONS = {
  slice: {
    what: 'of a slice, whether any is left',
    reason: 'slices are times: the emulator’s clock decides how much',
  },
  ticks: {
    what: 'ticks in a row that leave some slice count once',
    reason: 'how many a stretch of running has depends on where it begins',
  },
  cgroups: {
    what: 'cgroups have the number of their first appearance',
    reason: 'the kernel’s ids count the cgroups of earlier scenarios, too',
  },
  watchdog: {
    what: 'not for how long a task had not run',
    reason: 'that is a time, too',
  },
  cpu: {
    what: 'not the CPU that ran a callback',
    reason:
      'it is the CPU that the task was put on, which select_cpu, its answer and set_cpumask tell, or one that looked first',
  },
  'no task': {
    what: 'not what is asked about a CPU and no task: update_idle, cpu_acquire, dispatch without a previous task',
    reason: 'kernel threads bring it about; what follows for tasks is compared',
  },
  tracepoints: {
    what: 'not the tracepoints',
    reason: 'they tell where the workload stands and when others had a CPU; the scheduler is not asked',
  },
} as const;
export type Normalisation = keyof typeof NORMALISATIONS;
/** How many events a rule left out or changed. */
export type Tally = Map<Normalisation, number>;

function count(tally: Tally | undefined, rule: Normalisation): void {
  tally?.set(rule, (tally.get(rule) ?? 0) + 1);
}

/** Events without a task that belong to the workload: the others follow from what other tasks do. */
const SCHEDULER_EVENTS = new Set([
  ...['init', 'exit', 'cgroup_init', 'cgroup_exit', 'cgroup_set_weight', 'cpu_online', 'cpu_offline'],
]);

function slice(value: number | string): string {
  return Number(value) === 0 ? '0' : '+';
}

const OF_SLICES = new Set(['enqueue', 'stopping', 'dispatch', 'running', 'tick', 'yield']);
const OF_CGROUPS = /^cgroup_/;

function show([, , event, task, other, a, b]: RecordedEvent, cgroup: (id: number | string) => string): string {
  switch (event) {
    case 'enqueue':
    case 'stopping':
      return `${event} ${a} slice ${slice(b)}`;
    case 'dispatch':
      return `${event} flags ${a} slice ${slice(b)}`;
    case 'running':
      return `${event} slice ${slice(a)} flags ${b}`;
    case 'tick':
    case 'yield':
      return `${event} slice ${slice(a)}`;
    case 'kf_move_to_local':
      return `${event} ${a}`;
    case 'cgroup_init':
    case 'cgroup_set_weight':
      return `${event} ${cgroup(a)} ${b}`;
    case 'cgroup_exit':
      return `${event} ${cgroup(a)}`;
    case 'cgroup_prep_move':
    case 'cgroup_move':
    case 'cgroup_cancel_move':
      return `${event} ${cgroup(a)} ${cgroup(b)}`;
    default:
      return `${event} ${task === '-' ? '' : other} ${a} ${b}`;
  }
}

/** Each task's events, in order; those of no task under `-`. */
export function normalise(
  recording: Recording,
  events: readonly RecordedEvent[],
  tally?: Tally,
): Map<string, string[]> {
  const lists = new Map<string, string[]>([
    ['-', []],
    ...Object.keys(recording.tasks).map((name) => [name, []] as [string, string[]]),
  ]);
  const ids: (number | string)[] = [];
  const cgroup = (id: number | string) => {
    if (!ids.includes(id)) ids.push(id);
    return `g${ids.indexOf(id)}`;
  };
  for (const event of events) {
    const [, , name, task] = event;
    const list = lists.get(task);
    if (!list) continue;
    if (name.startsWith('tp_')) {
      count(tally, 'tracepoints');
      continue;
    }
    if (task === '-' && !SCHEDULER_EVENTS.has(name)) {
      count(tally, 'no task');
      continue;
    }
    count(tally, 'cpu');
    if (OF_SLICES.has(name)) count(tally, 'slice');
    if (OF_CGROUPS.test(name)) count(tally, 'cgroups');
    const text = show(event, cgroup);
    if (text === 'tick slice +' && list[list.length - 1] === text) {
      count(tally, 'ticks');
      continue;
    }
    list.push(text);
  }
  return lists;
}

export function normaliseExit(exit: Recording['exit'], tally?: Tally): string {
  const message = exit.message.replace(/\d+\.\d+s$/, 'Ns');
  if (message !== exit.message) count(tally, 'watchdog');
  return JSON.stringify({ ...exit, message });
}
