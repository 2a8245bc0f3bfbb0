// What a set of samples says. Samples of a shared machine are skewed, with outliers on one side, so everything here goes by
// ranks and assumes no distribution.

/** 97.5 % and 99.9 % points of the normal distribution. */
const Z95 = 1.96;
const Z998 = 3.09;

const ascending = (a: number, b: number) => a - b;

export function median(values: readonly number[]): number {
  return middle([...values].sort(ascending));
}

function middle(sorted: readonly number[]): number {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Half-width of the 95 % confidence interval of the median (order statistics), in percent of it. */
export function relativeMargin(values: readonly number[]): number {
  const sorted = [...values].sort(ascending);
  const n = sorted.length;
  const low = Math.max(Math.floor((n - Z95 * Math.sqrt(n)) / 2), 0);
  return (50 * (sorted[n - 1 - low]! - sorted[low]!)) / middle(sorted);
}

/** By what factor `after` is above `before`, and between which factors it is with a confidence of 99.8 %. */
export interface Shift {
  ratio: number;
  low: number;
  high: number;
}

/**
 * Hodges and Lehmann's estimate of the ratio of two sets of positive samples, with the interval that belongs to the
 * Mann-Whitney test (Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, 4.2 and 4.3, on ratios for differences).
 * Fewer than 8 samples on a side say nothing: the interval is everything.
 */
export function shift(before: readonly number[], after: readonly number[]): Shift {
  const ratios = after.flatMap((b) => before.map((a) => b / a)).sort(ascending);
  const [n, m] = [before.length, after.length];
  if (n < 8 || m < 8) return { ratio: ratios.length === 0 ? Number.NaN : middle(ratios), low: 0, high: Infinity };
  const margin = Z998 * Math.sqrt((n * m * (n + m + 1)) / 12);
  const low = Math.max(Math.floor((n * m) / 2 - margin), 0);
  return { ratio: middle(ratios), low: ratios[low]!, high: ratios[ratios.length - 1 - low]! };
}
