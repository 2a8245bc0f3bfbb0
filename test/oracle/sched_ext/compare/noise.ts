import type { RecordedEvent, Recording } from '../recording.js';

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
const SWITCH_NS = 15_000;

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
  const moved = ({ cpu, from, to }: Noise) =>
    recording.events.some((e) => e[2] === 'tp_migrate' && e[1] === cpu && e[0] >= from && e[0] <= to);
  return noise.filter((one) => one.to > one.from && !(STOPPER.test(names.get(one.pid) ?? '') && moved(one)));
}

/** The switch away from a task of the workload begins with its ops.stopping; what woke the noise may be the tick before. */
function beginOf({ events, tasks }: Recording, at: number): { from: number; tells: number | undefined } {
  const [ns, cpu, , prev, , preempt, state] = events[at]!;
  if (prev.startsWith('swapper/')) return { from: fromIdle(events, at), tells: ns };
  // Noise after noise, or after a thread that the machine has, waits until that is done.
  if (!(prev in tasks)) return { from: ns - 2, tells: undefined };
  const sleeps = preempt === 0 && state !== 0;
  let begin = ns - (sleeps ? 2_000 : 0);
  for (let i = at - 1; i >= 0 && events[i]![0] > begin - SWITCH_NS; i--) {
    const [time, where, event, task, , runnable] = events[i]!;
    if (where !== cpu || task !== prev) continue;
    if (event === 'stopping' && runnable === (sleeps ? 0 : 1)) begin = time - 500;
    if (event === 'tick' && !sleeps) return { from: time - 1, tells: time + 1 };
  }
  return { from: begin, tells: sleeps ? undefined : begin };
}

/** An idle CPU that takes noise before the task that an interrupt has just woken there: both came with the interrupt. */
function fromIdle(events: readonly RecordedEvent[], at: number): number {
  const [ns, cpu] = events[at]!;
  let from = ns;
  for (let i = at - 1; i >= 0 && events[i]![0] > ns - SWITCH_NS; i--) {
    const [time, where, event] = events[i]!;
    if (where !== cpu) continue;
    if (event === 'tp_switch') break;
    if (event === 'tp_waking') from = time - 1;
  }
  return from;
}
