import { RELEASES } from '../recording.js';
import { type Control, HIDDEN, INPUTS, NOT_MEASURED, RULES } from './controls.js';
import { NORMALISATIONS } from './normalise.js';
import { type Caught, type Fidelity, normalisations, VERDICTS } from './run.js';

const row = (...cells: (string | number)[]) => `| ${cells.join(' | ')} |`;
const head = (...cells: string[]) => [row(...cells), `|${cells.map(() => '---|').join('')}`];
const noticed = (one: Caught | undefined) => (one ? `${one.caught} of ${one.of}` : 'not tried');

/** docs/fidelity.md */
export function fidelityTable(result: Fidelity): string {
  return [
    '# What a simulated machine asks of a scheduler, and what kernels asked',
    '',
    '`npm run fidelity -- --write` writes this page, `-- --check` fails where it is not true any more. How recordings are compared,',
    'and what the machine is given of them: [test/oracle/sched_ext](../test/oracle/sched_ext/README.md).',
    '',
    'Recordings that agree in every task-level callback, its flags, and DSQ operations, in order:',
    '',
    ...byTopic(result),
    '',
    '## Rules of the kernel',
    '',
    'Each rule is broken on purpose: so many of the recordings that were tried do not agree any more.',
    '',
    ...byRule('rule', RULES, result),
    '',
    'Not measured by any recording:',
    '',
    ...NOT_MEASURED.map((rule) => `- ${rule}`),
    '',
    '## What the machine is given',
    '',
    'Of a recording the machine is given times, and where other classes put their tasks. Inputs are withheld here, one at a time, where',
    'they decide something: so many of the recordings that were tried do not agree any more.',
    '',
    ...byRule('given', INPUTS, result),
    '',
    '## What is compared',
    '',
    'Callbacks and queue operations of recordings that agree, each with its flags and its place among those of its task:',
    '',
    ...byOp(result),
    '',
    '## What is left out',
    '',
    'Rules that are applied to both sides alike, how many events of the kernels they left out or changed, and what is spoilt to show that',
    'they do not hide it: so many of the recordings that were tried notice.',
    '',
    ...byNormalisation(result),
    '',
    '## Scenarios',
    '',
    ...byScenario(result),
    '',
  ].join('\n');
}

function byTopic({ verdicts }: Fidelity): string[] {
  const titles = [...verdicts.keys()];
  const topics = [
    ...new Set(titles.map((title) => title.slice(title.indexOf(' ') + 1, title.indexOf('/')))),
  ].toSorted();
  const cell = (release: string, topic: string) => {
    const own = titles.filter((title) => title.startsWith(`${release} ${topic}`));
    const count = (verdict: string) => own.filter((title) => verdicts.get(title) === verdict).length;
    return VERDICTS.map(count).join(' / ');
  };
  const line = (name: string, topic: string) => row(name, ...RELEASES.map((release) => cell(release, topic)));
  return [
    ...head('topic', ...RELEASES.map((release) => `${release}: ${VERDICTS.join(' / ')}`)),
    ...topics.map((topic) => line(topic, `${topic}/`)),
    line('all', ''),
  ];
}

function byRule(title: string, rules: readonly Control[], { controls }: Fidelity): string[] {
  return [
    ...head(title, 'in the kernel', ...RELEASES),
    ...rules.map(({ rule, source }) =>
      row(rule, `\`${source}\``, ...RELEASES.map((release) => noticed(controls.get(`${release} ${rule}`)))),
    ),
  ];
}

function byOp({ compared }: Fidelity): string[] {
  const ops = [...new Set([...compared.keys()].map((key) => key.slice(key.indexOf(' ') + 1)))].toSorted();
  return [
    ...head('', ...RELEASES),
    ...ops.map((op) => row(`\`${op}\``, ...RELEASES.map((release) => compared.get(`${release} ${op}`) ?? 0))),
  ];
}

function byNormalisation({ tallies, controls }: Fidelity): string[] {
  return [
    ...head('rule', 'reason', ...RELEASES.map((release) => `events, ${release}`), 'does not hide', ...RELEASES),
    ...normalisations.map((name) =>
      row(
        NORMALISATIONS[name].what,
        NORMALISATIONS[name].reason,
        ...RELEASES.map((release) => tallies.get(release)?.get(name) ?? 0),
        HIDDEN[name].rule,
        ...RELEASES.map((release) => noticed(controls.get(`${release} ${HIDDEN[name].rule}`))),
      ),
    ),
  ];
}

function byScenario({ verdicts, about }: Fidelity): string[] {
  return [
    ...head('scenario', 'about', ...RELEASES),
    ...[...about].map(([name, what]) =>
      row(`\`${name}\``, what, ...RELEASES.map((release) => verdicts.get(`${release} ${name}`) ?? 'not recorded')),
    ),
  ];
}
