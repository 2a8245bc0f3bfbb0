import type { Point, SimStep, SimTask } from '../../../../../src/sim/index.js';
import type { RecordedEvent } from '../../recording.js';
import {
  A,
  B,
  EVENT,
  IPI_NS,
  isFarewell,
  isHotplug,
  NS,
  sleepsAway,
  TASK,
  TASK_DEAD,
  TASK_UNINTERRUPTIBLE,
} from './events.js';
import type { Evidence, Track } from './evidence.js';
import type { Steps } from './steps.js';
import type { Threads } from './threads.js';

const TASK_STOPPED = 0x4;

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

/** How long tasks compute, and where they sleep on their way. */
export class Points {
  constructor(
    private readonly evidence: Evidence,
    private readonly steps: Steps,
    private readonly threads: Threads,
    private readonly autogroups: boolean,
  ) {}

  until(task: SimTask, point: Point, ns: number): number {
    if (point === 'activate') return this.threads.activates(task);
    if (point === 'stop-complete') return this.threads.completes(task);
    if (point === 'kthread-done') {
      const { stoppers, helpers } = this.evidence;
      return stoppers.has(task.kt.pid) || helpers.has(task.kt.pid) ? this.threads.leaves(task) : ns;
    }
    if (point === 'kthread' && this.evidence.stoppers.has(task.kt.pid)) return this.threads.moves(task, ns);
    if (point === 'kthread' && this.evidence.helpers.has(task.kt.pid)) return this.threads.letsGo(task, ns);
    const track = this.evidence.tracks.get(task.name);
    if (!track || (ns === 0 && !MAY_TAKE_NONE.has(point))) return ns;
    // What the signal interrupts is still ahead.
    if (point === 'signal-stop') return this.evidence.left(track, this.#stopsAt(task) ?? this.evidence.clock.now);
    // A signal came before it was there.
    if (track.target > this.evidence.clock.now) track.cursor = track.from;
    track.from = track.cursor;
    track.target = Number.NaN;
    const found = this.steps.find(task, track, point);
    if (found < 0) {
      // It never comes to that: a signal is faster.
      const exit = point === 'step' || point === 'block' ? this.#killed(task, track) : -1;
      // Without autogroups nothing is to be seen of a task that lets go of what it has.
      if (exit < 0) return point === 'exit-release' && !this.autogroups ? 1 : ns;
      const until = this.evidence.events[exit]![NS] - this.evidence.clock.now;
      return point === 'step' ? until + IPI_NS : Math.max(until, 1);
    }
    track.target = this.steps.timeOf(found, point);
    track.fault = point === 'step' && sleepsAway(this.evidence.events[found]!, task.name);
    // A sleep that it comes to on its way is still ahead.
    const locked = (point === 'effect' || point === 'step') && sleepsAway(this.evidence.events[found]!, task.name);
    track.cursor = locked ? found : found + 1;
    return this.evidence.left(track, track.target);
  }

  /** When the task stops next, should it come to no other step before. */
  #stopsAt({ name }: SimTask): number | undefined {
    const { now } = this.evidence.clock;
    for (let i = 0; i < this.evidence.events.length; i++) {
      const e = this.evidence.events[i]!;
      if (e[NS] < now || e[TASK] !== name) continue;
      if (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit') return undefined;
      if (sleepsAway(e, name))
        return (Number(e[B]) & TASK_STOPPED) === 0 ? undefined : this.steps.timeOf(i, 'signal-stop');
    }
    return undefined;
  }

  /** Index of the exit that follows upon what the task is at; -1 if it comes to another step. */
  #killed(task: SimTask, track: Track): number {
    const own = (e: RecordedEvent) => e[TASK] === task.name;
    const last = (this.evidence.recording.tasks[task.name]?.length ?? 0) - 1;
    const reaches = (e: RecordedEvent) => own(e) && e[EVENT] === 'mark' && Number(e[A]) > task.step;
    if (task.step >= last || this.evidence.events.some(reaches)) return -1;
    return this.evidence.next(
      track,
      (e) => own(e) && e[EVENT] === 'tp_exit',
      (e) => own(e) && (e[EVENT] === 'mark' || sleepsAway(e, task.name)),
    );
  }

  resumed(task: SimTask, point: Point, ns: number): number {
    const track = this.evidence.tracks.get(task.name);
    if (!track) return ns;
    if (point === 'signal-stop') return this.evidence.left(track, this.#stopsAt(task) ?? this.evidence.clock.now);
    return Number.isNaN(track.target) ? ns : this.evidence.left(track, track.target);
  }

  /** A child may wait for locks that its parent holds as it copies its memory (anon_vma_fork), before it comes to anything. */
  faults(task: SimTask): boolean {
    const track = this.evidence.tracks.get(task.name);
    const { fault = false } = track ?? {};
    if (track) track.fault = false;
    return fault;
  }

  /** A system call sleeps if the task leaves its CPU so, before what the call brings about or behind it. */
  sleeps(task: SimTask): boolean {
    const track = this.evidence.tracks.get(task.name);
    if (!track) return false;
    const end = (e: RecordedEvent) => e[TASK] === task.name && (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit');
    const { now } = this.evidence.clock;
    // Sleeps that signals interrupted are over.
    const blocks = (e: RecordedEvent) => e[NS] >= now && sleepsAway(e, task.name) && e[B] !== TASK_DEAD;
    const block = this.evidence.next(track, blocks, end);
    if (block < 0) return false;
    if (task.exiting) return true;
    const step = this.evidence.step(task);
    if (step?.verb === 'cpu') {
      // The sleep in which the callback comes is the wait for the CPU's thread.
      const call = this.evidence.next(track, isHotplug, end);
      // It stops all CPUs before it sleeps again.
      const stops = this.evidence.next(
        track,
        (e) => e[EVENT] === 'tp_switch' && e[TASK] === task.name && this.evidence.toStopper(e),
        end,
      );
      if (call < 0 && stops >= 0 && stops < block) return false;
      if (call < 0 || call < block) return true;
      const woken = this.evidence.events.findIndex(
        (e, i) => i > block && e[EVENT] === 'tp_waking' && e[TASK] === task.name,
      );
      return woken < call;
    }
    const effect = this.steps.find(task, track, 'effect');
    return (
      effect < 0 ||
      effect >= block ||
      this.evidence.events[effect]![EVENT] === 'tp_switch' ||
      isFarewell(this.evidence.events[effect]!, task.name)
    );
  }

  locked(task: SimTask): boolean {
    const track = this.evidence.tracks.get(task.name);
    const step = this.evidence.step(task);
    if (!track || !step || !LOCKING.has(step.verb)) return false;
    const end = (e: RecordedEvent) => e[TASK] === task.name && (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit');
    const block = this.evidence.next(track, (e) => sleepsAway(e, task.name), end);
    if (block < 0 || (Number(this.evidence.events[block]![B]) & TASK_UNINTERRUPTIBLE) === 0) return false;
    switch (step.verb) {
      case 'run':
        // Behind the last step it is on its way out.
        return this.evidence.events.find((e, at) => at > block && end(e))?.[EVENT] === 'mark';
      case 'fork': {
        const fork = this.steps.find(task, track, 'fork');
        return fork < 0 || block < fork;
      }
      case 'sleep':
        // Whom its timer had woken by then is on its way out.
        return !this.steps.wokenBefore(task, track, block);
      case 'read':
      case 'wait':
      case 'futexwait':
        return true;
      default:
        return this.steps.find(task, track, 'effect') === block;
    }
  }
}
