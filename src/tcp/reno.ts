import type { CaOps } from './ca_ops.js';
import { CONG_NON_RESTRICTED } from './consts.js';
import type { TcpSock } from './sock.js';

// Growth of the window as every algorithm of the kernel starts from (net/ipv4/tcp_cong.c; RFC 5681).

/** Slow start: a packet more for each one acked, up to the threshold. Returns the acked packets that are left over. */
export function slowStart(sk: TcpSock, acked: number): number {
  const { tp } = sk;
  const before = tp.snd_cwnd;
  const cwnd = Math.min(before + acked, tp.snd_ssthresh);
  tp.snd_cwnd = Math.min(cwnd, tp.snd_cwnd_clamp);
  return acked - (cwnd - before);
}

/** Additive increase: one packet more for each `w` acked. */
export function congAvoidAi(sk: TcpSock, w: number, acked: number): void {
  const { tp } = sk;
  let cwnd = tp.snd_cwnd;
  let count = tp.snd_cwnd_cnt;
  // What was saved up under a larger w counts for one packet, no more.
  if (count >= w) {
    count = 0;
    cwnd++;
  }
  count += acked;
  if (count >= w) {
    cwnd += Math.floor(count / w);
    count %= w;
  }
  tp.snd_cwnd_cnt = count;
  tp.snd_cwnd = Math.min(cwnd, tp.snd_cwnd_clamp);
}

export function renoCongAvoid(sk: TcpSock, _ack: number, acked: number): void {
  if (!sk.cwndLimited) return;
  const rest = sk.inSlowStart ? slowStart(sk, acked) : acked;
  if (rest > 0) congAvoidAi(sk, sk.tp.snd_cwnd, rest);
}

export function renoSsthresh(sk: TcpSock): number {
  return Math.max(sk.tp.snd_cwnd >>> 1, 2);
}

export function renoUndoCwnd(sk: TcpSock): number {
  return Math.max(sk.tp.snd_cwnd, sk.tp.prior_cwnd);
}

export function reno(key: number): CaOps {
  return {
    name: 'reno',
    kdata: null,
    key,
    flags: CONG_NON_RESTRICTED,
    ssthresh: renoSsthresh,
    cong_avoid: renoCongAvoid,
    undo_cwnd: renoUndoCwnd,
  };
}
