// What scx_pair.c (tools/sched_ext, 7.3) does: CPU i and CPU i + n/2 are a pair; each cgroup has a queue of waiting tasks.
/** MAX_CGRPS is 4096; nothing here has as many. */
const CGROUPS = 64;
const MAX_QUEUED = 4096;

export function beforeLoad(object, kernel) {
  const { cpus } = kernel;
  const stride = cpus / 2;
  object.variable('pair_batch_dur_ns').set(kernel.profile.btf.enumerator('SCX_SLICE_DFL'));
  object.map('pair_ctx').define({ maxEntries: stride });
  for (let cpu = 0; cpu < cpus; cpu++) {
    object.variable(`pair_cpu[${cpu}]`).set((cpu + stride) % cpus);
    object.variable(`pair_id[${cpu}]`).set(cpu % stride);
    object.variable(`in_pair_idx[${cpu}]`).set(cpu < stride ? 0 : 1);
  }
}

export function afterLoad(object, kernel) {
  const queues = object.map('cgrp_q_arr');
  for (let i = 0; i < CGROUPS; i++) {
    const fd = kernel.bpf('MAP_CREATE', { map_type: 22, key_size: 0, value_size: 4, max_entries: MAX_QUEUED });
    queues.update(i, fd);
    kernel.close(fd);
  }
}
