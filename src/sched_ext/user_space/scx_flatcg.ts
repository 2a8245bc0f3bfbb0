import type { SchedulerProfile } from './scheduler.js';

/** tools/sched_ext/scx_flatcg.c (6.12, 7.3). */
export const scxFlatcg: SchedulerProfile = {
  name: 'scx_flatcg',
  ops: 'flatcg',
  has: ['cgrp_slice_ns', 'cgv_node_stash'],
  beforeLoad(half) {
    half.set('cgrp_slice_ns', half.defaultSlice);
  },
};
