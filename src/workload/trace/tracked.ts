import type { TracedStep } from './spec.js';

/** A wake-up that has been seen; what it comes to is known when the task is next put on a CPU. */
export interface SeenWake {
  readonly timeNs: number;
  /** The task that woke, and the step of it that stands for that; null for interrupts and what is not known. */
  readonly by: { readonly task: Tracked; readonly step: WakeStep } | null;
}

/** A step of a waker, which counts only if it ended a sleep. */
export interface WakeStep {
  readonly type: 'wake';
  readonly task: number;
  counts: boolean;
}

type Step = Exclude<TracedStep, { type: 'wake' }> | WakeStep;

/** A task while its trace is read. */
export class Tracked {
  /** `lost`: it was somewhere when events went missing. */
  state: 'new' | 'running' | 'ready' | 'asleep' | 'lost' | 'gone' = 'new';
  /** When it came into this state. */
  since = 0;
  startNs = 0;
  forked = false;
  prio: number | undefined;
  cpu = 0;
  wake: SeenWake | null = null;
  #runNs = 0;
  #bouts = 0;
  readonly #steps: Step[] = [];

  constructor(
    readonly index: number,
    readonly pid: number,
    public comm: string,
  ) {}

  /** Put on a CPU. */
  run(timeNs: number): void {
    this.state = 'running';
    this.since = timeNs;
    this.wake = null;
    this.#bouts++;
  }

  /** It has run until now. */
  ran(timeNs: number): void {
    this.#runNs += timeNs - this.since;
    this.since = timeNs;
  }

  /** Something that it does now, after what it has run. */
  add(step: Step): void {
    this.flush();
    this.#steps.push(step);
  }

  flush(): void {
    if (this.#runNs === 0) return;
    this.#steps.push({ type: 'run', ns: this.#runNs, bouts: this.#bouts });
    this.#runNs = 0;
    this.#bouts = 0;
  }

  get length(): number {
    return this.#steps.length;
  }

  /** Steps that count, runs next to each other as one. */
  steps(): TracedStep[] {
    this.flush();
    const steps: TracedStep[] = [];
    for (const step of this.#steps) {
      const last = steps[steps.length - 1];
      if (step.type === 'wake') {
        if (step.counts) steps.push({ type: 'wake', task: step.task });
      } else if (step.type === 'run' && last?.type === 'run') {
        steps[steps.length - 1] = { type: 'run', ns: last.ns + step.ns, bouts: last.bouts + step.bouts };
      } else steps.push(step);
    }
    return steps;
  }
}
