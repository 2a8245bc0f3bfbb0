import type { SimTask } from '../../../../../src/sim/index.js';
import type { RecordedEvent } from '../../recording.js';
import type { Choice } from '../choices.js';
import { A, CPU, DEFAULT_IPI_NS, EVENT, IPI_NS, NS, OTHER, SKEW_NS, SWITCH_NS, sleepsAway, TASK } from './events.js';
import type { Evidence } from './evidence.js';
import type { Threads } from './threads.js';

/** Shows that a CPU's task goes on: it does not owe a choice. */
function goesOn(e: RecordedEvent): boolean {
  return ['mark', 'tp_exit', 'tp_fork'].includes(e[EVENT]) || (e[EVENT] === 'stopping' && e[A] === 0);
}

const ENQUEUE_WAKEUP = 0x1;

/** What is first seen of a task that is being woken, behind tp_waking. */
const ROUSED = new Set(['select_cpu', 'runnable', 'tp_wakeup']);

/** When timers fired, and when CPUs noticed that they owe a choice. */
export class Interrupts {
  /** The one that each CPU has got round to last: what it owes after that is another one. */
  readonly #made: Choice[] = [];

  constructor(
    private readonly evidence: Evidence,
    private readonly threads: Threads,
    /** The task that a CPU runs. */
    private readonly on: (cpu: number) => SimTask | null,
  ) {}

  timer(task: SimTask, ns: number): number {
    const { now } = this.evidence.clock;
    // It is over before a task has gone to sleep that comes to its next step without.
    const own = (e: RecordedEvent) => e[TASK] === task.name && e[NS] >= now;
    const comes = (e: RecordedEvent) => e[EVENT] === 'mark' && e[A] === task.step + 1;
    const next = this.evidence.events.find((e) => own(e) && (comes(e) || sleepsAway(e, task.name)));
    if (next?.[EVENT] === 'mark') return now + 1;
    const found = this.#waking(task, now + ns - SKEW_NS);
    return found < now + ns + IPI_NS ? found : now + ns + 60_000;
  }

  awakes(task: SimTask, ns: number): number {
    const { now } = this.evidence.clock;
    if (!this.evidence.tracks.has(task.name)) return this.threads.hotplugs(task, now) ?? now + ns;
    const found = this.#waking(task, now);
    return found < now + ns + IPI_NS ? this.#metAsleep(task, found) : now + ns;
  }

  /** Who wakes a task that has not left its CPU yet waits for that, and goes on only then (try_to_wake_up). */
  #metAsleep({ name }: SimTask, time: number): number {
    const { events } = this.evidence;
    const own = (e: RecordedEvent) => e[TASK] === name && e[NS] >= time;
    const waking = events.findIndex((e) => own(e) && e[EVENT] === 'tp_waking');
    // Of a task of another class only the end of it is noted.
    const goes = events.findIndex((e, i) => i > waking && own(e) && ROUSED.has(e[EVENT]));
    const leaves = events.findIndex((e, i) => i > waking && own(e) && e[EVENT] === 'tp_switch');
    return waking >= 0 && leaves >= 0 && leaves < goes ? events[goes]![NS] : time;
  }

  #waking(task: SimTask, from: number): number {
    const wakes = (e: RecordedEvent, i: number) =>
      e[TASK] === task.name && e[NS] >= from && (e[EVENT] === 'tp_waking' || this.#wakesUnseen(e, i));
    return this.evidence.events.find(wakes)?.[NS] ?? Number.POSITIVE_INFINITY;
  }

  /** A CPU that goes down wakes who took it down where tracepoints are silent already (cpuhp_report_idle_dead). */
  #wakesUnseen(e: RecordedEvent, at: number): boolean {
    if (e[EVENT] !== 'runnable' || (Number(e[A]) & ENQUEUE_WAKEUP) === 0) return false;
    const before = this.evidence.events
      .slice(0, at)
      .findLast((one) => one[TASK] === e[TASK] && one[EVENT].startsWith('tp_'));
    return before?.[EVENT] === 'tp_switch';
  }

  reschedules(cpu: number): number {
    const { now } = this.evidence.clock;
    const choice = this.evidence.choices[cpu]!.find(
      (one) => one.to >= now && one !== this.#made[cpu] && !this.#slept(cpu, one),
    );
    if (choice && choice.from <= now) {
      this.#made[cpu] = choice;
      return now;
    }
    const stops =
      choice && choice.end >= 0 && this.evidence.stoppers.has(Number(this.evidence.events[choice.end]![OTHER]));
    const higher = choice && this.#waits(choice);
    let owes = now;
    for (const e of this.evidence.events) {
      if (e[NS] <= now || e[CPU] !== cpu) continue;
      if (choice && e[NS] >= choice.from) return choice.voluntary ? owes : choice.from;
      if (e[NS] > now + IPI_NS || goesOn(e)) break;
      if (e[EVENT] !== 'tick') continue;
      if (e[A] === 0) owes = e[NS];
      // The stopper is woken at the end of a system call only.
      else if (!stops && !higher) break;
    }
    return owes;
  }

  /** Has the task gone to sleep that the CPU goes from in this choice? Its switch took until `to`. */
  #slept(cpu: number, { from, end, voluntary }: Choice): boolean {
    if (!voluntary || from > this.evidence.clock.now) return false;
    const task = this.on(cpu);
    return this.evidence.events[end]![TASK] !== (task ? this.evidence.nameOf(task) : `swapper/${cpu}/0`);
  }

  /** Has a task of a higher class been woken that gets the CPU in this choice? */
  #waits({ end }: Choice): boolean {
    if (end < 0) return false;
    const { now } = this.evidence.clock;
    const name = this.evidence.events[end]![OTHER];
    const latest = this.evidence.events.findLast(
      (e, i) => i < end && e[TASK] === name && ['tp_wakeup', 'tp_switch', 'runnable'].includes(e[EVENT]),
    );
    return latest?.[EVENT] === 'tp_wakeup' && latest[NS] <= now + SWITCH_NS;
  }

  /** What other classes do is not compared, but a task of theirs must be where it was. */
  place(task: SimTask): number {
    const { now } = this.evidence.clock;
    const next = (e: RecordedEvent) => e[NS] >= now && e[EVENT] === 'tp_switch' && e[OTHER] === task.name;
    return this.evidence.tracks.has(task.name) ? (this.evidence.events.find(next)?.[CPU] ?? -1) : -1;
  }

  /** …and be the one that its CPU goes to. What is not of the workload comes first, and is as long there as the recording says. */
  goesTo(cpu: number, waiting: readonly SimTask[]): SimTask | null {
    if (waiting.some(({ noise }) => noise)) return null;
    const { now } = this.evidence.clock;
    const choice = this.evidence.choices[cpu]!.find(({ to, end }) => to >= now && end >= 0);
    if (!choice || choice.from > now + SWITCH_NS) return null;
    const next = this.evidence.events[choice.end]![OTHER];
    return waiting.find(({ name }) => name === next) ?? null;
  }

  /** The scheduler was not asked, though its CPU came back to it, or had nothing to do then. */
  searches(cpu: number, task: SimTask | null): boolean {
    const { now } = this.evidence.clock;
    const name = task && this.evidence.nameOf(task);
    const choice = this.evidence.choices[cpu]!.find(
      ({ to, end }) => to >= now && this.evidence.events[end]?.[TASK] === name,
    );
    if (!choice) return false;
    let released = false;
    for (const e of this.evidence.events.slice(0, choice.end)) {
      if (e[CPU] !== cpu) continue;
      if (e[EVENT] === 'cpu_release') released = true;
      else if (e[EVENT] === 'cpu_acquire') released = false;
      if (e[NS] >= choice.from && (e[EVENT] === 'cpu_acquire' || e[EVENT] === 'dispatch')) return false;
    }
    return released || this.evidence.events[choice.end]![OTHER] === 0;
  }

  ipi(cpu: number): number {
    const { now } = this.evidence.clock;
    const next = this.evidence.events.find((e) => e[NS] > now && e[CPU] === cpu);
    if (next && goesOn(next)) return Math.min(next[NS] - 1, now + DEFAULT_IPI_NS);
    return next && next[NS] < now + IPI_NS ? next[NS] : now + DEFAULT_IPI_NS;
  }
}
