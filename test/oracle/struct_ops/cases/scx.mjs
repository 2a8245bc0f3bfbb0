// sched_ext_ops, the cpu form: what the update refuses, what the link refuses, and what a scheduler that cannot start leaves
// behind (kernel/sched/ext/). A link call that asks for the wrong thing fails; a scheduler that fails while it is being enabled
// does not fail the call: its link stays, and the scheduler is disabled.
import {
  at,
  callKfunc,
  cat,
  close,
  create,
  createArena,
  createLinked,
  detach,
  exit,
  info,
  it,
  link,
  lookup,
  member,
  movImm,
  movReg,
  poll,
  remove,
  returns,
  SCX,
  sched,
  schedName,
  schedState,
  settle,
  sleepableMember,
  touching,
  u64,
  update,
  value,
} from '../steps.mjs';

export const title = 'sched_ext_ops';

const ENQ_LAST = 2;
const PARTIAL = 8;
const PER_NODE = 64;

const updated = (id, what, ...of) =>
  it(id, what, createLinked('$S', SCX), [...of.map((one) => update('$S', one)), lookup('$S')]);
/** Update, link, and what is left when the dust has settled. */
const linked = (id, what, of, ...before) =>
  it(id, what, before, createLinked('$S', SCX), [
    update('$S', of),
    link('$K', '$S'),
    settle(),
    schedState(),
    lookup('$S'),
  ]);
const failing = (id, what, of, ...before) =>
  it(id, what, before, createLinked('$S', SCX), [
    update('$S', of),
    link('$K', '$S'),
    settle(),
    schedState(),
    lookup('$S'),
    info('$K'),
    poll('$K'),
    detach('$K'),
    poll('$K'),
    lookup('$S'),
    schedState(),
  ]);
const ready = (as, name) => [createLinked(as, SCX), update(as, sched(name))];

export const cases = [
  it('link-life', 'a scheduler comes and goes with its link', ready('$S', 'life'), lookup('$S'), schedState(), [
    link('$K', '$S'),
    schedState(),
    schedName(),
    lookup('$S'),
    info('$K'),
    poll('$K'),
    detach('$K'),
    schedState(),
    schedName(),
    lookup('$S'),
    info('$K'),
    poll('$K'),
    link('$L', '$S'),
    schedState(),
    close('$L'),
    settle(),
    schedState(),
    lookup('$S'),
  ]),
  it('second-scheduler', 'while one is enabled no other is', ready('$S', 'first'), ready('$T', 'second'), [
    link('$K', '$S'),
    link('$L', '$T'),
    link('$L', '$S'),
    lookup('$S'),
    lookup('$T'),
    create('$U', SCX),
    update('$U', sched('third')),
    lookup('$U'),
    schedName(),
    detach('$K'),
    link('$L', '$T'),
    lookup('$S'),
    lookup('$T'),
    schedName(),
  ]),
  it('same-name', 'one name, one after the other', ready('$S', 'same'), ready('$T', 'same'), [
    link('$K', '$S'),
    close('$K'),
    settle(),
    link('$L', '$T'),
    schedState(),
    lookup('$T'),
  ]),
  it('inuse', 'without BPF_F_LINK', create('$S', SCX), [
    update('$S', sched('inuse')),
    lookup('$S'),
    schedState(),
    schedName(),
    remove('$S'),
    schedState(),
    lookup('$S'),
    remove('$S'),
  ]),
  it('full', 'for every task', createLinked('$S', SCX), [
    update('$S', value(SCX, { name: 'full' })),
    link('$K', '$S'),
    schedState(),
    cat('/sys/kernel/sched_ext/switch_all'),
    detach('$K'),
    schedState(),
  ]),
  it('close-everything', 'the link alone keeps map and scheduler', ready('$S', 'alone'), [
    link('$K', '$S'),
    close('$S'),
    settle(),
    schedState(),
    info('$K'),
    close('$K'),
    settle(),
    schedState(),
  ]),

  // init_member, at the update.
  updated('name-empty', 'no name', sched('')),
  updated('name-blank', 'a blank in the name', sched('a b')),
  updated('name-dash', 'a dash in the name', sched('a-b')),
  updated('name-dot', 'dots and underscores', sched('_a.b_')),
  updated('name-127', '127 characters', sched('n'.repeat(127))),
  updated('name-128', '128 characters, no NUL', sched('n'.repeat(128))),
  updated('name-after-nul', 'bytes behind the NUL', sched('after', {}, { patch: [[at(SCX, 'name', 20), 0x41]] })),
  it('flags', 'each bit of flags by itself', [
    Array.from({ length: 64 }, (_, bit) => [
      createLinked(`$S${bit}`, SCX),
      update(`$S${bit}`, sched('flag', { flags: u64(`0x${(1n << BigInt(bit)).toString(16)}`) })),
    ]),
  ]),
  updated('flags-low', 'flags 0x7f', sched('flags', { flags: 0x7f })),
  updated(
    'timeout',
    'timeout_ms beyond 30 s, then at it',
    sched('timeout', { timeout_ms: 30001 }),
    sched('timeout', { timeout_ms: 0xffffffff }),
    sched('timeout', { timeout_ms: 30000 }),
  ),
  updated('timeout-1', 'timeout_ms 1', sched('timeout', { timeout_ms: 1 })),
  updated(
    'batch',
    'dispatch_max_batch beyond INT_MAX, then at it',
    sched('batch', { dispatch_max_batch: 0x80000000 }),
    sched('batch', { dispatch_max_batch: 0xffffffff }),
    sched('batch', { dispatch_max_batch: 0x7fffffff }),
  ),
  updated('dump-len', 'exit_dump_len', sched('dump', { exit_dump_len: 0xffffffff })),
  updated('hotplug-seq', 'hotplug_seq is not looked at before the link', sched('seq', { hotplug_seq: 77 })),
  updated('shard-size', 'cid_shard_size in the cpu form', sched('shard', { cid_shard_size: 4 })),
  updated('rescue-bandwidth', 'rescue_bandwidth_ppt', sched('rescue', { rescue_bandwidth_ppt: 1000 })),
  updated(
    'rescue-bandwidth-all',
    'rescue_bandwidth_ppt, all ones',
    sched('rescue', { rescue_bandwidth_ppt: 0xffffffff }),
  ),
  updated('rescue-quantum', 'rescue_quantum_us', sched('rescue', { rescue_quantum_us: 1 })),
  updated('rescue-quantum-all', 'rescue_quantum_us, all ones', sched('rescue', { rescue_quantum_us: 0xffffffff })),
  updated('sub-cgroup', 'sub_cgroup_id', sched('sub', { sub_cgroup_id: 1 })),

  // reg, at the link.
  failing('enq-last-without-enqueue', 'ENQ_LAST without ops.enqueue', sched('enqlast', { flags: PARTIAL | ENQ_LAST })),
  linked(
    'enq-last',
    'ENQ_LAST with ops.enqueue',
    sched('enqlast', { flags: PARTIAL | ENQ_LAST, enqueue: '$s_enqueue' }),
  ),
  failing(
    'per-node-without-idle',
    'BUILTIN_IDLE_PER_NODE with update_idle, without KEEP_BUILTIN_IDLE',
    sched('pernode', { flags: PARTIAL | PER_NODE, update_idle: '$idle' }),
    member('$idle', SCX, 'update_idle'),
  ),
  linked(
    'own-idle',
    'update_idle without KEEP_BUILTIN_IDLE',
    sched('ownidle', { update_idle: '$idle' }),
    member('$idle', SCX, 'update_idle'),
  ),
  failing('hotplug-seq-wrong', 'hotplug_seq of another time', sched('seq', { hotplug_seq: 77777 })),
  linked(
    'cpu-acquire',
    'cpu_acquire and cpu_release',
    sched('acquire', { cpu_acquire: '$acquire', cpu_release: '$release' }),
    [member('$acquire', SCX, 'cpu_acquire'), member('$release', SCX, 'cpu_release')],
  ),
  linked(
    'cgroup-ops',
    'cgroup_init alone',
    sched('cgroup', { cgroup_init: '$cg' }),
    sleepableMember('$cg', SCX, 'cgroup_init'),
  ),
  failing('sub-attach', 'sub_attach in the cpu form', sched('subattach', { sub_attach: '$sub' }), [
    sleepableMember('$sub', SCX, 'sub_attach'),
  ]),
  failing('sub-cgroup-link', 'sub_cgroup_id while no scheduler is enabled', sched('sub', { sub_cgroup_id: 1 })),
  linked('sub-cgroup-link-2', 'sub_cgroup_id 2 while no scheduler is enabled', sched('sub', { sub_cgroup_id: 2 })),

  failing('init-fails', 'ops.init returns -EINVAL', sched('badinit', { init: '$init' }), [
    sleepableMember('$init', SCX, 'init', returns(-22)),
  ]),
  failing('init-fails-enomem', 'ops.init returns -ENOMEM', sched('badinit', { init: '$init' }), [
    sleepableMember('$init', SCX, 'init', returns(-12)),
  ]),
  failing('init-positive', 'ops.init returns 1, which is no errno', sched('oddinit', { init: '$init' }), [
    sleepableMember('$init', SCX, 'init', returns(1)),
  ]),
  failing('init-too-negative', 'ops.init returns -5000, which is no errno', sched('oddinit', { init: '$init' }), [
    sleepableMember('$init', SCX, 'init', returns(-5000)),
  ]),
  it('init-fails-inuse', 'ops.init fails on a map without BPF_F_LINK', [
    sleepableMember('$init', SCX, 'init', returns(-22)),
    create('$S', SCX),
    update('$S', sched('badinit', { init: '$init' })),
    lookup('$S'),
    settle(),
    schedState(),
    remove('$S'),
    lookup('$S'),
  ]),
  it('init-fails-then-others', 'a failed scheduler keeps its link and its own map busy, and nobody else', [
    sleepableMember('$init', SCX, 'init', returns(-22)),
    createLinked('$S', SCX),
    update('$S', sched('badinit', { init: '$init' })),
    ready('$T', 'next'),
    link('$K', '$S'),
    settle(),
    link('$L', '$S'),
    settle(),
    link('$J', '$T'),
    schedState(),
    schedName(),
    lookup('$S'),
    lookup('$T'),
    poll('$K'),
    detach('$K'),
    schedState(),
  ]),
  failing('init-task-fails', 'ops.init_task returns -EINVAL', sched('badtask', { init_task: '$task' }), [
    sleepableMember('$task', SCX, 'init_task', returns(-22)),
  ]),
  failing('init-exits', 'ops.init calls scx_bpf_exit', sched('exits', { init: '$init' }), [
    sleepableMember('$init', SCX, 'init', [
      // The format "bye" on the stack, and no arguments for it.
      [0x7a, 10, 0, -8, 0x00657962],
      movReg(2, 10),
      [0x07, 2, 0, 0, -8],
      movReg(3, 2),
      movImm(1, 7),
      movImm(4, 0),
      callKfunc('scx_bpf_exit_bstr'),
      movImm(0, 0),
      exit,
    ]),
  ]),
  it(
    'arenas',
    'two arenas in two programs: the cpu form has no rule about it',
    createArena('$A'),
    createArena('$B', 2),
    [
      member('$e', SCX, 'enqueue', touching('$A')),
      member('$r', SCX, 'runnable', touching('$B')),
      createLinked('$S', SCX),
      update('$S', sched('arenas', { enqueue: '$e', runnable: '$r' })),
      link('$K', '$S'),
      schedState(),
      lookup('$S'),
    ],
  ),
  it('many-programs', 'more programs than one page of trampolines holds', [
    ...[
      'select_cpu',
      'dequeue',
      'dispatch',
      'tick',
      'running',
      'stopping',
      'quiescent',
      'yield',
      'set_weight',
      'set_cpumask',
    ].map((name) => member(`$${name}`, SCX, name)),
    ...['exit_task', 'enable', 'disable', 'dump', 'dump_cpu', 'dump_task'].map((name) => member(`$${name}`, SCX, name)),
    createLinked('$S', SCX),
    update(
      '$S',
      sched('many', {
        ...Object.fromEntries(
          'select_cpu dequeue dispatch tick running stopping quiescent yield set_weight set_cpumask exit_task enable disable dump dump_cpu dump_task'
            .split(' ')
            .map((name) => [name, `$${name}`]),
        ),
        enqueue: '$s_enqueue',
        runnable: '$s_runnable',
      }),
    ),
    lookup('$S'),
  ]),
];
