import { InputError } from '../../errors.js';
import { bpf } from '../../loader/door.js';
import { BPF_MAP_TYPE } from '../../uapi.js';
import type { SchedulerProfile } from './scheduler.js';

/** enum of scx_pair.h */
const MAX_QUEUED = 4096;

/** tools/sched_ext/scx_pair.c (7.3): CPU i and CPU i + n/2 are a pair; each cgroup has a queue of its waiting tasks. */
export const scxPair: SchedulerProfile = {
  name: 'scx_pair',
  ops: 'pair',
  has: ['pair_ctx', 'cgrp_q_arr', 'pair_cpu'],
  beforeLoad(half) {
    const { cpus } = half.host;
    if (cpus % 2 !== 0) throw new InputError(`scx_pair requires an even CPU count, got ${cpus}`);
    const stride = cpus / 2;
    half.set('pair_batch_dur_ns', half.defaultSlice);
    half.maxEntries('pair_ctx', stride);
    for (let cpu = 0; cpu < cpus; cpu++) {
      half.object.variable(`pair_cpu[${cpu}]`).set((cpu + stride) % cpus);
      half.object.variable(`pair_id[${cpu}]`).set(cpu % stride);
      half.object.variable(`in_pair_idx[${cpu}]`).set(cpu < stride ? 0 : 1);
    }
    half.done.push(`pairs of CPUs ${stride} apart`);
  },
  afterLoad(object, kernel) {
    const queues = object.map('cgrp_q_arr');
    const attr = { map_type: BPF_MAP_TYPE.QUEUE, key_size: 0, value_size: 4, max_entries: MAX_QUEUED };
    for (let cgroup = 0; cgroup < queues.definition.maxEntries; cgroup++) {
      const fd = bpf(kernel, 'MAP_CREATE', attr, 'queue of a cgroup');
      queues.update(cgroup, fd);
      kernel.close(fd);
    }
  },
};
