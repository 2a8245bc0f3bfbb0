// bpf_dummy_ops (the kernel's own test type, whose init_member refuses) and io_uring_bpf_ops (without an update).
import {
  cc,
  create,
  createLinked,
  DUMMY,
  it,
  link,
  linkUpdate,
  lookup,
  member,
  remove,
  returns,
  sleepableMember,
  TCP,
  URING,
  update,
  value,
} from '../steps.mjs';

export const title = 'bpf_dummy_ops and io_uring_bpf_ops';

export const cases = [
  it('dummy-update', 'init_member answers EOPNOTSUPP for every member: no update passes', create('$M', DUMMY), [
    update('$M', value(DUMMY)),
    lookup('$M'),
    remove('$M'),
  ]),
  it(
    'dummy-programs',
    'also with programs',
    member('$a', DUMMY, 'test_1'),
    sleepableMember('$b', DUMMY, 'test_sleepable'),
    [create('$M', DUMMY), update('$M', value(DUMMY, { test_1: '$a', test_sleepable: '$b' })), lookup('$M')],
  ),
  it('dummy-linked', 'with BPF_F_LINK too', member('$a', DUMMY, 'test_1'), [
    createLinked('$M', DUMMY),
    update('$M', value(DUMMY, { test_1: '$a' })),
    lookup('$M'),
    link('$K', '$M'),
    lookup('$M'),
    link('$K', '$M'),
    update('$M', value(DUMMY)),
  ]),
  it(
    'dummy-order',
    'init_member answers before the program fd is looked at',
    create('$M', DUMMY),
    update('$M', value(DUMMY, { test_2: 999 })),
    lookup('$M'),
  ),
  it('dummy-tail', 'dirty bytes behind its three members', create('$M', DUMMY), [
    update('$M', value(DUMMY, {}, { patch: [[{ end: `${DUMMY}.test_sleepable`, plus: 0 }, 1]] })),
    lookup('$M'),
  ]),
  it('dummy-as-update', 'as new map of a tcp link: never READY', [
    createLinked('$T', TCP),
    update('$T', cc('dummyupd')),
    link('$K', '$T'),
    createLinked('$M', DUMMY),
    linkUpdate('$K', '$M'),
    update('$M', value(DUMMY)),
    linkUpdate('$K', '$M'),
  ]),
  it('uring-values', 'its scalars', createLinked('$M', URING), [
    update('$M', value(URING, { priv: 1 })),
    update('$M', value(URING)),
    lookup('$M'),
    link('$K', '$M'),
    lookup('$M'),
  ]),
  it(
    'uring-ring-fd',
    'a ring_fd that is no ring',
    member('$l', URING, 'loop_step', returns(0)),
    createLinked('$M', URING),
    [update('$M', value(URING, { ring_fd: 999, loop_step: '$l' })), lookup('$M'), link('$K', '$M'), lookup('$M')],
  ),
  it('uring-plain', 'without BPF_F_LINK', member('$l', URING, 'loop_step', returns(0)), create('$M', URING), [
    update('$M', value(URING, { ring_fd: 999, loop_step: '$l' })),
    lookup('$M'),
    update('$M', value(URING, { ring_fd: 999 })),
    lookup('$M'),
  ]),
];
