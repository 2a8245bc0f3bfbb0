// BPF_LINK_UPDATE: what it does, and in which order it looks at what it is given.
//
// Left out: a tcp link updated to the very map it has. This kernel's tcp adds the same list entry twice, stops in
// lib/list_debug.c and kills the caller; nothing answers, so there is nothing to agree with.
import {
  algorithms,
  BPF_F_REPLACE,
  bpf,
  cc,
  close,
  create,
  createLinked,
  detach,
  info,
  it,
  link,
  linkUpdate,
  lookup,
  mapById,
  open,
  poll,
  QDISC,
  qdisc,
  replace,
  SCX,
  sched,
  settle,
  TCP,
  update,
} from '../steps.mjs';

export const title = 'Updating links';

const ready = (as, name) => [createLinked(as, TCP), update(as, cc(name))];
/** A link on $A, and $B which may follow it. */
const pair = (name = 'pair') => [ready('$A', name), ready('$B', name), link('$K', '$A')];
const view = () => [lookup('$A'), lookup('$B'), info('$K'), poll('$K')];
const scxReady = (as, name) => [createLinked(as, SCX), update(as, sched(name))];
const qdiscReady = (as, id) => [createLinked(as, QDISC), update(as, qdisc(id))];

export const cases = [
  it('there-and-back', 'to another map and back', pair(), view(), [
    linkUpdate('$K', '$B'),
    view(),
    algorithms(),
    linkUpdate('$K', '$A'),
    view(),
  ]),
  it('right-old', 'BPF_F_REPLACE with the map in the link', pair(), replace('$K', '$B', '$A'), view()),
  it('wrong-old', 'BPF_F_REPLACE with other maps', pair(), replace('$K', '$B', '$B'), replace('$K', '$B', '$array'), view()),
  it('old-fds', 'BPF_F_REPLACE with what is no map', open('$file', '/dev/null'), pair(), [
    replace('$K', '$B', 999),
    replace('$K', '$B', '$file'),
    replace('$K', '$B', '$filter'),
    replace('$K', '$B', '$K'),
    view(),
  ]),
  it('old-without-flag', 'old_map_fd without BPF_F_REPLACE', pair(), [
    linkUpdate('$K', '$B', { old_map_fd: '$A' }),
    linkUpdate('$K', '$B', { old_map_fd: 999 }),
    view(),
  ]),
  it('flags', 'unknown flags', pair(), [
    linkUpdate('$K', '$B', { flags: 1 }),
    linkUpdate('$K', '$B', { flags: BPF_F_REPLACE | 1, old_map_fd: '$A' }),
    linkUpdate('$K', '$B', { flags: 0x80000000 }),
    view(),
  ]),
  it('attr-tail', 'a non-zero byte behind old_map_fd', pair(), linkUpdate('$K', '$B', {}, { patch: [[16, 1]] }), view()),
  it('new-fds', 'new_map_fd is no map', pair(), [
    linkUpdate('$K', 999),
    linkUpdate('$K', '$filter'),
    linkUpdate('$K', '$K'),
    linkUpdate('$K', -1),
    view(),
  ]),
  it('link-fds', 'link_fd is no link', pair(), [linkUpdate(999, '$B'), linkUpdate('$A', '$B'), linkUpdate('$ssthresh', '$B'), view()]),
  it('new-array', 'the new map is an array', pair(), linkUpdate('$K', '$array'), view()),
  it('new-init', 'the new map is INIT', pair(), createLinked('$N', TCP), linkUpdate('$K', '$N'), view()),
  it('new-inuse', 'the new map has no BPF_F_LINK', pair(), create('$N', TCP), [
    linkUpdate('$K', '$N'),
    update('$N', cc('inuse')),
    linkUpdate('$K', '$N'),
    lookup('$N'),
    view(),
  ]),
  it('new-linked', 'the new map is in another link', pair(), ready('$C', 'other'), link('$L', '$C'), [
    linkUpdate('$K', '$C'),
    lookup('$C'),
    view(),
  ]),
  it('refused-by-type', "the type's update refuses: tcp wants the same name", pair(), ready('$C', 'othername'), [
    linkUpdate('$K', '$C'),
    replace('$K', '$C', '$A'),
    lookup('$C'),
    view(),
    algorithms(),
  ]),
  it('name-prefix', 'a name that begins with the old one is another name', pair('name'), ready('$C', 'name2'), [
    linkUpdate('$K', '$C'),
    lookup('$C'),
    view(),
  ]),
  it('detached', 'a detached link', pair(), [
    detach('$K'),
    linkUpdate('$K', '$B'),
    replace('$K', '$B', '$A'),
    replace('$K', '$B', '$B'),
    view(),
  ]),
  it('old-map-free', 'the last reference of the old map goes with the update', pair(), [
    close('$A'),
    settle(),
    mapById('$A'),
    linkUpdate('$K', '$B'),
    settle(),
    mapById('$A'),
    lookup('$B'),
    info('$K'),
  ]),
  it('close-after', 'closing the link after an update unregisters the new map', pair('closed'), [
    linkUpdate('$K', '$B'),
    close('$K'),
    settle(),
    lookup('$A'),
    lookup('$B'),
    algorithms(),
  ]),
  it('detach-after', 'detach after an update; either map may be linked again', pair('detached'), [
    linkUpdate('$K', '$B'),
    detach('$K'),
    view(),
    link('$L', '$A'),
    lookup('$A'),
    detach('$L'),
    link('$J', '$B'),
    lookup('$B'),
  ]),
  it('old-map-linked-again', 'the old map asks for a link while the new one has the name', pair('held'), [
    linkUpdate('$K', '$B'),
    link('$L', '$A'),
    view(),
  ]),
  it('swap-of-two-links', 'two links, each with a map that the other could take', [
    ready('$A', 'swapone'),
    ready('$B', 'swaptwo'),
    ready('$C', 'swapone'),
    ready('$D', 'swaptwo'),
    link('$K', '$A'),
    link('$L', '$B'),
    linkUpdate('$K', '$D'),
    linkUpdate('$K', '$C'),
    linkUpdate('$L', '$D'),
    lookup('$A'),
    lookup('$B'),
    lookup('$C'),
    lookup('$D'),
    algorithms(),
  ]),

  // Which of two faults answers.
  it('order-flags-link', 'unknown flags and a bad link fd', pair(), linkUpdate(999, '$B', { flags: 1 })),
  it('order-link-new', 'a bad link fd and a bad new fd', pair(), linkUpdate(999, 998), linkUpdate('$A', 998)),
  it('order-new-old', 'a bad new fd and old_map_fd without BPF_F_REPLACE', pair(), [
    linkUpdate('$K', 999, { old_map_fd: '$A' }),
    linkUpdate('$K', '$filter', { old_map_fd: '$A' }),
  ]),
  it('order-new-old-bad', 'a bad new fd and a bad old fd', pair(), replace('$K', '$filter', 999), replace('$K', 999, '$filter')),
  it('order-old-ready', 'old_map_fd without BPF_F_REPLACE, or a bad one, and a new map in INIT', pair(), createLinked('$N', TCP), [
    linkUpdate('$K', '$N', { old_map_fd: '$A' }),
    replace('$K', '$N', 999),
    replace('$K', '$N', '$filter'),
  ]),
  it('order-ready-expected', 'a new map in INIT and another old map than expected', pair(), createLinked('$N', TCP), [
    replace('$K', '$N', '$B'),
    view(),
  ]),
  it('order-ready-detached', 'a new map in INIT and a detached link', pair(), createLinked('$N', TCP), [
    detach('$K'),
    linkUpdate('$K', '$N'),
    replace('$K', '$N', '$B'),
  ]),
  it('order-expected-type', 'another type and another old map than expected', pair(), scxReady('$S', 'other'), [
    replace('$K', '$S', '$B'),
    replace('$K', '$S', '$A'),
    linkUpdate('$K', '$S'),
    view(),
  ]),
  it('order-expected-name', 'another name and another old map than expected', pair(), ready('$C', 'othername'), [
    replace('$K', '$C', '$B'),
    replace('$K', '$C', '$A'),
  ]),
  it('order-detached-type', 'a detached link and a new map of another type', pair(), scxReady('$S', 'other'), [
    detach('$K'),
    linkUpdate('$K', '$S'),
    replace('$K', '$S', '$B'),
  ]),
  it('order-detached-name', 'a detached link and a new map of another name', pair(), ready('$C', 'othername'), [
    detach('$K'),
    linkUpdate('$K', '$C'),
    replace('$K', '$C', '$A'),
  ]),
  it('type-init', 'another type, still INIT', pair(), createLinked('$S', SCX), linkUpdate('$K', '$S'), replace('$K', '$S', '$B')),

  // A type without update (Qdisc_ops): found right behind READY.
  it('no-update', 'a link of a type without update', qdiscReady('$A', 'nouone'), qdiscReady('$B', 'noutwo'), [
    link('$K', '$A'),
    linkUpdate('$K', '$B'),
    linkUpdate('$K', '$A'),
    replace('$K', '$B', '$A'),
    replace('$K', '$B', '$B'),
    view(),
  ]),
  it('no-update-init', 'the same with a new map in INIT', qdiscReady('$A', 'nouinit'), createLinked('$B', QDISC), [
    link('$K', '$A'),
    linkUpdate('$K', '$B'),
    replace('$K', '$B', '$B'),
  ]),
  it('no-update-detached', 'the same with a detached link', qdiscReady('$A', 'noudet'), qdiscReady('$B', 'noudet2'), [
    link('$K', '$A'),
    detach('$K'),
    linkUpdate('$K', '$B'),
    replace('$K', '$B', '$B'),
    createLinked('$N', QDISC),
    linkUpdate('$K', '$N'),
    view(),
  ]),
  it('no-update-new', 'a tcp link and a new map whose type has no update', pair(), qdiscReady('$Q', 'nounew'), [
    linkUpdate('$K', '$Q'),
    replace('$K', '$Q', '$B'),
    replace('$K', '$Q', '$A'),
    linkUpdate('$K', '$Q', { old_map_fd: '$A' }),
    detach('$K'),
    linkUpdate('$K', '$Q'),
    replace('$K', '$Q', '$B'),
  ]),
  it('no-update-old', 'a link whose type has no update and a new tcp map', qdiscReady('$Q', 'nouold'), ready('$B', 'nouold'), [
    link('$K', '$Q'),
    linkUpdate('$K', '$B'),
    replace('$K', '$B', '$B'),
    replace('$K', '$B', '$Q'),
    detach('$K'),
    linkUpdate('$K', '$B'),
  ]),

  // sched_ext has an update that always refuses: found last.
  it('scx', 'a sched_ext link', scxReady('$A', 'scxone'), scxReady('$B', 'scxtwo'), [
    link('$K', '$A'),
    linkUpdate('$K', '$B'),
    linkUpdate('$K', '$A'),
    replace('$K', '$B', '$A'),
    replace('$K', '$B', '$B'),
    replace('$K', '$A', '$A'),
    view(),
  ]),
  it('scx-order', 'a sched_ext link and other faults', scxReady('$A', 'scxord'), createLinked('$N', SCX), ready('$M', 'scxord'), [
    link('$K', '$A'),
    linkUpdate('$K', '$N'),
    replace('$K', '$N', '$N'),
    linkUpdate('$K', '$M'),
    replace('$K', '$M', '$N'),
    replace('$K', '$M', '$A'),
    linkUpdate('$K', '$N', { old_map_fd: '$A' }),
    detach('$K'),
    scxReady('$B', 'scxord2'),
    linkUpdate('$K', '$B'),
    linkUpdate('$K', '$N'),
    replace('$K', '$B', '$B'),
  ]),
  it('prog-names', 'new_prog_fd is the same field: a program there is no map', pair(), [
    bpf('LINK_UPDATE', { link_fd: '$K', new_prog_fd: '$ssthresh', flags: 0 }),
    bpf('LINK_UPDATE', { link_fd: '$K', new_prog_fd: '$B', flags: BPF_F_REPLACE, old_prog_fd: '$A' }),
    view(),
  ]),
];
