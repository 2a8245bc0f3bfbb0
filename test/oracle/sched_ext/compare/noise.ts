import type { RecordedEvent, Recording } from '../recording.js';
import { type Choice, choicesOf } from './choices.js';
import { STANDSTILL_NS } from './timing/events.js';

/** A stretch of time for which a task that is not of the workload had a CPU. */
export interface Noise {
  pid: number;
  cpu: number;
  from: number;
  to: number;
  /** When the CPU is told of it; undefined where it chooses anyway, because the task of the workload went to sleep. */
  tells: number | undefined;
}

/** Threads that the machine has itself: what they did came from the workload. Of a stopper, if a task was moved. */
const OWN = /^(swapper\/|sched_ext_helpe|sched_ext_ops_h|cpuhp\/)/;
export const STOPPER = /^migration\//;
export const HELPER = /^sched_ext_(helpe|ops_h)/;

/** Before its switch the machine lets a task go to sleep of which no callback tells. */
const UNSEEN_NS = 2_000;

/** Tasks outside of the workload by pid, with the names that the recording has of them. */
export function otherTasks({ events, tasks }: Recording): Map<number, string> {
  const others = new Map<number, string>();
  for (const [, , , task] of events) {
    const [, name, pid] = /^(.*)\/(\d+)$/.exec(task) ?? [];
    if (name !== undefined && !(task in tasks)) others.set(Number(pid), name);
  }
  return new Map([...others].sort(([a], [b]) => a - b));
}

export function noiseOf(recording: Recording): Noise[] {
  const names = otherTasks(recording);
  const noise: Noise[] = [];
  const open = new Map<number, Noise>();
  /** Stints that their CPU was never seen to leave. */
  const unended = new Set<Noise>();
  /** When each CPU chose last. */
  const chosen = new Map<number, number>();
  for (const { from, end, voluntary } of choicesOf(recording).flat()) {
    if (end < 0) continue;
    const [, cpu, , prev, other] = recording.events[end]!;
    const before = chosen.get(cpu) ?? 0;
    chosen.set(cpu, from);
    const ended = open.get(cpu);
    if (ended) {
      ended.to = from;
      if (!prev.endsWith(`/${ended.pid}`)) unended.add(ended);
      open.delete(cpu);
    }
    if (typeof other !== 'number' || other === 0 || OWN.test(names.get(other) ?? 'swapper/')) continue;
    const chooses = !prev.startsWith('swapper/') && (!(prev in recording.tasks) || voluntary);
    // Of tasks of other classes nothing tells when they begin to go; a stopper may let go much sooner on the machine.
    const unseen = STOPPER.test(prev) ? before : from - UNSEEN_NS;
    const asked = waitsBehindDispatch(recording, from, end);
    const begin = asked ?? (chooses && from === recording.events[end]![0] ? unseen : from - 1);
    const next = { pid: other, cpu, from: begin, to: from, tells: chooses ? undefined : begin };
    noise.push(next);
    open.set(cpu, next);
  }
  const moved = ({ cpu, from, to }: Noise) =>
    recording.events.some((e) => e[2] === 'tp_migrate' && e[1] === cpu && e[0] >= from && e[0] <= to);
  const stops = noise.filter(({ pid }) => STOPPER.test(names.get(pid) ?? ''));
  // All CPUs are stopped together when one goes down.
  const downs = recording.events.some(([, , event]) => event === 'cpu_offline');
  const together = (one: Noise) => downs && stops.some((other) => meets(one, other) || meets(other, one));
  // The stopper of a CPU that goes down is there until the others' come, and the CPU is not seen again before it comes up.
  const meets = (one: Noise, other: Noise) => {
    if (one.pid === other.pid || unended.has(other)) return false;
    if (!unended.has(one)) return other.from < one.to && one.from < other.to;
    return stops.find(({ pid, to }) => pid === other.pid && to > one.from) === other;
  };
  const own = (one: Noise) => stops.includes(one) && (moved(one) || together(one));
  return noise.filter((one) => one.to > one.from && !own(one));
}

/**
 * From 7.0 on a CPU asks the scheduler only where no higher class wants it, and looks again behind that (do_pick_task_scx): if it goes
 * to a higher class though it has asked, it was told while it waited for the lock of the run queue that its next task comes from. Just
 * behind the question, then.
 */
function waitsBehindDispatch({ events, kernel }: Recording, from: number, end: number): number | undefined {
  if (Number(kernel.split('.')[0]) < 7) return undefined;
  const cpu = events[end]![1];
  const own = events.slice(0, end).filter(([ns, on]) => on === cpu && ns >= from);
  const at = own.findIndex(([, , event]) => event === 'dispatch');
  const next = own[at + 1];
  return at >= 0 && next?.[2] === 'tp_migrate' && next[0] - own[at]![0] > STANDSTILL_NS ? own[at]![0] + 1 : undefined;
}

/**
 * When the helper of sched_ext gets a CPU and does nothing that is noted: a lock has been let go that it waited for on its way to what it
 * does next, and it sleeps again, for another or for a grace period (scx_cgroup_lock: cgroup_mutex, then scx_cgroup_ops_rwsem).
 */
export function helperWakes(recording: Recording): number[] {
  const { events } = recording;
  const helpers = [...otherTasks(recording)].filter(([, comm]) => HELPER.test(comm)).map(([pid]) => pid);
  return choicesOf(recording).flatMap((choices, cpu) => {
    const switches = choices.filter(({ end }) => end >= 0);
    const idle = ({ end }: Choice, next: Choice | undefined) =>
      next !== undefined && !events.slice(end + 1, next.end).some((e) => e[1] === cpu && e[0] < next.from);
    return switches
      .filter((choice, i) => helpers.includes(Number(events[choice.end]![4])) && idle(choice, switches[i + 1]))
      .map(({ from }) => from - 1);
  });
}

export interface Glance {
  cpu: number;
  at: number;
  idle: boolean;
}

const TOLD = new Set(['stopping', 'running', 'quiescent']);

/**
 * Interrupts that have a CPU choose anew though no other class wants it. That shows where its task has some slice left and the
 * scheduler is bypassed (its tasks take turns then), and where the CPU is idle and finds a task that has waited since before:
 * nothing has happened to that task meanwhile; and where tasks of the workload that are another class's take turns. Otherwise
 * nothing tells of them.
 */
export function glancesOf(recording: Recording): Glance[] {
  const { events, tasks } = recording;
  return choicesOf(recording)
    .flat()
    .flatMap(({ from, to, end, voluntary }): Glance[] => {
      if (end < 0) return asks(events, from, to);
      const [, cpu, , prev, next] = events[end] ?? [];
      if (prev === undefined || !(String(next) in tasks)) return [];
      const before = events.slice(0, end);
      if (prev in tasks) {
        // Nor is the scheduler told when another class goes from one of its tasks to another.
        const told = events.some((e) => e[1] === cpu && e[0] >= from && e[0] <= to && TOLD.has(e[2]));
        if (!told && !voluntary) return [{ cpu: cpu!, at: from, idle: false }];
        // A task of a higher class is reason enough, unless it waited when the CPU's task came to a lower one.
        const within = (e: RecordedEvent) => e[1] === cpu && e[0] >= from && e[0] <= to;
        const lowered = before.findLastIndex(([, , event, task]) => event === 'running' && task === prev);
        const waited = before.findLastIndex(([ns, , , task]) => ns < from && task === next) < lowered;
        if (!waited && events.some((e) => e[2] === 'cpu_release' && within(e))) return [];
        const stopped = before.findLast(([, , event, task]) => event === 'stopping' && task === prev);
        return stopped && stopped[5] === 1 && Number(stopped[6]) > 0 ? [{ cpu: cpu!, at: from, idle: false }] : [];
      }
      const idle = before.findLastIndex(([, on, event, , other]) => event === 'tp_switch' && on === cpu && other === 0);
      const touched = before.findLastIndex(([ns, , , task]) => ns < from && task === next);
      return prev === `swapper/${cpu}/0` && touched >= 0 && touched <= idle
        ? [{ cpu: cpu!, at: from, idle: true }]
        : [];
    });
}

/** An idle CPU that asks the scheduler and stays idle: what the scheduler did with a task then tells of it. */
function asks(events: readonly RecordedEvent[], from: number, to: number): Glance[] {
  const at = events.findIndex(([ns, , event, task]) => ns >= from && ns <= to && event === 'dispatch' && task === '-');
  const cpu = events[at]?.[1];
  const next = events.find((e, i) => i > at && e[1] === cpu);
  return at >= 0 && next?.[2] === 'kf_insert' ? [{ cpu: cpu!, at: from, idle: true }] : [];
}

/** A wake-up of a task that is not of the workload but the scheduler's, up to its next sleep. */
export interface ForeignWake {
  pid: number;
  /** CPU that wakes it, and the one that it was on. */
  cpu: number;
  prev: number;
  sync: boolean;
  from: number;
  to: number;
}

const WAKE_SYNC = 0x10;
const ENQUEUE_WAKEUP = 0x1;
const DEQUEUE_SLEEP = 0x1;

/** What the scheduler was told of such tasks, in a run in which all tasks are its. */
export function foreignWakes({ events, tasks }: Recording): ForeignWake[] {
  const wakes: ForeignWake[] = [];
  const open = new Map<string, ForeignWake>();
  const asked = new Map<string, RecordedEvent>();
  const stopped = new Map<string, number>();
  for (const event of events) {
    const [ns, cpu, name, task, , a] = event;
    if (task in tasks || !task.includes('/')) continue;
    if (name === 'select_cpu') asked.set(task, event);
    else if (name === 'stopping') stopped.set(task, ns);
    else if (name === 'runnable' && (Number(a) & ENQUEUE_WAKEUP) !== 0) {
      const [begin, , , , prev, flags] = asked.get(task) ?? [ns, cpu, '', '', cpu, 0, 0];
      const sync = (Number(flags) & WAKE_SYNC) !== 0;
      const pid = Number(/\d+$/.exec(task)![0]);
      const wake = { pid, cpu, prev: Number(prev), sync, from: begin, to: Number.POSITIVE_INFINITY };
      wakes.push(wake);
      open.set(task, wake);
      asked.delete(task);
    } else if (name === 'quiescent' && (Number(a) & DEQUEUE_SLEEP) !== 0) {
      const wake = open.get(task);
      if (wake) wake.to = stopped.get(task) ?? ns;
      open.delete(task);
    }
  }
  return wakes;
}

/** Pinned tasks are not asked where to run: the CPU of those that never were. */
export function pinnedTo({ events }: Recording, task: string): number | undefined {
  if (events.some(([, , name, of]) => name === 'select_cpu' && of === task)) return undefined;
  const woken = events.some(([, , name, of, , a]) => name === 'runnable' && of === task && (Number(a) & 1) !== 0);
  return woken ? events.find(([, , name, of]) => name === 'running' && of === task)?.[1] : undefined;
}
