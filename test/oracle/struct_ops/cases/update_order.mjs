// BPF_MAP_UPDATE_ELEM with two things wrong at once: the errno tells which check comes first.
import {
  assoc,
  at,
  bpf,
  CID,
  cc,
  cidSched,
  create,
  createLinked,
  end,
  it,
  lookup,
  QDISC,
  qdisc,
  remove,
  SCX,
  sched,
  TCP,
  u32,
  u64,
  update,
  value,
  without,
} from '../steps.mjs';

export const title = 'Updating: which of two faults answers';

const E2BIG_KEY = { key: u32(1) };
const EINVAL_FLAGS = { flags: 1 };
const dirtyGap = (of) => ({ ...of, patch: [[8, 1]] });
const both = (id, what, of, attr = {}) => it(id, what, create('$M', TCP), update('$M', of, attr), lookup('$M'));
const scx = (id, what, of) => it(id, what, createLinked('$M', SCX), update('$M', of), lookup('$M'));
const updateNull = (attr) => bpf('MAP_UPDATE_ELEM', { map_fd: '$M', key: u32(0), value: null, flags: 0, ...attr });

/** Faults of a call on a map that is not INIT any more: only what is found before the state is looked at differs from EBUSY. */
const onUsed = (id, what, map, bring) =>
  it(id, what, map, bring, [
    update('$M', cc('used')),
    update('$M', cc('used'), EINVAL_FLAGS),
    update('$M', cc('used'), E2BIG_KEY),
    update('$M', dirtyGap(cc('used'))),
    update('$M', cc('used', {}, { patch: [[end(TCP, 'release'), 1]] })),
    update('$M', cc('used', {}, { common: { state: 1 } })),
    update('$M', cc('used', {}, { common: { refcnt: 1 } })),
    update('$M', cc('used', { ssthresh: 999 })),
    update('$M', cc('used', { key: 1 })),
    update('$M', cc('a b')),
    update('$M', value(TCP)),
    updateNull({}),
    lookup('$M'),
  ]);

export const cases = [
  both('flags-key', 'flags and key', cc('x'), { ...EINVAL_FLAGS, ...E2BIG_KEY }),
  both('key-gap', 'key and a dirty gap', dirtyGap(cc('x')), E2BIG_KEY),
  both('key-state', 'key and a state in the value', cc('x', {}, { common: { state: 1 } }), E2BIG_KEY),
  both('key-prog', 'key and a bad program fd', cc('x', { ssthresh: 999 }), E2BIG_KEY),
  both('gap-prog', 'a dirty gap and a bad program fd', dirtyGap(cc('x', { ssthresh: 999 }))),
  both('state-prog', 'a state in the value and a bad program fd', cc('x', { ssthresh: 999 }, { common: { state: 1 } })),
  both(
    'tail-prog',
    'dirty bytes behind the last member and a bad program fd',
    cc('x', { ssthresh: 999 }, { patch: [[end(TCP, 'release'), 1]] }),
  ),
  it('null-value-key', 'value NULL with key 1, with flags, with a key that is NULL too', create('$M', TCP), [
    updateNull({}),
    updateNull(E2BIG_KEY),
    updateNull(EINVAL_FLAGS),
    updateNull({ key: null }),
    updateNull({ key: null, ...EINVAL_FLAGS }),
    lookup('$M'),
  ]),
  it('map-fd-flags', 'a bad map fd with flags and key', [
    update(999, cc('x'), { ...EINVAL_FLAGS, ...E2BIG_KEY }),
    updateNull({ map_fd: 999 }),
  ]),

  onUsed('inuse', 'faults in INUSE', create('$M', TCP), update('$M', cc('used'))),
  onUsed('ready', 'faults in READY', createLinked('$M', TCP), update('$M', cc('used'))),
  onUsed('tobefree', 'faults in TOBEFREE', create('$M', TCP), [update('$M', cc('used')), remove('$M')]),

  // Members are gone through in BTF order: cong_avoid … ssthresh … undo_cwnd … name, owner, list, key, flags, init, release.
  both('member-prog-prog', 'a bad fd, then a fd of the wrong kind', cc('x', { cong_avoid: 999, ssthresh: '$array' })),
  both('member-kind-prog', 'a fd of the wrong kind, then a bad fd', cc('x', { cong_avoid: '$array', ssthresh: 999 })),
  both('member-prog-name', 'a bad fd, then a bad name', cc('', { cong_avoid: 999 })),
  both('member-name-prog', 'a bad name, then a bad fd', cc('a b', { init: 999 })),
  both('member-prog-scalar', 'a bad fd, then a scalar', cc('x', { undo_cwnd: 999, key: 1 })),
  both('member-scalar-prog', 'a scalar, then a bad fd', cc('x', { key: 1, init: 999 })),
  both('member-flags-prog', 'unknown tcp flags, then a bad fd', cc('x', { flags: 0x80000000, init: 999 })),
  both('member-prog-flags', 'a bad fd, then unknown tcp flags', cc('x', { undo_cwnd: 999, flags: 0x80000000 })),
  both('member-list-prog', 'a nested struct, then a bad fd', cc('x', { init: 999 }, { patch: [[at(TCP, 'list'), 1]] })),
  both('module-then-prog', 'struct module *, then a bad fd', cc('x', { owner: 1, init: 999 })),
  both('prog-then-module', 'a bad fd, then struct module *', cc('x', { ssthresh: 999, owner: 1 })),
  both('module-then-name', 'a bad name, then struct module *', cc('a b', { owner: 1 })),
  both('module-then-scalar', 'struct module *, then a scalar', cc('x', { owner: 1, key: 1 })),
  both('module-required', 'struct module * and a missing required program', without(cc('x', { owner: 1 }), 'ssthresh')),
  it('module-after-handled', 'struct module * right behind a member that init_member handled', create('$M', TCP), [
    update('$M', cc('x', { owner: 1 })),
    lookup('$M'),
    update('$M', value(TCP, { name: 'x', owner: 1 })),
    lookup('$M'),
  ]),
  it('module-after-unhandled', 'struct module * behind a member that init_member did not handle', [
    createLinked('$M', QDISC),
    update('$M', qdisc('x', { owner: 1 })),
    lookup('$M'),
    update('$M', value(QDISC, { owner: 1 })),
    lookup('$M'),
  ]),

  // The subsystem's validation comes after every member.
  both('member-validate', 'a bad fd behind a missing required program', without(cc('x', { init: 999 }), 'ssthresh')),
  both('scalar-validate', 'a scalar and a missing required program', without(cc('x', { key: 1 }), 'ssthresh')),
  both('name-validate', 'a bad name and a missing required program', without(cc('a b'), 'ssthresh')),
  both('validate-reg', 'a missing required program and a name that is taken', without(cc('cubic'), 'ssthresh')),
  both('member-reg', 'a bad fd and a name that is taken', cc('cubic', { init: 999 })),
  it('linked-validate', 'with BPF_F_LINK the validation is at the same place', createLinked('$M', TCP), [
    update('$M', without(cc('x', { init: 999 }), 'ssthresh')),
    update('$M', without(cc('x'), 'ssthresh')),
    update('$M', without(cc('cubic'), 'ssthresh')),
    lookup('$M'),
  ]),

  scx(
    'scx-prog-timeout',
    'a bad fd, then timeout_ms beyond its limit',
    sched('x', { enqueue: 999, timeout_ms: 60000 }),
  ),
  scx('scx-prog-flags', 'a bad fd, then unknown flags', sched('x', { enqueue: 999, flags: u64('0x100000000000000') })),
  scx('scx-kind-timeout', 'a fd of the wrong kind, then timeout_ms', sched('x', { exit: '$array', timeout_ms: 60000 })),
  scx(
    'scx-flags-timeout',
    'unknown flags, then timeout_ms',
    sched('x', { flags: u64('0x100000000000000'), timeout_ms: 60000 }),
  ),
  scx(
    'scx-batch-timeout',
    'dispatch_max_batch, then timeout_ms',
    sched('x', { dispatch_max_batch: 0x80000000, timeout_ms: 60000 }),
  ),
  scx('scx-timeout-name', 'timeout_ms, then a bad name', sched('', { timeout_ms: 60000 })),
  scx('scx-timeout-prog', 'timeout_ms, then a bad fd behind it', sched('x', { timeout_ms: 60000, cpu_acquire: 999 })),
  scx('scx-name-prog', 'a bad name, then a bad fd behind it', sched('a b', { cpu_acquire: 999 })),
  scx('scx-priv-prog', 'a data pointer, then a bad fd behind it', sched('x', { priv: 1, cpu_acquire: 999 })),
  scx(
    'scx-hole-prog',
    'a dirty hole and a bad fd',
    sched('x', { enqueue: 999 }, { patch: [[end(SCX, 'dispatch_max_batch'), 1]] }),
  ),
  it('cid-prog-timeout', 'sched_ext_ops_cid: a bad fd, then timeout_ms', createLinked('$M', CID), [
    update('$M', cidSched('x', { enqueue: 999, timeout_ms: 60000 })),
    update('$M', cidSched('x', { timeout_ms: 60000 })),
    lookup('$M'),
  ]),
  it('qdisc-size-prog', 'Qdisc_ops: priv_size, then a bad fd; a bad fd, then nothing', createLinked('$M', QDISC), [
    update('$M', qdisc('x', { priv_size: 8, enqueue: 999 })),
    update('$M', qdisc('x', { static_flags: 1, enqueue: 999 })),
    update('$M', qdisc('a b', { enqueue: 999 })),
    update('$M', qdisc('x', { enqueue: 999 })),
    lookup('$M'),
  ]),
  it('with-association', 'a refused update leaves the association of a program that is no member', [
    create('$M', TCP),
    assoc('$syscall', '$M'),
    lookup('$M'),
    update('$M', cc('x', { key: 1 })),
    lookup('$M'),
    update('$M', cc('x')),
    lookup('$M'),
  ]),
];
