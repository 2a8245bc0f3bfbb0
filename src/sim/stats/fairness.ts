import type { TaskStats } from './task_stats.js';

/** A task that slept for less than this share of its life wanted the CPU all the time… */
const BACKLOGGED = 0.1;
/** …and is compared with others if that was so for this share of the run: one that is soon over meets few of them. */
const SUBSTANTIAL = 0.25;

export interface Fairness {
  /**
   * Jain's index of run time by weight and runnable time, among tasks that wanted the CPU all their life and for a quarter of the
   * run at least; 1 is fair, null for less than two.
   */
  weightedJain: number | null;
  /** How many these are. */
  backlogged: number;
  /** Jain's index of the share of their runnable time that tasks spent running; null without any. */
  serviceJain: number | null;
  /** The most that any task was behind its fair share of the CPUs, ns; null where none had one. */
  maxLagNs: number | null;
}

function jain(values: readonly number[]): number | null {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? null : (sum * sum) / (values.length * squares);
}

/** Of tasks that are brought up to `now`, in a run that began at 0. */
export function fairness(tasks: readonly TaskStats[], now: number): Fairness {
  const shares: number[] = [];
  const service: number[] = [];
  let maxLagNs: number | null = null;
  for (const task of tasks) if (task.shared) maxLagNs = Math.max(maxLagNs ?? 0, Math.round(task.maxLagNs));
  for (const { runNs, waitNs, sleepNs, weight } of tasks) {
    const runnable = runNs + waitNs;
    if (runnable === 0) continue;
    service.push(runNs / runnable);
    const backlogged = sleepNs < BACKLOGGED * (runnable + sleepNs);
    if (backlogged && runnable >= SUBSTANTIAL * now) shares.push(runNs / runnable / weight);
  }
  return {
    weightedJain: shares.length < 2 ? null : jain(shares),
    backlogged: shares.length,
    serviceJain: jain(service),
    maxLagNs,
  };
}
