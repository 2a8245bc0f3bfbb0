import { CA_OPEN, FLAG, FLAG_ACKED, FLAG_CA_ALERT, FLAG_FORWARD_PROGRESS, FLAG_NOT_DUP } from './consts.js';
import { push, retransmitLost } from './output.js';
import { generate, delivered as rateDelivered } from './rate.js';
import { fastretransAlert, type Rexmit, reduceWindow } from './recovery.js';
import { updateRtt } from './rtt.js';
import type { Segment } from './scoreboard.js';
import type { AckPacket, Sender } from './sender.js';
import { after, before, distance, u32 } from './seq.js';
import { REORDERING } from './sock.js';

// Acks (kernel: net/ipv4/tcp_input.c tcp_ack and what it calls, in its order).

/** An ack arrives: everything that follows from it, up to the packets that it lets go. */
export function ackReceived(s: Sender, packet: AckPacket): void {
  const { sk, tp } = s;
  sk.refreshClock();
  if (before(packet.ack, tp.snd_una)) return;
  const sample = s.rateSample.fields;
  s.rateSample.clear();
  s.stampEcho = packet.stampEcho;
  const priorUna = tp.snd_una;
  const priorPackets = tp.packets_out;
  const priorDelivered = tp.delivered;
  const priorLost = tp.lost;
  const advanced = after(packet.ack, priorUna);
  let flag = advanced ? FLAG.SND_UNA_ADVANCED | FLAG.WIN_UPDATE : 0;
  if (advanced) tp.icsk_retransmits = 0;
  sample.prior_in_flight = sk.inFlight;
  tp.bytes_acked += distance(packet.ack, priorUna);
  tp.snd_una = packet.ack;
  // SACKs and echoes of congestion miss the header prediction.
  const sackRtt = { first: 0, last: 0 };
  if (packet.sack || packet.dsack || packet.ece) {
    flag |= FLAG.SLOWPATH;
    if (packet.dsack) flag |= duplicate(s, packet.dsack, priorUna);
    if (packet.ece && sk.ecn) flag |= FLAG.ECE;
    if (packet.sack) flag |= sackReceived(s, packet.sack, (flag & FLAG.ECE) !== 0, sackRtt);
  }
  let rexmit: Rexmit = 'none';
  if (priorPackets > 0) {
    flag |= cleanQueue(s, flag, sackRtt);
    inAckEvent(s, flag);
    // tcp_ack_is_dubious
    if ((flag & FLAG_NOT_DUP) === 0 || (flag & FLAG_CA_ALERT) !== 0 || tp.icsk_ca_state !== CA_OPEN) {
      const dupack = (flag & (FLAG.SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG.DSACKING_ACK)) === 0;
      ({ rexmit, flag } = fastretransAlert(s, flag, dupack));
    }
    if ((flag & FLAG.SET_XMIT_TIMER) !== 0) s.rearm();
    const count = u32(tp.delivered - priorDelivered);
    generate(sk, count, u32(tp.lost - priorLost), sample);
    congControl(s, packet.ack, count, flag);
    recover(s, rexmit);
  } else {
    inAckEvent(s, flag);
    if ((flag & FLAG.DSACKING_ACK) !== 0) fastretransAlert(s, flag, false);
  }
  s.fillBuffer();
  push(s);
  s.checkSpace();
  push(s);
}

/** tcp_count_delivered */
function countDelivered({ tp }: Sender, ece: boolean): void {
  tp.delivered = u32(tp.delivered + 1);
  if (ece) tp.delivered_ce = u32(tp.delivered_ce + 1);
}

/** tcp_check_dsack: a segment came twice; if it was one that was retransmitted, one less is to be accounted for. */
function duplicate(s: Sender, range: { start: number; end: number }, priorUna: number): number {
  const { tp } = s;
  const covered = !after(range.end, priorUna) && after(range.end, tp.undo_marker);
  if (tp.undo_marker !== 0 && tp.undo_retrans > 0 && covered) tp.undo_retrans -= 1;
  return FLAG.DSACKING_ACK;
}

/** tcp_sacktag_write_queue */
function sackReceived(
  s: Sender,
  range: { start: number; end: number },
  ece: boolean,
  rtt: { first: number; last: number },
): number {
  const { sk, tp, board } = s;
  let flag = 0;
  for (const segment of board.unsackedIn(range.start, range.end)) {
    flag |= FLAG.DATA_SACKED;
    const { sentUs } = segment;
    if (!segment.everRetrans) {
      if (!after(segment.end, tp.high_seq)) flag |= FLAG.ORIG_SACK_ACKED;
      if (rtt.first === 0) rtt.first = sentUs;
      rtt.last = sentUs;
    }
    board.rackAdvance(segment, sentUs);
    countDelivered(s, ece);
    board.sack(segment);
    rateDelivered(sk, segment, s.rateSample.fields);
  }
  return flag;
}

/** A retransmission was acked whose ack echoes an older timestamp (tcp_skb_spurious_retrans). */
function spurious({ stampEcho }: Sender, segment: Segment): boolean {
  return segment.everRetrans && stampEcho !== 0 && before(stampEcho, Math.floor(segment.sentUs / 1000));
}

/** tcp_clean_rtx_queue: what is acked leaves the queue; RTT, and pkts_acked. */
function cleanQueue(s: Sender, flags: number, sackRtt: { first: number; last: number }): number {
  const { sk, tp, board } = s;
  const sample = s.rateSample.fields;
  const ece = (flags & FLAG.ECE) !== 0;
  let flag = 0;
  let first = 0;
  let last = 0;
  let acked = 0;
  for (const segment of board.acked(tp.snd_una)) {
    if (segment.everRetrans) {
      if (segment.retrans) tp.retrans_out -= 1;
      flag |= FLAG.RETRANS_DATA_ACKED;
    } else if (!segment.sacked) {
      last = segment.sentUs;
      if (first === 0) first = last;
      if (!after(segment.end, tp.high_seq)) flag |= FLAG.ORIG_SACK_ACKED;
    }
    if (segment.sacked) {
      tp.sacked_out -= 1;
    } else {
      countDelivered(s, ece);
      if (!spurious(s, segment)) board.rackAdvance(segment, segment.sentUs);
    }
    if (segment.lost) tp.lost_out -= 1;
    tp.packets_out -= 1;
    acked += 1;
    rateDelivered(sk, segment, sample);
    flag |= FLAG.DATA_ACKED;
  }
  const age = (stamp: number) => tp.tcp_mstamp - stamp;
  let seqRtt = -1;
  let caRtt = -1;
  if (first !== 0 && (flag & FLAG.RETRANS_DATA_ACKED) === 0) {
    seqRtt = age(first);
    caRtt = age(last);
  }
  if (sackRtt.first !== 0) {
    if (seqRtt < 0) seqRtt = age(sackRtt.first);
    caRtt = age(sackRtt.last);
  }
  if (seqRtt < 0 && s.stampEcho !== 0 && (flag & FLAG_ACKED) !== 0) {
    // Timestamps tell the copies apart (RFC 7323): milliseconds, at least one.
    seqRtt = Math.max(Math.floor(tp.tcp_mstamp / 1000) - s.stampEcho, 1) * 1000;
    caRtt = seqRtt;
  }
  sample.rtt_us = caRtt;
  const updated = updateRtt(sk, seqRtt, caRtt);
  if ((flag & FLAG_ACKED) !== 0) {
    flag |= FLAG.SET_XMIT_TIMER;
  } else if (updated && sackRtt.first !== 0 && board.head && age(sackRtt.first) > age(board.head.sentUs)) {
    flag |= FLAG.SET_XMIT_TIMER;
  }
  if (sk.ca.pkts_acked) {
    const { fields } = s.ackSample;
    fields.pkts_acked = acked;
    fields.rtt_us = caRtt;
    fields.in_flight = tp.mss_cache * u32(tp.delivered - sample.prior_delivered);
    sk.ca.pkts_acked(sk, s.ackSample);
  }
  return flag;
}

/** tcp_in_ack_event */
function inAckEvent(s: Sender, flag: number): void {
  const { sk } = s;
  if (!sk.ca.in_ack_event) return;
  const { ackWinUpdate, ackSlowpath, ackEce } = sk.tcp.consts;
  let events = 0;
  if ((flag & FLAG.WIN_UPDATE) !== 0) events |= ackWinUpdate;
  if ((flag & FLAG.SLOWPATH) !== 0) {
    events |= ackSlowpath;
    if ((flag & FLAG.ECE) !== 0) events |= ackEce;
  }
  sk.ca.in_ack_event(sk, events);
}

/** tcp_cong_control: the algorithm's own way, or reduction and growth as the kernel does them. */
function congControl(s: Sender, ack: number, delivered: number, flag: number): void {
  const { sk, tp } = s;
  if (sk.ca.cong_control) {
    sk.ca.cong_control(sk, ack, flag, s.rateSample);
    return;
  }
  if (sk.reducing) {
    reduceWindow(s, delivered, s.rateSample.fields.losses, flag);
  } else if ((flag & (tp.reordering > REORDERING ? FLAG_FORWARD_PROGRESS : FLAG.DATA_ACKED)) !== 0) {
    sk.ca.cong_avoid?.(sk, ack, delivered);
    tp.snd_cwnd_stamp = sk.jiffies;
  }
  updatePacingRate(s);
}

/** tcp_update_pacing_rate: twice the rate of the window in slow start, 1.2 times after it. */
export function updatePacingRate({ tp }: Pick<Sender, 'tp'>): void {
  const percent = tp.snd_cwnd < tp.snd_ssthresh / 2 ? 200 : 120;
  const perSecond = tp.mss_cache * 80_000 * percent * Math.max(tp.snd_cwnd, tp.packets_out);
  const rate = tp.srtt_us === 0 ? perSecond : Math.floor(perSecond / tp.srtt_us);
  tp.sk_pacing_rate = Math.min(rate, tp.sk_max_pacing_rate);
}

/** tcp_xmit_recovery */
function recover(s: Sender, rexmit: Rexmit): void {
  if (rexmit === 'none') return;
  if (rexmit === 'new') {
    push(s);
    if (after(s.tp.snd_nxt, s.tp.high_seq)) return;
    s.frto = false;
  }
  retransmitLost(s);
}
