import type { RecordedEvent, Recording } from '../recording.js';

/** A run of __schedule(): when it began, and the index of the switch that it ended in, -1 if the task stayed. */
export interface Choice {
  readonly from: number;
  readonly to: number;
  readonly end: number;
  /** The task went to sleep. */
  readonly voluntary: boolean;
}

/** Longest that a CPU takes from one event of a choice to the next. */
const GAP_NS = 40_000;

/** What a CPU notes while it chooses, whichever task it is about. */
const WITHIN = new Set([
  ...['dispatch', 'kf_move_to_local', 'dequeue', 'running', 'update_idle', 'cpu_acquire', 'cpu_release', 'tp_migrate'],
]);
/** …with nothing behind it but the switch, should there be one. */
const LAST = new Set(['cpu_release', 'update_idle']);
/** …if it is about the task that ran before. */
const OF_PREVIOUS = new Set(['enqueue', 'kf_insert', 'quiescent']);

/** Runs of __schedule() that a recording shows, of each CPU, in order. */
export function choicesOf({ events, cpus }: Recording): Choice[][] {
  return Array.from({ length: cpus }, (_, cpu) => {
    const own = events.filter((e) => e[1] === cpu);
    const choices: Choice[] = [];
    for (const [at, [ns, , event]] of own.entries()) {
      if (event === 'tp_switch') {
        const [, , , prev, , preempt, state] = own[at]!;
        const voluntary = preempt === 0 && state !== 0 && !prev.startsWith('swapper/');
        choices.push({ from: beginOf(own, at), to: ns, end: events.indexOf(own[at]!), voluntary });
      } else if (event === 'dispatch' && !switchFollows(own, at)) {
        choices.push({ from: beginOf(own, at), to: ns, end: -1, voluntary: false });
      }
    }
    return choices;
  });
}

function switchFollows(own: readonly RecordedEvent[], at: number): boolean {
  const close = (i: number) =>
    own[i]![0] - own[i - 1]![0] < GAP_NS || own[i - 1]![2] === 'cpu_release' || withinDispatch(own, i);
  for (let i = at + 1; i < own.length && close(i); i++) {
    const [, , event] = own[i]!;
    if (event === 'tp_switch') return true;
    if (isOffered(own, i)) continue;
    if (!WITHIN.has(event) && !OF_PREVIOUS.has(event) && event !== 'stopping') return false;
    // A task goes to sleep, or is taken off to be changed, before its CPU asks the scheduler: it had been chosen again.
    if (event === 'stopping' && own[i]![5] === 0) return false;
    if (isRefilled(own[at]!, own[i]!)) return false;
    if (event === 'dispatch') return true;
  }
  return false;
}

/** When the choice began that event `at` of a CPU belongs to. */
function beginOf(own: readonly RecordedEvent[], at: number): number {
  const [, , event, task] = own[at]!;
  let prev = event === 'tp_switch' || task !== '-' ? task : undefined;
  let first = at;
  // A task that has been put back runs again after a switch only, however long that takes.
  const put = event === 'tp_switch' ? putBefore(own, at) : at;
  const last = (i: number) => i === at - 1 && event === 'tp_switch' && LAST.has(own[i]![2]);
  const sure = (i: number) => i >= put || withinDispatch(own, i + 1) || last(i) || isFetched(own, i, at);
  for (let i = at - 1; i >= 0 && (own[i + 1]![0] - own[i]![0] < GAP_NS || sure(i)); i--) {
    const [, cpu, name, of, to, runnable] = own[i]!;
    // A task that is pushed away is that before, or behind the one before.
    if (name === 'tp_migrate' && to !== cpu) break;
    if (name === 'dispatch' && own.slice(i + 1, at).some((e) => isRefilled(own[i]!, e))) break;
    if (name === 'stopping' && (prev === undefined || of === prev)) {
      if (runnable === 0) return own[i]![0];
      first = i;
      continue;
    }
    if (name === 'dispatch' && of !== '-') prev ??= of;
    const runs = name === 'running' && of === prev;
    if (!runs && (WITHIN.has(name) || isOffered(own, i) || (OF_PREVIOUS.has(name) && of === prev))) first = i;
    else break;
  }
  return own[first]![0];
}

/** A task that was left with nothing in ops.dispatch and is put back with something has got a new slice: it had been chosen again. */
function isRefilled(
  [, , dispatch, prev, , , none]: RecordedEvent,
  [, , stopping, of, , runnable, left]: RecordedEvent,
): boolean {
  if (dispatch !== 'dispatch' || none !== 0) return false;
  return stopping === 'stopping' && of === prev && runnable === 1 && left !== 0;
}

/** Is event `at` of a CPU the task that ops.dispatch gives it? */
function isOffered(own: readonly RecordedEvent[], at: number): boolean {
  return own[at]![2] === 'kf_insert' && own[at - 1]?.[2] === 'dispatch';
}

/** Does event `at` of a CPU come in the same run of ops.dispatch as the one before, or where that is carried out? */
function withinDispatch(own: readonly RecordedEvent[], at: number): boolean {
  const of = (i: number, event: string) => own[i]?.[2] === event;
  // The lock of the run queue that the task comes from has to be waited for (dispatch_to_local_dsq).
  if (of(at, 'tp_migrate') && of(at - 1, 'kf_insert')) return isOffered(own, at - 1) && own[at]![3] === own[at - 1]![3];
  if (!of(at - 1, 'dispatch') && !of(at - 1, 'tp_migrate')) return false;
  // 7.3 tells the scheduler that the task leaves its custody (call_task_dequeue).
  let moved = at;
  for (const event of ['tp_migrate', 'dequeue']) if (of(moved, event)) moved++;
  return of(moved, 'kf_move_to_local');
}

/** Does event `i` of a CPU bring the task of sched_ext that it goes to in switch `at`, from another run queue whose lock it waits for? */
function isFetched(own: readonly RecordedEvent[], i: number, at: number): boolean {
  const [, cpu, name, task, to] = own[i]!;
  const [, , event, , next] = own[at]!;
  if (event !== 'tp_switch' || name !== 'tp_migrate' || to !== cpu || task !== next) return false;
  return own.slice(i, at).some(([, , one, of]) => one === 'running' && of === next);
}

/** Index of where the task that a switch leaves was put back on its queue; that of the switch if it was not. */
function putBefore(own: readonly RecordedEvent[], at: number): number {
  const prev = own[at]![3];
  for (let i = at - 1; i >= 0; i--) {
    const [, , name, of, , runnable] = own[i]!;
    if (name === 'tp_switch') break;
    if (of !== prev) continue;
    if (name === 'stopping' && runnable === 1) return i;
    if (!OF_PREVIOUS.has(name)) break;
  }
  return at;
}
