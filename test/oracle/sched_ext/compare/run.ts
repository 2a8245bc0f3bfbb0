import { UnsupportedError } from '../../../../src/errors.js';
import { RELEASES, readRecording, recordingNames } from '../recording.js';
import { compare } from './compare.js';
import { CONTROLS } from './controls.js';

/**
 * npm run fidelity: every recording, or those whose name contains a word of `only`. Not measured is what stops by the name of
 * something that is not modelled; every other end of a replay that is not the recorded one is a disagreement.
 */
export async function fidelity(only: readonly string[], say: (line: string) => void): Promise<boolean> {
  let agree = 0;
  let disagree = 0;
  let notMeasured = 0;
  for (const release of RELEASES) {
    for (const name of recordingNames(release)) {
      const [topic, id] = name.split('/') as [string, string];
      const title = `${release} ${name}`;
      if (only.length > 0 && !only.some((word) => title.includes(word))) continue;
      try {
        const { differences } = await compare(readRecording(release, topic, id)!);
        if (differences.length === 0) {
          agree++;
          say(`agree     ${title}`);
          continue;
        }
        disagree++;
        say(`disagree  ${title}`);
        for (const { task, at, kernel, machine } of differences) {
          say(`    ${task}, event ${at}`);
          say(`      kernel   ${kernel.join(' | ')}`);
          say(`      machine  ${machine.join(' | ')}`);
        }
      } catch (error) {
        if (error instanceof UnsupportedError) {
          notMeasured++;
          say(`not measured  ${title}: ${error.message}`);
          continue;
        }
        disagree++;
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
  say(`${agree} agree, ${disagree} disagree, ${notMeasured} not measured`);
  return disagree === 0 && missed === 0;
}
