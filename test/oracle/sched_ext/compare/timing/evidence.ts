import type { SimStep, SimTask } from '../../../../../src/sim/index.js';
import type { RecordedEvent, Recording } from '../../recording.js';
import { type Choice, choicesOf } from '../choices.js';
import { HELPER, otherTasks, STOPPER } from '../noise.js';
import { A, CPU, EVENT, isSleep, NS, OTHER, SWITCH_NS, TASK } from './events.js';

interface Stretch {
  cpu: number;
  from: number;
  to: number;
}

/** Where a task of the workload stands in its recording. */
export class Track {
  /** When it had a CPU. */
  readonly on: Stretch[] = [];
  /** Index of the event behind the last point that was found. */
  cursor = 0;
  /** Time of the point that it is on its way to, and where that was looked for. */
  target = Number.NaN;
  from = 0;
  /** It sleeps before it comes to its first step. */
  fault = false;
  /** Index of the switch away that it was to come to last. */
  block = -1;
  /** Index of the event that noted its slice last, -1 for none, and what it has been charged with since. */
  noted = -1;
  charged = 0;
  /** How far it may have overrun its runtime when it last used it up, of the deadline class. */
  overrun = 0;
  /** When it got the CPU, or came to the scheduler's class. */
  since = 0;
  /** Index of the switch away from it that comes then. */
  end = -1;
}

/** A recording, and what is found in it for all questions alike. */
export class Evidence {
  readonly events: readonly RecordedEvent[];
  readonly tracks = new Map<string, Track>();
  readonly stoppers: ReadonlySet<number>;
  readonly helpers: ReadonlySet<number>;
  /** Choices of a task, by CPU, in order. */
  readonly choices: readonly Choice[][];

  constructor(
    readonly recording: Recording,
    readonly clock: { readonly now: number },
  ) {
    this.events = recording.events;
    this.choices = choicesOf(recording);
    const threads = (names: RegExp) =>
      new Set([...otherTasks(recording)].filter(([, comm]) => names.test(comm)).map(([pid]) => pid));
    this.stoppers = threads(STOPPER);
    this.helpers = threads(HELPER);
    for (const name of Object.keys(recording.tasks)) this.tracks.set(name, new Track());
    this.#findStretches();
  }

  #findStretches(): void {
    for (const [ns, cpu, event, task, other] of this.events) {
      if (event !== 'tp_switch') continue;
      const stretches = this.tracks.get(task)?.on;
      const last = stretches?.[stretches.length - 1];
      if (last) last.to = ns;
      this.tracks.get(String(other))?.on.push({ cpu, from: ns, to: Number.POSITIVE_INFINITY });
    }
  }

  /** Is the task that a CPU leaves, or another, one of the deadline class, by what was asked for it last? */
  isDeadline(away: RecordedEvent, name: number | string = away[TASK]): boolean {
    let policy: unknown;
    for (const e of this.events) {
      if (e[NS] >= away[NS]) break;
      const step = e[EVENT] === 'mark' ? this.recording.tasks[e[TASK]]?.[Number(e[A])] : undefined;
      if (step?.verb === 'policy' && (step.task === 'self' ? e[TASK] : step.task) === name) policy = step.name;
    }
    return policy === 'deadline';
  }

  /** Does the task leave its queue for good, or only to be changed? */
  leavesForGood(farewell: RecordedEvent): boolean {
    const at = this.events.indexOf(farewell);
    const next = this.events.find((e, i) => i > at && e[TASK] === farewell[TASK] && e[EVENT] === 'quiescent');
    return next !== undefined && isSleep(next);
  }

  /** Does the CPU go to a higher class? */
  released({ from, to, end }: Choice): boolean {
    const cpu = this.events[end]?.[CPU];
    return this.events.some((e) => e[EVENT] === 'cpu_release' && e[CPU] === cpu && e[NS] >= from && e[NS] <= to);
  }

  toStopper(e: RecordedEvent): boolean {
    return this.stoppers.has(Number(e[OTHER]));
  }

  /** Is this the idle task or one of the workload? */
  ours(task: number | string): boolean {
    return task === 0 || this.tracks.has(String(task));
  }

  /** Index of the switch to a stopper that the machine has come to. */
  begins(pid: number): number {
    const { now } = this.clock;
    return this.events.findLastIndex((e) => e[EVENT] === 'tp_switch' && e[OTHER] === pid && e[NS] <= now + SWITCH_NS);
  }

  /** CPU time from now to the target: what lies between, without the stretches in which the task had no CPU. */
  left(track: Track, target: number): number {
    const { now } = this.clock;
    let left = target - now;
    for (let i = 1; i < track.on.length; i++) {
      const from = track.on[i - 1]!.to;
      const to = track.on[i]!.from;
      if (from > now && to < target) left -= to - from;
    }
    return Math.max(left, 1);
  }

  /** What the recording calls a task. */
  nameOf({ name, kt }: SimTask): string {
    return this.tracks.has(name) ? name : `${kt.comm}/${kt.pid}`;
  }

  /** The step that a task is at. */
  step(task: SimTask): SimStep | undefined {
    return this.recording.tasks[task.name]?.[task.step] as SimStep | undefined;
  }

  /** Index of the next event of that kind, -1 if `end` comes first. */
  next(track: Track, wanted: (e: RecordedEvent) => boolean, end?: (e: RecordedEvent) => boolean): number {
    for (let i = track.cursor; i < this.events.length; i++) {
      const event = this.events[i]!;
      if (wanted(event)) return i;
      if (end?.(event)) return -1;
    }
    return -1;
  }

  /** Does the CPU of a task that goes to sleep note this about another one, as it looks for its next task? */
  parts(e: RecordedEvent, name: string): boolean {
    if (e[TASK] === name) return false;
    const choice = this.choices[e[CPU]]!.find(({ from, to }) => from <= e[NS] && e[NS] <= to);
    return choice?.voluntary === true && this.events[choice.end]![TASK] === name;
  }

  /** When a task that has no CPU at the last point that was found gets one; 0 where it has. */
  backAt(track: Track, name: string): number {
    const involves = (e: RecordedEvent) => e[EVENT] === 'tp_switch' && (e[TASK] === name || e[OTHER] === name);
    const last = this.events.findLastIndex((e, i) => i < track.cursor && involves(e));
    if (this.events[last]?.[TASK] !== name) return 0;
    return this.events.find((e, i) => i > last && involves(e))?.[NS] ?? 0;
  }

  /** Does a task's CPU note this? */
  here(track: Track, e: RecordedEvent): boolean {
    const time = Math.max(e[NS], this.clock.now + SWITCH_NS);
    let cpu = track.on[0]?.cpu ?? 0;
    for (const stretch of track.on) if (stretch.from <= time) cpu = stretch.cpu;
    return e[CPU] === cpu;
  }
}
