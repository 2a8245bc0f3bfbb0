import { expect, test } from 'vitest';
import { Kernel } from '../../src/kernel/kernel.js';
import { loadProfile } from '../../src/kernel/profile.js';
import { openCalls } from '../../src/loader/guards.js';
import { diagnose, openObject } from '../../src/loader/index.js';
import { linkPrograms } from '../../src/loader/linked_code.js';
import { fixture } from './fixtures.js';

const spec = fixture('guards');
const open = async (set: Record<string, number> = {}) => {
  const object = openObject(spec);
  for (const [name, value] of Object.entries(set)) object.variable(name).set(value);
  return openCalls(linkPrograms(object, await loadProfile('7.3'), []));
};
const said = (calls: Awaited<ReturnType<typeof open>>) =>
  calls.map(({ extern, program, function: fn, place }) => `${extern} ${program} ${fn} ${place}`).sort();

const WITHOUT = [
  'by_variable open_calls open_calls guards.bpf.c:50',
  'half open_calls open_calls guards.bpf.c:51',
  'never_asked open_calls deep guards.bpf.c:25',
];

test('a check of the kfunc, of another one, a constant, a version or a field rules a call out', async () => {
  expect(said(await open())).toEqual(WITHOUT);
});

test('constants count as they are set', async () => {
  expect(said(await open({ wanted: 1 }))).toEqual(['by_constant guarded guarded guards.bpf.c:36', ...WITHOUT].sort());
});

test('doctor tells the guarded from the unguarded, and the load goes through', async () => {
  const kernel = await Kernel.create({ profile: '7.3' });
  const { missing, ok, loadError } = diagnose(openObject(spec), kernel);
  const kfuncs = missing.filter(({ kind }) => kind === 'kfunc');
  expect(loadError).toBeUndefined();
  expect(ok).toBe(false);
  expect(kfuncs.filter(({ weak }) => !weak)).toEqual([
    expect.objectContaining({ name: 'by_variable', usedBy: ['open_calls'] }),
    // Another program asks first; this one does not.
    expect.objectContaining({ name: 'half', usedBy: ['open_calls'] }),
    expect.objectContaining({
      name: 'never_asked',
      detail: expect.stringMatching(/^weak, but called without a check: deep insn \d+ \(guards.bpf.c:25\)$/),
    }),
  ]);
  const detail = (name: string) => kfuncs.find((finding) => finding.name === name)?.detail;
  expect(detail('asked')).toBe('every call is behind a check');
  kernel.dispose();
});
