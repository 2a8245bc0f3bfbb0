import type { SchedulerProfile } from './scheduler.js';

/** tools/sched_ext/scx_simple.c (6.12, 7.3): nothing but options. */
export const scxSimple: SchedulerProfile = { name: 'scx_simple', ops: 'simple', has: ['stats', 'fifo_sched'] };
