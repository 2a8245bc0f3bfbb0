import { RELEASES } from '../recording.js';
import { type Fidelity, VERDICTS } from './run.js';

/** docs/fidelity.md: how many recordings of each topic agree, and every one that does not. */
export function fidelityTable({ verdicts }: Fidelity): string {
  const titles = [...verdicts.keys()];
  const topics = [
    ...new Set(titles.map((title) => title.slice(title.indexOf(' ') + 1, title.indexOf('/')))),
  ].toSorted();
  const cell = (release: string, topic: string) => {
    const own = titles.filter((title) => title.startsWith(`${release} ${topic}`));
    return `${own.filter((title) => verdicts.get(title) === 'agree').length} of ${own.length}`;
  };
  const row = (name: string, topic: string) =>
    `| ${name} | ${RELEASES.map((release) => cell(release, topic)).join(' | ')} |`;
  const others = VERDICTS.slice(1).flatMap((verdict) =>
    titles.filter((title) => verdicts.get(title) === verdict).map((title) => `- ${verdict}: ${title}`),
  );
  return [
    '# What a simulated machine asks of a scheduler, and what kernels asked',
    '',
    '`npm run fidelity -- --write` writes this page, `-- --check` fails where it is not true any more. How recordings are compared,',
    'and what the machine is given of them: [test/oracle/sched_ext](../test/oracle/sched_ext/README.md).',
    '',
    'Recordings that agree in every task-level callback, its flags, and DSQ operations, in order:',
    '',
    `| topic | ${RELEASES.join(' | ')} |`,
    `|---|${RELEASES.map(() => '---|').join('')}`,
    ...topics.map((topic) => row(topic, `${topic}/`)),
    row('all', ''),
    '',
    ...others,
    '',
  ].join('\n');
}
