import type { Recording } from '../recording.js';
import { normalise, normaliseExit } from './normalise.js';
import { type Mutation, replay } from './replay.js';

export interface Difference {
  task: string;
  at: number;
  kernel: string[];
  machine: string[];
}

export interface Verdict {
  differences: Difference[];
}

const CONTEXT = 3;

/** The first difference of each task. */
export async function compare(recording: Recording, mutate?: Mutation): Promise<Verdict> {
  const { events, exit } = await replay(recording, mutate);
  const kernel = normalise(recording, recording.events);
  const machine = normalise(recording, events);
  const differences: Difference[] = [];
  for (const [task, expected] of kernel) {
    const actual = machine.get(task)!;
    const length = Math.max(expected.length, actual.length);
    for (let at = 0; at < length; at++) {
      if (expected[at] === actual[at]) continue;
      const from = Math.max(0, at - CONTEXT);
      differences.push({
        task,
        at,
        kernel: expected.slice(from, at + CONTEXT),
        machine: actual.slice(from, at + CONTEXT),
      });
      break;
    }
  }
  const want = normaliseExit(recording.exit);
  const have = normaliseExit(exit ?? { kind: 0, code: 0, reason: '', message: '' });
  if (want !== have) differences.push({ task: 'exit', at: 0, kernel: [want], machine: [have] });
  return { differences };
}
