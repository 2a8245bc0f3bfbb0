import { InputError } from '../errors.js';
import type { RepeatStep, SimStep } from './scenario.js';

/** A step without steps of its own, and the ends of a loop: `again` goes back while rounds are left. */
export type FlatStep = Exclude<SimStep, RepeatStep> | LoopStep | { verb: 'again'; begin: number };

export interface LoopStep {
  verb: 'loop';
  times: number;
  end: number;
}

const MAX_DEPTH = 64;

/** Steps in the order in which they are done, loops as jumps. Throws InputError with the path of a loop that cannot be. */
export function flatten(steps: readonly SimStep[], path = 'steps'): FlatStep[] {
  const flat: FlatStep[] = [];
  const add = (list: readonly SimStep[], where: string, depth: number) => {
    if (depth > MAX_DEPTH) throw new InputError(`${where}: loops nest deeper than ${MAX_DEPTH}`);
    for (const [at, step] of list.entries()) {
      if (step.verb !== 'repeat') {
        flat.push(step);
        continue;
      }
      const { times } = step;
      if (!((Number.isSafeInteger(times) && times >= 0) || times === Number.POSITIVE_INFINITY)) {
        throw new InputError(`${where}[${at}]: ${times} is no number of rounds`);
      }
      if (step.steps.length === 0) continue;
      const loop = { verb: 'loop' as const, times, end: 0 };
      const begin = flat.push(loop);
      add(step.steps, `${where}[${at}].steps`, depth + 1);
      loop.end = flat.push({ verb: 'again', begin });
    }
  };
  add(steps, path, 0);
  return flat;
}
