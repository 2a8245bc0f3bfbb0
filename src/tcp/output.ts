import { CA_OPEN, ECN_QUEUE_CWR, TCP_INIT_CWND } from './consts.js';
import { checkAppLimited, snapshot } from './rate.js';
import type { Segment } from './scoreboard.js';
import { FIRST_SEQ, type Sender } from './sender.js';
import { before, distance, u32 } from './seq.js';

// Sending (kernel: net/ipv4/tcp_output.c).

/** Default of net.ipv4.tcp_min_tso_segs and of tcp_tso_rtt_log. */
const MIN_TSO_SEGS = 2;
const TSO_RTT_LOG = 9;
/** Data segments that go before pacing starts. */
const UNPACED_SEGS = 10;

/** New data of the application (tcp_sendmsg); Infinity never ends. */
export function write(s: Sender, bytes: number): void {
  const { sk, tp } = s;
  sk.refreshClock();
  checkAppLimited(sk, s.unsent);
  if (tp.packets_out === 0 && !sk.ca.cong_control) {
    const idle = distance(sk.jiffies, tp.lsndtime);
    if (idle > tp.icsk_rto) restartWindow(s, idle);
  }
  s.offered += bytes;
  s.fillBuffer();
  push(s);
}

/** tcp_cwnd_restart: after idleness the path is unknown again; half the window for each RTO that passed (RFC 2861). */
function restartWindow(s: Sender, idle: number): void {
  const { sk, tp } = s;
  sk.caEvent(sk.tcp.consts.cwndRestart);
  tp.snd_ssthresh = sk.currentSsthresh;
  let cwnd = tp.snd_cwnd;
  const least = Math.min(TCP_INIT_CWND, cwnd);
  for (let rest = idle - tp.icsk_rto; rest > 0 && cwnd > least; rest -= tp.icsk_rto) cwnd >>>= 1;
  tp.snd_cwnd = Math.max(cwnd, least);
  tp.snd_cwnd_stamp = sk.jiffies;
  tp.snd_cwnd_used = 0;
}

/** tcp_tso_segs: how many segments leave in one burst. */
function burstSegs(s: Sender): number {
  const { sk, tp } = s;
  const least = sk.ca.min_tso_segs?.(sk) ?? MIN_TSO_SEGS;
  let bytes = tp.sk_pacing_rate / 2 ** tp.sk_pacing_shift;
  const shift = sk.minRtt >>> TSO_RTT_LOG;
  if (shift < 32) bytes += tp.sk_gso_max_size >>> shift;
  bytes = Math.min(bytes, tp.sk_gso_max_size);
  return Math.max(Math.floor(bytes / tp.mss_cache), least);
}

/** tcp_pacing_check: true if it is too early; sending goes on by itself. */
function tooEarly(s: Sender): boolean {
  const { tp, sk } = s;
  if (tp.sk_pacing_status === sk.tcp.consts.pacingNone || tp.tcp_wstamp_ns <= s.now) return false;
  s.waitForPacing();
  return true;
}

/** When the next packets go, and when pacing lets others follow (tcp_update_skb_after_send). */
function stampOf(s: Sender, bytes: number): number {
  const { tp, sk } = s;
  const previous = tp.tcp_wstamp_ns;
  const at = Math.max(previous, s.now);
  tp.tcp_wstamp_ns = at;
  const rate = tp.sk_pacing_rate;
  const paced = tp.sk_pacing_status !== sk.tcp.consts.pacingNone;
  // A rate of all ones stands for none.
  if (paced && rate > 0 && rate < 2 ** 63 && tp.data_segs_out >= UNPACED_SEGS) {
    const length = Math.floor((bytes * 1e9) / rate);
    tp.tcp_wstamp_ns = at + length - Math.min(Math.floor(length / 2), at - previous);
  }
  return at;
}

/** One segment on the wire (__tcp_transmit_skb); `stamp` in nanoseconds. */
function transmit(s: Sender, segment: Segment, stamp: number): void {
  const { sk, tp } = s;
  const isNew = !before(segment.seq, tp.snd_nxt);
  // CWR goes with the first new data after the window was reduced.
  const cwr = sk.ecn && isNew && (tp.ecn_flags & ECN_QUEUE_CWR) !== 0;
  if (cwr) tp.ecn_flags &= ~ECN_QUEUE_CWR;
  if (sk.inFlight === 0) sk.caEvent(sk.tcp.consts.txStart);
  tp.lsndtime = sk.jiffies;
  tp.data_segs_out += 1;
  segment.sentUs = Math.floor(stamp / 1000);
  snapshot(sk, segment);
  // Retransmissions are not ECN-capable (RFC 3168, section 6.1.5).
  s.transmit({
    seq: segment.seq,
    end: segment.end,
    stamp: Math.floor(stamp / 1e6),
    cwr,
    ect: sk.ecn && isNew,
    ce: false,
  });
}

/** tcp_cwnd_test: segments that the window has room for, at most half of it at a time. */
function quota(s: Sender): number {
  const { sk, tp } = s;
  const room = tp.snd_cwnd - sk.inFlight;
  return room <= 0 ? 0 : Math.min(Math.max(tp.snd_cwnd >>> 1, 1), room);
}

/** tcp_write_xmit: sends new data as far as window, buffer and pacing let it. */
export function push(s: Sender): void {
  const { sk, tp, board } = s;
  if (s.unsent === 0) return;
  sk.refreshClock();
  const most = burstSegs(s);
  let sent = 0;
  while (s.unsent > 0 && !tooEarly(s)) {
    const count = Math.min(quota(s), most, Math.ceil(s.unsent / tp.mss_cache));
    if (count === 0) break;
    const stamp = stampOf(s, Math.min(count * tp.mss_cache, s.unsent));
    for (let i = 0; i < count; i++) sendNew(s, stamp);
    sent += count;
  }
  const limited = sk.inFlight >= tp.snd_cwnd;
  if (sent > 0 || limited) validateWindow(s, limited);
  if (sent > 0 && sk.reducing) tp.prr_out += sent;
  if (sent > 0 && board.count === sent) s.rearm();
}

function sendNew(s: Sender, stamp: number): void {
  const { tp, board } = s;
  const bytes = Math.min(tp.mss_cache, s.unsent);
  const seq = tp.snd_nxt;
  const segment: Segment = {
    seq,
    end: u32(seq + bytes),
    sentUs: 0,
    order: 0,
    sacked: false,
    lost: false,
    retrans: false,
    everRetrans: false,
    tx: { firstTxUs: 0, deliveredUs: 0, delivered: 0, deliveredCe: 0, appLimited: false },
  };
  transmit(s, segment, stamp);
  board.push(segment);
  s.sent += bytes;
  tp.snd_nxt = u32(FIRST_SEQ + s.sent);
}

/** tcp_cwnd_validate: was the window what limited the sender? */
function validateWindow(s: Sender, limited: boolean): void {
  const { sk, tp } = s;
  const newRound = !before(tp.snd_una, tp.cwnd_usage_seq);
  if (newRound || limited || (tp.is_cwnd_limited === 0 && tp.packets_out > tp.max_packets_out)) {
    tp.is_cwnd_limited = Number(limited);
    tp.max_packets_out = tp.packets_out;
    tp.cwnd_usage_seq = tp.snd_nxt;
  }
  if (sk.cwndLimited) {
    tp.snd_cwnd_used = 0;
    tp.snd_cwnd_stamp = sk.jiffies;
    return;
  }
  tp.snd_cwnd_used = Math.max(tp.snd_cwnd_used, tp.packets_out);
  if (distance(sk.jiffies, tp.snd_cwnd_stamp) >= tp.icsk_rto && !sk.ca.cong_control) shrinkUnused(s);
}

/** tcp_cwnd_application_limited: a window that was not filled for an RTO shrinks towards what was used. */
function shrinkUnused(s: Sender): void {
  const { sk, tp } = s;
  if (tp.icsk_ca_state === CA_OPEN && s.written >= s.offered) {
    const used = Math.max(tp.snd_cwnd_used, TCP_INIT_CWND);
    if (used < tp.snd_cwnd) {
      tp.snd_ssthresh = sk.currentSsthresh;
      tp.snd_cwnd = (tp.snd_cwnd + used) >>> 1;
    }
    tp.snd_cwnd_used = 0;
  }
  tp.snd_cwnd_stamp = sk.jiffies;
}

/** tcp_retransmit_skb */
export function retransmit(s: Sender, segment: Segment): void {
  const { tp, board } = s;
  const stamp = stampOf(s, distance(segment.end, segment.seq));
  transmit(s, segment, stamp);
  board.sent(segment);
  segment.retrans = true;
  segment.everRetrans = true;
  tp.retrans_out += 1;
  tp.total_retrans += 1;
  if (tp.retrans_stamp === 0) tp.retrans_stamp = u32(Math.floor(stamp / 1e6));
  tp.undo_retrans = Math.max(tp.undo_retrans, 0) + 1;
}

/** tcp_xmit_retransmit_queue: lost segments again, as far as the window lets them. */
export function retransmitLost(s: Sender): void {
  const { sk, tp, board } = s;
  if (tp.packets_out === 0) return;
  let rearm = false;
  for (const segment of board.toRetransmit()) {
    if (tooEarly(s) || tp.snd_cwnd <= sk.inFlight) break;
    retransmit(s, segment);
    if (sk.reducing) tp.prr_out += 1;
    if (segment === board.head && s.pending !== 'reorder') rearm = true;
  }
  if (rearm) s.rearm();
}

/** tcp_tsq_write: pacing lets the next packet go, a lost one first. */
export function pacingOver(s: Sender): void {
  const { sk, tp } = s;
  sk.refreshClock();
  if (tp.lost_out > tp.retrans_out && tp.snd_cwnd > sk.inFlight) retransmitLost(s);
  push(s);
}
