import type { Point, SimStep, SimTask, Timing } from '../../../../src/sim/index.js';
import type { RecordedEvent, Recording } from '../recording.js';
import { type Choice, choicesOf } from './choices.js';
import { HELPER, otherTasks, STOPPER } from './noise.js';

// A recording's answers to "when": how long a task computed, when a timer fired, when a CPU noticed an interrupt, when ticks
// came. What happens then is the machine's own doing.

const NS = 0;
const CPU = 1;
const EVENT = 2;
const TASK = 3;
const OTHER = 4;
const A = 5;
const B = 6;

/** A switch in the machine is over when the kernel's begins; the recording tells the end of it, so much later at most. */
const SWITCH_NS = 30_000;
/** A machine's event is at most so much earlier than the kernel's. */
const SKEW_NS = 15_000;
/** Less than what lies between two notes of a slice that differ. */
const SHORT_NS = 500;
/** How long before a choice the tick came that led to it. */
const HIDDEN_TICK_NS = 5_000;
/** Longest that an interrupt of another CPU takes to arrive: both CPUs of the emulator share one host thread. */
const IPI_NS = 60_000_000;
const DEFAULT_IPI_NS = 3_000;
const TASK_UNINTERRUPTIBLE = 0x2;
const TASK_STOPPED = 0x4;
const TASK_DEAD = 0x80;

/** Callbacks and tracepoints that a system call of a task brings about for itself or another task. */
const EFFECTS = new Set([
  ...[
    'enable',
    'disable',
    'set_weight',
    'set_cpumask',
    'stopping',
    'quiescent',
    'runnable',
    'enqueue',
    'dequeue',
    'yield',
  ],
  ...['tp_waking', 'cgroup_init', 'cgroup_exit', 'cgroup_set_weight', 'cgroup_prep_move', 'cpu_online', 'cpu_offline'],
]);

/** What follows of a task between its farewell and the switch; whoever wakes it then waits for that (try_to_wake_up). */
const FAREWELL = new Set(['quiescent', 'dispatch', 'kf_move_to_local', 'tp_waking']);

/** Steps of which no others sleep in such a state but for locks, before what they are about. */
const LOCKING = new Set<SimStep['verb']>([
  ...([
    'run',
    'fork',
    'read',
    'sleep',
    'wait',
    'futexwait',
    'write',
    'futexwake',
    'nice',
    'affinity',
    'policy',
    'kill',
    'yield',
  ] as const),
]);
/** Points that the machine's costs may have at once, where a CPU can stand still before them. */
const MAY_TAKE_NONE: ReadonlySet<Point> = new Set<Point>(['signal-stop', 'block']);

/** Longer than what a CPU does at once. */
const STANDSTILL_NS = 20_000;
/** Longest that a CPU stands still with its tick due. */
const STALL_NS = 200_000;
/** Longest that the end of a scheduler takes from its first task to its last. */
const LOOP_NS = 500_000;

/** A switch away to sleep. */
function sleepsAway(e: RecordedEvent, name: string): boolean {
  return e[EVENT] === 'tp_switch' && e[TASK] === name && e[A] === 0 && e[B] !== 0;
}

function isHotplug(e: RecordedEvent): boolean {
  return e[EVENT] === 'cpu_offline' || e[EVENT] === 'cpu_online';
}

/** What a task that goes to sleep is noted with first. */
function isFarewell(e: RecordedEvent, name: string): boolean {
  return e[EVENT] === 'stopping' && e[TASK] === name && e[A] === 0;
}

/** Shows that a CPU's task goes on: it does not owe a choice. */
function goesOn(e: RecordedEvent): boolean {
  return ['mark', 'tp_exit', 'tp_fork'].includes(e[EVENT]) || (e[EVENT] === 'stopping' && e[A] === 0);
}

/** The task has to go to another one of its class, or be given a new slice, because it has none left. */
function endsSlice(e: RecordedEvent): boolean {
  if (e[EVENT] === 'stopping') return e[A] === 1 && e[B] === 0;
  return e[EVENT] === 'dispatch' && e[TASK] !== '-' && e[B] === 0;
}

/** What is left of its task's slice, where an event tells; ops.yield sees what was left before the time until then is taken off. */
function sliceIn(e: RecordedEvent): number | undefined {
  switch (e[EVENT]) {
    case 'running':
    case 'tick':
      return Number(e[A]);
    case 'stopping':
      return Number(e[B]);
    case 'dispatch':
      return e[TASK] === '-' ? undefined : Number(e[B]);
    default:
      return undefined;
  }
}

const ENQUEUE_WAKEUP = 0x1;

/** DEQUEUE_SLEEP */
function isSleep(e: RecordedEvent): boolean {
  return (BigInt(e[A]) & 1n) !== 0n;
}

interface Stretch {
  cpu: number;
  from: number;
  to: number;
}

/** Where a task of the workload stands in its recording. */
class Track {
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

export class RecordedTiming implements Timing {
  readonly #events: readonly RecordedEvent[];
  readonly #tracks = new Map<string, Track>();
  readonly #phase: readonly (number | undefined)[];
  readonly #ticks: readonly number[][];
  readonly #stoppers: ReadonlySet<number>;
  readonly #helpers: ReadonlySet<number>;
  #graces = 0;
  /** Choices of a task, by CPU, in order. */
  readonly #choices: readonly Choice[][];
  /** The one that each CPU has got round to last: what it owes after that is another one. */
  readonly #made: Choice[] = [];

  constructor(
    private readonly recording: Recording,
    private readonly clock: { readonly now: number },
    private readonly tickNs: number,
    /** Ticks are not noted: the scheduler is bypassed. */
    private readonly silent: () => boolean,
    /** Tasks that exit leave an autogroup. */
    private readonly autogroups: boolean,
  ) {
    this.#events = recording.events;
    this.#choices = choicesOf(recording);
    const threads = (names: RegExp) =>
      new Set([...otherTasks(recording)].filter(([, comm]) => names.test(comm)).map(([pid]) => pid));
    this.#stoppers = threads(STOPPER);
    this.#helpers = threads(HELPER);
    for (const name of Object.keys(recording.tasks)) this.#tracks.set(name, new Track());
    this.#findStretches();
    this.#ticks = Array.from({ length: recording.cpus }, (_, cpu) => this.#ticksOf(cpu));
    this.#phase = this.#ticks.map((times) => phaseOf(times, tickNs));
  }

  #findStretches(): void {
    for (const [ns, cpu, event, task, other] of this.#events) {
      if (event !== 'tp_switch') continue;
      const stretches = this.#tracks.get(task)?.on;
      const last = stretches?.[stretches.length - 1];
      if (last) last.to = ns;
      this.#tracks.get(String(other))?.on.push({ cpu, from: ns, to: Number.POSITIVE_INFINITY });
    }
  }

  /** Ticks that are recorded, and those that ended slices without having been noted. */
  #ticksOf(cpu: number): number[] {
    const ticks: number[] = [];
    let ended = false;
    let curr: number | string = 0;
    // When its task was noted with some slice left, and when that would be used up.
    let left = 0;
    let until = 0;
    for (const e of this.#events) {
      // Another CPU changes the task that runs here.
      const changed = e[TASK] === curr && ['running', 'stopping'].includes(e[EVENT]);
      if (e[CPU] !== cpu && !changed) continue;
      if (e[EVENT] === 'tp_switch') {
        // Ticks of other classes are not noted: one has come where a task of the deadline class is out of runtime.
        if (e[B] === 0 && this.#isDeadline(e))
          ticks.push(this.#choices[cpu]!.find(({ to }) => to >= e[NS])!.from - HIDDEN_TICK_NS);
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
      else if (e[EVENT] === 'mark') ended ||= this.recording.tasks[e[TASK]]?.[Number(e[A])]?.verb === 'yield';
      else if (!ended && endsSlice(e)) {
        const choice = this.#choices[cpu]!.find(({ to }) => to >= e[NS]);
        // Nor where the task went to sleep and its last stretch took what was left.
        if (choice?.voluntary) continue;
        // Where a higher class came, it was not the tick that made the CPU choose.
        const higher =
          choice && (this.#released(choice) || (choice.end >= 0 && !this.#ours(this.#events[choice.end]![OTHER])));
        // …unless it has none left long before that is used up: the scheduler is bypassed.
        if (higher && e[NS] > until - this.tickNs) continue;
        // Nor where a task of the deadline class has got runtime here, and has been pushed away (dl_task_timer).
        const before = this.#events.findLast((one) => one[CPU] === cpu && one[NS] < (choice?.from ?? e[NS]));
        if (before?.[EVENT] === 'tp_migrate' && before[OTHER] !== cpu && this.#isDeadline(before)) continue;
        // Nor is there time for one behind a change of the task.
        if ((choice?.from ?? e[NS]) - HIDDEN_TICK_NS < left) continue;
        ticks.push((choice?.from ?? e[NS]) - HIDDEN_TICK_NS);
        ended = true;
      }
    }
    return ticks;
  }

  /** Is the task that a CPU leaves, or another, one of the deadline class, by what was asked for it last? */
  #isDeadline(away: RecordedEvent, name: number | string = away[TASK]): boolean {
    let policy: unknown;
    for (const e of this.#events) {
      if (e[NS] >= away[NS]) break;
      const step = e[EVENT] === 'mark' ? this.recording.tasks[e[TASK]]?.[Number(e[A])] : undefined;
      if (step?.verb === 'policy' && (step.task === 'self' ? e[TASK] : step.task) === name) policy = step.name;
    }
    return policy === 'deadline';
  }

  /** Does the task leave its queue for good, or only to be changed? */
  #sleeps(farewell: RecordedEvent): boolean {
    const at = this.#events.indexOf(farewell);
    const next = this.#events.find((e, i) => i > at && e[TASK] === farewell[TASK] && e[EVENT] === 'quiescent');
    return next !== undefined && isSleep(next);
  }

  /** Does the CPU go to a higher class? */
  #released({ from, to, end }: Choice): boolean {
    const cpu = this.#events[end]?.[CPU];
    return this.#events.some((e) => e[EVENT] === 'cpu_release' && e[CPU] === cpu && e[NS] >= from && e[NS] <= to);
  }

  #toStopper(e: RecordedEvent): boolean {
    return this.#stoppers.has(Number(e[OTHER]));
  }

  /** Is this the idle task or one of the workload? */
  #ours(task: number | string): boolean {
    return task === 0 || this.#tracks.has(String(task));
  }

  // ---- Points

  until(task: SimTask, point: Point, ns: number): number {
    if (point === 'activate') return this.#activates(task);
    if (point === 'stop-complete') return this.#completes(task);
    if (point === 'kthread-done') return this.#stoppers.has(task.kt.pid) ? this.#leaves(task) : ns;
    if (point === 'kthread' && this.#stoppers.has(task.kt.pid)) return this.#moves(task, ns);
    if (point === 'kthread' && this.#helpers.has(task.kt.pid)) return this.#letsGo(task, ns);
    const track = this.#tracks.get(task.name);
    if (!track || (ns === 0 && !MAY_TAKE_NONE.has(point))) return ns;
    // What the signal interrupts is still ahead.
    if (point === 'signal-stop') return this.#left(track, this.#stopsAt(task) ?? this.clock.now);
    // A signal came before it was there.
    if (track.target > this.clock.now) track.cursor = track.from;
    track.from = track.cursor;
    track.target = Number.NaN;
    const found = this.#find(task, track, point);
    if (found < 0) {
      // It never comes to that: a signal is faster.
      const exit = point === 'step' || point === 'block' ? this.#killed(task, track) : -1;
      // Without autogroups nothing is to be seen of a task that lets go of what it has.
      if (exit < 0) return point === 'exit-release' && !this.autogroups ? 1 : ns;
      const until = this.#events[exit]![NS] - this.clock.now;
      return point === 'step' ? until + IPI_NS : Math.max(until, 1);
    }
    track.target = this.#timeOf(found, point);
    track.fault = point === 'step' && sleepsAway(this.#events[found]!, task.name);
    // A sleep that it comes to on its way is still ahead.
    const locked = (point === 'effect' || point === 'step') && sleepsAway(this.#events[found]!, task.name);
    track.cursor = locked ? found : found + 1;
    return this.#left(track, track.target);
  }

  /** When the task stops next, should it come to no other step before. */
  #stopsAt({ name }: SimTask): number | undefined {
    const { now } = this.clock;
    for (let i = 0; i < this.#events.length; i++) {
      const e = this.#events[i]!;
      if (e[NS] < now || e[TASK] !== name) continue;
      if (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit') return undefined;
      if (sleepsAway(e, name)) return (Number(e[B]) & TASK_STOPPED) === 0 ? undefined : this.#timeOf(i, 'signal-stop');
    }
    return undefined;
  }

  /** Index of the switch to a stopper that the machine has come to. */
  #begins(pid: number): number {
    const { now } = this.clock;
    return this.#events.findLastIndex((e) => e[EVENT] === 'tp_switch' && e[OTHER] === pid && e[NS] <= now + SWITCH_NS);
  }

  /** CPU time of a CPU's thread until it tells the scheduler that the CPU has come. */
  #activates({ kt }: SimTask): number {
    const { now } = this.clock;
    const call = this.#events.find((e) => e[NS] >= now && isHotplug(e));
    if (call?.[EVENT] !== 'cpu_online' || call[NS] > now + IPI_NS) return 0;
    let left = call[NS] - now;
    let away = 0;
    for (const e of this.#events) {
      if (e[NS] <= now || e[NS] > call[NS] || e[CPU] !== call[CPU] || e[EVENT] !== 'tp_switch') continue;
      if (e[OTHER] === kt.pid && away > 0) left -= e[NS] - away;
      away = e[OTHER] === kt.pid ? 0 : e[NS];
    }
    return Math.max(0, left);
  }

  /** Where it stands still before it wakes who waits for its work, until then. */
  #completes({ kt }: SimTask): number {
    const { now } = this.clock;
    const begin = this.#events.findLastIndex(
      (e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] <= now + SWITCH_NS,
    );
    const cpu = this.#events[begin]?.[CPU];
    let last = now;
    for (const e of this.#events.slice(begin + 1)) {
      if (e[CPU] !== cpu) continue;
      if (e[EVENT] === 'tp_switch') break;
      if (e[EVENT] === 'tp_waking' && e[NS] > now) return e[NS] - last > STANDSTILL_NS ? e[NS] - now : 0;
      last = e[NS];
    }
    return 0;
  }

  /** …and, when it has done its work, until it goes to sleep. */
  #leaves({ kt }: SimTask): number {
    const { now } = this.clock;
    const name = `${kt.comm}/${kt.pid}`;
    const end = this.#events.findIndex((e) => e[EVENT] === 'tp_switch' && e[TASK] === name && e[NS] >= now);
    if (end < 0) return 0;
    const cpu = this.#events[end]![CPU];
    const begin = this.#events.findLastIndex(
      (e, i) => i < end && e[EVENT] === 'tp_switch' && e[CPU] === cpu && e[OTHER] === kt.pid,
    );
    if (begin < 0 || this.#events[begin]![NS] > now + SWITCH_NS) return 0;
    const { from } = this.#choices[cpu]!.find((choice) => choice.end === end)!;
    return Math.max(0, from - now);
  }

  /** A task that a stopper has taken from its queue waits for the lock of the other one (move_queued_task). */
  #moves({ kt }: SimTask, ns: number): number {
    const { now } = this.clock;
    const begin = this.#begins(kt.pid);
    const cpu = this.#events[begin]?.[CPU];
    const [left, arrived] = this.#events.slice(begin + 1).filter((e) => e[CPU] === cpu);
    if (begin < 0 || left?.[EVENT] !== 'tp_migrate' || arrived?.[EVENT] !== 'enqueue') return ns;
    if (arrived[TASK] !== left[TASK] || arrived[NS] - left[NS] < STANDSTILL_NS || arrived[NS] < now) return ns;
    return arrived[NS] - now;
  }

  /** At the end of a scheduler tasks leave one after the other, here all at once: when those of the workload do. */
  #letsGo({ kt }: SimTask, ns: number): number {
    const { now } = this.clock;
    const begin = this.#events.findLastIndex(
      (e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] <= now + SWITCH_NS,
    );
    const cpu = this.#events[begin]?.[CPU];
    const stint = this.#events.slice(begin + 1).filter((e) => e[CPU] === cpu);
    const first = stint.find((e) => e[EVENT] === 'tp_switch' || (e[EVENT] === 'exit_task' && e[TASK].includes('/')));
    if (begin < 0 || first?.[EVENT] !== 'exit_task') return ns;
    const own = stint.find((e) => e[NS] >= first[NS] && e[EVENT] === 'disable' && this.#tracks.has(e[TASK]));
    return own && own[NS] < first[NS] + LOOP_NS ? Math.max(ns, own[NS] - SHORT_NS - now) : ns;
  }

  /** Index of the exit that follows upon what the task is at; -1 if it comes to another step. */
  #killed(task: SimTask, track: Track): number {
    const own = (e: RecordedEvent) => e[TASK] === task.name;
    const last = (this.recording.tasks[task.name]?.length ?? 0) - 1;
    const reaches = (e: RecordedEvent) => own(e) && e[EVENT] === 'mark' && Number(e[A]) > task.step;
    if (task.step >= last || this.#events.some(reaches)) return -1;
    return this.#next(
      track,
      (e) => own(e) && e[EVENT] === 'tp_exit',
      (e) => own(e) && (e[EVENT] === 'mark' || sleepsAway(e, task.name)),
    );
  }

  resumed(task: SimTask, point: Point, ns: number): number {
    const track = this.#tracks.get(task.name);
    if (!track) return ns;
    if (point === 'signal-stop') return this.#left(track, this.#stopsAt(task) ?? this.clock.now);
    return Number.isNaN(track.target) ? ns : this.#left(track, track.target);
  }

  returned(task: SimTask, point: Point, ns: number): number {
    return this.until(task, point, ns);
  }

  /** CPU time from now to the target: what lies between, without the stretches in which the task had no CPU. */
  #left(track: Track, target: number): number {
    const { now } = this.clock;
    let left = target - now;
    for (let i = 1; i < track.on.length; i++) {
      const from = track.on[i - 1]!.to;
      const to = track.on[i]!.from;
      if (from > now && to < target) left -= to - from;
    }
    return Math.max(left, 1);
  }

  #step(task: SimTask): SimStep | undefined {
    return this.recording.tasks[task.name]?.[task.step] as SimStep | undefined;
  }

  /** Index of the event that is this point; -1 if the recording does not tell. */
  #find(task: SimTask, track: Track, point: Point): number {
    const { name } = task;
    const step = this.#step(task);
    const own = (event: string) => (e: RecordedEvent) => e[EVENT] === event && e[TASK] === name;
    const mark = (e: RecordedEvent) => own('mark')(e) && e[A] === task.step + 1;
    const end = (e: RecordedEvent) => mark(e) || own('tp_exit')(e);
    const here = this.#cpuAt(track);
    switch (point) {
      case 'step': {
        const fault = this.#faultOf(task, track);
        return fault < 0 ? this.#next(track, mark) : fault;
      }
      case 'effect': {
        // It computes until a lock stops it on its way out.
        if (step?.verb === 'run') {
          const found = this.#next(track, (e) => end(e) || (sleepsAway(e, name) && e[B] === TASK_UNINTERRUPTIBLE));
          return this.#events[found]?.[EVENT] === 'tp_exit' ? this.exits(name, found) : found;
        }
        const child = step && 'task' in step && step.task !== 'self' ? step.task : name;
        const wakes = step?.verb === 'write' || step?.verb === 'futexwake';
        const found = this.#next(
          track,
          (e) => {
            // A task that wakes others has no reason to give its CPU away but to sleep.
            if (e[EVENT] === 'tp_switch') return wakes ? sleepsAway(e, name) : e[TASK] === name;
            if (e[CPU] !== here || !EFFECTS.has(e[EVENT])) return false;
            // It is preempted on its way.
            if (e[TASK] === name && ((e[EVENT] === 'stopping' && e[A] === 1) || e[EVENT] === 'enqueue')) return false;
            if (e[EVENT] === 'tp_waking') return wakes || e[TASK] === child;
            return e[TASK] === child || e[TASK] === '-';
          },
          end,
        );
        return found;
      }
      case 'cgroup-move': {
        const target = step && 'task' in step && step.task !== 'self' ? step.task : name;
        const moves = (e: RecordedEvent) =>
          e[TASK] === target &&
          e[CPU] === here &&
          (['dequeue', 'quiescent', 'cgroup_move'].includes(e[EVENT]) || isFarewell(e, target));
        return this.#next(track, moves, end);
      }
      case 'stop-machine':
        return this.#next(track, (e) => own('tp_switch')(e) && this.#toStopper(e), end);
      case 'block': {
        const blocks = (e: RecordedEvent) => own('tp_switch')(e) && e[A] === 0 && e[B] !== 0;
        // It has not come to the last one yet: what it was to wait for came first.
        if (track.block >= 0 && this.#events[track.block]![NS] >= this.clock.now) return track.block;
        const found = this.#next(track, blocks, end);
        track.block = found;
        if (found >= 0) return found;
        // What it would have waited for came before it had gone to sleep.
        const { now } = this.clock;
        const woken = this.#next(track, (e) => own('tp_waking')(e) && e[NS] >= now, end);
        return woken >= 0 ? woken : this.#next(track, end);
      }
      case 'fork': {
        const child = step?.verb === 'fork' ? step.task : '';
        return this.#next(track, (e) => e[EVENT] === 'init_task' && e[TASK] === child, end);
      }
      case 'fork-wake': {
        const child = step?.verb === 'fork' ? step.task : '';
        const wakes = (e: RecordedEvent) =>
          ['select_cpu', 'runnable', 'tp_wakeup_new'].includes(e[EVENT]) && e[TASK] === child;
        return this.#next(track, wakes, end);
      }
      case 'exit': {
        const exit = this.#next(track, own('tp_exit'));
        return exit < 0 ? exit : this.exits(name, exit);
      }
      case 'exit-release': {
        const dead = (e: RecordedEvent) => own('tp_switch')(e) && e[B] === TASK_DEAD;
        const leaves = (e: RecordedEvent) =>
          isFarewell(e, name) ? !this.#sleeps(e) : own('quiescent')(e) && !isSleep(e);
        const released = this.#next(track, (e) => e[CPU] === here && leaves(e), dead);
        // Nothing is to be seen of one that has left the scheduler by then.
        return released >= 0 ? released : this.#next(track, own('disable'), dead);
      }
      case 'exit-notify': {
        const parent = task.parent?.name ?? '';
        const notice = (e: RecordedEvent) => e[EVENT] === 'tp_waking' && e[TASK] === parent && e[CPU] === here;
        return this.#next(track, notice, (e) => own('tp_switch')(e) && e[B] === TASK_DEAD);
      }
      case 'exit-dead':
        return this.#next(track, (e) => own('tp_switch')(e) && e[B] === TASK_DEAD);
      default:
        return -1;
    }
  }

  /** Index of where a task is first seen to exit: before tp_exit it may have been kept from the scheduler (PF_EXITING). */
  exits(name: string, exit: number): number {
    const last = this.#events.findLastIndex((e, i) => i < exit && e[EVENT] === 'mark' && e[TASK] === name);
    // A scheduler that is bypassed is asked nothing of the kind any more.
    const asked = this.#events.findLastIndex((e) => e[EVENT] === 'enqueue');
    let stopped = -1;
    for (let i = last + 1; i < Math.min(exit, asked); i++) {
      const e = this.#events[i]!;
      if (e[TASK] !== name) continue;
      if (e[EVENT] === 'stopping') stopped = e[A] === 1 && e[B] === 0 ? i : -1;
      else if (e[EVENT] === 'enqueue') stopped = -1;
      else if (e[EVENT] === 'tp_switch' && stopped >= 0) return stopped;
    }
    return exit;
  }

  #next(track: Track, wanted: (e: RecordedEvent) => boolean, end?: (e: RecordedEvent) => boolean): number {
    for (let i = track.cursor; i < this.#events.length; i++) {
      const event = this.#events[i]!;
      if (wanted(event)) return i;
      if (end?.(event)) return -1;
    }
    return -1;
  }

  /** When the machine must come to a point for the event to be where it is: before what belongs to it. */
  #timeOf(found: number, point: Point): number {
    const event = this.#events[found]!;
    if (point === 'stop-machine') return this.#choices[event[CPU]]!.find(({ end }) => end === found)!.from;
    // The CPU owed the choice from the tick on.
    if ((point === 'exit' || point === 'effect') && event[EVENT] === 'stopping' && event[A] === 1) {
      const tick = this.#events.findLast((e, i) => i < found && e[EVENT] === 'tick' && e[TASK] === event[TASK]);
      const { from } = this.#choices[event[CPU]]!.find(({ to }) => to >= event[NS])!;
      return (tick?.[A] === 0 ? tick[NS] : from) - SHORT_NS;
    }
    if (point === 'block' && event[EVENT] === 'tp_waking') return event[NS] + 500;
    if (point === 'block' && (event[EVENT] === 'mark' || event[EVENT] === 'tp_exit')) return event[NS] - 500;
    if (event[EVENT] === 'tp_waking') return this.#caught(found) ?? this.#unlocked(found);
    if (event[EVENT] !== 'tp_switch') return EFFECTS.has(event[EVENT]) ? this.#unlocked(found) : event[NS];
    if (point === 'effect' && event[B] !== TASK_UNINTERRUPTIBLE) return event[NS] - 3_000;
    // The task's farewell comes first.
    for (let i = found - 1; i >= 0; i--) {
      const before = this.#events[i]!;
      if (isFarewell(before, event[TASK])) return this.#looksAround(i, found);
      if (before[TASK] === event[TASK] && !FAREWELL.has(before[EVENT])) break;
    }
    return event[NS] - 1_000;
  }

  /** A waker that finds the task on its way to sleep waits until it is there (try_to_wake_up). */
  #caught(found: number): number | undefined {
    const [, cpu, , task] = this.#events[found]!;
    let slept = false;
    for (let i = found + 1; i < this.#events.length; i++) {
      const e = this.#events[i]!;
      if (e[TASK] !== task) continue;
      if (isFarewell(e, task) && e[CPU] !== cpu) slept = true;
      else if (e[EVENT] === 'select_cpu' || e[EVENT] === 'runnable') return slept && e[CPU] === cpu ? e[NS] : undefined;
      else if (e[EVENT] === 'tp_waking' || e[EVENT] === 'tp_wakeup') return undefined;
    }
    return undefined;
  }

  /** A task goes to sleep, and its CPU looks for another one at once, unless the CPU stands still in between. */
  #looksAround(farewell: number, found: number): number {
    const [start, cpu, , task] = this.#events[farewell]!;
    for (let i = farewell + 1; i < found; i++) {
      const e = this.#events[i]!;
      if (e[EVENT] === 'tp_waking' && e[TASK] === task) break;
      if (e[CPU] !== cpu) continue;
      // Before 'dispatch' the fair class has looked for tasks, without the lock; it may find one that has come meanwhile.
      if (e[EVENT] === 'cpu_release') return e[NS] - start > STANDSTILL_NS ? e[NS] : start;
      if (e[EVENT] !== 'dispatch') continue;
      if (e[NS] - start > STANDSTILL_NS) return e[NS];
      const next = this.#events.findIndex((one, at) => at > i && one[CPU] === cpu);
      return this.#overtaken(i, next, this.#events[found]![OTHER]) ? this.#events[next]![NS] : start;
    }
    return start;
  }

  /** A CPU that stands still in ops.dispatch had not got hold of its task yet where others took those that waited longer. */
  #overtaken(dispatch: number, next: number, task: number | string): boolean {
    const last = (event: string, name: number | string, before: number) =>
      this.#events.slice(0, before).findLastIndex((e) => e[EVENT] === event && e[TASK] === name);
    const since = last('kf_insert', task, next);
    for (let at = dispatch + 1; at < next; at++) {
      const e = this.#events[at]!;
      if (e[EVENT] !== 'running') continue;
      const before = this.#events.slice(0, at);
      const taken = before.findLastIndex((one) => one[EVENT] === 'kf_move_to_local' && one[CPU] === e[CPU]);
      if (taken < dispatch) continue;
      const inserted = last('kf_insert', e[TASK], at);
      if (inserted < since && inserted > last('running', e[TASK], at)) return true;
    }
    return false;
  }

  /** What a task does while it holds the lock of a run queue is seen by others when it is done, should its CPU stand still. */
  #unlocked(found: number): number {
    const [start, cpu, , task] = this.#events[found]!;
    let time = start;
    let last = start;
    for (let i = found + 1; i < this.#events.length && this.#events[i]![NS] < start + IPI_NS; i++) {
      const e = this.#events[i]!;
      if (e[CPU] !== cpu) continue;
      if (e[TASK] !== task || !EFFECTS.has(e[EVENT]) || e[EVENT] === 'tp_waking') break;
      if (e[NS] - last > STANDSTILL_NS) time = e[NS];
      last = e[NS];
    }
    return time;
  }

  #cpuAt(track: Track): number {
    const { now } = this.clock;
    let cpu = track.on[0]?.cpu ?? 0;
    for (const stretch of track.on) if (stretch.from <= now + SWITCH_NS) cpu = stretch.cpu;
    return cpu;
  }

  /** A child may wait for locks that its parent holds as it copies its memory (anon_vma_fork), before it comes to anything. */
  faults(task: SimTask): boolean {
    const track = this.#tracks.get(task.name);
    const { fault = false } = track ?? {};
    if (track) track.fault = false;
    return fault;
  }

  #faultOf({ name, step }: SimTask, track: Track): number {
    if (step >= 0) return -1;
    const sleeps = (e: RecordedEvent) => sleepsAway(e, name) && e[B] === TASK_UNINTERRUPTIBLE;
    return this.#next(track, sleeps, (e) => e[TASK] === name && (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit'));
  }

  /** A system call sleeps if the task leaves its CPU so, before what the call brings about or behind it. */
  sleeps(task: SimTask): boolean {
    const track = this.#tracks.get(task.name);
    if (!track) return false;
    const end = (e: RecordedEvent) => e[TASK] === task.name && (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit');
    const blocks = (e: RecordedEvent) => sleepsAway(e, task.name) && e[B] !== TASK_DEAD;
    const block = this.#next(track, blocks, end);
    if (block < 0) return false;
    if (task.exiting) return true;
    const step = this.#step(task);
    if (step?.verb === 'cpu') {
      // The sleep in which the callback comes is the wait for the CPU's thread.
      const call = this.#next(track, isHotplug, end);
      // It stops all CPUs before it sleeps again.
      const stops = this.#next(
        track,
        (e) => e[EVENT] === 'tp_switch' && e[TASK] === task.name && this.#toStopper(e),
        end,
      );
      if (call < 0 && stops >= 0 && stops < block) return false;
      if (call < 0 || call < block) return true;
      const woken = this.#events.findIndex((e, i) => i > block && e[EVENT] === 'tp_waking' && e[TASK] === task.name);
      return woken < call;
    }
    const effect = this.#find(task, track, 'effect');
    return (
      effect < 0 ||
      effect >= block ||
      this.#events[effect]![EVENT] === 'tp_switch' ||
      isFarewell(this.#events[effect]!, task.name)
    );
  }

  locked(task: SimTask): boolean {
    const track = this.#tracks.get(task.name);
    const step = this.#step(task);
    if (!track || !step || !LOCKING.has(step.verb)) return false;
    const end = (e: RecordedEvent) => e[TASK] === task.name && (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit');
    const block = this.#next(track, (e) => sleepsAway(e, task.name), end);
    if (block < 0 || (Number(this.#events[block]![B]) & TASK_UNINTERRUPTIBLE) === 0) return false;
    switch (step.verb) {
      case 'run':
        // Behind the last step it is on its way out.
        return this.#events.find((e, at) => at > block && end(e))?.[EVENT] === 'mark';
      case 'fork': {
        const fork = this.#find(task, track, 'fork');
        return fork < 0 || block < fork;
      }
      case 'read':
      case 'sleep':
      case 'wait':
      case 'futexwait':
        return true;
      default:
        return this.#find(task, track, 'effect') === block;
    }
  }

  /** A waker's CPU that stands still between the choice of a CPU and the wait for its lock is overtaken by others. */
  locks(task: SimTask): number {
    const { now } = this.clock;
    if (!this.#tracks.has(task.name)) return now;
    const own = (event: string) => (e: RecordedEvent) => e[EVENT] === event && e[TASK] === task.name;
    const waking = this.#events.findLastIndex((e) => e[NS] <= now + SHORT_NS && own('tp_waking')(e));
    const runnable = this.#events.find((e, i) => i > waking && own('runnable')(e));
    const woken = this.#events.find((e, i) => i > waking && own('tp_wakeup')(e));
    if (waking < 0 || !runnable || !woken || runnable[NS] > woken[NS]) return now;
    return runnable[NS] - now > STANDSTILL_NS ? runnable[NS] : now;
  }

  /**
   * A CPU that stands still behind ops.dispatch, before it puts its task back, has taken the next one from its queue by then, unless
   * others took those that waited longer.
   */
  moved(cpu: number): number {
    const { now } = this.clock;
    const choice = this.#choices[cpu]!.find(({ from, to }) => from <= now && now <= to);
    if (!choice || choice.end < 0) return now;
    const { [TASK]: prev, [OTHER]: task } = this.#events[choice.end]!;
    const begin = this.#events.findIndex((e) => e[NS] >= choice.from && e[CPU] === cpu);
    let stood = false;
    let dispatch = -1;
    let last = -1;
    for (let i = begin; i < choice.end; i++) {
      const e = this.#events[i]!;
      if (e[CPU] !== cpu) continue;
      if (dispatch >= 0 && e[NS] - this.#events[last]![NS] > STANDSTILL_NS) {
        if (last === dispatch && this.#overtaken(dispatch, i, task)) return now;
        stood = true;
      }
      if (e[EVENT] === 'dispatch') dispatch = i;
      if (e[EVENT] === 'enqueue' && e[TASK] === prev) return stood ? e[NS] : now;
      last = i;
    }
    return now;
  }

  // ---- Run time

  placed(task: SimTask): void {
    const track = this.#tracks.get(task.name);
    if (!track) return;
    track.noted = -1;
    track.since = this.clock.now;
  }

  /**
   * The emulator may stop a CPU between its look at the clock and what it does then. What the clock said is told by how much
   * of its slice a task had left when it was noted last, and how much when it is noted next.
   */
  ran(task: SimTask, ns: number): number {
    const track = this.#tracks.get(task.name);
    if (!track) return ns;
    if (ns === 0) return task.ext ? this.#overtakes(task, track) : 0;
    const { now } = this.clock;
    if (!task.ext) {
      track.noted = -1;
      track.since = now;
      if (this.#usesUp(task)) {
        track.overrun = Math.max(0, ns - task.deadline!.budgetNs);
        return Math.max(ns, task.deadline!.budgetNs);
      }
      const least = Math.min(ns, Math.max(0, this.#fellAsleep(task, now) - (now - ns)));
      return this.#served(task, track, least, ns);
    }
    if (track.noted < 0) {
      const latest = Math.max(track.since + SKEW_NS, now - SHORT_NS);
      track.noted = this.#events.findLastIndex(
        (e) => e[NS] <= latest && e[EVENT] === 'running' && e[TASK] === task.name,
      );
      track.charged = 0;
      const away = this.#events.findIndex(
        (e, i) => i > track.noted && e[EVENT] === 'tp_switch' && e[TASK] === task.name,
      );
      track.end = away < 0 ? this.#events.length : away;
    }
    if (track.noted < 0) return ns;
    let next = -1;
    for (let i = track.noted + 1; i < track.end; i++) {
      const e = this.#events[i]!;
      if (e[NS] > now + SWITCH_NS) break;
      if (e[TASK] !== task.name || sliceIn(e) === undefined) continue;
      next = i;
      if (e[NS] >= now - SHORT_NS) break;
    }
    if (next < 0) {
      track.charged += ns;
      return ns;
    }
    const before = sliceIn(this.#events[track.noted]!)!;
    const left = sliceIn(this.#events[next]!)!;
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
    const noted = this.#events[track.noted];
    if (noted?.[TASK] !== name || !['stopping', 'dispatch'].includes(noted[EVENT])) return 0;
    const next = this.#events.findIndex(
      (e, i) => i > track.noted && e[TASK] === name && (sliceIn(e) !== undefined || e[EVENT] === 'enqueue'),
    );
    const e = this.#events[next];
    if (!e || this.#events[track.end]?.[B] === 0) return 0;
    if (e[EVENT] !== 'enqueue') {
      if (e[EVENT] === 'dispatch' && next < track.end) track.noted = next;
      return 0;
    }
    track.noted = next;
    return Math.max(0, sliceIn(noted)! - Number(e[B]));
  }

  /** A sleep that its timer ends too soon has begun before the CPU stood still: its clock had been looked at by then. */
  #fellAsleep(task: SimTask, now: number): number {
    const step = this.#step(task);
    if (step?.verb !== 'sleep') return now;
    const away = this.#events.findIndex((e) => e[NS] >= now && sleepsAway(e, task.name));
    if (away < 0 || this.#events[away]![NS] > now + SWITCH_NS) return now;
    const woken = this.#events.find((e, i) => i > away && e[TASK] === task.name && e[EVENT] === 'tp_waking');
    if (!woken || woken[NS] - Number(step.ns) >= now) return now;
    const begun = this.#events.findLast((e, i) => i < away && e[TASK] === task.name && e[EVENT] === 'mark');
    return Math.min(woken[NS] - Number(step.ns), (begun?.[NS] ?? now) + SWITCH_NS);
  }

  /** A task of the deadline class that makes room for a lower one though it is runnable has used up its runtime. */
  #usesUp({ name, deadline, scx }: SimTask): boolean {
    if (!deadline || deadline.throttled) return false;
    const { now } = this.clock;
    const choice = this.#choices[scx.cpu]!.find(({ from, to }) => from - HIDDEN_TICK_NS <= now && now <= to);
    const away = this.#events[choice?.end ?? -1];
    if (away?.[TASK] !== name || away[B] !== 0 || this.#toStopper(away)) return false;
    return this.#isDeadline(away) && !this.#isDeadline(away, away[OTHER]);
  }

  /**
   * How much of its runtime a task of the deadline class that goes to sleep has used: its timer may have begun before the CPU stood
   * still, and the clock been looked at behind that; and one cannot tell how far it was overrun before. Whether any is left, the
   * recording tells: a task without, once woken, waits for its next period.
   */
  #served({ name, deadline }: SimTask, track: Track, least: number, most: number): number {
    if (!deadline || deadline.throttled) return least;
    const { budgetNs, due, params } = deadline;
    const late = budgetNs > least && budgetNs <= most;
    const early = budgetNs <= least && budgetNs + track.overrun > least;
    if (!late && !early) return least;
    const { now } = this.clock;
    const away = this.#events.findIndex((e) => e[NS] >= now && e[TASK] === name && e[EVENT] === 'tp_switch');
    if (away < 0 || !sleepsAway(this.#events[away]!, name) || this.#events[away]![NS] > now + SWITCH_NS) return least;
    const woken = this.#events.findIndex((e, i) => i > away && e[TASK] === name && e[EVENT] === 'tp_wakeup');
    const goes = this.#events.find(
      (e, i) =>
        i > woken &&
        ((e[EVENT] === 'tp_migrate' && e[TASK] === name) || (e[EVENT] === 'tp_switch' && e[OTHER] === name)),
    );
    const next = due - params.deadlineNs + params.periodNs;
    if (woken < 0 || this.#events[woken]![NS] >= next || !goes) return least;
    if (late) return goes[NS] >= next ? most : least;
    return goes[NS] < next ? Math.max(0, budgetNs - 1) : least;
  }

  // ---- Interrupts

  timer(task: SimTask, ns: number): number {
    const { now } = this.clock;
    const found = this.#waking(task, now + ns - SKEW_NS);
    return found < now + ns + IPI_NS ? found : now + ns + 60_000;
  }

  /** The task is put on another CPU then, or gets its own. */
  replenishes(task: SimTask, time: number): number {
    const at = this.#events.findIndex(
      (e) =>
        e[NS] >= time - SKEW_NS &&
        ((e[EVENT] === 'tp_migrate' && e[TASK] === task.name) || (e[EVENT] === 'tp_switch' && e[OTHER] === task.name)),
    );
    const e = this.#events[at];
    if (!e || e[NS] > time + IPI_NS) return time;
    if (e[EVENT] === 'tp_migrate') return e[NS];
    return Math.max(time, this.#choices[e[CPU]]!.find(({ end }) => end === at)!.from - DEFAULT_IPI_NS);
  }

  awakes(task: SimTask, ns: number): number {
    const { now } = this.clock;
    if (!this.#tracks.has(task.name)) return this.#hotplugs(task, now) ?? now + ns;
    const found = this.#waking(task, now);
    return found < now + ns + IPI_NS ? found : now + ns;
  }

  takesDown({ kt }: SimTask): number {
    const { now } = this.clock;
    const call = this.#events.findIndex((e) => e[NS] >= now && isHotplug(e));
    const begin = this.#events.findIndex((e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] >= now);
    if (begin < 0 || begin > call) return now;
    return this.#choices[this.#events[begin]![CPU]]!.find(({ end }) => end === begin)!.from - 1;
  }

  /** When the first stopper of those comes that have their CPUs at the same time as that of the CPU that goes. */
  stopsMachine({ kt }: SimTask): number {
    const { now } = this.clock;
    const last = this.#events.findIndex((e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] >= now);
    if (last < 0) return now;
    let first = this.#events[last]![NS];
    for (const choices of this.#choices) {
      const latest = choices.findLast(({ from, end }) => from <= this.#events[last]![NS] && end >= 0);
      if (latest && this.#stoppers.has(Number(this.#events[latest.end]![OTHER]))) first = Math.min(first, latest.from);
    }
    return Math.max(now, first - 1);
  }

  /** When a CPU's thread got it last before it called the scheduler. */
  #hotplugs({ kt }: SimTask, from: number): number | undefined {
    const call = this.#events.find((e) => e[NS] >= from && isHotplug(e));
    const switches = this.#events.filter((e) => e[EVENT] === 'tp_switch' && e[OTHER] === kt.pid && e[NS] >= from);
    return switches.filter((e) => call && e[NS] <= call[NS]).pop()?.[NS];
  }

  #waking(task: SimTask, from: number): number {
    const wakes = (e: RecordedEvent, i: number) =>
      e[TASK] === task.name && e[NS] >= from && (e[EVENT] === 'tp_waking' || this.#wakesUnseen(e, i));
    return this.#events.find(wakes)?.[NS] ?? Number.POSITIVE_INFINITY;
  }

  /** A CPU that goes down wakes who took it down where tracepoints are silent already (cpuhp_report_idle_dead). */
  #wakesUnseen(e: RecordedEvent, at: number): boolean {
    if (e[EVENT] !== 'runnable' || (Number(e[A]) & ENQUEUE_WAKEUP) === 0) return false;
    const before = this.#events.slice(0, at).findLast((one) => one[TASK] === e[TASK] && one[EVENT].startsWith('tp_'));
    return before?.[EVENT] === 'tp_switch';
  }

  reschedules(cpu: number): number {
    const { now } = this.clock;
    const choice = this.#choices[cpu]!.find((one) => one.to >= now && one !== this.#made[cpu]);
    if (choice && choice.from <= now) {
      this.#made[cpu] = choice;
      return now;
    }
    const stops = choice && choice.end >= 0 && this.#stoppers.has(Number(this.#events[choice.end]![OTHER]));
    const higher = choice && this.#waits(choice);
    let owes = now;
    for (const e of this.#events) {
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

  /** Has a task of a higher class been woken that gets the CPU in this choice? */
  #waits({ end }: Choice): boolean {
    if (end < 0) return false;
    const { now } = this.clock;
    const name = this.#events[end]![OTHER];
    const latest = this.#events.findLast(
      (e, i) => i < end && e[TASK] === name && ['tp_wakeup', 'tp_switch', 'runnable'].includes(e[EVENT]),
    );
    return latest?.[EVENT] === 'tp_wakeup' && latest[NS] <= now + SWITCH_NS;
  }

  /** What other classes do is not compared, but a task of theirs must be where it was. */
  place(task: SimTask): number {
    const { now } = this.clock;
    const next = (e: RecordedEvent) => e[NS] >= now && e[EVENT] === 'tp_switch' && e[OTHER] === task.name;
    return this.#tracks.has(task.name) ? (this.#events.find(next)?.[CPU] ?? -1) : -1;
  }

  /** The scheduler was not asked, though its CPU came back to it, or had nothing to do then. */
  searches(cpu: number, task: SimTask | null): boolean {
    const { now } = this.clock;
    const name = task && (this.#tracks.has(task.name) ? task.name : `${task.kt.comm}/${task.kt.pid}`);
    const choice = this.#choices[cpu]!.find(({ to, end }) => to >= now && this.#events[end]?.[TASK] === name);
    if (!choice) return false;
    let released = false;
    for (const e of this.#events.slice(0, choice.end)) {
      if (e[CPU] !== cpu) continue;
      if (e[EVENT] === 'cpu_release') released = true;
      else if (e[EVENT] === 'cpu_acquire') released = false;
      if (e[NS] >= choice.from && (e[EVENT] === 'cpu_acquire' || e[EVENT] === 'dispatch')) return false;
    }
    return released || this.#events[choice.end]![OTHER] === 0;
  }

  ipi(cpu: number): number {
    const { now } = this.clock;
    const next = this.#events.find((e) => e[NS] > now && e[CPU] === cpu);
    if (next && goesOn(next)) return Math.min(next[NS] - 1, now + DEFAULT_IPI_NS);
    return next && next[NS] < now + IPI_NS ? next[NS] : now + DEFAULT_IPI_NS;
  }

  tick(cpu: number): number {
    const { now } = this.clock;
    const recorded = this.#ticks[cpu]!.find((time) => time > now);
    if (recorded !== undefined && recorded < now + 1.25 * this.tickNs) return recorded;
    const phase = this.#phase[cpu] ?? this.#phase.find((one) => one !== undefined) ?? 0;
    const grid = Math.floor((now - phase) / this.tickNs + 1) * this.tickNs + phase;
    return Math.min(this.silent() ? this.#stalled(cpu, grid) : grid, recorded ?? Number.POSITIVE_INFINITY);
  }

  /** A tick that nothing notes comes no sooner than the choice that follows from it, should the CPU have stood still. */
  #stalled(cpu: number, time: number): number {
    const next = this.#choices[cpu]!.find(({ from }) => from >= time);
    if (!next || next.voluntary || next.end < 0 || next.from > time + STALL_NS) return time;
    return this.#ours(this.#events[next.end]![OTHER]) ? Math.max(time, next.from - HIDDEN_TICK_NS) : time;
  }

  /** A tick that would have found a task of the workload running would have been recorded. */
  ticks(cpu: number): boolean {
    const { now } = this.clock;
    return this.#ticks[cpu]!.includes(now) || this.silent() || !this.#ran(cpu, now);
  }

  /** Did a task of the workload have the CPU then? */
  #ran(cpu: number, time: number): boolean {
    for (const { on } of this.#tracks.values()) {
      if (on.some((stretch) => stretch.cpu === cpu && stretch.from <= time && time < stretch.to)) return true;
    }
    return false;
  }

  /** Those of a scheduler's end: before cgroups, then before tasks leave. Over when the helper is woken. */
  gracePeriod(): number {
    const { now } = this.clock;
    const first = this.#graces++ === 0;
    const next = (e: RecordedEvent) =>
      e[NS] > now && (first ? e[EVENT] === 'cgroup_exit' : e[EVENT] === 'exit_task' && e[TASK].includes('/'));
    const found = this.#events.find(next);
    if (!found) return now + 8_000_000;
    const woken = this.#choices[found[CPU]]!.filter(({ from, to }) => from > now && to <= found[NS]).pop();
    return woken ? woken.from - 1 : found[NS];
  }

  /** Just before it gets a CPU next. */
  helps(): number {
    const { now } = this.clock;
    for (const choices of this.#choices) {
      const next = choices.find(
        ({ from, end }) => from > now && end >= 0 && this.#helpers.has(Number(this.#events[end]![OTHER])),
      );
      if (next && next.from < now + IPI_NS) return next.from - 1;
    }
    return now;
  }

  freed(task: SimTask): number {
    const { now } = this.clock;
    const gone = (e: RecordedEvent) => e[EVENT] === 'exit_task' && e[TASK] === task.name && e[NS] >= now;
    return this.#events.find(gone)?.[NS] ?? now + 30_000_000;
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
