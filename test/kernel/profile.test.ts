import { expect, test } from 'vitest';
import { InputError } from '../../src/errors.js';
import { kernelVersion, loadProfile, PROFILE_NAMES, parseRelease, profileFromBtf } from '../../src/kernel/profile.js';

test('7.3 is the default, and a profile is read once', async () => {
  const profile = await loadProfile();
  expect(profile.name).toBe('7.3');
  expect(profile.release).toBe('7.3.4');
  expect(profile.version).toBe(kernelVersion(7, 3, 4));
  expect(await loadProfile('7.3')).toBe(profile);
});

test('the behaviours of each profile are those of its kernel', async () => {
  const [newest, middle, oldest] = await Promise.all(PROFILE_NAMES.map((name) => loadProfile(name)));
  const switchedOn = ({ behaviours: { config, ...rest } }: NonNullable<typeof newest>) =>
    Object.entries(rest)
      .filter(([, on]) => on)
      .map(([name]) => name)
      .sort();
  const { config, ...all } = newest!.behaviours;
  expect(switchedOn(newest!)).toEqual(Object.keys(all).sort());
  expect(switchedOn(middle!)).toEqual([
    'arenaBestFit',
    'arenaReports',
    'hashOfMapsInPlace',
    'percpuPlaces',
    'structOpsPointerReturn',
    'structOpsPrivateStack',
    'structOpsRefArgs',
  ]);
  expect(switchedOn(oldest!)).toEqual([]);
  expect(newest!.behaviours.config.CONFIG_HZ).toBe('250');
  expect(oldest!.behaviours.config.CONFIG_HZ).toBe('1000');
});

test('raw BTF of another kernel: its release decides, and what the BTF shows outranks it', async () => {
  const { btf } = await loadProfile('7.3');
  const old = await profileFromBtf(btf.raw, { release: '6.14.2+deb13' });
  expect(old.name).toBe('6.14.2+deb13');
  expect(old.behaviours.structOpsPrivateStack).toBe(true);
  expect(old.behaviours.structOpsRefArgs).toBe(false);
  expect(old.behaviours.structOpsAssociation).toBe(true); // bpf_cmd has it: a backport
  expect(old.behaviours.config.CONFIG_HZ).toBe('1000'); // nearest shipped profile below: 6.12
  const own = await profileFromBtf(btf.raw, { config: { CONFIG_HZ: '300' }, name: 'mine' });
  expect([own.name, own.release, own.behaviours.config.CONFIG_HZ]).toEqual(['mine', '7.3.4', '300']);
});

test('what is no profile, no release and no BTF is said to be so', async () => {
  expect(() => loadProfile('5.4')).toThrow(InputError);
  expect(() => loadProfile('5.4')).toThrow('kernel "5.4": there is no such profile (7.3, 6.18, 6.12)');
  expect(() => parseRelease('six')).toThrow(InputError);
  await expect(profileFromBtf(new Uint8Array(100))).rejects.toThrow(InputError);
});

test('a sublevel above 255 counts as 255', () => {
  expect(parseRelease('6.12.300')).toBe(kernelVersion(6, 12, 255));
});
