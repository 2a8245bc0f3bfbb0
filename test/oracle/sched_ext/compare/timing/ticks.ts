import type { RecordedEvent } from '../../recording.js';
import { A, B, CPU, EVENT, HIDDEN_TICK_NS, NS, OTHER, SWITCH_NS, sliceIn, TASK } from './events.js';
import type { Evidence } from './evidence.js';

/** Longest that a CPU stands still with its tick due. */
const STALL_NS = 200_000;

/** The task has to go to another one of its class, or be given a new slice, because it has none left. */
function endsSlice(e: RecordedEvent): boolean {
  if (e[EVENT] === 'stopping') return e[A] === 1 && e[B] === 0;
  return e[EVENT] === 'dispatch' && e[TASK] !== '-' && e[B] === 0;
}

/** When the ticks of each CPU came. */
export class Ticks {
  readonly #phase: readonly (number | undefined)[];
  readonly #ticks: readonly number[][];

  constructor(
    private readonly evidence: Evidence,
    private readonly tickNs: number,
    /** Ticks are not noted: the scheduler is bypassed. */
    private readonly silent: () => boolean,
  ) {
    this.#ticks = Array.from({ length: evidence.recording.cpus }, (_, cpu) => this.#ticksOf(cpu));
    this.#phase = this.#ticks.map((times) => phaseOf(times, tickNs));
  }

  /** Ticks that are recorded, and those that ended slices without having been noted. */
  #ticksOf(cpu: number): number[] {
    const ticks: number[] = [];
    let ended = false;
    let curr: number | string = 0;
    // When its task was noted with some slice left, and when that would be used up.
    let left = 0;
    let until = 0;
    for (const e of this.evidence.events) {
      // Another CPU changes the task that runs here.
      const changed = e[TASK] === curr && ['running', 'stopping'].includes(e[EVENT]);
      if (e[CPU] !== cpu && !changed) continue;
      if (e[EVENT] === 'tp_switch') {
        // Ticks of other classes are not noted: one has come where a task of the deadline class is out of runtime.
        if (e[B] === 0 && this.evidence.isDeadline(e))
          ticks.push(this.evidence.choices[cpu]!.find(({ to }) => to >= e[NS])!.from - HIDDEN_TICK_NS);
        curr = e[OTHER];
      }
      const slice = sliceIn(e) ?? 0;
      if (slice > 0) {
        left = e[NS];
        until = left + slice;
      }
      if (e[EVENT] === 'tick') {
        ticks.push(e[NS]);
        ended = e[A] === 0;
      } else if (e[EVENT] === 'tp_switch') ended = false;
      // A change of the task accounts for its time, too.
      else if (e[EVENT] === 'stopping' && e[A] === 0) ended ||= e[B] === 0;
      else if (e[EVENT] === 'running') ended ||= e[A] === 0;
      else if (e[EVENT] === 'mark') ended ||= this.evidence.recording.tasks[e[TASK]]?.[Number(e[A])]?.verb === 'yield';
      else if (!ended && endsSlice(e)) {
        const choice = this.evidence.choices[cpu]!.find(({ to }) => to >= e[NS]);
        // Nor where the task went to sleep and its last stretch took what was left.
        if (choice?.voluntary) continue;
        // Where a higher class came, it was not the tick that made the CPU choose.
        const higher =
          choice &&
          (this.evidence.released(choice) ||
            (choice.end >= 0 && !this.evidence.ours(this.evidence.events[choice.end]![OTHER])));
        // …unless it has none left long before that is used up: the scheduler is bypassed.
        if (higher && e[NS] > until - this.tickNs) continue;
        // Nor where a task of the deadline class has got runtime here, and has been pushed away (dl_task_timer).
        const before = this.evidence.events.findLast((one) => one[CPU] === cpu && one[NS] < (choice?.from ?? e[NS]));
        if (before?.[EVENT] === 'tp_migrate' && before[OTHER] !== cpu && this.evidence.isDeadline(before)) continue;
        // Nor is there time for one behind a change of the task.
        if ((choice?.from ?? e[NS]) - HIDDEN_TICK_NS < left) continue;
        ticks.push((choice?.from ?? e[NS]) - HIDDEN_TICK_NS);
        ended = true;
      }
    }
    return ticks;
  }

  tick(cpu: number): number {
    const { now } = this.evidence.clock;
    const recorded = this.#ticks[cpu]!.find((time) => time > now);
    if (recorded !== undefined && recorded < now + 1.25 * this.tickNs) return recorded;
    const phase = this.#phase[cpu] ?? this.#phase.find((one) => one !== undefined) ?? 0;
    const grid = Math.floor((now - phase) / this.tickNs + 1) * this.tickNs + phase;
    return Math.min(this.silent() ? this.#stalled(cpu, grid) : grid, recorded ?? Number.POSITIVE_INFINITY);
  }

  /** A tick that nothing notes comes no sooner than the choice that follows from it, should the CPU have stood still. */
  #stalled(cpu: number, time: number): number {
    const next = this.evidence.choices[cpu]!.find(({ from }) => from >= time);
    if (!next || next.voluntary || next.end < 0 || next.from > time + STALL_NS) return time;
    return this.evidence.ours(this.evidence.events[next.end]![OTHER])
      ? Math.max(time, next.from - HIDDEN_TICK_NS)
      : time;
  }

  /** A tick that would have found a task of the workload running would have been recorded. */
  ticks(cpu: number): boolean {
    const { now } = this.evidence.clock;
    return this.#ticks[cpu]!.includes(now) || this.silent() || !this.#ran(cpu, now);
  }

  /** Did a task of the workload have the CPU then? */
  #ran(cpu: number, time: number): boolean {
    for (const { on } of this.evidence.tracks.values()) {
      if (on.some((stretch) => stretch.cpu === cpu && stretch.from <= time && time < stretch.to)) return true;
    }
    return false;
  }
}

/**
 * Where on a CPU's grid its ticks lie: the place that most of them are shortly behind. Ticks may be late, but never early: of two
 * such places the one that others are behind.
 */
function phaseOf(times: readonly number[], period: number): number | undefined {
  let best: number | undefined;
  let most = 0;
  for (const time of times) {
    const phase = time % period;
    const behind = (within: number) => times.filter((other) => (other - phase + period) % period < within).length;
    const score = behind(SWITCH_NS) + behind(period / 2) / (times.length + 1);
    if (score <= most) continue;
    most = score;
    best = phase;
  }
  return best;
}
