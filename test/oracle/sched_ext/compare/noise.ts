import type { RecordedEvent, Recording } from '../recording.js';

/** A stretch of time for which a task that is not of the workload had a CPU. */
export interface Noise {
  pid: number;
  cpu: number;
  from: number;
  to: number;
  /** It had been woken before, and runs because the task of the workload went to sleep. */
  waits: boolean;
}

/** Threads that the machine has itself: what they did came from the workload. */
const OWN = /^(migration\/|swapper\/|sched_ext_helpe|cpuhp\/)/;
const SWITCH_NS = 15_000;

/** Tasks outside of the workload by pid, with the names that the recording has of them. */
export function otherTasks({ events, tasks }: Recording): Map<number, string> {
  const others = new Map<number, string>();
  for (const [, , , task] of events) {
    const [, name, pid] = /^(.*)\/(\d+)$/.exec(task) ?? [];
    if (name !== undefined && !(task in tasks)) others.set(Number(pid), name);
  }
  return others;
}

export function noiseOf(recording: Recording): Noise[] {
  const names = otherTasks(recording);
  const noise: Noise[] = [];
  const open = new Map<number, Noise>();
  for (const [at, event] of recording.events.entries()) {
    const [ns, cpu, name, , other] = event;
    if (name !== 'tp_switch') continue;
    const ended = open.get(cpu);
    if (ended) {
      ended.to = ns;
      open.delete(cpu);
    }
    if (typeof other !== 'number' || other === 0 || OWN.test(names.get(other) ?? 'swapper/')) continue;
    const next = { pid: other, cpu, to: ns, ...beginOf(recording, at) };
    noise.push(next);
    open.set(cpu, next);
  }
  return noise.filter(({ from, to }) => to > from);
}

/** The switch away from a task of the workload begins with its ops.stopping. */
function beginOf({ events, tasks }: Recording, at: number): { from: number; waits: boolean } {
  const [ns, , , prev, , preempt, state] = events[at]!;
  if (!(prev in tasks)) return { from: ns, waits: false };
  const waits = preempt === 0 && state !== 0;
  for (let i = at - 1; i >= 0 && events[i]![0] > ns - SWITCH_NS; i--) {
    const [time, , event, task, , runnable] = events[i]!;
    if (event === 'stopping' && task === prev && runnable === (waits ? 0 : 1)) return { from: time - 500, waits };
  }
  return { from: ns - (waits ? 2_000 : 0), waits };
}
