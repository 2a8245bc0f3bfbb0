import type { SimTask } from '../../../../../src/sim/index.js';
import type { RecordedEvent } from '../../recording.js';
import { CPU, EVENT, IPI_NS, isHotplug, NS, OTHER, SHORT_NS, STANDSTILL_NS, SWITCH_NS, TASK } from './events.js';
import type { Evidence } from './evidence.js';

/** Longest that the end of a scheduler takes from its first task to its last. */
const LOOP_NS = 500_000;

/** When the stoppers, the threads of CPUs that go and come, and the helper of sched_ext go on. */
export class Threads {
  #graces = 0;

  constructor(private readonly evidence: Evidence) {}

  /** CPU time of a CPU's thread until it tells the scheduler that the CPU has come. */
  activates({ kt }: SimTask): number {
    const { now } = this.evidence.clock;
    const call = this.evidence.events.find((e) => e[NS] >= now && isHotplug(e));
    if (call?.[EVENT] !== 'cpu_online' || call[NS] > now + IPI_NS) return 0;
    let left = call[NS] - now;
    let away = 0;
    for (const e of this.evidence.events) {
      if (e[NS] <= now || e[NS] > call[NS] || e[CPU] !== call[CPU] || e[EVENT] !== 'tp_switch') continue;
      if (e[OTHER] === kt.pid && away > 0) left -= e[NS] - away;
      away = e[OTHER] === kt.pid ? 0 : e[NS];
    }
    return Math.max(0, left);
  }

  /** Where it stands still before it wakes who waits for its work, until then. */
  completes({ kt }: SimTask): number {
    const { now } = this.evidence.clock;
    const begin = this.evidence.events.findLastIndex(
      (e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] <= now + SWITCH_NS,
    );
    const cpu = this.evidence.events[begin]?.[CPU];
    let last = now;
    for (const e of this.evidence.events.slice(begin + 1)) {
      if (e[CPU] !== cpu) continue;
      if (e[EVENT] === 'tp_switch') break;
      if (e[EVENT] === 'tp_waking' && e[NS] > now) return e[NS] - last > STANDSTILL_NS ? e[NS] - now : 0;
      last = e[NS];
    }
    return 0;
  }

  /** …and, when it has done its work, until it goes to sleep. */
  leaves({ kt }: SimTask): number {
    const { now } = this.evidence.clock;
    const name = `${kt.comm}/${kt.pid}`;
    const end = this.evidence.events.findIndex((e) => e[EVENT] === 'tp_switch' && e[TASK] === name && e[NS] >= now);
    if (end < 0) return 0;
    const cpu = this.evidence.events[end]![CPU];
    const begin = this.evidence.events.findLastIndex(
      (e, i) => i < end && e[EVENT] === 'tp_switch' && e[CPU] === cpu && e[OTHER] === kt.pid,
    );
    if (begin < 0 || this.evidence.events[begin]![NS] > now + SWITCH_NS) return 0;
    const { from } = this.evidence.choices[cpu]!.find((choice) => choice.end === end)!;
    return Math.max(0, from - now);
  }

  /** A task that a stopper has taken from its queue waits for the lock of the other one (move_queued_task). */
  moves({ kt }: SimTask, ns: number): number {
    const { now } = this.evidence.clock;
    const begin = this.evidence.begins(kt.pid);
    const cpu = this.evidence.events[begin]?.[CPU];
    const [left, arrived] = this.evidence.events.slice(begin + 1).filter((e) => e[CPU] === cpu);
    if (begin < 0 || left?.[EVENT] !== 'tp_migrate' || arrived?.[EVENT] !== 'enqueue') return ns;
    if (arrived[TASK] !== left[TASK] || arrived[NS] - left[NS] < STANDSTILL_NS || arrived[NS] < now) return ns;
    return arrived[NS] - now;
  }

  /** At the end of a scheduler tasks leave one after the other, here all at once: when those of the workload do. */
  letsGo({ kt }: SimTask, ns: number): number {
    const { now } = this.evidence.clock;
    const stints = (e: RecordedEvent) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] <= now + SWITCH_NS;
    // The thread may get its CPU twice in so short a time.
    const next = this.evidence.events.findIndex((e) => stints(e) && e[NS] >= now);
    const begin = next >= 0 ? next : this.evidence.events.findLastIndex(stints);
    const cpu = this.evidence.events[begin]?.[CPU];
    const stint = this.evidence.events.slice(begin + 1).filter((e) => e[CPU] === cpu);
    const first = stint.find((e) => e[EVENT] === 'tp_switch' || (e[EVENT] === 'exit_task' && e[TASK].includes('/')));
    if (begin < 0 || first?.[EVENT] !== 'exit_task') return ns;
    const own = stint.find((e) => e[NS] >= first[NS] && e[EVENT] === 'disable' && this.evidence.tracks.has(e[TASK]));
    return own && own[NS] < first[NS] + LOOP_NS ? Math.max(ns, own[NS] - SHORT_NS - now) : ns;
  }

  takesDown({ kt }: SimTask): number {
    const { now } = this.evidence.clock;
    const call = this.evidence.events.findIndex((e) => e[NS] >= now && isHotplug(e));
    const begin = this.evidence.events.findIndex(
      (e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] >= now,
    );
    if (begin < 0 || begin > call) return now;
    return this.evidence.choices[this.evidence.events[begin]![CPU]]!.find(({ end }) => end === begin)!.from - 1;
  }

  /** When the first stopper of those comes that have their CPUs at the same time as that of the CPU that goes. */
  stopsMachine({ kt }: SimTask): number {
    const { now } = this.evidence.clock;
    const last = this.evidence.events.findIndex((e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] >= now);
    if (last < 0) return now;
    let first = this.evidence.events[last]![NS];
    for (const choices of this.evidence.choices) {
      const latest = choices.findLast(({ from, end }) => from <= this.evidence.events[last]![NS] && end >= 0);
      if (latest && this.evidence.stoppers.has(Number(this.evidence.events[latest.end]![OTHER])))
        first = Math.min(first, latest.from);
    }
    return Math.max(now, first - 1);
  }

  /** When a CPU's thread got it last before it called the scheduler. */
  hotplugs({ kt }: SimTask, from: number): number | undefined {
    const call = this.evidence.events.find((e) => e[NS] >= from && isHotplug(e));
    const switches = this.evidence.events.filter(
      (e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] >= from,
    );
    return switches.filter((e) => call && e[NS] <= call[NS]).pop()?.[NS];
  }

  /** Those of a scheduler's end: before cgroups, then before tasks leave. Over when the helper is woken. */
  gracePeriod(): number {
    const { now } = this.evidence.clock;
    const first = this.#graces++ === 0;
    const next = (e: RecordedEvent) =>
      e[NS] > now && (first ? e[EVENT] === 'cgroup_exit' : e[EVENT] === 'exit_task' && e[TASK].includes('/'));
    const found = this.evidence.events.find(next);
    if (!found) return now + 8_000_000;
    const woken = this.evidence.choices[found[CPU]]!.filter(({ from, to }) => from > now && to <= found[NS]).pop();
    return woken ? woken.from - 1 : found[NS];
  }

  /** Just before it gets a CPU next. */
  helps(): number {
    const { now } = this.evidence.clock;
    let first = now + IPI_NS;
    for (const choices of this.evidence.choices) {
      const next = choices.find(
        ({ from, end }) =>
          from > now && end >= 0 && this.evidence.helpers.has(Number(this.evidence.events[end]![OTHER])),
      );
      if (next) first = Math.min(first, next.from);
    }
    return first < now + IPI_NS ? first - 1 : now;
  }
}
