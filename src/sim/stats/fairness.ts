import { RUNNING, type TaskStats, WAITING } from './task_stats.js';

/** A task that slept for less than this share of its life wanted the CPU all the time. */
const BACKLOGGED = 0.1;

export interface Fairness {
  /** Jain's index of CPU time by weight among tasks that wanted the CPU all the time; 1 is fair, null for less than two. */
  weightedJain: number | null;
  /** How many these are. */
  backlogged: number;
  /** Jain's index of the share of their runnable time that tasks spent running; null without any. */
  serviceJain: number | null;
}

function jain(values: readonly number[]): number | null {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? null : (sum * sum) / (values.length * squares);
}

/** Of tasks that are brought up to `now`. */
export function fairness(tasks: readonly TaskStats[], now: number): Fairness {
  const shares: number[] = [];
  const service: number[] = [];
  for (const { bornAt, exitedAt, runNs, waitNs, sleepNs, weight, state } of tasks) {
    const life = (exitedAt >= 0 ? exitedAt : now) - bornAt;
    const runnable = runNs + waitNs;
    if (runnable > 0) service.push(runNs / runnable);
    if (life > 0 && sleepNs < BACKLOGGED * life && (state === RUNNING || state === WAITING || exitedAt >= 0)) {
      shares.push(runNs / weight / life);
    }
  }
  return {
    weightedJain: shares.length < 2 ? null : jain(shares),
    backlogged: shares.length,
    serviceJain: jain(service),
  };
}
