import type { Recording } from '../recording.js';
import { choicesOf } from './choices.js';

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
const OWN = /^(swapper\/|sched_ext_helpe|cpuhp\/)/;
const STOPPER = /^migration\//;

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
  for (const { from, end, voluntary } of choicesOf(recording).flat()) {
    if (end < 0) continue;
    const [, cpu, , prev, other] = recording.events[end]!;
    const ended = open.get(cpu);
    if (ended) {
      ended.to = from;
      open.delete(cpu);
    }
    if (typeof other !== 'number' || other === 0 || OWN.test(names.get(other) ?? 'swapper/')) continue;
    const chooses = !prev.startsWith('swapper/') && (!(prev in recording.tasks) || voluntary);
    const next = { pid: other, cpu, from: from - 1, to: from, tells: chooses ? undefined : from - 1 };
    noise.push(next);
    open.set(cpu, next);
  }
  const moved = ({ cpu, from, to }: Noise) =>
    recording.events.some((e) => e[2] === 'tp_migrate' && e[1] === cpu && e[0] >= from && e[0] <= to);
  return noise.filter((one) => one.to > one.from && !(STOPPER.test(names.get(one.pid) ?? '') && moved(one)));
}
