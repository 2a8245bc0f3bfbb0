import type { RecordedEvent, Recording } from '../recording.js';
import { normalise, normaliseExit } from './normalise.js';
import { type Mutation, type Replay, replay } from './replay.js';

export interface Difference {
  task: string;
  at: number;
  kernel: string[];
  machine: string[];
}

export interface Verdict {
  differences: Difference[];
}

/** What a control makes wrong: a rule of the machine, or what came of a run that follows the rules. */
export interface Wrong {
  mutate?: Mutation;
  spoil?: (events: RecordedEvent[], exit: NonNullable<Replay['exit']>) => void;
}

const CONTEXT = 3;
const NO_EXIT = { kind: 0, code: 0, reason: '', message: '' };

/** The first difference of each task. */
export async function compare(recording: Recording, { mutate, spoil }: Wrong = {}): Promise<Verdict> {
  const { events, exit: ended } = await replay(recording, mutate);
  const exit = ended ?? NO_EXIT;
  spoil?.(events, exit);
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
  const have = normaliseExit(exit);
  if (want !== have) differences.push({ task: 'exit', at: 0, kernel: [want], machine: [have] });
  return { differences };
}
