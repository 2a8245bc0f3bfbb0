import {
  CA_CWR,
  CA_DISORDER,
  CA_LOSS,
  CA_OPEN,
  CA_RECOVERY,
  ECN_OK,
  ECN_QUEUE_CWR,
  FLAG,
  TCP_INFINITE_SSTHRESH,
} from './consts.js';
import { retransmit, retransmitLost } from './output.js';
import { backOff } from './rtt.js';
import type { Sender } from './sender.js';
import { after, before } from './seq.js';

// The states of loss recovery and what brings a connection from one to another (kernel: net/ipv4/tcp_input.c
// tcp_fastretrans_alert and around it; RFC 6675, RFC 6937, RFC 5682, RFC 8985). Paths keep the order of packets, so that nothing
// adapts to reordering; tail loss probes are not sent.

/** What to send when an ack has been worked through. */
export type Rexmit = 'none' | 'lost' | 'new';

/** tcp_enter_cwr: an echo of congestion, no loss. */
export function enterCwr(s: Sender): void {
  const { sk, tp } = s;
  tp.prior_ssthresh = 0;
  if (tp.icsk_ca_state >= CA_CWR) return;
  tp.undo_marker = 0;
  beginReduction(s);
  s.counts.ecnReductions++;
  sk.setCaState(CA_CWR);
}

/** tcp_init_cwnd_reduction */
function beginReduction(s: Sender): void {
  const { sk, tp } = s;
  tp.high_seq = tp.snd_nxt;
  tp.snd_cwnd_cnt = 0;
  tp.prior_cwnd = tp.snd_cwnd;
  tp.prr_delivered = 0;
  tp.prr_out = 0;
  tp.snd_ssthresh = sk.ca.ssthresh(sk);
  queueCwr(s);
}

function queueCwr({ tp }: Sender): void {
  if ((tp.ecn_flags & ECN_OK) !== 0) tp.ecn_flags |= ECN_QUEUE_CWR;
}

/** tcp_cwnd_reduction: Proportional Rate Reduction. */
export function reduceWindow(s: Sender, delivered: number, lost: number, flag: number): void {
  const { sk, tp } = s;
  if (delivered <= 0 || tp.prior_cwnd === 0) return;
  tp.prr_delivered += delivered;
  const room = tp.snd_ssthresh - sk.inFlight;
  let send: number;
  if (room < 0) {
    send = Math.floor((tp.snd_ssthresh * tp.prr_delivered + tp.prior_cwnd - 1) / tp.prior_cwnd) - tp.prr_out;
  } else {
    send = Math.max(tp.prr_delivered - tp.prr_out, delivered);
    if ((flag & FLAG.SND_UNA_ADVANCED) !== 0 && lost === 0) send++;
    send = Math.min(room, send);
  }
  // The first retransmission goes out in any case.
  tp.snd_cwnd = sk.inFlight + Math.max(send, tp.prr_out > 0 ? 0 : 1);
}

/** tcp_end_cwnd_reduction */
function endReduction(s: Sender): void {
  const { sk, tp } = s;
  if (sk.ca.cong_control) return;
  if (tp.snd_ssthresh < TCP_INFINITE_SSTHRESH && (tp.icsk_ca_state === CA_CWR || tp.undo_marker !== 0)) {
    tp.snd_cwnd = tp.snd_ssthresh;
    tp.snd_cwnd_stamp = sk.jiffies;
  }
  sk.caEvent(sk.tcp.consts.completeCwr);
}

/** tcp_any_retrans_done */
function anyRetransDone({ tp, board }: Sender): boolean {
  return tp.retrans_out > 0 || (board.head?.everRetrans ?? false);
}

/** tcp_init_undo */
function beginUndo({ tp }: Sender): void {
  tp.undo_marker = tp.snd_una;
  // 0 would mean that it can be undone now.
  tp.undo_retrans = tp.retrans_out || -1;
}

/** tcp_enter_recovery */
function enterRecovery(s: Sender, ece: boolean): void {
  const { sk, tp } = s;
  if (!anyRetransDone(s)) tp.retrans_stamp = 0;
  tp.prior_ssthresh = 0;
  beginUndo(s);
  if (!sk.reducing) {
    if (!ece) tp.prior_ssthresh = sk.currentSsthresh;
    beginReduction(s);
  }
  s.counts.recoveries++;
  sk.setCaState(CA_RECOVERY);
}

/** tcp_retransmit_timer, tcp_enter_loss */
export function retransmitTimeout(s: Sender): void {
  const { sk, tp, board } = s;
  const { head } = board;
  if (!head) return;
  const state = tp.icsk_ca_state;
  const newRecovery = state < CA_RECOVERY;
  board.markTimeout();
  if (state <= CA_DISORDER || !after(tp.high_seq, tp.snd_una) || (state === CA_LOSS && tp.icsk_retransmits === 0)) {
    tp.prior_ssthresh = sk.currentSsthresh;
    tp.prior_cwnd = tp.snd_cwnd;
    tp.snd_ssthresh = sk.ca.ssthresh(sk);
    sk.caEvent(sk.tcp.consts.loss);
    beginUndo(s);
  }
  tp.snd_cwnd = sk.inFlight + 1;
  tp.snd_cwnd_cnt = 0;
  tp.snd_cwnd_stamp = sk.jiffies;
  s.counts.timeouts++;
  sk.setCaState(CA_LOSS);
  tp.high_seq = tp.snd_nxt;
  queueCwr(s);
  s.frto = newRecovery || tp.icsk_retransmits > 0;
  tp.icsk_retransmits = Math.min(tp.icsk_retransmits + 1, 255);
  retransmit(s, head);
  backOff(sk);
  s.rearm();
}

/** tcp_rack_reo_timeout: it was no reordering. */
export function reorderTimeout(s: Sender): void {
  const { sk, tp, board } = s;
  const inFlight = sk.inFlight;
  const lost = tp.lost;
  board.detectLoss(reorderWindow(s));
  if (sk.inFlight !== inFlight) {
    if (tp.icsk_ca_state !== CA_RECOVERY) {
      enterRecovery(s, false);
      if (!sk.ca.cong_control) reduceWindow(s, 1, tp.lost - lost, 0);
    }
    retransmitLost(s);
  }
  if (s.pending !== 'retransmit') s.rearm();
}

/** tcp_rack_reo_wnd, microseconds; no reordering has ever been seen. */
function reorderWindow({ sk, tp }: Sender): number {
  if (tp.icsk_ca_state >= CA_RECOVERY || tp.sacked_out >= tp.reordering) return 0;
  return Math.min(sk.minRtt >>> 2, tp.srtt_us >>> 3);
}

/** tcp_identify_packet_loss; returns the flag with what that changed. */
function identifyLoss(s: Sender, flag: number): number {
  const { board, tp } = s;
  if (board.count === 0) return flag;
  const retransOut = tp.retrans_out;
  let result = flag;
  if (board.rackAdvanced) {
    board.rackAdvanced = false;
    const wait = board.detectLoss(reorderWindow(s));
    if (wait > 0) {
      // TCP_TIMEOUT_MIN_US: two ticks at 1000 Hz.
      s.arm('reorder', (wait + 2000) * 1000);
      result &= ~FLAG.SET_XMIT_TIMER;
    }
  }
  return retransOut > tp.retrans_out ? result | FLAG.LOST_RETRANS : result;
}

/** tcp_undo_cwnd_reduction: what looked like loss was delay. */
function undoReduction(s: Sender, unmark: boolean): void {
  const { sk, tp, board } = s;
  s.counts.undone++;
  if (unmark) board.unmarkLost();
  if (tp.prior_ssthresh !== 0) {
    tp.snd_cwnd = sk.ca.undo_cwnd(sk);
    if (tp.prior_ssthresh > tp.snd_ssthresh) {
      tp.snd_ssthresh = tp.prior_ssthresh;
      tp.ecn_flags &= ~ECN_QUEUE_CWR;
    }
  }
  tp.snd_cwnd_stamp = sk.jiffies;
  tp.undo_marker = 0;
  board.rackAdvanced = true;
}

/** tcp_packet_delayed: the ack echoes a timestamp from before the first retransmission. */
function packetDelayed({ tp, stampEcho }: Sender): boolean {
  return tp.retrans_stamp === 0 || (stampEcho !== 0 && before(stampEcho, tp.retrans_stamp));
}

function mayUndo(s: Sender): boolean {
  return s.tp.undo_marker !== 0 && (s.tp.undo_retrans === 0 || packetDelayed(s));
}

/** tcp_try_undo_recovery: the whole window of the loss is acked. */
function tryUndoRecovery(s: Sender): void {
  if (mayUndo(s)) undoReduction(s, false);
  s.sk.setCaState(CA_OPEN);
}

/** tcp_try_undo_dsack: every retransmission was needless. */
function tryUndoDsack(s: Sender): boolean {
  if (s.tp.undo_marker === 0 || s.tp.undo_retrans !== 0) return false;
  undoReduction(s, false);
  return true;
}

/** tcp_try_undo_loss */
function tryUndoLoss(s: Sender, forward: boolean): boolean {
  if (!forward && !mayUndo(s)) return false;
  undoReduction(s, true);
  s.tp.icsk_retransmits = 0;
  s.sk.setCaState(CA_OPEN);
  return true;
}

/** tcp_try_undo_partial: true if the hole was filled by a delayed packet while retransmissions are still out. */
function tryUndoPartial(s: Sender): boolean {
  const { tp } = s;
  if (tp.undo_marker === 0 || !packetDelayed(s)) return false;
  if (tp.retrans_out > 0) return true;
  if (!anyRetransDone(s)) tp.retrans_stamp = 0;
  undoReduction(s, true);
  tryKeepOpen(s);
  return false;
}

function tryKeepOpen(s: Sender): void {
  const { sk, tp } = s;
  const state = tp.sacked_out + tp.lost_out > 0 || anyRetransDone(s) ? CA_DISORDER : CA_OPEN;
  if (tp.icsk_ca_state === state) return;
  sk.setCaState(state);
  tp.high_seq = tp.snd_nxt;
}

/** tcp_try_to_open */
function tryToOpen(s: Sender, flag: number): void {
  if (!anyRetransDone(s)) s.tp.retrans_stamp = 0;
  if ((flag & FLAG.ECE) !== 0) enterCwr(s);
  if (s.tp.icsk_ca_state !== CA_CWR) tryKeepOpen(s);
}

/** tcp_process_loss: an ack after a timeout, with F-RTO. */
function processLoss(s: Sender, flag: number, dupack: boolean): Rexmit {
  const { tp } = s;
  const recovered = !before(tp.snd_una, tp.high_seq);
  const advanced = (flag & FLAG.SND_UNA_ADVANCED) !== 0;
  if (advanced && tryUndoLoss(s, false)) return 'none';
  if (s.frto) {
    if ((flag & FLAG.ORIG_SACK_ACKED) !== 0 && tryUndoLoss(s, true)) return 'none';
    if (after(tp.snd_nxt, tp.high_seq)) {
      if ((flag & FLAG.DATA_SACKED) !== 0 || dupack) s.frto = false;
    } else if (advanced && !recovered) {
      tp.high_seq = tp.snd_nxt;
      if (s.unsent > 0) return 'new';
      s.frto = false;
    }
  }
  if (!recovered) return 'lost';
  tryUndoRecovery(s);
  return 'none';
}

/**
 * tcp_fastretrans_alert: an ack that is not plain progress, or one in a state that is not Open. Returns what to send and the
 * flag with what it changed.
 */
export function fastretransAlert(s: Sender, flag: number, dupack: boolean): { rexmit: Rexmit; flag: number } {
  const { tp } = s;
  const ece = (flag & FLAG.ECE) !== 0;
  if (ece) tp.prior_ssthresh = 0;
  leaveState(s);
  switch (tp.icsk_ca_state) {
    case CA_RECOVERY:
      return inRecovery(s, flag, ece);
    case CA_LOSS:
      return inLoss(s, flag, dupack);
    default:
      return standard(s, flag, ece, 'none');
  }
}

/** A state ends when what was out at its beginning is acked. */
function leaveState(s: Sender): void {
  const { sk, tp } = s;
  if (sk.open) {
    tp.retrans_stamp = 0;
  } else if (!before(tp.snd_una, tp.high_seq)) {
    if (tp.icsk_ca_state === CA_RECOVERY) {
      tryUndoRecovery(s);
      endReduction(s);
    } else if (tp.icsk_ca_state === CA_CWR && tp.snd_una !== tp.high_seq) {
      // CWR must have reached the receiver.
      endReduction(s);
      sk.setCaState(CA_OPEN);
    }
  }
}

function inRecovery(s: Sender, flag: number, ece: boolean): { rexmit: Rexmit; flag: number } {
  const { tp } = s;
  if ((flag & FLAG.SND_UNA_ADVANCED) !== 0 && tryUndoPartial(s)) return { rexmit: 'none', flag };
  if (tryUndoDsack(s)) tryToOpen(s, flag);
  const result = identifyLoss(s, flag);
  if (tp.icsk_ca_state !== CA_RECOVERY) {
    if (tp.lost_out === 0) return { rexmit: 'none', flag: result };
    enterRecovery(s, ece);
  }
  return { rexmit: 'lost', flag: result };
}

function inLoss(s: Sender, flag: number, dupack: boolean): { rexmit: Rexmit; flag: number } {
  const rexmit = processLoss(s, flag, dupack);
  const result = identifyLoss(s, flag);
  // A needless timeout, or retransmissions that were lost again.
  const goOn = s.sk.open || (result & FLAG.LOST_RETRANS) !== 0;
  return goOn ? standard(s, result, (flag & FLAG.ECE) !== 0, rexmit) : { rexmit, flag: result };
}

/** States Open, Disorder and CWR, and what follows a timeout that was needless. */
function standard(s: Sender, flag: number, ece: boolean, rexmit: Rexmit): { rexmit: Rexmit; flag: number } {
  const { tp } = s;
  if (tp.icsk_ca_state <= CA_DISORDER) tryUndoDsack(s);
  const result = identifyLoss(s, flag);
  if (tp.lost_out === 0) {
    tryToOpen(s, result);
    return { rexmit, flag: result };
  }
  enterRecovery(s, ece);
  return { rexmit: 'lost', flag: result };
}
