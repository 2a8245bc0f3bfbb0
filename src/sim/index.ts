export { type Costs, DEFAULT_COSTS } from './costs.js';
export type { SimCpu } from './cpu.js';
export { defaultScenario } from './default_scenario.js';
export { type MachineDescription, parseTopology } from './description.js';
export type { Duration } from './duration.js';
export { EventLog } from './event_log.js';
export { type FormatOptions, formatReport } from './format.js';
export { parseTime } from './json_path.js';
export { SimMachine, type SimOptions } from './machine.js';
export type { CallbackReport, CpuReport, DsqReport, GroupReport, Outcome, SimReport, TaskReport } from './report.js';
export * from './scenario.js';
export { parseScenario } from './scenario_json.js';
export { BLOCK, type Program, SCHEDULE, type SimTask } from './sim_task.js';
export {
  DEFAULT_DURATION_NS,
  runScheduler,
  type SimulateOptions,
  schedulerMap,
  simulate,
  UPTIME_NS,
} from './simulate.js';
export { addSchedExt, Machine, type MachineOptions } from './simulator.js';
export type { Fairness } from './stats/fairness.js';
export { Histogram, type Percentiles } from './stats/histogram.js';
export { CostTiming, type Point, type Timing } from './timing.js';
export { POLICIES, Workload } from './workload.js';
export { WorkloadError } from './workload_error.js';
