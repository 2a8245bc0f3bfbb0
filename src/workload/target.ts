import type { Costs, Scenario } from '../sim/index.js';

/** The machine that a workload is for. */
export interface WorkloadTarget {
  readonly cpus: number;
  readonly costs: Costs;
}

/** A workload of any kind, ready to run. */
export interface LoadedWorkload {
  readonly scenario: Scenario;
  /** How long it lasts, if it says so. */
  readonly durationNs?: number;
  /** What of it has no effect, was dropped or is not certain: one line each. */
  readonly notes: readonly string[];
}
