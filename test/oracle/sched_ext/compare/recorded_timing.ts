import type { Point, SimStep, SimTask, Timing } from '../../../../src/sim/index.js';
import type { RecordedEvent, Recording } from '../recording.js';

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
/** Longest that an interrupt of another CPU takes to arrive: both CPUs of the emulator share one host thread. */
const IPI_NS = 60_000_000;
const DEFAULT_IPI_NS = 3_000;
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

/** Less is the way from the look at the clock to the switch. */
const LAG_NS = 200_000;

/** A switch away to sleep. */
function sleepsAway(e: RecordedEvent, name: string): boolean {
  return e[EVENT] === 'tp_switch' && e[TASK] === name && e[A] === 0 && e[B] !== 0;
}

/** What a task that goes to sleep is noted with first. */
function isFarewell(e: RecordedEvent, name: string): boolean {
  return e[EVENT] === 'stopping' && e[TASK] === name && e[A] === 0;
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
  /** Time of the point that it is on its way to. */
  target = Number.NaN;
}

export class RecordedTiming implements Timing {
  readonly #events: readonly RecordedEvent[];
  readonly #tracks = new Map<string, Track>();
  readonly #phase: readonly (number | undefined)[];
  readonly #ticks: readonly number[][];
  /** The scheduler notes ticks. */
  readonly #hasTick: boolean;

  constructor(
    private readonly recording: Recording,
    private readonly clock: { readonly now: number },
    private readonly tickNs: number,
    /** Ticks are not noted: the scheduler is bypassed. */
    private readonly silent: () => boolean,
  ) {
    this.#events = recording.events;
    this.#hasTick = !recording.scheduler.without.includes('tick');
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

  /** Ticks that are recorded: of tasks of this class, or as the end of their slices where there is no ops.tick. */
  #ticksOf(cpu: number): number[] {
    const on = (name: string) => this.#events.filter((e) => e[EVENT] === name && e[CPU] === cpu);
    const ticks = on('tick').map((e) => e[NS]);
    if (ticks.length > 0) return ticks;
    return on('dispatch').flatMap((e) => (e[TASK] !== '-' && e[B] === 0 ? [e[NS] - 5_000] : []));
  }

  // ---- Points

  until(task: SimTask, point: Point, ns: number): number {
    const track = this.#tracks.get(task.name);
    if (!track || ns === 0) return ns;
    track.target = Number.NaN;
    const found = this.#find(task, track, point);
    if (found < 0) return ns;
    track.target = this.#timeOf(found, point);
    track.cursor = found + 1;
    return this.#left(track);
  }

  resumed(task: SimTask, _point: Point, ns: number): number {
    const track = this.#tracks.get(task.name);
    return track && !Number.isNaN(track.target) ? this.#left(track) : ns;
  }

  /** CPU time from now to the target: what lies between, without the stretches in which the task had no CPU. */
  #left(track: Track): number {
    const { now } = this.clock;
    let left = track.target - now;
    for (let i = 1; i < track.on.length; i++) {
      const from = track.on[i - 1]!.to;
      const to = track.on[i]!.from;
      if (from > now && to < track.target) left -= to - from;
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
      case 'step':
        return this.#next(track, mark);
      case 'effect': {
        if (step?.verb === 'run') return this.#next(track, end);
        const child = step && 'task' in step && step.task !== 'self' ? step.task : name;
        const found = this.#next(
          track,
          (e) => {
            if (e[EVENT] === 'tp_switch') return e[TASK] === name;
            if (e[CPU] !== here || !EFFECTS.has(e[EVENT])) return false;
            if (e[EVENT] === 'tp_waking')
              return step?.verb === 'write' || step?.verb === 'futexwake' || e[TASK] === child;
            return e[TASK] === child || e[TASK] === '-';
          },
          end,
        );
        return found;
      }
      case 'block': {
        const blocks = (e: RecordedEvent) => own('tp_switch')(e) && e[A] === 0 && e[B] !== 0;
        const found = this.#next(track, blocks, end);
        if (found >= 0) return found;
        // What it would have waited for came before it had gone to sleep.
        const woken = this.#next(track, own('tp_waking'), end);
        return woken >= 0 ? woken : this.#next(track, mark, end);
      }
      case 'fork': {
        const child = step?.verb === 'fork' ? step.task : '';
        return this.#next(track, (e) => e[EVENT] === 'init_task' && e[TASK] === child, end);
      }
      case 'fork-wake': {
        const child = step?.verb === 'fork' ? step.task : '';
        const wakes = (e: RecordedEvent) => ['runnable', 'tp_wakeup_new'].includes(e[EVENT]) && e[TASK] === child;
        return this.#next(track, wakes, end);
      }
      case 'exit':
        return this.#next(track, own('tp_exit'));
      case 'exit-release':
        return this.#next(track, own('stopping'), (e) => own('tp_switch')(e) && e[B] === TASK_DEAD);
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
    if (point === 'block' && event[EVENT] === 'tp_waking') return event[NS] + 500;
    if (point === 'block' && event[EVENT] === 'mark') return event[NS] - 500;
    if (event[EVENT] !== 'tp_switch') return event[NS];
    if (point === 'effect') return event[NS] - 3_000;
    // The task's farewell comes first.
    for (let i = found - 1; i >= 0 && this.#events[i]![NS] > event[NS] - SWITCH_NS; i--) {
      const before = this.#events[i]!;
      if (before[EVENT] === 'stopping' && before[TASK] === event[TASK] && before[A] === 0) return before[NS];
    }
    return event[NS] - 1_000;
  }

  #cpuAt(track: Track): number {
    const { now } = this.clock;
    let cpu = track.on[0]?.cpu ?? 0;
    for (const stretch of track.on) if (stretch.from <= now + SWITCH_NS) cpu = stretch.cpu;
    return cpu;
  }

  /** A system call sleeps if the task leaves its CPU so, before what the call brings about or behind it. */
  sleeps(task: SimTask): boolean {
    const track = this.#tracks.get(task.name);
    if (!track) return false;
    const end = (e: RecordedEvent) => e[TASK] === task.name && (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit');
    const blocks = (e: RecordedEvent) => sleepsAway(e, task.name);
    const block = this.#next(track, blocks, end);
    if (block < 0) return false;
    const effect = this.#find(task, track, 'effect');
    return (
      effect < 0 ||
      effect >= block ||
      this.#events[effect]![EVENT] === 'tp_switch' ||
      isFarewell(this.#events[effect]!, task.name)
    );
  }

  /**
   * The emulator may stop a CPU between its look at the clock and the switch: the task is charged for that time. Told by what
   * is missing of its slice when it is noted next.
   */
  clockLag(task: SimTask): number {
    const { now } = this.clock;
    const track = this.#tracks.get(task.name);
    const since = track?.on.find(({ from }) => Math.abs(from - now) < SWITCH_NS);
    if (!since) return 0;
    const first = this.#events.findIndex(
      (e) => e[NS] > since.from - SWITCH_NS && e[EVENT] === 'running' && e[TASK] === task.name,
    );
    const next = this.#events.findIndex(
      (e, i) => i > first && e[TASK] === task.name && ['tick', 'stopping'].includes(e[EVENT]),
    );
    if (first < 0 || next < 0) return 0;
    const begin = this.#events[first]!;
    const then = this.#events[next]!;
    const left = Number(then[EVENT] === 'tick' ? then[A] : then[B]);
    const lag = Number(begin[A]) - left - (then[NS] - begin[NS]);
    return lag > LAG_NS && Number(begin[A]) < Number.MAX_SAFE_INTEGER ? lag : 0;
  }

  // ---- Interrupts

  timer(task: SimTask, ns: number): number {
    const { now } = this.clock;
    const wakes = (e: RecordedEvent) => e[EVENT] === 'tp_waking' && e[TASK] === task.name && e[NS] >= now;
    const found = this.#events.find(wakes);
    return found && found[NS] < now + ns + IPI_NS ? found[NS] : now + ns + 60_000;
  }

  ipi(cpu: number): number {
    const { now } = this.clock;
    for (const [i, event] of this.#events.entries()) {
      if (event[NS] < now || event[CPU] !== cpu) continue;
      if (event[NS] > now + IPI_NS) break;
      if (event[EVENT] === 'tp_exit') return event[NS];
      if (event[EVENT] !== 'tp_switch') continue;
      if (!this.#tracks.has(String(event[OTHER])) && !this.#tracks.has(event[TASK])) continue;
      let from = event[NS];
      for (let k = i - 1; k >= 0 && this.#events[k]![NS] >= Math.max(now, event[NS] - SWITCH_NS); k--) {
        const before = this.#events[k]!;
        if (before[EVENT] === 'tp_switch' && before[CPU] === cpu) break;
        if (before[CPU] === cpu) from = before[NS];
      }
      return Math.max(from, now + 1);
    }
    return now + DEFAULT_IPI_NS;
  }

  tick(cpu: number): number {
    const { now } = this.clock;
    const recorded = this.#ticks[cpu]!.find((time) => time > now);
    if (recorded !== undefined && recorded < now + 1.25 * this.tickNs) return recorded;
    const phase = this.#phase[cpu] ?? this.#phase.find((one) => one !== undefined) ?? 0;
    let grid = Math.floor((now - phase) / this.tickNs + 1) * this.tickNs + phase;
    // A tick that would have found a task of the workload running would have been recorded.
    while (this.#hasTick && !this.silent() && this.#ran(cpu, grid)) grid += this.tickNs;
    return Math.min(grid, recorded ?? grid);
  }

  /** Did a task of the workload have the CPU then? */
  #ran(cpu: number, time: number): boolean {
    for (const { on } of this.#tracks.values()) {
      if (on.some((stretch) => stretch.cpu === cpu && stretch.from <= time && time < stretch.to)) return true;
    }
    return false;
  }

  /**
   * Stretches in which the emulator kept a CPU from going on: a tick has found a slice at its end, or a timer has woken a task
   * where nothing runs, and nothing follows for longer than the way out of an interrupt takes.
   */
  holds(): { cpu: number; from: number; to: number }[] {
    const holds: { cpu: number; from: number; to: number }[] = [];
    const ticked = new Map<number, number>();
    const idle: boolean[] = [];
    for (const [ns, cpu, event, , other, a] of this.#events) {
      const from = ticked.get(cpu);
      if (from !== undefined && ns - from > SWITCH_NS) holds.push({ cpu, from, to: ns });
      ticked.delete(cpu);
      if (event === 'tp_switch') idle[cpu] = other === 0;
      if ((event === 'tick' && a === 0) || (event === 'tp_wakeup' && idle[cpu])) ticked.set(cpu, ns);
    }
    return holds;
  }

  /** Those of a scheduler's end: before cgroups, then before tasks leave. */
  gracePeriod(): number {
    const { now } = this.clock;
    const next = (e: RecordedEvent) =>
      e[NS] > now && (e[EVENT] === 'cgroup_exit' || (e[EVENT] === 'exit_task' && e[TASK].includes('/')));
    return this.#events.find(next)?.[NS] ?? now + 8_000_000;
  }

  freed(task: SimTask): number {
    const { now } = this.clock;
    const gone = (e: RecordedEvent) => e[EVENT] === 'exit_task' && e[TASK] === task.name && e[NS] >= now;
    return this.#events.find(gone)?.[NS] ?? now + 30_000_000;
  }
}

/** Where on a CPU's grid its ticks lie: the place that most of them are shortly behind. */
function phaseOf(times: readonly number[], period: number): number | undefined {
  let best: number | undefined;
  let most = 0;
  for (const time of times) {
    const phase = time % period;
    const close = times.filter((other) => (other - phase + period) % period < SWITCH_NS).length;
    if (close <= most) continue;
    most = close;
    best = phase;
  }
  return best;
}
