import type { RepeatStep, SimStep } from './scenario.js';

/** A step without steps of its own, and the ends of a loop: `again` goes back while rounds are left. */
export type FlatStep = Exclude<SimStep, RepeatStep> | LoopStep | { verb: 'again'; begin: number };

export interface LoopStep {
  verb: 'loop';
  times: number;
  end: number;
}

/** Steps (checkSteps) in the order in which they are done, loops as jumps. */
export function flatten(steps: readonly SimStep[]): FlatStep[] {
  const flat: FlatStep[] = [];
  const add = (list: readonly SimStep[]) => {
    for (const step of list) {
      if (step.verb !== 'repeat') {
        flat.push(step);
        continue;
      }
      const { times } = step;
      if (step.steps.length === 0) continue;
      const loop = { verb: 'loop' as const, times, end: 0 };
      const begin = flat.push(loop);
      add(step.steps);
      loop.end = flat.push({ verb: 'again', begin });
    }
  };
  add(steps);
  return flat;
}
