import type { Recording } from '../recording.js';

const WAKE_SYNC = 0x10;

/**
 * Where the search of each CPU for a CPU was before the workload began, as the first one tells of which one knows what it found.
 * `siblings`: threads of each CPU's core, where the kernel looks there before it searches (scx_select_cpu_dfl of 7.3).
 */
export function searchesOf(
  { events, tasks, cpus }: Recording,
  siblings: readonly (readonly number[])[],
): Map<number, number> {
  const first = new Map<number, number>();
  /** Masks that searches before have gone through, by the CPU that searched. */
  const untold = Array.from({ length: cpus }, (): number[][] => []);
  const asked: [prev: number, sync: boolean][] = [];
  const place = new Map<number | string, number>();
  for (const [at, [, cpu, event, task, other, a]] of events.entries()) {
    if (event === 'select_cpu') asked[cpu] = [Number(other), (Number(a) & WAKE_SYNC) !== 0];
    if (event === 'tp_switch') place.set(other, cpu);
    if (event === 'tp_migrate') place.set(task, Number(other));
    if (first.has(cpu)) continue;
    if (event === 'kf_select_cpu_dfl') {
      const found = Number(other);
      const [prev, sync] = asked[cpu] ?? [found, false];
      // No search is needed to find the CPU that the task had, the one that wakes it, or a thread beside the former.
      if (a !== 1 || found === prev || (sync && found === cpu) || siblings[prev]?.includes(found)) continue;
      first.set(cpu, before(found, untold[cpu]!, cpus));
    }
    const step = event === 'mark' ? tasks[task]?.[Number(a)] : undefined;
    if (step?.verb !== 'affinity') continue;
    // __set_cpus_allowed_ptr searches, whether the task has to move or not.
    const mask = step.cpus as number[];
    const whose = step.task === 'self' ? task : step.task;
    const next = events.find((e, i) => i > at && e[3] === whose && ['tp_migrate', 'mark', 'tp_exit'].includes(e[2]));
    const moves = next?.[2] === 'tp_migrate' && !mask.includes(place.get(whose as string) ?? -1);
    if (moves) first.set(cpu, before(Number(next[4]), untold[cpu]!, cpus));
    else untold[cpu]!.push(mask);
  }
  return first;
}

/** From where a search finds this CPU, when searches of all those of the masks come before, each going on from the other. */
function before(found: number, masks: readonly (readonly number[])[], cpus: number): number {
  let at = found;
  for (const mask of masks.toReversed())
    at = mask.toSorted((a, b) => ((at - a - 1 + cpus) % cpus) - ((at - b - 1 + cpus) % cpus))[0]!;
  return (at - 1 + cpus) % cpus;
}
