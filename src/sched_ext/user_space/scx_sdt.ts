import type { SchedulerProfile } from './scheduler.js';

/** tools/sched_ext/scx_sdt.c (7.3): no options, nothing to set. */
export const scxSdt: SchedulerProfile = { name: 'scx_sdt', ops: 'sdt', has: ['arena', 'alloc_stats'] };
