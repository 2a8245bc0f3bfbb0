// tcp_congestion_ops: names, flags, required programs, duplicates (net/ipv4/bpf_tcp_ca.c, net/ipv4/tcp_cong.c).
import {
  algorithms,
  at,
  cc,
  create,
  createLinked,
  detach,
  it,
  link,
  lookup,
  member,
  remove,
  sleepableMember,
  TCP,
  update,
  value,
  without,
} from '../steps.mjs';

export const title = 'tcp_congestion_ops';

const accepted = (id, what, of) => it(id, what, create('$M', TCP), update('$M', of), lookup('$M'), algorithms());
const linked = (id, what, ...of) =>
  it(id, what, createLinked('$M', TCP), [...of.map((one) => update('$M', one)), lookup('$M')]);
const nameByte = (name, offset, byte) => cc(name, {}, { patch: [[at(TCP, 'name', offset), byte]] });

export const cases = [
  linked('name-empty', 'an empty name', cc('')),
  linked('name-blank', 'a blank', cc('a b')),
  linked('name-dash', 'a dash', cc('a-b')),
  linked('name-slash', 'a slash', cc('a/b')),
  linked('name-high', 'a byte above 127', cc('a\xe4b')),
  linked('name-control', 'a control character', cc('a\x01b')),
  accepted('name-dot', 'dots and underscores', cc('_a.b_')),
  accepted('name-digit', 'digits and capitals', cc('0ABC9')),
  accepted('name-15', '15 characters', cc('abcdefghijklmno')),
  linked('name-16', '16 characters, no NUL', cc('abcdefghijklmnop')),
  accepted('name-after-nul', 'bytes behind the NUL are not looked at, nor kept', nameByte('after', 9, 0x41)),
  linked('name-nul-first', 'bytes behind a NUL that comes first', nameByte('', 1, 0x41)),

  it('flags', 'each bit of flags by itself', [
    Array.from({ length: 32 }, (_, bit) => [
      createLinked(`$M${bit}`, TCP),
      update(`$M${bit}`, cc('flags', { flags: 2 ** bit })),
    ]),
  ]),
  linked('flags-all', 'every bit of flags', cc('flags', { flags: 0xffffffff })),
  accepted(
    'flag-restricted',
    'an algorithm that only the privileged may choose is listed too',
    cc('restr', { flags: 1 }),
  ),

  ...['ssthresh', 'undo_cwnd', 'cong_avoid'].map((name) =>
    it(`without-${name}`, `without ${name}: validate says so, with and without BPF_F_LINK`, [
      create('$M', TCP),
      update('$M', without(cc('required'), name)),
      lookup('$M'),
      createLinked('$L', TCP),
      update('$L', without(cc('required'), name)),
      lookup('$L'),
    ]),
  ),
  it('cong-control', 'cong_control instead of cong_avoid', member('$control', TCP, 'cong_control'), create('$M', TCP), [
    update('$M', without(cc('control', { cong_control: '$control' }), 'cong_avoid')),
    lookup('$M'),
    algorithms(),
  ]),
  it(
    'cong-control-both',
    'cong_control beside cong_avoid',
    member('$control', TCP, 'cong_control'),
    create('$M', TCP),
    [update('$M', cc('control', { cong_control: '$control' })), lookup('$M')],
  ),
  it(
    'cong-control-only',
    'cong_control and nothing else',
    member('$control', TCP, 'cong_control'),
    createLinked('$M', TCP),
    [update('$M', value(TCP, { cong_control: '$control', name: 'control' })), lookup('$M')],
  ),
  it('every-op', 'every member that programs can implement', [
    ...['set_state', 'cwnd_event', 'in_ack_event', 'pkts_acked', 'min_tso_segs', 'sndbuf_expand', 'release'].map(
      (name) => member(`$${name}`, TCP, name),
    ),
    createLinked('$M', TCP),
    update(
      '$M',
      cc('every', {
        set_state: '$set_state',
        cwnd_event: '$cwnd_event',
        in_ack_event: '$in_ack_event',
        pkts_acked: '$pkts_acked',
        min_tso_segs: '$min_tso_segs',
        sndbuf_expand: '$sndbuf_expand',
        init: '$tcp_init',
        release: '$release',
      }),
    ),
    lookup('$M'),
    link('$K', '$M'),
    lookup('$M'),
  ]),
  it('sleepable-program', 'a sleepable program is taken', sleepableMember('$p', TCP, 'init'), create('$M', TCP), [
    update('$M', cc('sleepy', { init: '$p' })),
    lookup('$M'),
  ]),

  it('taken-by-kernel', "names of the kernel's own algorithms", create('$M', TCP), [
    update('$M', cc('cubic')),
    update('$M', cc('reno')),
    lookup('$M'),
    algorithms(),
    update('$M', cc('Cubic')),
    lookup('$M'),
    algorithms(),
  ]),
  it('taken-by-kernel-linked', 'the same with BPF_F_LINK: only the link refuses', createLinked('$M', TCP), [
    update('$M', cc('cubic')),
    lookup('$M'),
    link('$K', '$M'),
    link('$K', '$M'),
    lookup('$M'),
    algorithms(),
  ]),
  it('taken-by-map', 'a name of another map', create('$M', TCP), create('$N', TCP), [
    update('$M', cc('mine')),
    update('$N', cc('mine')),
    lookup('$N'),
    remove('$M'),
    update('$N', cc('mine')),
    lookup('$N'),
    algorithms(),
  ]),
  it(
    'taken-by-link',
    'a name of a linked map, asked for by a map without BPF_F_LINK',
    createLinked('$M', TCP),
    create('$N', TCP),
    [
      update('$M', cc('mine')),
      link('$K', '$M'),
      update('$N', cc('mine')),
      lookup('$N'),
      detach('$K'),
      update('$N', cc('mine')),
      lookup('$N'),
      link('$L', '$M'),
      lookup('$M'),
    ],
  ),
  it('name-not-taken-by-ready', 'READY takes no name', createLinked('$M', TCP), create('$N', TCP), [
    update('$M', cc('free')),
    update('$N', cc('free')),
    lookup('$N'),
    link('$K', '$M'),
  ]),
  it(
    'order-of-algorithms',
    'the list of algorithms is in the order of registration',
    create('$M', TCP),
    create('$N', TCP),
    [update('$M', cc('zeta')), update('$N', cc('alpha')), algorithms(), remove('$M'), algorithms()],
  ),
  it('same-programs', 'one set of programs, two algorithms', create('$M', TCP), create('$N', TCP), [
    update('$M', cc('left')),
    update('$N', cc('right')),
    lookup('$M'),
    lookup('$N'),
    remove('$M'),
    lookup('$N'),
    algorithms(),
  ]),
];
