import { u32 } from './seq.js';

// The best value of a window of time (kernel: lib/win_minmax.c).

/** A value and when it was measured, u32 each. */
export interface MinmaxSample {
  t: number;
  v: number;
}

/**
 * minmax_running_min and minmax_running_max, by `best`: Math.min or Math.max. Three samples, each the best since the one before it,
 * of which the first leaves when it is too old. Changes `samples`.
 */
export function runningBest(
  samples: MinmaxSample[],
  window: number,
  latest: MinmaxSample,
  best: (a: number, b: number) => number,
): void {
  const age = (i: number) => u32(latest.t - samples[i]!.t);
  const beats = (i: number) => best(latest.v, samples[i]!.v) === latest.v;
  if (beats(0) || age(2) > window) {
    samples.fill(latest);
    return;
  }
  if (beats(1)) samples.fill(latest, 1);
  else if (beats(2)) samples.fill(latest, 2);
  if (age(0) > window) {
    samples.splice(0, 1);
    samples.push(latest);
    if (age(0) > window) {
      samples.splice(0, 1);
      samples.push(latest);
    }
  } else if (samples[1]!.t === samples[0]!.t && age(0) > window / 4) {
    // A quarter of the window without a second sample.
    samples.fill(latest, 1);
  } else if (samples[2]!.t === samples[1]!.t && age(0) > window / 2) {
    samples.fill(latest, 2);
  }
}
