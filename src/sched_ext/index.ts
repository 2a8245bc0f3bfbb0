export { type DemoOptions, type DemoResult, demoTasks, runSchedExtDemo } from './demo.js';
export type { ExitInfo } from './exit.js';
export { addSchedExt, Machine, type Span } from './machine.js';
export { demoFailed, type FormatOptions, formatDemo } from './report.js';
export { SchedExt } from './sched_ext.js';
export { type Step, TaskRun, type TaskScript } from './task_run.js';
export { afterScxLoad, beforeScxLoad, type ScxHost } from './user_space.js';
