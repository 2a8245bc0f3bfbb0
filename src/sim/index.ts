export { type Costs, DEFAULT_COSTS } from './costs.js';
export type { SimCpu } from './cpu.js';
export { SimMachine, type SimOptions } from './machine.js';
export * from './scenario.js';
export { BLOCK, type Program, SCHEDULE, type SimTask } from './sim_task.js';
export { CostTiming, type Point, type Timing } from './timing.js';
export { POLICIES, Workload } from './workload.js';
