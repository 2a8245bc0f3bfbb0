// Objects that many cases begin with. A case that names one has it made first, in this order, by the step shown; like all
// that a case makes, it goes at the case's end.
import {
  callKfunc,
  createArray,
  exit,
  loadWord,
  member,
  movImm,
  QDISC,
  SCX,
  socketFilter,
  syscallProg,
  TCP,
} from './steps.mjs';

/** BTF with one type, a 32-bit int: header (24 bytes), type section, string section. */
const oneInt = () => {
  const words = [0x0001eb9f, 24, 0, 16, 16, 5, 1, 1 << 24, 4, (1 << 24) | 32];
  const hex = words.map((word) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(word);
    return bytes.toString('hex');
  });
  return `${hex.join('')}${Buffer.from('\0int\0').toString('hex')}`;
};

/** Qdisc_ops.enqueue owns the skb (skb__ref): it must go before the program ends. */
const dropPacket = [loadWord(2, 1, 16), loadWord(1, 1, 0), callKfunc('bpf_qdisc_skb_drop'), movImm(0, 0), exit];

const list = [
  { cmd: 'BTF_LOAD', attr: { btf: { hex: oneInt() } }, as: '$btf' },
  createArray('$array'),
  member('$ssthresh', TCP, 'ssthresh'),
  member('$cong_avoid', TCP, 'cong_avoid'),
  member('$undo_cwnd', TCP, 'undo_cwnd'),
  member('$tcp_init', TCP, 'init'),
  member('$s_enqueue', SCX, 'enqueue'),
  member('$s_runnable', SCX, 'runnable'),
  member('$q_enqueue', QDISC, 'enqueue', dropPacket),
  member('$q_dequeue', QDISC, 'dequeue'),
  member('$q_init', QDISC, 'init'),
  member('$q_reset', QDISC, 'reset'),
  member('$q_destroy', QDISC, 'destroy'),
  syscallProg('$syscall'),
  socketFilter('$filter'),
];

export const OBJECTS = Object.fromEntries(list.map((step) => [step.as, step]));
