import { UnsupportedError } from '../../../../src/errors.js';
import { RELEASES, type Recording, readRecording, recordingNames } from '../recording.js';
import { compare } from './compare.js';
import { type Control, HIDDEN, INPUTS, RULES, triesOf } from './controls.js';
import { NORMALISATIONS, type Normalisation, normalise, normaliseExit, type Tally } from './normalise.js';

export const VERDICTS = ['agree', 'disagree', 'not measured'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** How many recordings of those tried noticed a wrong rule. */
export interface Caught {
  caught: number;
  of: number;
}

export interface Fidelity {
  /** By release and name, `7.3.4 basic/yield-op`. */
  verdicts: ReadonlyMap<string, Verdict>;
  /** What scenarios are about, by name. */
  about: ReadonlyMap<string, string>;
  /** By release and op: callbacks and queue operations that were compared, in recordings that agree. */
  compared: ReadonlyMap<string, number>;
  /** By release and normalisation: events that it left out or changed. */
  tallies: ReadonlyMap<string, Tally>;
  /** By release and rule. */
  controls: ReadonlyMap<string, Caught>;
  /** Controls that changed no result. */
  missed: number;
}

/**
 * npm run fidelity: every recording, or those whose name contains a word of `only`. Not measured is what stops by the name of
 * something that is not modelled; every other end of a replay that is not the recorded one is a disagreement.
 */
export async function fidelity(only: readonly string[], say: (line: string) => void): Promise<Fidelity> {
  const verdicts = new Map<string, Verdict>();
  const about = new Map<string, string>();
  const compared = new Map<string, number>();
  const tallies = new Map<string, Tally>();
  for (const release of RELEASES) {
    const tally: Tally = new Map();
    tallies.set(release, tally);
    for (const name of recordingNames(release)) {
      const title = `${release} ${name}`;
      if (only.length > 0 && !only.some((word) => title.includes(word))) continue;
      const recording = read(release, name);
      about.set(name, recording.what);
      const lists = normalise(recording, recording.events, tally);
      normaliseExit(recording.exit, tally);
      const verdict = await judge(recording, title, say);
      verdicts.set(title, verdict);
      if (verdict !== 'agree') continue;
      for (const line of [...lists.values()].flat()) {
        const key = `${release} ${line.slice(0, line.indexOf(' '))}`;
        compared.set(key, (compared.get(key) ?? 0) + 1);
      }
    }
  }
  const controls = new Map<string, Caught>();
  if (only.length === 0) {
    for (const control of [...RULES, ...INPUTS, ...Object.values(HIDDEN)]) await tryControl(control, controls, say);
  }
  const all = [...verdicts.values()];
  say(VERDICTS.map((verdict) => `${all.filter((each) => each === verdict).length} ${verdict}`).join(', '));
  const missed = [...controls.values()].filter(({ caught }) => caught === 0).length;
  return { verdicts, about, compared, tallies, controls, missed };
}

function read(release: string, name: string): Recording {
  const [topic, id] = name.split('/') as [string, string];
  return readRecording(release, topic, id)!;
}

async function judge(recording: Recording, title: string, say: (line: string) => void): Promise<Verdict> {
  try {
    const { differences } = await compare(recording);
    if (differences.length === 0) {
      say(`agree     ${title}`);
      return 'agree';
    }
    say(`disagree  ${title}`);
    for (const { task, at, kernel, machine } of differences) {
      say(`    ${task}, event ${at}`);
      say(`      kernel   ${kernel.join(' | ')}`);
      say(`      machine  ${machine.join(' | ')}`);
    }
    return 'disagree';
  } catch (error) {
    if (error instanceof UnsupportedError) {
      say(`not measured  ${title}: ${error.message}`);
      return 'not measured';
    }
    say(`disagree  ${title}\n    ${(error as Error).stack}`);
    return 'disagree';
  }
}

/** A wrong rule is noticed where the recording does not agree any more; a replay that breaks off counts, too. */
async function tryControl(control: Control, controls: Map<string, Caught>, say: (line: string) => void): Promise<void> {
  for (const [release, names] of triesOf(control)) {
    let caught = 0;
    for (const name of names) {
      const noticed = await compare(read(release, name), control).then(
        ({ differences }) => differences.length > 0,
        () => true,
      );
      if (noticed) caught++;
    }
    const of = names.length;
    controls.set(`${release} ${control.rule}`, { caught, of });
    say(`control   ${release} ${caught === 0 ? 'MISSED' : 'noticed'} by ${caught} of ${of}: ${control.rule}`);
  }
}

export const normalisations = Object.keys(NORMALISATIONS) as Normalisation[];
