import { runningBest } from './minmax.js';
import { after, u32 } from './seq.js';
import type { TcpSock } from './sock.js';

// Round trip times and the retransmission timeout (kernel: net/ipv4/tcp_input.c, lib/win_minmax.c; RFC 6298).

/** Bounds of the RTO: 200 ms (tcp_rto_min) and two minutes (TCP_RTO_MAX). */
const RTO_MIN_US = 200_000;
const RTO_MAX_S = 120;
/** How long the least RTT is remembered (net.ipv4.tcp_min_rtt_wlen). */
const MIN_RTT_WINDOW_S = 300;

/** tcp_rtt_estimator: srtt_us holds 8 times the mean, mdev_us 4 times the mean deviation. */
function estimate(sk: TcpSock, sampleUs: number): void {
  const { tp } = sk;
  const smoothed = tp.srtt_us;
  if (smoothed === 0) {
    tp.srtt_us = Math.max(sampleUs * 8, 1);
    tp.mdev_us = sampleUs * 2;
    tp.rttvar_us = Math.max(tp.mdev_us, RTO_MIN_US);
    tp.mdev_max_us = tp.rttvar_us;
    tp.rtt_seq = tp.snd_nxt;
    return;
  }
  const error = sampleUs - (smoothed >>> 3);
  let change = Math.abs(error) - (tp.mdev_us >>> 2);
  // A falling RTT widens the deviation by little (Eifel).
  if (error < 0 && change > 0) change >>= 3;
  tp.mdev_us += change;
  if (tp.mdev_us > tp.mdev_max_us) {
    tp.mdev_max_us = tp.mdev_us;
    tp.rttvar_us = Math.max(tp.rttvar_us, tp.mdev_max_us);
  }
  if (after(tp.snd_una, tp.rtt_seq)) {
    // Once a round trip.
    if (tp.mdev_max_us < tp.rttvar_us) tp.rttvar_us -= (tp.rttvar_us - tp.mdev_max_us) >>> 2;
    tp.rtt_seq = tp.snd_nxt;
    tp.mdev_max_us = RTO_MIN_US;
  }
  tp.srtt_us = Math.max(smoothed + error, 1);
}

/** The least of the last five minutes. */
function updateMinRtt(sk: TcpSock, rttUs: number): void {
  const fields = sk.tcp.layout.rttMin;
  const samples = fields.map(({ t, v }) => ({ t: t.get(sk.ptr), v: v.get(sk.ptr) }));
  runningBest(samples, MIN_RTT_WINDOW_S * sk.tcp.hz, { t: sk.jiffies, v: rttUs }, Math.min);
  for (const [i, { t, v }] of samples.entries()) {
    fields[i]!.t.set(sk.ptr, t);
    fields[i]!.v.set(sk.ptr, v);
  }
}

/** Forgets the least RTT (minmax_reset of tcp_init_sock). */
export function resetMinRtt(sk: TcpSock): void {
  for (const { t, v } of sk.tcp.layout.rttMin) {
    t.set(sk.ptr, sk.jiffies);
    v.set(sk.ptr, u32(-1));
  }
}

/**
 * tcp_ack_update_rtt: `seqUs` is the RTT of the oldest segment that the ack covers, `caUs` that of the latest; -1 for none, as
 * after a retransmission, when nobody knows which copy was acked (Karn). True if there was a sample.
 */
export function updateRtt(sk: TcpSock, seqUs: number, caUs: number): boolean {
  if (seqUs < 0) return false;
  updateMinRtt(sk, Math.max(caUs, 0) || Math.floor(1e6 / sk.tcp.hz));
  estimate(sk, seqUs);
  setRto(sk);
  sk.tp.icsk_backoff = 0;
  return true;
}

/** tcp_set_rto: SRTT + 4 · RTTVAR in jiffies. */
function setRto(sk: TcpSock): void {
  const { tp, tcp } = sk;
  const us = (tp.srtt_us >>> 3) + tp.rttvar_us;
  tp.icsk_rto = Math.min(Math.ceil((us * tcp.hz) / 1e6), RTO_MAX_S * tcp.hz);
}

/** A timeout doubles the next one. */
export function backOff(sk: TcpSock): void {
  const { tp, tcp } = sk;
  tp.icsk_backoff = Math.min(tp.icsk_backoff + 1, 255);
  tp.icsk_rto = Math.min(tp.icsk_rto * 2, RTO_MAX_S * tcp.hz);
}

/** icsk_rto in nanoseconds. */
export function rtoNs(sk: TcpSock): number {
  return Math.floor((sk.tp.icsk_rto * 1e9) / sk.tcp.hz);
}
