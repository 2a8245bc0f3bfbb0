import { after, distance } from './seq.js';
import type { TcpSock } from './sock.js';

/** One segment between its first transmission and its cumulative ack (kernel: an sk_buff of the retransmission queue). */
export interface Segment {
  readonly seq: number;
  readonly end: number;
  /** When it was sent last: microseconds, and its place in the order of all transmissions. */
  sentUs: number;
  order: number;
  sacked: boolean;
  lost: boolean;
  /** A retransmission is in flight; there was one. */
  retrans: boolean;
  everRetrans: boolean;
  /** State of the connection when it was sent last (TCP_SKB_CB(skb)->tx); deliveredUs 0 once it gave a rate sample. */
  tx: { firstTxUs: number; deliveredUs: number; delivered: number; deliveredCe: number; appLimited: boolean };
}

/**
 * The segments that are not acked, their SACK tags, and RACK's view of what is lost (kernel: tcp_rtx_queue, tsorted_sent_queue,
 * net/ipv4/tcp_recovery.c; RFC 2018, RFC 8985). The counters packets_out, sacked_out, lost_out and retrans_out of the socket
 * follow the tags.
 */
export class Scoreboard {
  #queue: Segment[] = [];
  #head = 0;
  /** Segments by time of transmission; entries whose order is not the segment's any more are stale. */
  #sent: { segment: Segment; order: number }[] = [];
  #sentHead = 0;
  #order = 0;
  /** Where the search for segments to retransmit begins (retransmit_skb_hint), as a sequence number. */
  #hint: number | undefined;
  /** The latest transmission that is known to have arrived. */
  #rack = { sentUs: 0, end: 0, rttUs: 0 };
  /** Something newer has arrived since the last look for losses. */
  rackAdvanced = false;

  constructor(private readonly sk: TcpSock) {}

  get head(): Segment | undefined {
    return this.#queue[this.#head];
  }

  get count(): number {
    return this.#queue.length - this.#head;
  }

  /** A segment goes out for the first time. */
  push(segment: Segment): void {
    this.#queue.push(segment);
    this.sent(segment);
    this.sk.tp.packets_out += 1;
  }

  /** Puts a segment at the end of the order of transmissions. */
  sent(segment: Segment): void {
    segment.order = ++this.#order;
    this.#sent.push({ segment, order: segment.order });
  }

  /** Takes the segments off that an ack up to `una` covers, the oldest first. */
  *acked(una: number): Generator<Segment> {
    for (let segment = this.head; segment && !after(segment.end, una); segment = this.head) {
      this.#head++;
      if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#head);
        this.#head = 0;
      }
      segment.order = 0;
      yield segment;
    }
  }

  /** Segments of [start, end) that are tagged by no SACK yet. */
  *unsackedIn(start: number, end: number): Generator<Segment> {
    for (let i = this.#indexOf(start); i < this.#queue.length; i++) {
      const segment = this.#queue[i]!;
      if (after(segment.end, end)) return;
      if (!segment.sacked) yield segment;
    }
  }

  /** Index of the first segment that begins at `seq` or later. */
  #indexOf(seq: number): number {
    let low = this.#head;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (distance(this.#queue[middle]!.seq, seq) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** tcp_sacktag_one: it arrived, though something before it is missing. */
  sack(segment: Segment): void {
    const { tp } = this.sk;
    segment.sacked = true;
    tp.sacked_out += 1;
    if (segment.lost) {
      segment.lost = false;
      tp.lost_out -= 1;
    }
    if (segment.retrans) {
      segment.retrans = false;
      tp.retrans_out -= 1;
    }
    segment.order = 0;
  }

  /** tcp_mark_skb_lost; a lost retransmission counts again. */
  markLost(segment: Segment): void {
    const { tp } = this.sk;
    if (segment.sacked) return;
    if (segment.lost && !segment.retrans) return;
    if (segment.lost) {
      segment.retrans = false;
      tp.retrans_out -= 1;
    } else {
      segment.lost = true;
      tp.lost_out += 1;
    }
    tp.lost += 1;
    segment.order = 0;
    if (this.#hint === undefined || distance(segment.seq, this.#hint) < 0) this.#hint = segment.seq;
  }

  /** tcp_rack_advance: `segment`, as it was sent last, has arrived. */
  rackAdvance(segment: Segment, sentUs: number): void {
    const rttUs = this.sk.tp.tcp_mstamp - sentUs;
    // Shorter than any round trip: what arrived is the first transmission, not the second.
    if (segment.everRetrans && rttUs < this.sk.minRtt) return;
    this.rackAdvanced = true;
    const rack = this.#rack;
    const newer = sentUs > rack.sentUs || (sentUs === rack.sentUs && after(segment.end, rack.end));
    this.#rack = newer ? { sentUs, end: segment.end, rttUs } : { ...rack, rttUs };
  }

  /** Microseconds until a segment that has not been acked counts as lost (tcp_rack_skb_timeout). */
  #remaining(segment: Segment, reorderUs: number): number {
    return this.#rack.rttUs + reorderUs - (this.sk.tp.tcp_mstamp - segment.sentUs);
  }

  /**
   * tcp_rack_detect_loss: marks what was sent before something that has arrived and is overdue. Returns the microseconds after
   * which to look again, 0 for never.
   */
  detectLoss(reorderUs: number): number {
    let wait = 0;
    const rack = this.#rack;
    for (let i = this.#sentHead; i < this.#sent.length; i++) {
      const { segment, order } = this.#sent[i]!;
      if (segment.order !== order) {
        if (i === this.#sentHead) this.#sentHead++;
        continue;
      }
      const earlier =
        segment.sentUs < rack.sentUs || (segment.sentUs === rack.sentUs && distance(segment.end, rack.end) < 0);
      if (!earlier) break;
      const remaining = this.#remaining(segment, reorderUs);
      if (remaining <= 0) this.markLost(segment);
      else wait = Math.max(wait, remaining);
    }
    if (this.#sentHead > 1024 && this.#sentHead * 2 > this.#sent.length) {
      this.#sent = this.#sent.slice(this.#sentHead);
      this.#sentHead = 0;
    }
    return wait;
  }

  /** tcp_timeout_mark_lost: everything but what was sent within the last round trip. */
  markTimeout(): void {
    for (let i = this.#head; i < this.#queue.length; i++) {
      const segment = this.#queue[i]!;
      if (i === this.#head || this.#remaining(segment, 0) <= 0) this.markLost(segment);
    }
    this.#hint = undefined;
  }

  /** Loss was an error of ours: forgets it (tcp_undo_cwnd_reduction). */
  unmarkLost(): void {
    for (let i = this.#head; i < this.#queue.length; i++) this.#queue[i]!.lost = false;
    this.sk.tp.lost_out = 0;
    this.#hint = undefined;
  }

  /** Lost segments without a retransmission in flight, the lowest first; the search goes on where it ended. */
  *toRetransmit(): Generator<Segment> {
    const { tp } = this.sk;
    for (let i = this.#hint === undefined ? this.#head : this.#indexOf(this.#hint); i < this.#queue.length; i++) {
      const segment = this.#queue[i]!;
      this.#hint = segment.seq;
      if (tp.retrans_out >= tp.lost_out) return;
      if (segment.lost && !segment.retrans) yield segment;
    }
  }
}
