import { UnsupportedError } from '../../../../src/errors.js';
import { RELEASES, type Recording, readRecording, recordingNames } from '../recording.js';
import { compare } from './compare.js';
import { type Control, HIDDEN, INPUTS, RULES, triesOf } from './controls.js';
import { NORMALISATIONS, type Normalisation, normalise, normaliseExit, type Tally } from './normalise.js';

export const VERDICTS = ['agree', 'disagree', 'not measured'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** One recording to replay: as it is, or with the rule of a control broken. */
export interface Piece {
  release: string;
  name: string;
  rule?: string;
}

/** What a piece says, line by line; with a rule broken, whether that was noticed. */
export interface Answer {
  lines: readonly string[];
  verdict: Verdict;
}

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

const CONTROLS: readonly Control[] = [...RULES, ...INPUTS, ...Object.values(HIDDEN)];

/**
 * npm run fidelity: every recording, or those whose name contains a word of `only`. Not measured is what stops by the name of
 * something that is not modelled; every other end of a replay that is not the recorded one is a disagreement. `ask` has pieces
 * answered, as many at once as it likes; what is said comes in the order of the recordings all the same.
 */
export async function fidelity(
  only: readonly string[],
  say: (line: string) => void,
  ask: (piece: Piece) => Promise<Answer> = answer,
): Promise<Fidelity> {
  const verdicts = new Map<string, Verdict>();
  const about = new Map<string, string>();
  const compared = new Map<string, number>();
  const tallies = new Map<string, Tally>(RELEASES.map((release) => [release, new Map()]));
  const chosen = RELEASES.flatMap((release) =>
    recordingNames(release)
      .map((name) => ({ release, name, title: `${release} ${name}` }))
      .filter(({ title }) => only.length === 0 || only.some((word) => title.includes(word))),
  );
  const judged = chosen.map((piece) => ask({ release: piece.release, name: piece.name }));
  const tried = only.length > 0 ? [] : CONTROLS.flatMap((control) => tries(control, ask));
  for (const [i, { release, name, title }] of chosen.entries()) {
    const { verdict, lines: said } = await judged[i]!;
    for (const line of said) say(line);
    const recording = read(release, name);
    about.set(name, recording.what);
    const tally = tallies.get(release)!;
    const lists = normalise(recording, recording.events, tally);
    normaliseExit(recording.exit, tally);
    verdicts.set(title, verdict);
    if (verdict !== 'agree') continue;
    for (const line of [...lists.values()].flat()) {
      const key = `${release} ${line.slice(0, line.indexOf(' '))}`;
      compared.set(key, (compared.get(key) ?? 0) + 1);
    }
  }
  const controls = new Map<string, Caught>();
  for (const { release, rule, answers } of tried) {
    const all = await Promise.all(answers);
    const caught = all.filter(({ verdict }) => verdict !== 'agree').length;
    controls.set(`${release} ${rule}`, { caught, of: all.length });
    say(`control   ${release} ${caught === 0 ? 'MISSED' : 'noticed'} by ${caught} of ${all.length}: ${rule}`);
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

/** A broken rule is noticed where the recording does not agree any more; a replay that breaks off counts, too. */
function tries(control: Control, ask: (piece: Piece) => Promise<Answer>) {
  const { rule } = control;
  return triesOf(control).map(([release, names]) => ({
    release,
    rule,
    answers: names.map((name) => ask({ release, name, rule })),
  }));
}

/** Replays one recording and compares. */
export async function answer({ release, name, rule }: Piece): Promise<Answer> {
  const title = `${release} ${name}`;
  const recording = read(release, name);
  try {
    const { differences } = await compare(
      recording,
      CONTROLS.find((control) => control.rule === rule),
    );
    if (differences.length === 0) return { verdict: 'agree', lines: [`agree     ${title}`] };
    const lines = differences.flatMap(({ task, at, kernel, machine }) => [
      `    ${task}, event ${at}`,
      `      kernel   ${kernel.join(' | ')}`,
      `      machine  ${machine.join(' | ')}`,
    ]);
    return { verdict: 'disagree', lines: [`disagree  ${title}`, ...lines] };
  } catch (error) {
    if (error instanceof UnsupportedError) {
      return { verdict: 'not measured', lines: [`not measured  ${title}: ${error.message}`] };
    }
    return { verdict: 'disagree', lines: [`disagree  ${title}`, `    ${(error as Error).stack}`] };
  }
}

export const normalisations = Object.keys(NORMALISATIONS) as Normalisation[];
