import { UnsupportedError } from '../../../../src/errors.js';
import { RELEASES, readRecording, recordingNames } from '../recording.js';
import { compare } from './compare.js';
import { CONTROLS } from './controls.js';

export const VERDICTS = ['agree', 'disagree', 'not measured'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Fidelity {
  /** By release and name, `7.3.4 basic/yield-op`. */
  verdicts: ReadonlyMap<string, Verdict>;
  /** Controls that changed no result. */
  missed: number;
}

/**
 * npm run fidelity: every recording, or those whose name contains a word of `only`. Not measured is what stops by the name of
 * something that is not modelled; every other end of a replay that is not the recorded one is a disagreement.
 */
export async function fidelity(only: readonly string[], say: (line: string) => void): Promise<Fidelity> {
  const verdicts = new Map<string, Verdict>();
  for (const release of RELEASES) {
    for (const name of recordingNames(release)) {
      const [topic, id] = name.split('/') as [string, string];
      const title = `${release} ${name}`;
      if (only.length > 0 && !only.some((word) => title.includes(word))) continue;
      try {
        const { differences } = await compare(readRecording(release, topic, id)!);
        if (differences.length === 0) {
          verdicts.set(title, 'agree');
          say(`agree     ${title}`);
          continue;
        }
        verdicts.set(title, 'disagree');
        say(`disagree  ${title}`);
        for (const { task, at, kernel, machine } of differences) {
          say(`    ${task}, event ${at}`);
          say(`      kernel   ${kernel.join(' | ')}`);
          say(`      machine  ${machine.join(' | ')}`);
        }
      } catch (error) {
        if (error instanceof UnsupportedError) {
          verdicts.set(title, 'not measured');
          say(`not measured  ${title}: ${error.message}`);
          continue;
        }
        verdicts.set(title, 'disagree');
        say(`disagree  ${title}\n    ${(error as Error).stack}`);
      }
    }
  }
  let missed = 0;
  for (const { rule, recording, mutate } of only.length > 0 ? [] : CONTROLS) {
    for (const release of RELEASES) {
      const [topic, id] = recording.split('/') as [string, string];
      const recorded = readRecording(release, topic, id)!;
      const right = await compare(recorded);
      const wrong = await compare(recorded, mutate);
      const caught = JSON.stringify(right) !== JSON.stringify(wrong);
      if (!caught) missed++;
      say(`control   ${release} ${recording}: ${caught ? 'caught' : 'MISSED'}: ${rule}`);
    }
  }
  const all = [...verdicts.values()];
  say(VERDICTS.map((verdict) => `${all.filter((each) => each === verdict).length} ${verdict}`).join(', '));
  return { verdicts, missed };
}
