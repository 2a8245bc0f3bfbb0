import type { SimTask } from '../../../../../src/sim/index.js';
import type { RecordedEvent } from '../../recording.js';
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
    return away?.[TASK] === name && this.#makesRoom(away);
  }

  #makesRoom(away: RecordedEvent): boolean {
    if (away[B] !== 0 || this.evidence.toStopper(away)) return false;
    return this.evidence.isDeadline(away) && !this.evidence.isDeadline(away, away[OTHER]);
  }

  /**
   * How much of its runtime a task of the deadline class has used that goes to sleep, or on: its timer may have begun before the CPU
   * stood still, and the clock been looked at behind that, or before it for whatever else it waits; and one cannot tell how far it was
   * overrun before. Whether any is left, the recording tells: a task without makes room, or, once woken, waits for its next period.
   */
  served(task: SimTask, track: Track, least: number, most: number): number {
    const { name, deadline } = task;
    if (!deadline || deadline.throttled) return least;
    const { events, clock } = this.evidence;
    const { now } = clock;
    const { budgetNs, due, params } = deadline;
    const early = budgetNs <= least && budgetNs + track.overrun > least;
    const spares = () => {
      track.overrun -= least - budgetNs + 1;
      return Math.max(0, budgetNs - 1);
    };
    const away = events.findIndex((e) => e[NS] >= now && e[TASK] === name && e[EVENT] === 'tp_switch');
    if (away < 0) return least;
    if (events[away]![NS] > now + SWITCH_NS) return early ? spares() : least;
    if (!sleepsAway(events[away]!, name)) return least;
    const woken = events.findIndex((e, i) => i > away && e[TASK] === name && e[EVENT] === 'tp_wakeup');
    const next = due - params.deadlineNs + params.periodNs;
    if (woken < 0 || events[woken]![NS] >= next) return least;
    const goes = events.findIndex(
      (e, i) =>
        i > woken &&
        ((e[EVENT] === 'tp_migrate' && e[TASK] === name) || (e[EVENT] === 'tp_switch' && e[OTHER] === name)),
    );
    if (goes < 0) return least;
    // It had no more than what it makes room with, unless that is all.
    const end = events.find((e, i) => i > goes && e[TASK] === name && e[EVENT] === 'tp_switch');
    const had = end && this.#makesRoom(end) ? end[NS] - events[goes]![NS] : params.runtimeNs;
    if (had < params.runtimeNs - SWITCH_NS) return Math.min(most, Math.max(least, budgetNs - had));
    const first = least < most ? least : Math.max(0, most - this.#stoodStill(task));
    if (budgetNs > first && budgetNs <= most) return events[goes]![NS] >= next ? most : first;
    return early && events[goes]![NS] < next ? spares() : least;
  }

  /** For how long the CPU stood still behind the task's last mark before it sleeps, where it did. */
  #stoodStill({ name }: SimTask): number {
    const { now } = this.evidence.clock;
    const begun = this.evidence.events.findLast((e) => e[NS] <= now && e[TASK] === name && e[EVENT] === 'mark');
    return begun ? Math.max(0, now - begun[NS] - SWITCH_NS) : 0;
  }

  /** The task is put on another CPU then, or gets its own; of one that sleeps by then, the former only tells. */
  replenishes(task: SimTask, time: number): number {
    const { events } = this.evidence;
    const own = (event: string) => (e: RecordedEvent) => e[EVENT] === event && e[TASK] === task.name;
    const gets = (e: RecordedEvent) => e[EVENT] === 'tp_switch' && e[OTHER] === task.name;
    const at = events.findIndex((e) => e[NS] >= time - SKEW_NS && (own('tp_migrate')(e) || gets(e)));
    const e = events[at];
    if (!e || e[NS] > time + IPI_NS) return time;
    const last = events.findLast((one) => one[NS] <= time && (own('tp_switch')(one) || own('tp_waking')(one)));
    if (last && sleepsAway(last, task.name)) {
      const woken = events.findIndex((one) => one[NS] > time && own('tp_wakeup')(one));
      return own('tp_migrate')(e) && woken >= 0 && woken < at ? e[NS] : time;
    }
    if (e[EVENT] === 'tp_migrate') return e[NS];
    return Math.max(time, this.evidence.choices[e[CPU]]!.find(({ end }) => end === at)!.from - DEFAULT_IPI_NS);
  }
}
