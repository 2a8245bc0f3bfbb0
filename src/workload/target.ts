import { checkArgument } from '../argument.js';
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

/** Throws InputError for what is no target; `name` is the function's. */
export function checkTarget(name: string, target: WorkloadTarget): void {
  checkArgument(`${name}: target`, target, 'options');
  checkArgument(`${name}: target.cpus`, target.cpus, 'count');
  checkArgument(`${name}: target.costs`, target.costs, 'options');
}
