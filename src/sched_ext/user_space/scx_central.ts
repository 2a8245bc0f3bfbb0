import type { SchedulerProfile } from './scheduler.js';

/** tools/sched_ext/scx_central.c (6.12, 7.3). The arrays for each CPU are the common part's. */
export const scxCentral: SchedulerProfile = {
  name: 'scx_central',
  ops: 'central',
  has: ['central_cpu', 'cpu_gimme_task'],
  beforeLoad(half) {
    half.set('central_cpu', 0);
    half.set('slice_ns', half.defaultSlice);
  },
};
