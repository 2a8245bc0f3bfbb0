import type { Timer } from '../kernel/clock.js';
import { TIME } from '../kernel/event_queue.js';
import type { ScxRq } from '../sched_ext/rq.js';
import type { SimTask } from './sim_task.js';

/** A CPU of the machine. Its run queue, as programs and sched_ext see it, is `rq`. */
export class SimCpu {
  online = true;
  active = true;
  /** What it runs; null for its idle task. */
  task: SimTask | null = null;
  /** TIF_NEED_RESCHED of what it runs. */
  needResched = false;
  /** …of what a switch in progress has settled on. */
  reschedNext = false;
  /** Work that waits for interrupts to be on, if any. */
  irqWork: (() => void)[] | null = null;
  /** It goes down: what gets it is moved away (balance_push_set). */
  pushing = false;
  /** It spins until these hold (SCX_KICK_WAIT), if there are some. */
  waits: (() => boolean)[] | null = null;
  /** Time at which it gets round to a choice that it owes. */
  heldUntil = TIME;
  /** When its task comes to its next point, or it gets round to a choice. */
  readonly look: Timer;
  /** An interrupt of another CPU that makes it look, on its way. */
  readonly ipi: Timer;
  readonly tick: Timer;
  /** Scheduling cycles that it went through at a time. */
  cycles = 0;
  cyclesAt = TIME;
  /** Until when the last of too many of them takes. */
  cycleUntil = TIME;
  /** Until when its task's progress is accounted for. */
  since = TIME;
  /** …and its run time: rq->curr->se.exec_start. */
  execStart = TIME;

  /** The queues below may have tasks: most CPUs hardly ever have some. */
  mixed = false;
  /** Runnable tasks of the other classes, the running one among them. */
  readonly stopQueue: SimTask[] = [];
  readonly dlQueue: SimTask[] = [];
  readonly rtQueue: SimTask[] = [];
  readonly fairQueue: SimTask[] = [];

  /** Work that it gets done in a time: 1 for a CPU of full capacity and frequency. */
  speed = 1;
  busyNs = TIME;
  switches = 0;

  constructor(
    readonly id: number,
    readonly rq: ScxRq,
    timers: (cpu: SimCpu) => { look: Timer; ipi: Timer; tick: Timer },
  ) {
    const { look, ipi, tick } = timers(this);
    this.look = look;
    this.ipi = ipi;
    this.tick = tick;
    this.heldUntil = 0;
    this.cyclesAt = -1;
    this.cycleUntil = 0;
    this.since = 0;
    this.execStart = 0;
    this.busyNs = 0;
  }

  /** The first of its irqWork, which waits no longer. */
  nextIrqWork(): () => void {
    const [first, ...others] = this.irqWork!;
    this.irqWork = others.length > 0 ? others : null;
    return first!;
  }
}
