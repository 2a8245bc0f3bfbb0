import type { Timer } from '../kernel/clock.js';
import type { ScxRq } from '../sched_ext/rq.js';
import type { GuestPtr } from '../vm/types.js';
import type { Rows } from './rows.js';
import type { SimTask } from './sim_task.js';

// Cells of a CPU's row: its times.
const SINCE = 0;
const LOOKS_AT = 1;
const EXEC_START = 2;
const HELD_UNTIL = 3;
const CYCLES_AT = 4;
const CYCLE_UNTIL = 5;
/** How many cells that takes; a cache line. */
export const CPU_CELLS = 8;

/** A CPU of the machine. Its run queue, as programs and sched_ext see it, is `rq`. */
export class SimCpu {
  /** TIF_NEED_RESCHED of what it runs. */
  needResched = false;
  /** `ipi` is on its way. */
  ipiComes = false;
  /** It does a ns of work in a ns. */
  fullSpeed = true;
  /** Work that waits for interrupts to be on, if any. */
  irqWork: (() => void)[] | null = null;
  /** It spins until these hold (SCX_KICK_WAIT), if there are some. */
  waits: (() => boolean)[] | null = null;
  /** What it runs; null for its idle task. */
  task: SimTask | null = null;
  /** …and its task_struct, the idle task's for that. */
  currPtr: GuestPtr;
  online = true;
  active = true;
  /** …of what a switch in progress has settled on. */
  reschedNext = false;
  /** It goes down: what gets it is moved away (balance_push_set). */
  pushing = false;
  /** The queues below may have tasks: most CPUs hardly ever have some. */
  mixed = false;
  /** Locks of run queues that it waits for, with interrupts off. */
  spinning = 0;
  readonly #row: number;
  /** When its task comes to its next point, or it gets round to a choice. */
  readonly look: Timer;
  /** An interrupt of another CPU that makes it look, on its way. */
  readonly ipi: Timer;
  readonly tick: Timer;
  /** Scheduling cycles that it went through at a time. */
  cycles = 0;
  switches = 0;
  /** Work that it gets done in a time: 1 for a CPU of full capacity and frequency. */
  speed = 1;

  /** Runnable tasks of the other classes, the running one among them. */
  readonly stopQueue: SimTask[] = [];
  readonly dlQueue: SimTask[] = [];
  readonly rtQueue: SimTask[] = [];
  readonly fairQueue: SimTask[] = [];

  constructor(
    readonly id: number,
    readonly rq: ScxRq,
    private readonly rows: Rows,
    timers: (cpu: SimCpu) => { look: Timer; ipi: Timer; tick: Timer },
  ) {
    this.#row = rows.add();
    this.currPtr = rq.curr.ptr;
    const { look, ipi, tick } = timers(this);
    this.look = look;
    this.ipi = ipi;
    this.tick = tick;
    this.cyclesAt = -1;
    this.looksAt = Number.POSITIVE_INFINITY;
  }

  /** Until when its task's progress is accounted for. */
  get since(): number {
    return this.rows.cells[this.#row + SINCE]!;
  }

  set since(time: number) {
    this.rows.cells[this.#row + SINCE] = time;
  }

  /** …and its run time: rq->curr->se.exec_start. */
  get execStart(): number {
    return this.rows.cells[this.#row + EXEC_START]!;
  }

  set execStart(time: number) {
    this.rows.cells[this.#row + EXEC_START] = time;
  }

  /** Time of `look`, Infinity while that does not wait. */
  get looksAt(): number {
    return this.rows.cells[this.#row + LOOKS_AT]!;
  }

  set looksAt(time: number) {
    this.rows.cells[this.#row + LOOKS_AT] = time;
  }

  /** Time at which it gets round to a choice that it owes. */
  get heldUntil(): number {
    return this.rows.cells[this.#row + HELD_UNTIL]!;
  }

  set heldUntil(time: number) {
    this.rows.cells[this.#row + HELD_UNTIL] = time;
  }

  /** When it went through `cycles`. */
  get cyclesAt(): number {
    return this.rows.cells[this.#row + CYCLES_AT]!;
  }

  set cyclesAt(time: number) {
    this.rows.cells[this.#row + CYCLES_AT] = time;
  }

  /** Until when the last of too many of them takes. */
  get cycleUntil(): number {
    return this.rows.cells[this.#row + CYCLE_UNTIL]!;
  }

  set cycleUntil(time: number) {
    this.rows.cells[this.#row + CYCLE_UNTIL] = time;
  }

  /** The first of its irqWork, which waits no longer. */
  nextIrqWork(): () => void {
    const [first, ...others] = this.irqWork!;
    this.irqWork = others.length > 0 ? others : null;
    return first!;
  }
}
