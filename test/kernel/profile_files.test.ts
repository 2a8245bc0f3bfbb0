import { expect, test, vi } from 'vitest';

// Every profile gets the order of another kernel's names.
vi.mock('#platform', async (importOriginal) => {
  const platform = await importOriginal<typeof import('../../src/platform/node.js')>();
  return { ...platform, readAsset: (path: string) => platform.readAsset(path.replace(/[\d.]+\.names/, '6.12.names')) };
});
// The setup of every test has imported the real ones.
vi.resetModules();
const { loadProfile } = await import('../../src/kernel/profile.js');
const { InputError } = await import('../../src/errors.js');

test('an order of names that was made from other BTF is refused', async () => {
  await expect(loadProfile('6.18')).rejects.toThrow(InputError);
  await expect(loadProfile('6.18')).rejects.toThrow('6.18.names.gz was not made from 6.18.btf.gz');
  expect((await loadProfile('6.12')).btf.find('task_struct')).not.toBe(0);
});
