export { QUEUE, type SchedCore } from './core.js';
export type { ExitInfo } from './exit.js';
export type { ScxRq } from './rq.js';
export type { ScxSched } from './sched.js';
export { SchedExt } from './sched_ext.js';
export { CLASS, classAbove, type SchedClass, type ScxTask } from './task.js';
export { type CpuPlace, Topology } from './topology.js';
export * from './user_space/index.js';
