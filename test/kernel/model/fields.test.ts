import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MODELLED } from '../../../src/kernel/model/fields.js';
import { PERCPU_VARS } from '../../../src/kernel/model/percpu_vars.js';
import { loadProfile, PROFILE_NAMES } from '../../../src/kernel/profile.js';
import { StructType } from '../../../src/kernel/view.js';

const DOCUMENT = new URL('../../../docs/model.md', import.meta.url);

const HEADER = `# What is modelled of tasks, cgroups, cpumasks and run queues

Written by \`UPDATE_GOLDEN=1 npx vitest run test/kernel/model/fields.test.ts\` from \`src/kernel/model/fields.ts\`.

Each type is laid out in guest memory by the profile's BTF. The fields below hold what a kernel keeps there; any other field is
poisoned: a program that touches it stops, and the fault names the field. A subsystem may declare more (\`kernel.tasks.declare\`).
The last columns are the offsets in the kernels that ship with the package; a dash is a field that the kernel does not have.
`;

test('docs/model.md lists the modelled fields; each is in a kernel', async () => {
  const profiles = await Promise.all(PROFILE_NAMES.map((name) => loadProfile(name)));
  const names = profiles.map(({ name }) => name).reverse();
  const lines = [HEADER];
  for (const [struct, fields] of Object.entries(MODELLED)) {
    const types = profiles.map(({ btf }) => new StructType({} as never, btf, btf.find(struct))).reverse();
    lines.push(
      `## struct ${struct}\n`,
      `| field | holds | ${names.join(' | ')} |`,
      `|---|---|${'--:|'.repeat(names.length)}`,
    );
    for (const [path, holds] of Object.entries(fields)) {
      const offsets = types.map((type) => type.tryField(path)?.offset);
      expect(
        offsets.some((offset) => offset !== undefined),
        `${struct}.${path}`,
      ).toBe(true);
      lines.push(`| \`${path}\` | ${holds} | ${offsets.map((offset) => offset ?? '–').join(' | ')} |`);
    }
    lines.push('');
  }
  lines.push('## Per-CPU variables\n', '| variable | holds |', '|---|---|', '| `runqueues` | `struct rq` as above |');
  for (const [name, holds] of Object.entries(PERCPU_VARS)) lines.push(`| \`${name}\` | ${holds} |`);
  const text = `${lines.join('\n')}\n`;
  if (process.env.UPDATE_GOLDEN) writeFileSync(DOCUMENT, text);
  expect(readFileSync(DOCUMENT, 'utf8'), 'write it anew with UPDATE_GOLDEN=1').toBe(text);
});
