import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { median, relativeMargin, shift } from '../../src/bench/stats.js';

/** Samples as a shared machine gives them: a floor, and delays on top of it that are now and then long. */
function samples(seed: number, count: number, floor: number): number[] {
  let state = seed >>> 0;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: count }, () => floor * (1 + 0.1 * random() + (random() < 0.1 ? random() * 5 : 0)));
}

const positive = fc.array(fc.double({ min: 0.1, max: 1e6, noNaN: true }), { minLength: 8, maxLength: 30 });

describe('median', () => {
  it('has as many samples on either side', () => {
    fc.assert(
      fc.property(positive, (values) => {
        const at = median(values);
        const below = values.filter((value) => value < at).length;
        const above = values.filter((value) => value > at).length;
        expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2);
      }),
    );
  });
});

describe('relativeMargin', () => {
  it('is 0 without noise, knows no unit, and hardly minds one sample that took long', () => {
    expect(relativeMargin(Array(20).fill(7))).toBe(0);
    const quiet = samples(1, 40, 10);
    expect(relativeMargin(quiet.map((value) => value * 1000))).toBeCloseTo(relativeMargin(quiet), 9);
    expect(relativeMargin([...quiet.slice(1), 1e6])).toBeLessThan(2 * relativeMargin(quiet));
  });

  it('covers the true median in about 95 of 100 runs', () => {
    const truth = median(samples(99, 20_000, 10));
    const held = Array.from({ length: 400 }, (_, seed) => samples(seed + 1, 40, 10)).filter((values) => {
      const sorted = [...values].sort((a, b) => a - b);
      const low = Math.floor((40 - 1.96 * Math.sqrt(40)) / 2);
      expect(relativeMargin(values)).toBeCloseTo((50 * (sorted[39 - low]! - sorted[low]!)) / median(values), 9);
      return sorted[low]! <= truth && truth <= sorted[39 - low]!;
    });
    expect(held.length).toBeGreaterThan(370);
  });
});

describe('shift', () => {
  it('turns around with its sides', () => {
    fc.assert(
      fc.property(positive, positive, (a, b) => {
        const [there, back] = [shift(a, b), shift(b, a)];
        expect(there.low).toBeLessThanOrEqual(there.ratio);
        expect(there.ratio).toBeLessThanOrEqual(there.high);
        expect(there.low * back.high).toBeCloseTo(1, 9);
        expect(there.high * back.low).toBeCloseTo(1, 9);
      }),
    );
  });

  it('finds a factor through noise, and none where there is none', () => {
    const before = samples(3, 40, 10);
    const slower = shift(before, samples(4, 40, 13));
    expect(slower.low).toBeGreaterThan(1.2);
    expect(slower.high).toBeLessThan(1.4);
    const wrong = Array.from({ length: 300 }, (_, i) => shift(samples(2 * i, 40, 10), samples(2 * i + 1, 40, 10)));
    expect(wrong.filter(({ low, high }) => low > 1 || high < 1).length).toBeLessThan(5);
  });

  it('says nothing of a few samples', () => {
    expect(shift([1, 1, 1], [9, 9, 9])).toEqual({ ratio: 9, low: 0, high: Infinity });
  });
});
