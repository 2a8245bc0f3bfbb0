import type { Point, SimTask, Timing } from '../../../../src/sim/index.js';
import type { Recording } from '../recording.js';
import { Deadlines } from './timing/deadlines.js';
import { FREED_NS } from './timing/events.js';
import { Evidence } from './timing/evidence.js';
import { Interrupts } from './timing/interrupts.js';
import { Locks } from './timing/locks.js';
import { Points } from './timing/points.js';
import { RunTime } from './timing/run_time.js';
import { Steps } from './timing/steps.js';
import { Threads } from './timing/threads.js';
import { Ticks } from './timing/ticks.js';

/**
 * A recording's answers to "when": how long a task computed, when a timer fired, when a CPU noticed an interrupt, when ticks came.
 * What happens then is the machine's own doing.
 */
export class RecordedTiming implements Timing {
  readonly steps: Steps;
  readonly #locks: Locks;
  readonly #points: Points;
  readonly #threads: Threads;
  readonly #runTime: RunTime;
  readonly #deadlines: Deadlines;
  readonly #ticks: Ticks;
  readonly #interrupts: Interrupts;

  /** `silent`: ticks are not noted, because the scheduler is bypassed. `autogroups`: tasks that exit leave one. `on`: the task that a CPU runs. */
  constructor(
    recording: Recording,
    private readonly clock: { readonly now: number },
    tickNs: number,
    silent: () => boolean,
    autogroups: boolean,
    on: (cpu: number) => SimTask | null,
  ) {
    const evidence = new Evidence(recording, clock);
    this.#locks = new Locks(evidence);
    this.steps = new Steps(evidence, this.#locks);
    this.#threads = new Threads(evidence);
    this.#points = new Points(evidence, this.steps, this.#threads, autogroups);
    this.#deadlines = new Deadlines(evidence);
    this.#runTime = new RunTime(evidence, this.#deadlines);
    this.#ticks = new Ticks(evidence, tickNs, silent);
    this.#interrupts = new Interrupts(evidence, this.#threads, on);
  }

  until(task: SimTask, point: Point, ns: number): number {
    return this.#points.until(task, point, ns);
  }

  resumed(task: SimTask, point: Point, ns: number): number {
    return this.#points.resumed(task, point, ns);
  }

  returned(task: SimTask, point: Point, ns: number): number {
    return this.until(task, point, ns);
  }

  sleeps(task: SimTask): boolean {
    return this.#points.sleeps(task);
  }

  locked(task: SimTask): boolean {
    return this.#points.locked(task);
  }

  faults(task: SimTask): boolean {
    return this.#points.faults(task);
  }

  locks(task: SimTask): number {
    return this.#locks.locks(task);
  }

  moved(cpu: number): number {
    return this.#locks.moved(cpu);
  }

  placed(task: SimTask): void {
    this.#runTime.placed(task);
  }

  ran(task: SimTask, ns: number): number {
    return this.#runTime.ran(task, ns);
  }

  replenishes(task: SimTask, time: number): number {
    return this.#deadlines.replenishes(task, time);
  }

  timer(task: SimTask, ns: number): number {
    return this.#interrupts.timer(task, ns);
  }

  awakes(task: SimTask, ns: number): number {
    return this.#interrupts.awakes(task, ns);
  }

  freed(_task: SimTask): number {
    return this.clock.now + FREED_NS;
  }

  reschedules(cpu: number): number {
    return this.#interrupts.reschedules(cpu);
  }

  place(task: SimTask): number {
    return this.#interrupts.place(task);
  }

  searches(cpu: number, task: SimTask | null): boolean {
    return this.#interrupts.searches(cpu, task);
  }

  goesTo(cpu: number, waiting: readonly SimTask[]): SimTask | null {
    return this.#interrupts.goesTo(cpu, waiting);
  }

  ipi(cpu: number): number {
    return this.#interrupts.ipi(cpu);
  }

  tick(cpu: number): number {
    return this.#ticks.tick(cpu);
  }

  ticks(cpu: number): boolean {
    return this.#ticks.ticks(cpu);
  }

  takesDown(thread: SimTask): number {
    return this.#threads.takesDown(thread);
  }

  stopsMachine(stopper: SimTask): number {
    return this.#threads.stopsMachine(stopper);
  }

  gracePeriod(): number {
    return this.#threads.gracePeriod();
  }

  helps(): number {
    return this.#threads.helps();
  }
}
