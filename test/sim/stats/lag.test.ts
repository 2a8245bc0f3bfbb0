import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FairShares } from '../../../src/sim/stats/lag.js';

/** What a task of each weight ought to have of so many CPUs. */
function rates(weights: readonly number[], cpus: number): number[] {
  const shares = new FairShares(cpus);
  for (const weight of weights) shares.change(shares.of(weight), 1, 0);
  return weights.map((weight) => shares.of(weight).rate);
}

it.each([
  [[100, 100], 1, [1 / 2, 1 / 2]],
  [[300, 100], 1, [3 / 4, 1 / 4]],
  [[100, 300], 2, [1, 1]],
  // 3 / 5 of two CPUs is more than a task can have: the others divide the second one.
  [[100, 300, 100], 2, [1 / 2, 1, 1 / 2]],
  [[150, 100, 100], 2, [6 / 7, 4 / 7, 4 / 7]],
  // The second one is too heavy only beside those that are left.
  [[1000, 200, 100, 50], 3, [1, 1, 2 / 3, 1 / 3]],
  [[100], 0, [0]],
])('weights %j on %i CPUs', (weights, cpus, wanted) => {
  for (const [at, rate] of rates(weights, cpus).entries()) expect(rate).toBeCloseTo(wanted[at]!, 12);
});

it('divides all CPUs, or as many as there are tasks, none getting more than one, by weight where below that', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 1, maxLength: 30 }),
      fc.nat(20),
      (weights, cpus) => {
        const found = rates(weights, cpus);
        expect(found.reduce((sum, rate) => sum + rate, 0)).toBeCloseTo(Math.min(cpus, weights.length), 9);
        const below = found.flatMap((rate, at) => (rate < 1 ? [rate / weights[at]!] : []));
        for (const share of below) expect(share).toBeCloseTo(below[0]!, 9);
        for (const [at, rate] of found.entries()) {
          expect(rate).toBeLessThanOrEqual(1);
          if (rate === 1 && below.length > 0) expect(1 / weights[at]!).toBeLessThanOrEqual(below[0]! * (1 + 1e-9));
        }
      },
    ),
  );
});

it('counts from one change to the next', () => {
  const shares = new FairShares(1);
  const one = shares.of(100);
  shares.change(one, 1, 0);
  shares.change(one, 1, 10);
  shares.changeCpus(1, 30);
  shares.change(one, -1, 40);
  shares.changeCpus(-2, 50);
  shares.settle(60);
  // 10 · 1 + 20 / 2 + 10 · 1 + 10 · 1 + 10 · 0
  expect(one.idealNs).toBe(40);
});
