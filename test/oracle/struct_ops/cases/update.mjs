// BPF_MAP_UPDATE_ELEM: each rule by itself. Every refused update is followed by a lookup: the map is as before.
import {
  at,
  bpf,
  cc,
  close,
  create,
  createLinked,
  dataStart,
  end,
  it,
  link,
  lookup,
  member,
  open,
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
  valueEnd,
  without,
} from '../steps.mjs';

export const title = 'Updating: each rule by itself';

/** One update of an INIT map that registers. */
const tried = (id, what, of, attr = {}) => it(id, what, create('$M', TCP), update('$M', of, attr), lookup('$M'));
/** The same for a map with BPF_F_LINK. */
const triedLinked = (id, what, of, attr = {}) =>
  it(id, what, createLinked('$M', TCP), update('$M', of, attr), lookup('$M'));
const patched = (...patch) => cc('patched', {}, { patch });

export const cases = [
  tried('right', 'a full value: INIT to INUSE', cc('right')),
  triedLinked('right-linked', 'a full value: INIT to READY', cc('right')),
  it('no-program', 'a value without a program, where the subsystem allows it', createLinked('$M', SCX), [
    update('$M', sched('bare')),
    lookup('$M'),
  ]),

  it('flags', 'every flag', create('$M', TCP), [
    ...[1, 2, 4, 8, 0x80000000, '0x10000000000'].map((flags) => update('$M', cc('flags'), { flags })),
    lookup('$M'),
  ]),
  it('key', 'every key but 0', create('$M', TCP), [
    ...[1, 7, 0x80000000, 0xffffffff].map((key) => update('$M', cc('key'), { key: u32(key) })),
    lookup('$M'),
  ]),
  tried('no-value', 'value NULL', null, { value: null }),
  tried('no-key', 'key NULL', cc('nokey'), { key: null }),
  tried('no-key-no-value', 'key and value NULL', null, { key: null, value: null }),

  tried('gap-first', 'first byte of the gap between header and data', patched([8, 1])),
  tried('gap-last', 'last byte of the gap between header and data', patched([dataStart(TCP, -1), 0xff])),
  tried('tail-first', 'first byte behind the last member', patched([end(TCP, 'release'), 1])),
  tried('tail-last', 'last byte of the value', patched([valueEnd(TCP, -1), 1])),
  it('hole', 'a byte of a hole between two members', createLinked('$M', SCX), [
    update('$M', sched('hole', {}, { patch: [[end(SCX, 'dispatch_max_batch'), 1]] })),
    lookup('$M'),
  ]),
  tried('state-in-value', 'state READY in the value', cc('state', {}, { common: { state: 3 } })),
  tried('state-unknown', 'a state that is none in the value', cc('state', {}, { common: { state: 0x80000000 } })),
  tried('refcnt-in-value', 'refcnt 1 in the value', cc('refcnt', {}, { common: { refcnt: 1 } })),
  tried('refcnt-negative', 'refcnt -1 in the value', cc('refcnt', {}, { common: { refcnt: 0xffffffff } })),

  tried('prog-fd-closed', 'a program fd that is not open', cc('closed', { ssthresh: 999 })),
  tried('prog-fd-minus-1', 'all ones in a function slot', cc('minus', { ssthresh: u64('0xffffffffffffffff') })),
  tried('prog-fd-minus-1-low', '32 ones in a function slot', cc('minus', { ssthresh: u64('0xffffffff') })),
  tried('prog-fd-map', 'a map in a function slot', cc('map', { ssthresh: '$array' })),
  tried('prog-fd-btf', 'BTF in a function slot', cc('btf', { ssthresh: '$btf' })),
  it('prog-fd-file', 'a file in a function slot', open('$file', '/dev/null'), create('$M', TCP), [
    update('$M', cc('file', { ssthresh: '$file' })),
    lookup('$M'),
  ]),
  it('prog-fd-own-map', 'the map itself in a function slot', create('$M', TCP), [
    update('$M', cc('itself', { ssthresh: '$M' })),
    lookup('$M'),
  ]),
  tried('prog-socket-filter', 'a socket filter', cc('filter', { ssthresh: '$filter' })),
  tried('prog-syscall', 'a syscall program', cc('syscall', { ssthresh: '$syscall' })),
  tried('prog-other-struct', 'a program of another struct', cc('struct', { ssthresh: '$s_enqueue' })),
  it('prog-other-struct-same-index', 'a program of another struct, for the member with the same index', [
    member('$q', SCX, 'tick'),
    create('$M', TCP),
    update('$M', cc('sameindex', { cwnd_event: '$q' })),
    lookup('$M'),
  ]),
  tried('prog-other-member', 'a program of another member', cc('member', { ssthresh: '$undo_cwnd' })),
  tried('prog-swapped', 'two programs exchanged', cc('swapped', { ssthresh: '$undo_cwnd', undo_cwnd: '$ssthresh' })),
  tried('prog-no-stub', 'a program in a slot that no program can have', cc('nostub', { get_info: '$undo_cwnd' })),
  triedLinked('prog-high-half', 'dirt in the upper half of a function slot', patched([at(TCP, 'ssthresh', 4), 7])),
  triedLinked('prog-high-half-unset', 'dirt in the upper half of an unset slot', patched([at(TCP, 'init', 4), 7])),
  triedLinked(
    'prog-high-half-all',
    'all ones in the upper half of an unset slot',
    patched(...[4, 5, 6, 7].map((n) => [at(TCP, 'init', n), 0xff])),
  ),
  it('prog-fd-closed-before', 'a program whose fd was closed before', [
    member('$p', TCP, 'init'),
    create('$M', TCP),
    close('$p'),
    update('$M', cc('closed', { init: '$p' })),
    lookup('$M'),
  ]),

  tried('scalar', 'a scalar that no one handles', cc('scalar', { key: 1 })),
  tried('scalar-last-byte', 'the last byte of a scalar that no one handles', patched([at(TCP, 'key', 3), 1])),
  tried('nested', 'a nested struct', patched([at(TCP, 'list'), 1])),
  tried('nested-last-byte', 'the last byte of a nested struct', patched([at(TCP, 'list', 15), 1])),
  it(
    'data-pointer',
    'a data pointer',
    createLinked('$M', SCX),
    update('$M', sched('pointer', { priv: 1 })),
    lookup('$M'),
  ),
  it('data-pointer-qdisc', 'data pointers of Qdisc_ops', [
    createLinked('$M', QDISC),
    update('$M', qdisc('pointer', { next: 1 })),
    update('$M', qdisc('pointer', { cl_ops: 1 })),
    lookup('$M'),
  ]),
  tried('module', 'struct module * is not 0', cc('module', { owner: 1 })),
  triedLinked('module-linked', 'struct module * is not 0, with BPF_F_LINK', cc('module', { owner: 1 })),
  it('module-retry', 'struct module * is not 0: the map is INIT and takes the next value', [
    createLinked('$M', TCP),
    update('$M', cc('module', { owner: u64('0xffffffff00000000') })),
    lookup('$M'),
    link('$K', '$M'),
    update('$M', cc('module')),
    lookup('$M'),
  ]),
  it('module-qdisc', 'struct module * is the last member, behind programs', [
    createLinked('$M', QDISC),
    update('$M', qdisc('module', { owner: 1 })),
    lookup('$M'),
    update('$M', qdisc('module')),
    lookup('$M'),
  ]),
  tried('all-zero', 'a value of zeros', value(TCP)),
  triedLinked('all-zero-linked', 'a value of zeros, with BPF_F_LINK', value(TCP)),
  it(
    'all-zero-scx',
    'a value of zeros for sched_ext_ops',
    createLinked('$M', SCX),
    update('$M', value(SCX)),
    lookup('$M'),
  ),

  it('twice-inuse', 'a second update in INUSE', create('$M', TCP), [
    update('$M', cc('first')),
    update('$M', cc('first')),
    update('$M', cc('second')),
    lookup('$M'),
  ]),
  it('twice-ready', 'a second update in READY', createLinked('$M', TCP), [
    update('$M', cc('first')),
    update('$M', cc('first')),
    update('$M', cc('second')),
    lookup('$M'),
  ]),
  it('twice-linked', 'a second update while a link holds the map', createLinked('$M', TCP), [
    update('$M', cc('first')),
    link('$K', '$M'),
    update('$M', cc('second')),
    lookup('$M'),
  ]),
  it('after-delete', 'an update in TOBEFREE', create('$M', TCP), [
    update('$M', cc('gone')),
    remove('$M'),
    update('$M', cc('gone')),
    lookup('$M'),
  ]),
  it('retries', 'any number of refused updates, then one that passes', create('$M', TCP), [
    update('$M', cc('retry', { key: 1 })),
    update('$M', cc('retry', { ssthresh: 999 })),
    update('$M', cc('a b')),
    update('$M', without(cc('retry'), 'undo_cwnd')),
    update('$M', cc('cubic')),
    lookup('$M'),
    update('$M', cc('retry')),
    lookup('$M'),
  ]),
  it('retry-other-programs', 'the retry may bring other programs', createLinked('$M', TCP), [
    update('$M', cc('retry', { init: '$tcp_init', key: 1 })),
    update('$M', cc('retry')),
    lookup('$M'),
  ]),
  it('attr-flags-tail', 'a non-zero byte behind flags in the attributes', create('$M', TCP), [
    bpf('MAP_UPDATE_ELEM', { map_fd: '$M', key: u32(0), value: cc('tail'), flags: 0 }, { patch: [[32, 1]] }),
    lookup('$M'),
  ]),
];
