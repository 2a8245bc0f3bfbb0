import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Histogram } from '../../../src/sim/index.js';

/** The value at a share of a sorted list, as the histogram defines it. */
function exact(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1]!;
}

it('is at most 1/32 above what was recorded, and never below', () => {
  const value = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 2 ** 40 }), fc.maxSafeNat());
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, share) => {
        const histogram = new Histogram();
        for (const one of values) histogram.record(one);
        const wanted = exact(values, share);
        const found = histogram.at(share);
        expect(found).toBeGreaterThanOrEqual(wanted);
        expect(found).toBeLessThanOrEqual(wanted * (1 + 1 / 32));
        expect(histogram.max).toBe(Math.max(...values));
        expect(histogram.count).toBe(values.length);
        if (values.length <= 32) expect(found).toBe(wanted);
      },
    ),
  );
});

it('has no values at first', () => {
  expect(new Histogram().percentiles()).toEqual({ count: 0, mean: 0, p50: 0, p90: 0, p99: 0, max: 0 });
});
