import type { SchedulerProfile } from './scheduler.js';

/** `-N` of scx_qmap.c */
const MAX_TASKS = 16384;
/** `-R`, 200 ms. */
const ROUND_ROBIN_NS = 200_000_000;

/** tools/sched_ext/scx_qmap.c (6.12, 7.3); the slab of tasks came with the arena. */
export const scxQmap: SchedulerProfile = {
  name: 'scx_qmap',
  ops: 'qmap',
  has: ['slice_ns', 'dsp_inf_loop_after'],
  beforeLoad(half) {
    half.set('slice_ns', half.defaultSlice);
    if (half.has('max_tasks')) half.set('max_tasks', MAX_TASKS);
    if (half.has('round_robin_ns')) half.set('round_robin_ns', ROUND_ROBIN_NS);
  },
};
