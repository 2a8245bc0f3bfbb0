import { ECN_DEMAND_CWR, ECN_SEEN, ICSK_ACK_NOW } from './consts.js';
import type { AckPacket, DataPacket } from './sender.js';
import { after, before, distance } from './seq.js';
import type { TcpSock } from './sock.js';

/**
 * The receiving side: acks every segment at once (delayed acks are off) and reads everything at once (its window never closes).
 * Its socket runs the same algorithm as the sender's, which sees what ECN marks arrive.
 */
export class Receiver {
  /** Ranges behind rcv_nxt that have arrived, ascending and apart. */
  readonly #ranges: { start: number; end: number }[] = [];
  /** Timestamp to echo (ts_recent). */
  #stamp = 0;

  constructor(
    readonly sk: TcpSock,
    private readonly send: (ack: AckPacket) => void,
  ) {
    sk.sendAck = (rcvNxt) => this.#ack(rcvNxt);
  }

  receive(packet: DataPacket): void {
    const { sk } = this;
    const { tp } = sk;
    sk.refreshClock();
    if (packet.cwr) tp.ecn_flags &= ~ECN_DEMAND_CWR;
    const range = { start: packet.seq, end: packet.end };
    // RFC 7323: the echo is of the segment that the ack is about.
    if (!after(packet.seq, tp.rcv_nxt)) this.#stamp = packet.stamp;
    if (!after(packet.end, tp.rcv_nxt) || this.#has(range)) {
      this.#ack(tp.rcv_nxt, { dsack: range });
      return;
    }
    if (after(packet.seq, tp.rcv_nxt)) {
      this.#checkEcn(packet);
      this.#insert(range);
      this.#ack(tp.rcv_nxt, { sack: range });
      return;
    }
    tp.rcv_nxt = packet.end;
    this.#checkEcn(packet);
    for (let next = this.#ranges[0]; next && !after(next.start, tp.rcv_nxt); next = this.#ranges[0]) {
      this.#ranges.shift();
      if (after(next.end, tp.rcv_nxt)) tp.rcv_nxt = next.end;
    }
    this.#ack(tp.rcv_nxt);
  }

  /** tcp_data_ecn_check */
  #checkEcn(packet: DataPacket): void {
    const { sk } = this;
    const { tp } = sk;
    if (!sk.ecn || !packet.ect) return;
    const { ecnIsCe, ecnNoCe } = sk.tcp.consts;
    if (sk.needsEcn) sk.caEvent(packet.ce ? ecnIsCe : ecnNoCe);
    tp.ecn_flags |= packet.ce ? ECN_SEEN | ECN_DEMAND_CWR : ECN_SEEN;
  }

  #has(range: { start: number; end: number }): boolean {
    return this.#ranges.some(({ start, end }) => !before(range.start, start) && !after(range.end, end));
  }

  #insert(range: { start: number; end: number }): void {
    const ranges = this.#ranges;
    let at = ranges.findIndex(({ end }) => !before(end, range.start));
    if (at < 0) at = ranges.length;
    const merged = { ...range };
    let count = 0;
    for (let i = at; i < ranges.length && !after(ranges[i]!.start, merged.end); i++, count++) {
      const { start, end } = ranges[i]!;
      if (distance(start, merged.start) < 0) merged.start = start;
      if (after(end, merged.end)) merged.end = end;
    }
    ranges.splice(at, count, merged);
  }

  /** __tcp_send_ack */
  #ack(rcvNxt: number, blocks: Pick<AckPacket, 'sack' | 'dsack'> = {}): void {
    const { tp } = this.sk;
    tp.icsk_ack_pending &= ~ICSK_ACK_NOW;
    this.send({
      ack: rcvNxt,
      ece: this.sk.ecn && (tp.ecn_flags & ECN_DEMAND_CWR) !== 0,
      stampEcho: this.#stamp,
      ...blocks,
    });
  }
}
