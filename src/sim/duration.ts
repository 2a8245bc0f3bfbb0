import type { Kind } from '../argument.js';
import type { Random } from '../kernel/random.js';

/** So many ns, or a number of them that is drawn each time: `uniform` between both ends, `normal` by mean and deviation. */
export type Duration =
  | number
  | { readonly uniform: readonly [low: number, high: number] }
  | { readonly exponential: number }
  | { readonly normal: readonly [mean: number, deviation: number] };

/** What looks like one; durationFault tells whether its numbers are right. */
export const DURATION: Kind = {
  is: 'a number of ns, or a distribution of them',
  test(value) {
    if (typeof value !== 'object' || value === null) return typeof value === 'number';
    const { uniform, exponential, normal } = value as Record<string, unknown>;
    const pair = uniform === undefined ? normal : uniform;
    return Array.isArray(pair) ? pair.length === 2 : typeof exponential === 'number';
  },
};

/** Uniform in [0, 1), of 53 bits. */
function unit(random: Random): number {
  return (random.u32() * 2 ** 21 + (random.u32() >>> 11)) / 2 ** 53;
}

/** Whole ns, not below 0. */
export function draw(duration: Duration, random: Random): number {
  if (typeof duration === 'number') return duration;
  return Math.max(0, Math.round(drawn(duration, random)));
}

function drawn(duration: Exclude<Duration, number>, random: Random): number {
  if ('uniform' in duration) {
    const { uniform } = duration;
    return uniform[0] + unit(random) * (uniform[1] - uniform[0]);
  }
  if ('exponential' in duration) return -duration.exponential * Math.log(1 - unit(random));
  const [mean, deviation] = duration.normal;
  // Box and Muller, 1958.
  return mean + deviation * Math.sqrt(-2 * Math.log(1 - unit(random))) * Math.cos(2 * Math.PI * unit(random));
}

/** What is wrong with a duration, undefined for nothing. */
export function durationFault(duration: Duration): string | undefined {
  const numbers =
    typeof duration === 'number'
      ? [duration]
      : 'uniform' in duration
        ? [...duration.uniform]
        : 'exponential' in duration
          ? [duration.exponential]
          : [...duration.normal];
  const wrong = numbers.find((ns) => !(Number.isSafeInteger(ns) && ns >= 0));
  return wrong === undefined ? undefined : `${wrong} is no number of ns`;
}
