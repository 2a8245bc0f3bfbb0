import type { ClockEvent } from '../kernel/clock.js';
import type { KernelTask } from '../kernel/model/task.js';
import type { Random } from '../kernel/random.js';
import type { ScxTask } from '../sched_ext/task.js';
import { CLASS } from '../sched_ext/task.js';
import type { DeadlineEntity } from './deadline.js';
import { Rows } from './rows.js';
import type { Point } from './timing.js';

/** What a program yields when it does not use the CPU for some ns: it sleeps (its state is set), or it calls schedule(). */
export const BLOCK = -1;
export const SCHEDULE = -2;

/** Number of tasks that statistics leave out. */
export const UNCOUNTED = -2;

/** What a task does: a generator of ns to use the CPU for, BLOCK and SCHEDULE. It ends only by exiting. */
export type Program = Generator<number, void, void>;

/** Signals of kill(2) that the machine knows. */
export const SIGNAL = { KILL: 9, CONT: 18, STOP: 19 } as const;

// Cells of a task's row.
const REMAINING = 0;
const STINT = 1;
const VRUNTIME = 2;
const CELLS = 4;

/** Rows of SimTasks. */
export function simTaskRows(): Rows {
  return new Rows(CELLS);
}

/** A task of the machine, and where it stands. What programs can see of it is in its task_struct. */
export class SimTask {
  readonly kt: KernelTask;
  readonly scx: ScxTask;
  readonly #rows: Rows;
  readonly #row: number;
  /** What it is at, null when that is over. */
  program: Iterator<number, void, void> | null = null;
  point: Point = 'step';
  /** That point lies in user space: signals are seen at once. */
  user = false;
  /** It has called do_exit(). */
  exiting = false;
  /** Pending signals. */
  fatal = false;
  stopping = false;
  continued = false;
  /** The freezer is after it, or has it; and it was woken meanwhile. */
  freezing = false;
  wokenFrozen = false;
  /** It has been switched away from for the last time. */
  dead = false;
  lastCpu = -1;
  /** Number of the step that it is at. */
  step = -1;
  /** Its number among the tasks that are counted. */
  number = UNCOUNTED;
  timer: ClockEvent | null = null;
  random: Random | null = null;
  /** Input of the machine rather than part of the workload: it is not counted, and preempts its class. */
  noise = false;
  /** Its parent may wait for it. */
  zombie = false;
  /** It sleeps in wait(2), for any of its children, or in waitpid(2) for one. */
  waitsFor: SimTask | 'any' | null = null;
  /** It is being woken (TASK_WAKING). */
  waking = false;
  exitStatus = 0;

  /** What signals interrupted, innermost last; null while that is nothing. */
  #outer: Iterator<number, void, void>[] | null = null;
  /** What was left of points that signals interrupted. */
  interrupted: { remaining: number; point: Point; user: boolean }[] | null = null;
  parent: SimTask | null = null;
  /** Null before the first. */
  children: Set<SimTask> | null = null;
  /** Periodic timers of its steps: when each was due last. */
  timers: Map<string, number> | null = null;
  /** Deadline class. */
  deadline: DeadlineEntity | null = null;
  /** RT class, round robin: what is left of its turn. */
  turn = 0;
  /** Of the random numbers that its steps draw. */
  seed = 0;
  /** Told when it has run for the last time. */
  onDead: ((task: SimTask) => void) | null = null;
  /** Of the workload; several tasks may share one. */
  readonly name: string;

  constructor(name: string, kt: KernelTask, scx: ScxTask, rows: Rows) {
    this.kt = kt;
    this.scx = scx;
    this.#rows = rows;
    this.#row = rows.add();
    this.name = name;
  }

  /** CPU time until the next point of the innermost program. */
  get remaining(): number {
    return this.#rows.cells[this.#row + REMAINING]!;
  }

  set remaining(ns: number) {
    this.#rows.cells[this.#row + REMAINING] = ns;
  }

  /** CPU time since it was put on a CPU. */
  get stint(): number {
    return this.#rows.cells[this.#row + STINT]!;
  }

  set stint(ns: number) {
    this.#rows.cells[this.#row + STINT] = ns;
  }

  /** Fair class: virtual run time. */
  get vruntime(): number {
    return this.#rows.cells[this.#row + VRUNTIME]!;
  }

  set vruntime(ns: number) {
    this.#rows.cells[this.#row + VRUNTIME] = ns;
  }

  /** Does this first, then goes on with what it is at. */
  begin(program: Iterator<number, void, void>): void {
    if (this.program) {
      this.#outer ??= [];
      this.#outer.push(this.program);
    }
    this.program = program;
  }

  /** What it is at is over: back to what that interrupted, where it was. */
  end(): void {
    this.program = this.#outer?.pop() ?? null;
    const below = this.interrupted?.pop();
    if (below) Object.assign(this, below);
  }

  get ext(): boolean {
    return this.scx.cls === CLASS.ext;
  }
}
