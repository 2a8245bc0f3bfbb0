import { describe, expect, it } from 'vitest';
import { mayCall, mayCallFrom } from '../../src/sched_ext/kf_filter.js';
import { BPF_PROG_TYPE } from '../../src/uapi.js';

// scx_kf_allow_flags of kernel/sched/ext/ext.c (7.3): rows are ops, columns one kfunc of each set.
const SETS = {
  select_cpu: 'scx_bpf_select_cpu_dfl',
  enqueue: 'scx_bpf_dsq_insert',
  dispatch: 'scx_bpf_dsq_move_to_local',
  move: 'scx_bpf_dsq_move',
  release: 'scx_bpf_reenqueue_local',
  unlocked: 'scx_bpf_create_dsq',
  init_cids: 'scx_bpf_cid_override',
  any: 'scx_bpf_kick_cpu',
} as const;

describe('what a program may call', () => {
  it.each([
    ['select_cpu', 'select_cpu enqueue any'],
    ['enqueue', 'select_cpu enqueue any'],
    ['dispatch', 'enqueue dispatch move any'],
    ['cpu_release', 'release any'],
    ['runnable', 'any'],
    ['running', 'any'],
    ['tick', 'any'],
    ['dequeue', 'any'],
    ['enable', 'any'],
    ['exit_task', 'any'],
    ['dump_task', 'any'],
    ['cgroup_move', 'any'],
    ['init', 'select_cpu move unlocked any'],
    ['init_task', 'select_cpu move unlocked any'],
    ['cgroup_prep_move', 'select_cpu move unlocked any'],
    ['cgroup_set_weight', 'select_cpu move unlocked any'],
    ['cpu_online', 'select_cpu move unlocked any'],
    ['exit', 'select_cpu move unlocked any'],
  ])('in ops.%s is %s', (op, expected) => {
    const allowed = Object.entries(SETS).filter(([, kfunc]) => mayCall('cpu', kfunc, op));
    expect(allowed.map(([set]) => set).join(' ')).toBe(expected);
  });

  it('in the cid form goes by the same rules, without what takes CPU numbers', () => {
    expect(mayCall('cid', 'scx_bpf_dsq_insert', 'select_cid')).toBe(true);
    expect(mayCall('cid', 'scx_bpf_cid_override', 'init_cids')).toBe(true);
    expect(mayCall('cid', 'scx_bpf_cid_override', 'init')).toBe(false);
    expect(mayCall('cid', 'scx_bpf_create_dsq', 'cpuctl_init')).toBe(true);
    for (const kfunc of ['scx_bpf_kick_cpu', 'scx_bpf_select_cpu_dfl', 'scx_bpf_get_online_cpumask']) {
      expect([kfunc, mayCall('cid', kfunc, 'select_cid')]).toEqual([kfunc, false]);
    }
    // The other way round is allowed.
    expect(mayCall('cpu', 'scx_bpf_kick_cid', 'running')).toBe(true);
  });
});

describe('what programs beside the ops may call, by their type', () => {
  const { SYSCALL, TRACING, RAW_TRACEPOINT, STRUCT_OPS, XDP } = BPF_PROG_TYPE;
  const every = Object.keys(SETS).join(' ');
  it.each([
    // 6.12: register_btf_kfunc_id_set() calls of scx_init().
    [STRUCT_OPS, 'ops', every],
    [SYSCALL, 'ops', 'move unlocked any'],
    [TRACING, 'ops', 'any'],
    // 7.3: scx_init(), scx_idle_init(), scx_cid_kfunc_init() and the first lines of scx_kfunc_context_filter().
    [STRUCT_OPS, 'unlocked', every],
    [SYSCALL, 'unlocked', 'select_cpu move unlocked any'],
    [TRACING, 'unlocked', 'any'],
    [RAW_TRACEPOINT, 'unlocked', 'any'],
    [XDP, 'unlocked', ''],
  ] as const)('type %i, kernels that let CPUs be chosen in: %s', (type, selectsFrom, expected) => {
    const allowed = Object.entries(SETS).filter(([, kfunc]) => mayCallFrom(kfunc, type, selectsFrom));
    expect(allowed.map(([set]) => set).join(' ')).toBe(expected);
  });
});
