import type { RateSample } from './fields.js';
import type { Segment } from './scoreboard.js';
import { after, u32 } from './seq.js';
import type { TcpSock } from './sock.js';

// Delivery rate samples (kernel: tcp_rate_skb_sent, tcp_rate_skb_delivered, tcp_rate_gen, tcp_rate_check_app_limited;
// draft-cheng-iccrg-delivery-rate-estimation).

/** Width of the field that a kernel keeps a segment's delivered_ce in (TCPCB_DELIVERED_CE_MASK). */
const DELIVERED_CE_MASK = (1 << 20) - 1;

/** Remembers in a segment that is being sent what was delivered until now. */
export function snapshot(sk: TcpSock, segment: Segment): void {
  const { tp } = sk;
  if (tp.packets_out === 0) {
    tp.first_tx_mstamp = segment.sentUs;
    tp.delivered_mstamp = segment.sentUs;
  }
  segment.tx = {
    firstTxUs: tp.first_tx_mstamp,
    deliveredUs: tp.delivered_mstamp,
    delivered: tp.delivered,
    deliveredCe: tp.delivered_ce & DELIVERED_CE_MASK,
    appLimited: tp.app_limited !== 0,
  };
}

/** A segment was acked or sacked: the sample is about the one that was sent last. */
export function delivered(sk: TcpSock, segment: Segment, sample: RateSample): void {
  const { tx } = segment;
  const { tp } = sk;
  if (tx.deliveredUs === 0) return;
  const newer =
    segment.sentUs > tp.first_tx_mstamp ||
    (segment.sentUs === tp.first_tx_mstamp && after(segment.end, sample.last_end_seq));
  if (sample.prior_delivered === 0 || newer) {
    sample.prior_delivered_ce = tx.deliveredCe;
    sample.prior_delivered = tx.delivered;
    sample.prior_mstamp = tx.deliveredUs;
    sample.is_app_limited = Number(tx.appLimited);
    sample.is_retrans = Number(segment.everRetrans);
    sample.last_end_seq = segment.end;
    tp.first_tx_mstamp = segment.sentUs;
    sample.interval_us = u32(segment.sentUs - tx.firstTxUs);
  }
  // A sacked segment gives no second sample when it is acked.
  if (segment.sacked) tx.deliveredUs = 0;
}

/** Completes the sample of an ack that delivered so many packets and by which so many were found lost. */
export function generate(sk: TcpSock, count: number, lost: number, sample: RateSample): void {
  const { tp } = sk;
  if (tp.app_limited !== 0 && after(tp.delivered, tp.app_limited)) tp.app_limited = 0;
  if (count > 0) tp.delivered_mstamp = tp.tcp_mstamp;
  sample.acked_sacked = count;
  sample.losses = lost;
  if (sample.prior_mstamp === 0) {
    sample.delivered = -1;
    sample.interval_us = -1;
    return;
  }
  sample.delivered = u32(tp.delivered - sample.prior_delivered);
  sample.delivered_ce = (tp.delivered_ce - sample.prior_delivered_ce) & DELIVERED_CE_MASK;
  sample.snd_interval_us = sample.interval_us;
  sample.rcv_interval_us = tp.tcp_mstamp - sample.prior_mstamp;
  sample.interval_us = Math.max(sample.snd_interval_us, sample.rcv_interval_us);
  if (sample.interval_us < sk.minRtt) {
    sample.interval_us = -1;
    return;
  }
  const faster = sample.delivered * tp.rate_interval_us >= tp.rate_delivered * sample.interval_us;
  if (sample.is_app_limited === 0 || faster) {
    tp.rate_delivered = sample.delivered;
    tp.rate_interval_us = sample.interval_us;
    tp.rate_app_limited = sample.is_app_limited;
  }
}

/** The application has less to send than the window would take. `queued` is what it has, in bytes. */
export function checkAppLimited(sk: TcpSock, queued: number): void {
  const { tp } = sk;
  if (queued < tp.mss_cache && sk.inFlight < tp.snd_cwnd && tp.lost_out <= tp.retrans_out) {
    tp.app_limited = u32(tp.delivered + sk.inFlight) || 1;
  }
}
