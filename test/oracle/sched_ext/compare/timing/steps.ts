import type { Point, SimTask } from '../../../../../src/sim/index.js';
import type { RecordedEvent } from '../../recording.js';
import {
  A,
  B,
  CPU,
  EFFECTS,
  EVENT,
  isFarewell,
  isSleep,
  NS,
  SHORT_NS,
  sleepsAway,
  TASK,
  TASK_DEAD,
  TASK_UNINTERRUPTIBLE,
} from './events.js';
import type { Evidence, Track } from './evidence.js';
import type { Locks } from './locks.js';

/** What follows of a task between its farewell and the switch; whoever wakes it then waits for that (try_to_wake_up). */
const FAREWELL = new Set(['quiescent', 'dispatch', 'kf_move_to_local', 'tp_waking']);

/** Where the points of a task lie in its recording. */
export class Steps {
  constructor(
    private readonly evidence: Evidence,
    private readonly locks: Locks,
  ) {}

  /** Index of the event that is this point; -1 if the recording does not tell. */
  find(task: SimTask, track: Track, point: Point): number {
    const { name } = task;
    const step = this.evidence.step(task);
    const own = (event: string) => (e: RecordedEvent) => e[EVENT] === event && e[TASK] === name;
    const mark = (e: RecordedEvent) => own('mark')(e) && e[A] === task.step + 1;
    const end = (e: RecordedEvent) => mark(e) || own('tp_exit')(e);
    const here = (e: RecordedEvent) => this.evidence.here(track, e);
    switch (point) {
      case 'step': {
        const fault = this.faultOf(task, track);
        return fault < 0 ? this.evidence.next(track, mark) : fault;
      }
      case 'effect': {
        // It computes until a lock stops it on its way out.
        if (step?.verb === 'run') {
          const found = this.evidence.next(
            track,
            (e) => end(e) || (sleepsAway(e, name) && e[B] === TASK_UNINTERRUPTIBLE),
          );
          return this.evidence.events[found]?.[EVENT] === 'tp_exit' ? this.exits(name, found) : found;
        }
        const child = step && 'task' in step && step.task !== 'self' ? step.task : name;
        const wakes = step?.verb === 'write' || step?.verb === 'futexwake';
        const back = this.evidence.backAt(track, name);
        const found = this.evidence.next(
          track,
          (e) => {
            // What is done to it while it has no CPU is not its doing.
            if (e[NS] < back) return false;
            // A task that wakes others has no reason to give its CPU away but to sleep.
            if (e[EVENT] === 'tp_switch') return wakes ? sleepsAway(e, name) : e[TASK] === name;
            if (!EFFECTS.has(e[EVENT]) || !here(e) || this.evidence.parts(e, name)) return false;
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
          here(e) &&
          !this.evidence.parts(e, name) &&
          (['dequeue', 'quiescent', 'cgroup_move'].includes(e[EVENT]) || isFarewell(e, target));
        return this.evidence.next(track, moves, end);
      }
      case 'stop-machine':
        return this.evidence.next(track, (e) => own('tp_switch')(e) && this.evidence.toStopper(e), end);
      case 'block': {
        const blocks = (e: RecordedEvent) => own('tp_switch')(e) && e[A] === 0 && e[B] !== 0;
        // It has not come to the last one yet: what it was to wait for came first.
        if (track.block >= 0 && this.evidence.events[track.block]![NS] >= this.evidence.clock.now) return track.block;
        const found = this.evidence.next(track, blocks, end);
        track.block = found;
        // It sleeps for a lock behind a sleep whose timer came first.
        const locked = found >= 0 && this.evidence.events[found]![B] === TASK_UNINTERRUPTIBLE;
        const over = locked && step?.verb === 'sleep' && !task.exiting && this.wokenBefore(task, track, found);
        if (found >= 0 && !over) return found;
        // What it would have waited for came before it had gone to sleep.
        const { now } = this.evidence.clock;
        const woken = this.evidence.next(track, (e) => own('tp_waking')(e) && e[NS] >= now, end);
        return woken >= 0 ? woken : this.evidence.next(track, end);
      }
      case 'fork': {
        const child = step?.verb === 'fork' ? step.task : '';
        // One that the scheduler refuses is called as its parent, and nobody is told its pid.
        const refused = (this.evidence.recording.pids[child] ?? 0) < 0;
        const made = ([, , event, who, , a]: RecordedEvent) =>
          event === 'init_task' && (refused ? a === 1 && who.startsWith(`${name}/`) : who === child);
        return this.evidence.next(track, made, end);
      }
      case 'fork-wake': {
        const child = step?.verb === 'fork' ? step.task : '';
        const wakes = (e: RecordedEvent) =>
          ['select_cpu', 'runnable', 'tp_wakeup_new'].includes(e[EVENT]) && e[TASK] === child;
        return this.evidence.next(track, wakes, end);
      }
      case 'exit': {
        const exit = this.evidence.next(track, own('tp_exit'));
        return exit < 0 ? exit : this.exits(name, exit);
      }
      case 'exit-release': {
        const dead = (e: RecordedEvent) => own('tp_switch')(e) && e[B] === TASK_DEAD;
        const leaves = (e: RecordedEvent) =>
          isFarewell(e, name) ? !this.evidence.leavesForGood(e) : own('quiescent')(e) && !isSleep(e);
        const released = this.evidence.next(track, (e) => leaves(e) && here(e), dead);
        // Nothing is to be seen of one that has left the scheduler by then.
        return released >= 0 ? released : this.evidence.next(track, own('disable'), dead);
      }
      case 'exit-notify': {
        const parent = task.parent?.name ?? '';
        const notice = (e: RecordedEvent) => e[EVENT] === 'tp_waking' && e[TASK] === parent && here(e);
        return this.evidence.next(track, notice, (e) => own('tp_switch')(e) && e[B] === TASK_DEAD);
      }
      case 'exit-dead':
        return this.evidence.next(track, (e) => own('tp_switch')(e) && e[B] === TASK_DEAD);
      default:
        return -1;
    }
  }

  /** Index of where a task is first seen to exit: before tp_exit it may have been kept from the scheduler (PF_EXITING). */
  exits(name: string, exit: number): number {
    const last = this.evidence.events.findLastIndex((e, i) => i < exit && e[EVENT] === 'mark' && e[TASK] === name);
    // A scheduler that is bypassed is asked nothing of the kind any more.
    const asked = this.evidence.events.findLastIndex((e) => e[EVENT] === 'enqueue');
    let stopped = -1;
    for (let i = last + 1; i < Math.min(exit, asked); i++) {
      const e = this.evidence.events[i]!;
      if (e[TASK] !== name) continue;
      if (e[EVENT] === 'stopping') stopped = e[A] === 1 && e[B] === 0 ? i : -1;
      else if (e[EVENT] === 'enqueue') stopped = -1;
      else if (e[EVENT] === 'tp_switch' && stopped >= 0) return stopped;
    }
    return exit;
  }

  /** Is the task woken before a switch away that is still to come? */
  wokenBefore({ name }: SimTask, track: Track, away: number): boolean {
    const { now } = this.evidence.clock;
    const woken = this.evidence.next(track, (e) => e[EVENT] === 'tp_waking' && e[TASK] === name && e[NS] >= now);
    return woken >= 0 && woken < away;
  }

  faultOf({ name, step }: SimTask, track: Track): number {
    if (step >= 0) return -1;
    const sleeps = (e: RecordedEvent) => sleepsAway(e, name) && e[B] === TASK_UNINTERRUPTIBLE;
    return this.evidence.next(
      track,
      sleeps,
      (e) => e[TASK] === name && (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit'),
    );
  }

  /** When the machine must come to a point for the event to be where it is: before what belongs to it. */
  timeOf(found: number, point: Point): number {
    const event = this.evidence.events[found]!;
    if (point === 'stop-machine') return this.evidence.choices[event[CPU]]!.find(({ end }) => end === found)!.from;
    // The CPU owed the choice from the tick on.
    if ((point === 'exit' || point === 'effect') && event[EVENT] === 'stopping' && event[A] === 1) {
      const tick = this.evidence.events.findLast((e, i) => i < found && e[EVENT] === 'tick' && e[TASK] === event[TASK]);
      const { from } = this.evidence.choices[event[CPU]]!.find(({ to }) => to >= event[NS])!;
      return (tick?.[A] === 0 ? tick[NS] : from) - SHORT_NS;
    }
    if (point === 'block' && event[EVENT] === 'tp_waking') return event[NS] + 500;
    if (point === 'block' && (event[EVENT] === 'mark' || event[EVENT] === 'tp_exit')) return event[NS] - 500;
    if (event[EVENT] === 'tp_waking') return this.locks.caught(found) ?? this.locks.unlocked(found);
    if (event[EVENT] !== 'tp_switch') return EFFECTS.has(event[EVENT]) ? this.locks.unlocked(found) : event[NS];
    if (point === 'effect' && event[B] !== TASK_UNINTERRUPTIBLE) return event[NS] - 3_000;
    // The task's farewell comes first.
    for (let i = found - 1; i >= 0; i--) {
      const before = this.evidence.events[i]!;
      if (isFarewell(before, event[TASK])) return this.locks.looksAround(i, found);
      if (before[TASK] === event[TASK] && !FAREWELL.has(before[EVENT])) break;
    }
    return Math.min(event[NS] - 1_000, this.locks.waitsInDispatch(found) ?? event[NS]);
  }
}
