import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VmtableError } from '../../src/errors.js';
import { openObject } from '../../src/loader/index.js';
import { FakeKernel, makeProfile } from './fake_kernel.js';
import { fixture, fixtureBytes } from './fixtures.js';
import { CONFIG, dataKernel } from './kernel_btf.js';

// Objects with bytes flipped either load or are refused with an error of ours; fds come back either way.

const dataProfile = makeProfile(dataKernel(), { config: CONFIG });
const coreBtf = fixture('core_kernel').btf;
if (!coreBtf) throw new Error('no BTF');
const coreProfile = makeProfile(coreBtf as never, { config: CONFIG });
const RUNS = Number(process.env.HOSTILE_RUNS ?? 60);

describe('damaged objects', () => {
  it.each([
    ['data', dataProfile],
    ['core', coreProfile],
    ['link', dataProfile],
    ['struct_ops', dataProfile],
    ['attach', dataProfile],
  ])('%s', (name, profile) => {
    const good = new Uint8Array(fixtureBytes(name));
    const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(damage, (changes) => {
        const bytes = good.slice();
        for (const [at, value] of changes) bytes[at] = value;
        const kernel = new FakeKernel(profile);
        try {
          const object = openObject(bytes, { name });
          try {
            object.requirements(profile);
            for (const variable of object.variables) variable.get();
            object.load(kernel);
            object.attach();
          } finally {
            object.close();
          }
        } catch (error) {
          if (!(error instanceof VmtableError)) throw error;
          expect(error.message).not.toBe('');
        }
        expect([...kernel.open]).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });
});
