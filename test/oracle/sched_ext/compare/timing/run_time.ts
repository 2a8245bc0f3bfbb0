import type { SimTask } from '../../../../../src/sim/index.js';
import type { Deadlines } from './deadlines.js';
import { B, EVENT, NS, SHORT_NS, SKEW_NS, SWITCH_NS, sliceIn, TASK } from './events.js';
import type { Evidence, Track } from './evidence.js';

/** What the kernel’s clocks charged tasks with. */
export class RunTime {
  constructor(
    private readonly evidence: Evidence,
    private readonly deadlines: Deadlines,
  ) {}

  placed(task: SimTask): void {
    const track = this.evidence.tracks.get(task.name);
    if (!track) return;
    track.noted = -1;
    track.since = this.evidence.clock.now;
  }

  /**
   * The emulator may stop a CPU between its look at the clock and what it does then. What the clock said is told by how much
   * of its slice a task had left when it was noted last, and how much when it is noted next.
   */
  ran(task: SimTask, ns: number): number {
    const track = this.evidence.tracks.get(task.name);
    if (!track) return ns;
    if (ns === 0) return task.ext ? this.#overtakes(task, track) : 0;
    const { now } = this.evidence.clock;
    if (!task.ext) {
      track.noted = -1;
      track.since = now;
      if (this.deadlines.usesUp(task)) {
        track.overrun = Math.max(0, ns - task.deadline!.budgetNs);
        return Math.max(ns, task.deadline!.budgetNs);
      }
      const least = Math.min(ns, Math.max(0, this.deadlines.fellAsleep(task, now) - (now - ns)));
      return this.deadlines.served(task, track, least, ns);
    }
    if (track.noted < 0) {
      const latest = Math.max(track.since + SKEW_NS, now - SHORT_NS);
      track.noted = this.evidence.events.findLastIndex(
        (e) => e[NS] <= latest && e[EVENT] === 'running' && e[TASK] === task.name,
      );
      track.charged = 0;
      const away = this.evidence.events.findIndex(
        (e, i) => i > track.noted && e[EVENT] === 'tp_switch' && e[TASK] === task.name,
      );
      track.end = away < 0 ? this.evidence.events.length : away;
    }
    if (track.noted < 0) return ns;
    let next = -1;
    for (let i = track.noted + 1; i < track.end; i++) {
      const e = this.evidence.events[i]!;
      if (e[TASK] !== task.name || sliceIn(e) === undefined) continue;
      if (e[NS] > now + SWITCH_NS) break;
      next = i;
      if (e[NS] >= now - SHORT_NS) break;
    }
    if (next < 0) {
      track.charged += ns;
      return ns;
    }
    const before = sliceIn(this.evidence.events[track.noted]!)!;
    const left = sliceIn(this.evidence.events[next]!)!;
    const used = before - left - track.charged;
    track.noted = next;
    track.charged = 0;
    // It was given another slice meanwhile, or none that ends.
    if (left > before || before >= Number.MAX_SAFE_INTEGER) return ns;
    // One cannot tell by how much it was overrun.
    if (left === 0) return Math.max(ns, before > 0 ? used + 2 * SKEW_NS : 0);
    return Math.max(used, 0);
  }

  /**
   * Whose CPU stood still before it put the task to sleep, and takes another one from elsewhere then, looks at the clock again before
   * the switch (enqueue_task, put_prev_task_scx): the task is woken with less than it had.
   */
  #overtakes({ name }: SimTask, track: Track): number {
    const noted = this.evidence.events[track.noted];
    if (noted?.[TASK] !== name || !['stopping', 'dispatch'].includes(noted[EVENT])) return 0;
    const next = this.evidence.events.findIndex(
      (e, i) => i > track.noted && e[TASK] === name && (sliceIn(e) !== undefined || e[EVENT] === 'enqueue'),
    );
    const e = this.evidence.events[next];
    if (!e || this.evidence.events[track.end]?.[B] === 0) return 0;
    if (e[EVENT] !== 'enqueue') {
      if (e[EVENT] === 'dispatch' && next < track.end) track.noted = next;
      return 0;
    }
    track.noted = next;
    return Math.max(0, sliceIn(noted)! - Number(e[B]));
  }
}
