import { InputError } from '../../src/errors.js';
import type { ScxTask } from '../../src/sched_ext/task.js';

/** Runs or sleeps for so many ns. */
export type Step = { run: number } | { sleep: number };

/** What a task does: its steps, over and over, then it exits. */
export interface TaskScript {
  /** At most 15 characters, as task_struct.comm has them. */
  name: string;
  steps: readonly Step[];
  /** How often the steps are done; default once. */
  repeat?: number;
  /** When it wakes first, ns; default 0. */
  startNs?: number;
  /** 1 to 10000; default 100, which is nice 0. */
  weight?: number;
  /** Default SCHED_EXT: the task is under any scheduler, SCX_OPS_SWITCH_PARTIAL or not. */
  policy?: 'ext' | 'normal';
  pid?: number;
  /** Allowed CPUs; default all. */
  cpus?: readonly number[];
}

/** How far a task has come with its script, and what it had of the machine. */
export class TaskRun {
  /** Work of the current step that is left, ns. */
  remaining = 0;
  exited = false;
  runNs = 0;
  /** Runnable without running. */
  waitNs = 0;
  /** Times that it was put on a CPU. */
  switches = 0;
  wakeups = 0;
  migrations = 0;
  /** How long the last sleep step takes. */
  sleepNs = 0;
  #step = -1;
  #round = 0;
  #waitingSince = 0;
  #lastCpu = -1;

  constructor(
    readonly task: ScxTask,
    readonly script: TaskScript,
  ) {}

  /** Throws InputError for a script that no task can follow. */
  static check(script: TaskScript): void {
    const lengths = script.steps.map((step) => ('run' in step ? step.run : step.sleep));
    const first = script.steps[0];
    if (!first || !('run' in first) || lengths.some((ns) => !Number.isSafeInteger(ns) || ns <= 0)) {
      throw new InputError(`task ${script.name}: a script begins with {run}, and every step has whole ns above 0`);
    }
  }

  /** The step that follows, undefined when the script is over. Work is in `remaining`, sleep in `sleepNs`. */
  next(): Step | undefined {
    const { steps, repeat = 1 } = this.script;
    if (++this.#step === steps.length) {
      this.#step = 0;
      this.#round++;
    }
    const step = this.#round < repeat ? steps[this.#step] : undefined;
    if (step && 'run' in step) this.remaining = step.run;
    if (step && 'sleep' in step) this.sleepNs = step.sleep;
    return step;
  }

  woken(now: number): void {
    this.wakeups++;
    this.#waitingSince = now;
    if (this.remaining === 0) this.next();
  }

  scheduled(now: number, cpu: number): void {
    this.switches++;
    this.waitNs += now - this.#waitingSince;
    if (this.#lastCpu >= 0 && this.#lastCpu !== cpu) this.migrations++;
    this.#lastCpu = cpu;
  }

  ran(ns: number): void {
    this.runNs += ns;
    this.remaining -= ns;
  }

  /** Still runnable, off the CPU. */
  preempted(now: number): void {
    this.#waitingSince = now;
  }
}
