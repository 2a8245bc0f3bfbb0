import type { ClockEvent } from '../kernel/clock.js';
import { TIME } from '../kernel/event_queue.js';
import type { KernelTask } from '../kernel/model/task.js';
import type { Random } from '../kernel/random.js';
import type { ScxTask } from '../sched_ext/task.js';
import { CLASS } from '../sched_ext/task.js';
import type { DeadlineEntity } from './deadline.js';
import type { TaskStats } from './stats/task_stats.js';
import type { Point } from './timing.js';

/** What a program yields when it does not use the CPU for some ns: it sleeps (its state is set), or it calls schedule(). */
export const BLOCK = -1;
export const SCHEDULE = -2;

/** What a task does: a generator of ns to use the CPU for, BLOCK and SCHEDULE. It ends only by exiting. */
export type Program = Generator<number, void, void>;

/** Signals of kill(2) that the machine knows. */
export const SIGNAL = { KILL: 9, CONT: 18, STOP: 19 } as const;

/** A task of the machine, and where it stands. What programs can see of it is in its task_struct. */
export class SimTask {
  /** What it is at, null when that is over. */
  program: Iterator<number, void, void> | null = null;
  /** What signals interrupted, innermost last. */
  readonly #outer: Iterator<number, void, void>[] = [];
  /** CPU time until the next point of the innermost program. */
  remaining = TIME;
  point: Point = 'step';
  /** That point lies in user space: signals are seen at once. */
  user = false;
  /** What was left of points that signals interrupted. */
  readonly interrupted: { remaining: number; point: Point; user: boolean }[] = [];

  parent: SimTask | null = null;
  readonly children = new Set<SimTask>();
  /** It sleeps in wait(2). */
  waiting = false;
  /** Pending signals. */
  fatal = false;
  stopping = false;
  continued = false;
  /** The freezer is after it, or has it; and it was woken meanwhile. */
  freezing = false;
  wokenFrozen = false;
  exitStatus = 0;
  /** It has called do_exit(), its parent may wait for it, and it has been switched away from for the last time. */
  exiting = false;
  zombie = false;
  dead = false;
  timer: ClockEvent | null = null;
  /** Periodic timers of its steps: when each was due last. */
  timers: Map<string, number> | null = null;

  /** Number of the step that it is at. */
  step = -1;
  /** Input of the machine rather than part of the workload: it is not counted, and preempts its class. */
  noise = false;
  /** Fair class: virtual run time. */
  vruntime = TIME;
  /** CPU time since it was put on a CPU. */
  stint = TIME;
  /** Deadline class. */
  deadline: DeadlineEntity | null = null;
  /** RT class, round robin: what is left of its turn. */
  turn = 0;
  lastCpu = -1;
  /** Of the random numbers that its steps draw. */
  seed = 0;
  random: Random | null = null;
  /** Told when it has run for the last time. */
  onDead: ((task: SimTask) => void) | null = null;
  /** What it had of the machine, of tasks that are counted. */
  stats: TaskStats | null = null;

  constructor(
    /** Of the workload; several tasks may share one. */
    readonly name: string,
    readonly kt: KernelTask,
    readonly scx: ScxTask,
  ) {
    this.remaining = 0;
    this.vruntime = 0;
    this.stint = 0;
  }

  /** Does this first, then goes on with what it is at. */
  begin(program: Iterator<number, void, void>): void {
    if (this.program) this.#outer.push(this.program);
    this.program = program;
  }

  /** What it is at is over: back to what that interrupted, where it was. */
  end(): void {
    this.program = this.#outer.pop() ?? null;
    const below = this.interrupted.pop();
    if (below) Object.assign(this, below);
  }

  get ext(): boolean {
    return this.scx.cls === CLASS.ext;
  }
}
