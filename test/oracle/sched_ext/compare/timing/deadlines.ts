import type { SimTask } from '../../../../../src/sim/index.js';
import {
  B,
  CPU,
  DEFAULT_IPI_NS,
  EVENT,
  HIDDEN_TICK_NS,
  IPI_NS,
  NS,
  OTHER,
  SKEW_NS,
  SWITCH_NS,
  sleepsAway,
  TASK,
} from './events.js';
import type { Evidence, Track } from './evidence.js';

/** What is told of the runtime of the deadline class. */
export class Deadlines {
  constructor(private readonly evidence: Evidence) {}

  /** A sleep that its timer ends too soon has begun before the CPU stood still: its clock had been looked at by then. */
  fellAsleep(task: SimTask, now: number): number {
    const step = this.evidence.step(task);
    if (step?.verb !== 'sleep') return now;
    const away = this.evidence.events.findIndex((e) => e[NS] >= now && sleepsAway(e, task.name));
    if (away < 0 || this.evidence.events[away]![NS] > now + SWITCH_NS) return now;
    const woken = this.evidence.events.find((e, i) => i > away && e[TASK] === task.name && e[EVENT] === 'tp_waking');
    if (!woken || woken[NS] - Number(step.ns) >= now) return now;
    const begun = this.evidence.events.findLast((e, i) => i < away && e[TASK] === task.name && e[EVENT] === 'mark');
    return Math.min(woken[NS] - Number(step.ns), (begun?.[NS] ?? now) + SWITCH_NS);
  }

  /** A task of the deadline class that makes room for a lower one though it is runnable has used up its runtime. */
  usesUp({ name, deadline, scx }: SimTask): boolean {
    if (!deadline || deadline.throttled) return false;
    const { now } = this.evidence.clock;
    const choice = this.evidence.choices[scx.cpu]!.find(({ from, to }) => from - HIDDEN_TICK_NS <= now && now <= to);
    const away = this.evidence.events[choice?.end ?? -1];
    if (away?.[TASK] !== name || away[B] !== 0 || this.evidence.toStopper(away)) return false;
    return this.evidence.isDeadline(away) && !this.evidence.isDeadline(away, away[OTHER]);
  }

  /**
   * How much of its runtime a task of the deadline class that goes to sleep has used: its timer may have begun before the CPU stood
   * still, and the clock been looked at behind that; and one cannot tell how far it was overrun before. Whether any is left, the
   * recording tells: a task without, once woken, waits for its next period.
   */
  served({ name, deadline }: SimTask, track: Track, least: number, most: number): number {
    if (!deadline || deadline.throttled) return least;
    const { budgetNs, due, params } = deadline;
    const late = budgetNs > least && budgetNs <= most;
    const early = budgetNs <= least && budgetNs + track.overrun > least;
    if (!late && !early) return least;
    const { now } = this.evidence.clock;
    const away = this.evidence.events.findIndex((e) => e[NS] >= now && e[TASK] === name && e[EVENT] === 'tp_switch');
    if (away < 0 || !sleepsAway(this.evidence.events[away]!, name) || this.evidence.events[away]![NS] > now + SWITCH_NS)
      return least;
    const woken = this.evidence.events.findIndex((e, i) => i > away && e[TASK] === name && e[EVENT] === 'tp_wakeup');
    const goes = this.evidence.events.find(
      (e, i) =>
        i > woken &&
        ((e[EVENT] === 'tp_migrate' && e[TASK] === name) || (e[EVENT] === 'tp_switch' && e[OTHER] === name)),
    );
    const next = due - params.deadlineNs + params.periodNs;
    if (woken < 0 || this.evidence.events[woken]![NS] >= next || !goes) return least;
    if (late) return goes[NS] >= next ? most : least;
    return goes[NS] < next ? Math.max(0, budgetNs - 1) : least;
  }

  /** The task is put on another CPU then, or gets its own. */
  replenishes(task: SimTask, time: number): number {
    const at = this.evidence.events.findIndex(
      (e) =>
        e[NS] >= time - SKEW_NS &&
        ((e[EVENT] === 'tp_migrate' && e[TASK] === task.name) || (e[EVENT] === 'tp_switch' && e[OTHER] === task.name)),
    );
    const e = this.evidence.events[at];
    if (!e || e[NS] > time + IPI_NS) return time;
    if (e[EVENT] === 'tp_migrate') return e[NS];
    return Math.max(time, this.evidence.choices[e[CPU]]!.find(({ end }) => end === at)!.from - DEFAULT_IPI_NS);
  }
}
