import type { SimTask } from '../../../../../src/sim/index.js';
import type { RecordedEvent } from '../../recording.js';
import { CPU, EFFECTS, EVENT, IPI_NS, isFarewell, NS, OTHER, SHORT_NS, STANDSTILL_NS, TASK } from './events.js';
import type { Evidence } from './evidence.js';

/** When who waits for the lock of a run queue, or holds one while its CPU stands still, is seen to go on. */
export class Locks {
  constructor(private readonly evidence: Evidence) {}

  /** A waker's CPU that stands still between the choice of a CPU and the wait for its lock is overtaken by others. */
  locks(task: SimTask): number {
    const { now } = this.evidence.clock;
    if (!this.evidence.tracks.has(task.name)) return now;
    const own = (event: string) => (e: RecordedEvent) => e[EVENT] === event && e[TASK] === task.name;
    const latest = (event: string) =>
      this.evidence.events.findLastIndex((e) => e[NS] <= now + SHORT_NS && own(event)(e));
    const woke = latest('tp_waking');
    // Of a new task the choice of a CPU is the first that is noted.
    const waking = woke < 0 ? latest('select_cpu') : woke;
    const runnable = this.evidence.events.find((e, i) => i > waking && own('runnable')(e));
    const woken = this.evidence.events.find((e, i) => i > waking && (own('tp_wakeup')(e) || own('tp_wakeup_new')(e)));
    if (waking < 0 || !woken) return now;
    // Other classes tell nothing before the lock is let go.
    const locked = runnable && runnable[NS] <= woken[NS] ? runnable : woken;
    if (locked[CPU] !== this.evidence.events[waking]![CPU]) return now;
    return locked[NS] - now > STANDSTILL_NS ? locked[NS] : now;
  }

  /**
   * A CPU that stands still behind ops.dispatch, before it puts its task back, has taken the next one from its queue by then, unless
   * others took those that waited longer.
   */
  moved(cpu: number): number {
    const { now } = this.evidence.clock;
    const choice = this.evidence.choices[cpu]!.find(({ to }) => now <= to);
    if (!choice || choice.end < 0) return now;
    const { [TASK]: prev, [OTHER]: task } = this.evidence.events[choice.end]!;
    const begin = this.evidence.events.findIndex((e) => e[NS] >= choice.from && e[CPU] === cpu);
    // Whoever yields has its CPU choose at once (do_sched_yield).
    const before = this.evidence.events.findLast((e, i) => i < begin && e[CPU] === cpu);
    const yields = before?.[EVENT] === 'yield' && before[TASK] === prev && before[NS] <= now;
    if (choice.from > now && !yields) return now;
    let stood = false;
    let dispatch = -1;
    let last = -1;
    const asked = (e: RecordedEvent) => e[CPU] === cpu && (e[EVENT] === 'dispatch' || e[EVENT] === 'enqueue');
    const bypassed = !this.evidence.events.slice(begin, choice.end).some(asked);
    for (let i = begin; i < choice.end; i++) {
      const e = this.evidence.events[i]!;
      if (e[CPU] !== cpu) continue;
      if (dispatch >= 0 && e[NS] - this.evidence.events[last]![NS] > STANDSTILL_NS) {
        if (last === dispatch && this.#overtaken(dispatch, i, task)) return now;
        stood = true;
      }
      // One that is bypassed is asked nothing: what tells is the task that comes from elsewhere.
      const comes = bypassed && e[EVENT] === 'tp_migrate' && e[TASK] === task && e[OTHER] === cpu;
      if (e[EVENT] === 'dispatch' || comes) dispatch = i;
      if (e[EVENT] === (bypassed ? 'stopping' : 'enqueue') && e[TASK] === prev) return stood ? e[NS] : now;
      last = i;
    }
    return now;
  }

  /** A waker that finds the task on its way to sleep waits until it is there (try_to_wake_up). */
  caught(found: number): number | undefined {
    const [, cpu, , task] = this.evidence.events[found]!;
    let slept = false;
    for (let i = found + 1; i < this.evidence.events.length; i++) {
      const e = this.evidence.events[i]!;
      if (e[TASK] !== task) continue;
      if (isFarewell(e, task) && e[CPU] !== cpu) slept = true;
      else if (e[EVENT] === 'select_cpu' || e[EVENT] === 'runnable') return slept && e[CPU] === cpu ? e[NS] : undefined;
      else if (e[EVENT] === 'tp_waking' || e[EVENT] === 'tp_wakeup') return undefined;
    }
    return undefined;
  }

  /** A task goes to sleep, and its CPU looks for another one at once, unless the CPU stands still in between. */
  looksAround(farewell: number, found: number): number {
    const [start, cpu, , task] = this.evidence.events[farewell]!;
    for (let i = farewell + 1; i < found; i++) {
      const e = this.evidence.events[i]!;
      if (e[EVENT] === 'tp_waking' && e[TASK] === task) break;
      if (e[CPU] !== cpu) continue;
      // Before 'dispatch' the fair class has looked for tasks, without the lock; it may find one that has come meanwhile.
      if (e[EVENT] === 'cpu_release') return e[NS] - start > STANDSTILL_NS ? e[NS] : start;
      if (e[EVENT] !== 'dispatch') continue;
      if (e[NS] - start > STANDSTILL_NS) return e[NS];
      const next = this.evidence.events.findIndex((one, at) => at > i && one[CPU] === cpu);
      return this.#overtaken(i, next, this.evidence.events[found]![OTHER]) ? this.evidence.events[next]![NS] : start;
    }
    return start;
  }

  /**
   * A CPU leaves a task that tells nothing of its sleep, one of another class, and stands still in ops.dispatch on its way: when it
   * asked, or when it goes on where others had overtaken it.
   */
  waitsInDispatch(found: number): number | undefined {
    const { events, choices } = this.evidence;
    const [, cpu, , , task] = events[found]!;
    const from = choices[cpu]!.find(({ end }) => end === found)?.from ?? events[found]![NS];
    const dispatch = events.findIndex((e) => e[NS] >= from && e[CPU] === cpu && e[EVENT] === 'dispatch');
    if (dispatch < 0 || dispatch > found) return undefined;
    const next = events.findIndex((e, i) => i > dispatch && e[CPU] === cpu);
    if (events[next]![NS] - events[dispatch]![NS] <= STANDSTILL_NS) return undefined;
    return events[this.#overtaken(dispatch, next, task) ? next : dispatch]![NS];
  }

  /** A CPU that stands still in ops.dispatch had not got hold of its task yet where others took those that waited longer. */
  #overtaken(dispatch: number, next: number, task: number | string): boolean {
    // By virtual time, who waited longer is not who comes first.
    if (this.evidence.recording.scheduler.policy === 'vtime') return false;
    const last = (event: string, name: number | string, before: number) =>
      this.evidence.events.slice(0, before).findLastIndex((e) => e[EVENT] === event && e[TASK] === name);
    const since = last('kf_insert', task, next);
    for (let at = dispatch + 1; at < next; at++) {
      const e = this.evidence.events[at]!;
      if (e[EVENT] !== 'running') continue;
      const before = this.evidence.events.slice(0, at);
      const taken = before.findLastIndex((one) => one[EVENT] === 'kf_move_to_local' && one[CPU] === e[CPU]);
      if (taken < dispatch) continue;
      const inserted = last('kf_insert', e[TASK], at);
      if (inserted <= last('running', e[TASK], at)) continue;
      // Who gets one that waited less finds this one taken, and so those before it.
      return inserted < since;
    }
    return false;
  }

  /** What a task does while it holds the lock of a run queue is seen by others when it is done, should its CPU stand still. */
  unlocked(found: number): number {
    const [start, cpu, , task] = this.evidence.events[found]!;
    let time = start;
    let last = start;
    for (let i = found + 1; i < this.evidence.events.length && this.evidence.events[i]![NS] < start + IPI_NS; i++) {
      const e = this.evidence.events[i]!;
      if (e[CPU] !== cpu) continue;
      if (e[TASK] !== task || !EFFECTS.has(e[EVENT]) || e[EVENT] === 'tp_waking') break;
      if (e[NS] - last > STANDSTILL_NS) time = e[NS];
      last = e[NS];
    }
    return time;
  }
}
