import type { RecordedEvent, Recording } from '../recording.js';

// What is compared, and what of it. Every rule is applied to both sides alike.

/** Events of a task that are compared: callbacks and queue operations. Tracepoints and marks only tell where it stands. */
export function compared(event: string): boolean {
  return !event.startsWith('tp_');
}

/** Events without a task that belong to the workload: the others follow from what other tasks do. */
const SCHEDULER_EVENTS = new Set([
  ...['init', 'exit', 'cgroup_init', 'cgroup_exit', 'cgroup_set_weight', 'cpu_online', 'cpu_offline'],
]);

/** Rule 1, slices are times: the emulator's clock decides them. Whether any is left is kept. */
function slice(value: number | string): string {
  return Number(value) === 0 ? '0' : '+';
}

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
export function normalise(recording: Recording, events: readonly RecordedEvent[]): Map<string, string[]> {
  const lists = new Map<string, string[]>([
    ['-', []],
    ...Object.keys(recording.tasks).map((name) => [name, []] as [string, string[]]),
  ]);
  // Rule 3, cgroups have the number of their first appearance: the kernel's count those of earlier scenarios, too.
  const ids: (number | string)[] = [];
  const cgroup = (id: number | string) => {
    if (!ids.includes(id)) ids.push(id);
    return `g${ids.indexOf(id)}`;
  };
  for (const event of events) {
    const [, , name, task] = event;
    if (!compared(name) || (task === '-' && !SCHEDULER_EVENTS.has(name))) continue;
    const list = lists.get(task);
    if (!list) continue;
    const text = show(event, cgroup);
    // Rule 2, how many ticks a stretch of running has depends on where it begins: those that leave slice count once.
    if (text === 'tick slice +' && list[list.length - 1] === text) continue;
    list.push(text);
  }
  return lists;
}

/** Rule 4, how long a task had not run when the watchdog found it is a time. */
export function normaliseExit(exit: Recording['exit']): string {
  return JSON.stringify({ ...exit, message: exit.message.replace(/\d+\.\d+s$/, 'Ns') });
}
