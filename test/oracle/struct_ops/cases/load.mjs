// BPF_PROG_LOAD of struct_ops programs: the checks of attach_btf_id, member, licence and sleepable, and their log.
import {
  BPF_F_SLEEPABLE,
  bpf,
  CID,
  createArena,
  createArray,
  createLinked,
  DUMMY,
  indexOf,
  info,
  it,
  load,
  member,
  memberCount,
  QDISC,
  returns,
  SCX,
  SOCKET_FILTER,
  SYSCALL,
  sleepableMember,
  TCP,
  touching,
  typeId,
  URING,
  valueTypeOf,
} from '../steps.mjs';

export const title = 'Loading struct_ops programs';

const ssthresh = (attr) => member('$p', TCP, 'ssthresh', returns(0), attr);
const vmlinuxBtf = bpf('BTF_GET_FD_BY_ID', { btf_id: 1 }, { as: '$vmlinux' });

const MEMBERS = {
  [TCP]:
    'cong_avoid cong_control ssthresh set_state cwnd_event in_ack_event pkts_acked min_tso_segs undo_cwnd sndbuf_expand get_info name owner list key flags init release',
  [SCX]:
    'select_cpu enqueue dequeue dispatch tick runnable running stopping quiescent yield core_sched_before set_weight set_cpumask update_idle init_task exit_task enable disable dump dump_cpu dump_task cgroup_init cgroup_exit cgroup_prep_move cgroup_move cgroup_cancel_move cgroup_set_weight cgroup_set_bandwidth cpu_acquire cpu_release cpu_online cpu_offline init exit dispatch_max_batch flags timeout_ms name priv',
  [CID]:
    'select_cid enqueue dequeue dispatch tick runnable running stopping quiescent yield core_sched_before set_weight set_cmask update_idle init_task exit_task enable disable dump dump_cid dump_task cpuctl_init cpuctl_exit cpuctl_prep_move cpuctl_move cpuctl_cancel_move cpuctl_set_weight cpuctl_set_bandwidth cpuctl_set_idle sub_attach sub_detach sub_caps_updated sub_ecaps_updated cid_online cid_offline init_cids init exit flags name priv',
  [QDISC]:
    'next cl_ops id priv_size static_flags dequeue peek init reset destroy change attach change_tx_queue_len change_real_num_tx dump dump_stats ingress_block_set egress_block_set ingress_block_get egress_block_get owner',
  [DUMMY]: 'test_1 test_2 test_sleepable',
  [URING]: 'loop_step ring_fd priv',
};
/** Members that only the newest kernels have. */
const NEWER = {
  [TCP]: 'cwnd_event_tx_start',
  [SCX]: 'cgroup_set_idle sub_attach sub_detach sub_caps_updated sub_ecaps_updated init_cids',
};
const each = (list, make) => list.split(' ').map((name, i) => make(`$p${i}`, name));
const everyMember = (type, list, suffix = '') => [
  it(`members${suffix}-${type}`, `r0 = 0; exit on each of these members of ${type}`, [
    each(list, (as, name) => member(as, type, name)),
  ]),
  it(`members${suffix}-sleepable-${type}`, `the same with BPF_F_SLEEPABLE`, [
    each(list, (as, name) => sleepableMember(as, type, name)),
  ]),
];

export const cases = [
  it('right', 'a tcp member program, and its info', ssthresh(), info('$p')),
  it('right-scx', 'a sched_ext member program, and its info', member('$p', SCX, 'enqueue'), info('$p')),
  it('no-attach-btf-id', 'attach_btf_id 0', ssthresh({ attach_btf_id: 0 })),
  it('unregistered-struct', 'a struct that is no struct_ops', ssthresh({ attach_btf_id: typeId('task_struct') })),
  it('value-struct', 'the value type instead of the struct', ssthresh({ attach_btf_id: typeId(valueTypeOf(TCP)) })),
  it('type-id-1', 'attach_btf_id 1, which is no struct', ssthresh({ attach_btf_id: 1 })),
  it('type-id-huge', 'an id that no type has', ssthresh({ attach_btf_id: 0x7ffffffe })),
  it(
    'member-beyond',
    'expected_attach_type is the number of members',
    ssthresh({ expected_attach_type: memberCount(TCP) }),
  ),
  it('member-far-beyond', 'expected_attach_type far beyond', ssthresh({ expected_attach_type: 4096 })),
  it('member-negative', 'expected_attach_type all ones', ssthresh({ expected_attach_type: 0xffffffff })),
  it('member-scalar', 'a member that is no function', ssthresh({ expected_attach_type: indexOf(TCP, 'name') })),
  it(
    'member-without-stub',
    'a member that programs cannot implement',
    ssthresh({ expected_attach_type: indexOf(TCP, 'get_info') }),
  ),
  it('scx-scalar', 'a scalar of sched_ext_ops', member('$p', SCX, 'flags')),
  it('scx-priv', 'a data pointer of sched_ext_ops', member('$p', SCX, 'priv')),
  it('qdisc-peek', 'Qdisc_ops.peek is not for programs', member('$p', QDISC, 'peek')),
  it('qdisc-id', 'Qdisc_ops.id is no function', member('$p', QDISC, 'id')),

  it('licence-proprietary', 'a licence that is not compatible with the GPL', ssthresh({ license: 'Proprietary' })),
  it('licence-empty', 'an empty licence', ssthresh({ license: '' })),
  it('licence-dual', 'Dual BSD/GPL', ssthresh({ license: 'Dual BSD/GPL' })),
  it('licence-lower-case', 'gpl in lower case', ssthresh({ license: 'gpl' })),

  it('sleepable-tcp', 'BPF_F_SLEEPABLE where the type has no opinion', sleepableMember('$p', TCP, 'ssthresh')),
  it('sleepable-scx-enqueue', 'BPF_F_SLEEPABLE where check_member refuses it', sleepableMember('$p', SCX, 'enqueue')),
  it(
    'sleepable-scx-init',
    'BPF_F_SLEEPABLE where check_member allows it',
    sleepableMember('$p', SCX, 'init'),
    info('$p'),
  ),
  it('flags-unknown', 'unknown prog_flags', ssthresh({ prog_flags: 0x80000000 })),
  it('name-blank', 'a blank in prog_name', ssthresh({ prog_name: 'a b' })),
  it('no-insns', 'no instruction', member('$p', TCP, 'ssthresh', [])),
  it('no-exit', 'no exit', member('$p', TCP, 'ssthresh', [[0xb7, 0, 0, 0, 0]])),

  it(
    'btf-obj-vmlinux',
    "attach_btf_obj_fd is the kernel's own BTF",
    vmlinuxBtf,
    ssthresh({ attach_btf_obj_fd: '$vmlinux' }),
  ),
  it('btf-obj-user', 'attach_btf_obj_fd is BTF of user space', ssthresh({ attach_btf_obj_fd: '$btf' })),
  it('btf-obj-closed', 'attach_btf_obj_fd not open', ssthresh({ attach_btf_obj_fd: 999 })),
  it('btf-obj-map', 'attach_btf_obj_fd is a map', ssthresh({ attach_btf_obj_fd: '$array' })),
  it('btf-obj-without-id', 'attach_btf_obj_fd without attach_btf_id', [
    vmlinuxBtf,
    ssthresh({ attach_btf_obj_fd: '$vmlinux', attach_btf_id: 0 }),
  ]),
  it('other-type-with-id', 'attach_btf_id on program types that take none', [
    load('$f', SOCKET_FILTER, returns(0), { attach_btf_id: typeId(TCP) }),
    load('$s', SYSCALL, returns(0), { attach_btf_id: typeId(TCP), prog_flags: BPF_F_SLEEPABLE }),
  ]),
  it('other-type-expected', 'expected_attach_type on program types that take none', [
    load('$f', SOCKET_FILTER, returns(0), { expected_attach_type: 44 }),
    load('$s', SYSCALL, returns(0), { expected_attach_type: 44, prog_flags: BPF_F_SLEEPABLE }),
  ]),
  it('syscall-not-sleepable', 'a syscall program without BPF_F_SLEEPABLE', load('$s', SYSCALL, returns(0))),

  // Two things wrong at once: which one answers.
  it('order-licence-id', 'licence and attach_btf_id 0', ssthresh({ license: 'x', attach_btf_id: 0 })),
  it(
    'order-licence-struct',
    'licence and an unregistered struct',
    ssthresh({ license: 'x', attach_btf_id: typeId('task_struct') }),
  ),
  it(
    'order-licence-member',
    'licence and a member beyond the last',
    ssthresh({ license: 'x', expected_attach_type: 4096 }),
  ),
  it('order-struct-member', 'an unregistered struct and a member beyond the last', [
    ssthresh({ attach_btf_id: typeId('task_struct'), expected_attach_type: 4096 }),
  ]),
  it('order-sleepable-member', 'BPF_F_SLEEPABLE and a member that is no function', sleepableMember('$p', SCX, 'name')),
  it('order-sleepable-stub', 'BPF_F_SLEEPABLE and a member without stub', sleepableMember('$p', QDISC, 'peek')),
  it(
    'order-program-member',
    'a broken program on a member without stub',
    member('$p', TCP, 'get_info', [[0xb7, 0, 0, 0, 0]]),
  ),
  it('order-licence-flags', 'licence and unknown prog_flags', ssthresh({ license: 'x', prog_flags: 0x80000000 })),
  it(
    'order-btf-obj-licence',
    'attach_btf_obj_fd not open and licence',
    ssthresh({ attach_btf_obj_fd: 999, license: 'x' }),
  ),

  // Arenas and maps of programs.
  it(
    'arena-one',
    'a program that touches an arena',
    createArena('$A'),
    member('$p', SCX, 'enqueue', touching('$A')),
    info('$p'),
  ),
  it('arena-twice', 'a program that touches one arena twice', [
    createArena('$A'),
    member('$p', SCX, 'enqueue', touching('$A', '$A')),
    info('$p'),
  ]),
  it('arena-two', 'a program that touches two arenas', [
    createArena('$A'),
    createArena('$B', 2),
    member('$p', SCX, 'enqueue', touching('$A', '$B')),
  ]),
  it('arena-two-syscall', 'the same as a syscall program', [
    createArena('$A'),
    createArena('$B', 2),
    load('$p', SYSCALL, touching('$A', '$B'), { prog_flags: BPF_F_SLEEPABLE }),
  ]),
  it('arena-without-place', 'an arena that is neither mapped nor has map_extra', [
    createArena('$A', 1, { map_extra: 0 }),
    member('$p', SCX, 'enqueue', touching('$A')),
  ]),
  it('arena-and-map', 'a program that touches an arena and an array', [
    createArena('$A'),
    member('$p', SCX, 'enqueue', touching('$array', '$A')),
    info('$p'),
  ]),
  it('used-maps', 'maps of a member program, in the order of their first use', [
    createArray('$a'),
    createArray('$b'),
    member('$p', TCP, 'init', touching('$b', '$a', '$b')),
    info('$p'),
  ]),
  it('used-maps-struct-ops', 'a struct_ops map among them', [
    createLinked('$M', TCP),
    member('$p', TCP, 'init', touching('$array', '$M')),
  ]),

  ...Object.entries(MEMBERS).flatMap(([type, list]) => everyMember(type, list)),
  ...Object.entries(NEWER).flatMap(([type, list]) => everyMember(type, list, '-new')),
];
