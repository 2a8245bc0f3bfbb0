import { Timer } from '../kernel/clock.js';
import { TIME } from '../kernel/event_queue.js';
import { TASK_STATE } from '../kernel/model/task.js';
import type { Random } from '../kernel/random.js';
import { draw } from './duration.js';
import type { SimMachine } from './machine.js';
import type { FlatStep, LoopStep } from './script.js';
import { BLOCK, type Program, SCHEDULE, type SimTask } from './sim_task.js';
import type { Waitable } from './sync.js';
import { WorkloadError } from './workload_error.js';

/** What a task's steps work with besides the machine. */
export interface Stage {
  readonly machine: SimMachine;
  /** When timers that all tasks share were due last. */
  readonly timers: Map<string, number>;
  readonly onStep: ((task: SimTask, step: number) => void) | null;
  random(task: SimTask): Random;
  /** What a step sleeps for that takes something. */
  waitable(step: FlatStep): Waitable;
  /** The effect of a step that does not sleep. */
  act(task: SimTask, step: FlatStep): void;
  /** Steps with several points; undefined for others. */
  program(task: SimTask, step: FlatStep): Program | undefined;
}

const BETWEEN = 0;
const BEGIN = 1;
const EFFECT = 2;
const SLEEP = 3;
const SLEPT = 4;
const WAIT = 5;
const WAITED = 6;
const YIELD = 7;
const SPIN = 8;
const STEP_DONE = 9;
const LOCKED = 10;

const FOREVER = Number.POSITIVE_INFINITY;

/** A task that spins looks at the clock so often, ns. */
const LOOK = 32_000;

/** So many steps in so short a time are a loop that gets nowhere: a system call alone takes half a microsecond. */
const MANY_STEPS = 1_000_000;
const LITTLE_NS = 100_000_000;

const EXPIRE = (actor: Actor) => actor.expire();

/**
 * A task that does its steps, one after the other, then exits. Usual steps are states of this object, so that a step allocates
 * nothing; the others are generators that it goes through. As a timer it is the one that ends a sleep.
 */
export class Actor extends Timer implements Iterator<number, void, void> {
  #state = BETWEEN;
  #pc = -1;
  #step: FlatStep | undefined;
  #sub: Program | null = null;
  #waitable: Waitable | null = null;
  /** CPU time on the way to the next step. */
  #cost: number;
  /** Rounds left of the loops around the step that end, innermost last. */
  #rounds: number[] | null = null;
  #over = false;
  /** Until when it spins. */
  #until = TIME;
  #steps = 0;
  #stepsSince = TIME;
  /** Of all actors: whoever calls `next` looks at its result at once. */
  static readonly #result: { done: false; value: number } = { done: false, value: 0 };

  constructor(
    private readonly stage: Stage,
    private readonly task: SimTask,
    private readonly script: readonly FlatStep[],
    private readonly comm: string,
  ) {
    super(stage.machine.kernel.clock);
    this.#cost = stage.machine.costs.start;
    this.#until = 0;
    this.#stepsSince = 0;
  }

  /** An interrupt on its CPU ends its sleep. */
  happen(): void {
    const { machine } = this.stage;
    machine.interruptBriefly(machine.cpuOf(this.task), EXPIRE, this);
  }

  /** That interrupt. */
  expire(): void {
    this.#over = true;
    this.stage.machine.wakeups.wake(this.task);
  }

  next(): IteratorResult<number, void> {
    for (;;) {
      if (this.#sub) {
        const result = this.#sub.next();
        if (!result.done) return result;
        this.#sub = null;
      }
      const value = this.#advance();
      if (value === undefined) continue;
      Actor.#result.value = value;
      return Actor.#result;
    }
  }

  /** What comes next: as a program yields it, or undefined if `#sub` is to be asked. */
  #advance(): number | undefined {
    const { stage, task } = this;
    const { machine } = stage;
    for (;;) {
      switch (this.#state) {
        case BETWEEN: {
          const step = this.#fetch();
          this.#step = step;
          if (!step) {
            this.#sub = machine.lives.exit(task, 0);
            return machine.toward(task, 'step', this.#cost, true);
          }
          this.#state = BEGIN;
          return machine.toward(task, 'step', this.#cost, true);
        }
        case BEGIN: {
          if (task.step < 0 && machine.timing.faults(task)) {
            this.#sub = this.#fault();
            return undefined;
          }
          const step = this.#step!;
          this.#count();
          // A child is called as its parent until then.
          if (task.step < 0) task.kt.comm = this.comm;
          task.step = this.#pc;
          stage.onStep?.(task, this.#pc);
          this.#cost = step.verb === 'run' || step.verb === 'spin' ? 0 : machine.costs.syscallReturn;
          if (machine.timing.locked(task)) {
            this.#state = LOCKED;
            this.#sub = machine.lives.waitForLocks(task);
            return undefined;
          }
          return this.#begin(step);
        }
        case LOCKED:
          return this.#begin(this.#step!);
        case EFFECT:
          stage.act(task, this.#step!);
          this.#state = BETWEEN;
          continue;
        case YIELD:
          if (task.ext) machine.scx.pick.yieldTask(machine.here.rq);
          else machine.classes.yieldTask(machine.here, task);
          this.#state = BETWEEN;
          return SCHEDULE;
        case SPIN: {
          const left = this.#until - machine.now;
          if (left > 0) return machine.toward(task, 'effect', Math.min(left, LOOK), true);
          this.#state = BETWEEN;
          continue;
        }
        case SLEEP:
          if (this.#over) {
            this.#state = BETWEEN;
            continue;
          }
          task.kt.state = TASK_STATE.INTERRUPTIBLE | TASK_STATE.FREEZABLE;
          this.#state = SLEPT;
          return BLOCK;
        case SLEPT:
          this.#state = SLEEP;
          if (machine.signals.pending(task)) return machine.toward(task, 'step', 0, true);
          continue;
        case WAIT:
          if (this.#waitable!.take(task)) {
            this.#state = BETWEEN;
            continue;
          }
          this.#waitable!.add(task);
          task.kt.state = this.#waitable!.state;
          this.#state = WAITED;
          return BLOCK;
        case WAITED:
          this.#state = WAIT;
          this.#waitable!.leave(task);
          if (machine.signals.pending(task)) return machine.toward(task, 'step', 0, true);
          continue;
        default:
          this.#state = BETWEEN;
      }
    }
  }

  /** handle_mm_fault() that sleeps. */
  *#fault(): Program {
    const { task } = this;
    const { machine } = this.stage;
    yield machine.toward(task, 'block', machine.costs.syscall);
    yield* machine.lives.sleepFor(task, 0);
    yield machine.toward(task, 'step', machine.costs.syscallReturn, true);
  }

  #begin(step: FlatStep): number | undefined {
    const { stage, task } = this;
    const { machine } = stage;
    switch (step.verb) {
      case 'run':
        this.#state = STEP_DONE;
        return machine.toward(task, 'effect', this.#draw(step.ns), true);
      case 'spin': {
        const ns = this.#draw(step.ns);
        this.#until = machine.now + ns;
        this.#state = SPIN;
        return machine.toward(task, 'effect', Math.min(ns, LOOK), true);
      }
      case 'sleep':
        return this.#sleepUntil(machine.timing.timer(task, this.#draw(step.ns)));
      case 'timer': {
        const now = machine.now;
        task.timers ??= new Map();
        const timers = step.shared ? stage.timers : task.timers;
        const due = (timers.get(step.timer) ?? now) + this.#draw(step.ns);
        timers.set(step.timer, step.absolute ? due : Math.max(due, now));
        if (due > now) return this.#sleepUntil(due);
        this.#state = STEP_DONE;
        return machine.toward(task, 'effect', machine.costs.syscall);
      }
      case 'read':
      case 'futexwait':
      case 'lock':
      case 'suspend':
        this.#waitable = stage.waitable(step);
        this.#state = WAIT;
        return machine.toward(task, 'block', machine.costs.syscall);
      case 'yield':
        this.#state = YIELD;
        return machine.toward(task, 'effect', machine.costs.syscall);
      default: {
        const program = stage.program(task, step);
        if (program) {
          this.#sub = program;
          this.#state = STEP_DONE;
          return undefined;
        }
        this.#state = EFFECT;
        return machine.toward(task, 'effect', machine.costs.syscall);
      }
    }
  }

  #draw(ns: Parameters<typeof draw>[0]): number {
    return typeof ns === 'number' ? ns : draw(ns, this.stage.random(this.task));
  }

  /** nanosleep(2); a signal that stops the task does not end it. */
  #sleepUntil(time: number): number {
    const { machine } = this.stage;
    this.#over = false;
    this.task.timer = this;
    machine.armAt(this, time);
    this.#state = SLEEP;
    return machine.toward(this.task, 'block', machine.costs.syscall);
  }

  /** The next step, undefined behind the last. */
  #fetch(): FlatStep | undefined {
    for (;;) {
      const step = this.script[++this.#pc];
      if (step?.verb === 'loop') {
        if (step.times === 0) this.#pc = step.end - 1;
        else if (step.times !== FOREVER) {
          this.#rounds ??= [];
          this.#rounds.push(step.times);
        }
      } else if (step?.verb === 'again') {
        const { times } = this.script[step.begin - 1] as LoopStep;
        if (times === FOREVER) {
          this.#pc = step.begin - 1;
          this.#count();
          continue;
        }
        const rounds = this.#rounds!;
        const left = rounds[rounds.length - 1]! - 1;
        if (left > 0) {
          rounds[rounds.length - 1] = left;
          this.#pc = step.begin - 1;
          this.#count();
        } else rounds.pop();
      } else return step;
    }
  }

  /** A loop that takes no time would never end, one of next to none no sooner than anybody waits for it. */
  #count(): void {
    if (++this.#steps < MANY_STEPS) return;
    const { elapsed } = this.stage.machine;
    const took = elapsed - this.#stepsSince;
    if (took < LITTLE_NS) {
      const what = took === 0 ? 'no time' : 'hardly any time';
      throw new WorkloadError(
        `workload: task ${this.task.name}: ${MANY_STEPS} steps within ${took} ns, at ${elapsed} ns: a loop that takes ${what}`,
      );
    }
    this.#stepsSince = elapsed;
    this.#steps = 0;
  }
}
