import type { SchedulerProfile } from './scheduler.js';

/** tools/sched_ext/scx_cpu0.c (7.3): no options, nothing to set. */
export const scxCpu0: SchedulerProfile = { name: 'scx_cpu0', ops: 'cpu0', has: ['stats'] };
