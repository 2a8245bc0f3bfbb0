import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../src/errors.js';
import { Mutant } from '../object/mutate.js';
import { hostileObjects, MUTATIONS, mutation } from './mutations.js';
import { check, type ObjectBench, SAMPLES, sample, warmBench } from './objects.js';

// The whole way of an object: parsed, opened, loaded, attached, driven, detached, given back. VMTABLE_HOSTILE_RUNS says how
// many mutants of each sample.

const RUNS = Number(process.env.VMTABLE_HOSTILE_RUNS ?? 60);

let bench: ObjectBench;
beforeAll(async () => {
  bench = await warmBench();
}, 60_000);
afterAll(() => bench?.dispose());

async function stageOf({ bytes, story }: Mutant): Promise<string> {
  try {
    return (await check(bench, bytes)).stage;
  } catch (cause) {
    throw new Error(`${story.join(', ')}: ${(cause as Error).message}`, { cause });
  }
}

it.each(SAMPLES)('%s itself comes through, or names what is not modelled', async (name) => {
  const { stage, error, stopped } = await check(bench, sample(name));
  expect(stopped).toEqual([]);
  if (!(error instanceof UnsupportedError)) expect({ stage, error }).toEqual({ stage: 'done', error: undefined });
});

describe('a mutant is loaded or refused with one error that names the place, in bounded time and memory', () => {
  it.each(SAMPLES)('%s', { timeout: 120_000 }, async (name) => {
    const stages = new Set<string>();
    const own = (await check(bench, sample(name))).stage;
    await fc.assert(
      fc.asyncProperty(hostileObjects(sample(name)), async (mutant) => {
        stages.add(await stageOf(mutant));
      }),
      { numRuns: RUNS },
    );
    // Mutants that all end at the first check test nothing else.
    expect([...stages]).toEqual(expect.arrayContaining(['open', own]));
  });

  it.each(MUTATIONS)('scx_fifo: %s', { timeout: 60_000 }, async (kind) => {
    const file = sample('scx_fifo');
    const change = mutation(file, kind);
    if (!change) throw new Error('scx_fifo has nothing of the sort');
    const mutants = change.map((apply) => {
      const mutant = new Mutant(file.slice());
      apply(mutant);
      return mutant;
    });
    await fc.assert(
      fc.asyncProperty(mutants, async (mutant) => void (await stageOf(mutant))),
      { numRuns: Math.ceil(RUNS / 4) },
    );
  });
});
