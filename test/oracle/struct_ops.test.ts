import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readRecordings } from './struct_ops/replay/recording.js';
import { Replay, type Verdict } from './struct_ops/replay/replay.js';
import { bootSystem } from './struct_ops/replay/system.js';
import { document, type KernelResult } from './struct_ops/replay/table.js';

const DOCUMENT = fileURLToPath(new URL('../../docs/struct_ops-recorded.md', import.meta.url));
const RELEASES = { '7.3': '7.3.4', '6.18': '6.18.15' } as const;

/** Cases known to answer otherwise, by kernel. An entry whose case agrees fails, so that the list only gets shorter. */
const KNOWN: Readonly<Record<keyof typeof RELEASES, readonly string[]>> = {
  '7.3': [],
  '6.18': [],
};

const results: KernelResult[] = [];

for (const [profile, release] of Object.entries(RELEASES) as [keyof typeof RELEASES, string][]) {
  const result: KernelResult = { profile, topics: [] };
  results.push(result);
  for (const recording of readRecordings(release)) {
    const verdicts = new Map<string, Verdict>();
    result.topics.push({ recording, verdicts });
    // A kernel without the type that a topic is about has recorded nothing of it.
    describe.skipIf(recording.cases.length === 0)(`${profile}: ${recording.title}`, async () => {
      const replay = new Replay(await bootSystem(profile), recording);
      for (const one of recording.cases) {
        test(`${one.id}: ${one.what}`, (context) => {
          const verdict = replay.run(one);
          verdicts.set(one.id, verdict);
          if (verdict.verdict === 'not applicable') context.skip(verdict.reason);
          const differences = verdict.verdict === 'differ' ? verdict.differences.join('\n') : '';
          if (KNOWN[profile].includes(one.id)) expect(differences, 'agrees now: strike it from KNOWN').not.toBe('');
          else expect(differences).toBe('');
        });
      }
    });
  }
}

test('docs/struct_ops-recorded.md says what came of it', () => {
  const text = document(results);
  if (process.env.UPDATE_GOLDEN) writeFileSync(DOCUMENT, text);
  expect(readFileSync(DOCUMENT, 'utf8'), 'write it anew with UPDATE_GOLDEN=1').toBe(text);
});

test('at least 200 cases of each kernel agree', () => {
  for (const { topics } of results) {
    const verdicts = topics.flatMap((topic) => [...topic.verdicts.values()]);
    expect(verdicts.filter(({ verdict }) => verdict === 'agree').length).toBeGreaterThanOrEqual(200);
  }
});
