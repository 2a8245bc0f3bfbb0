import type { ClockEvent } from '../kernel/index.js';
import { ACK_SAMPLE, type AckSample, ArgObject, RATE_SAMPLE, type RateSample, type SockFields } from './fields.js';
import { rtoNs } from './rtt.js';
import { Scoreboard } from './scoreboard.js';
import { u32 } from './seq.js';
import type { TcpSock } from './sock.js';

/** A data segment on its way. */
export interface DataPacket {
  readonly seq: number;
  readonly end: number;
  /** Timestamp option, milliseconds. */
  readonly stamp: number;
  readonly cwr: boolean;
  /** ECN-capable; marked on the way. */
  readonly ect: boolean;
  ce: boolean;
}

/** An ack on its way back: SACK tells of the segment that caused it, if that came out of order. */
export interface AckPacket {
  readonly ack: number;
  readonly ece: boolean;
  readonly sack?: { start: number; end: number };
  /** The segment had arrived before (RFC 2883). */
  readonly dsack?: { start: number; end: number };
  readonly stampEcho: number;
}

/** What a sender sets off when a time has come (output.ts, recovery.ts), and where its packets go. */
export interface SenderHooks {
  transmit(packet: DataPacket): void;
  pacingOver(s: Sender): void;
  retransmitTimeout(s: Sender): void;
  reorderTimeout(s: Sender): void;
}

/** Largest send buffer (net.ipv4.tcp_wmem[2]), and what the kernel reckons a segment takes of it (tcp_sndbuf_expand). */
const WMEM_MAX = 4 * 1024 * 1024;
const PER_SEGMENT = 4096 + 256;

/** First sequence number behind the SYN. */
export const FIRST_SEQ = 1;

/** The sending side of a connection: queue, timers and the objects that ops get. Sends in output.ts, acks in input.ts. */
export class Sender {
  readonly board: Scoreboard;
  readonly tp: SockFields;
  readonly ackSample: ArgObject<AckSample>;
  readonly rateSample: ArgObject<RateSample>;
  /** Bytes that the application has offered, that lie or lay in the send buffer, and that were sent once. */
  offered = 0;
  written = 0;
  sent = 0;
  /** How often each happened. */
  readonly counts = { recoveries: 0, timeouts: 0, ecnReductions: 0, undone: 0 };
  /** Forward RTO recovery is on (tcp_sock.frto). */
  frto = false;
  /** Timestamp echo of the latest ack, milliseconds. */
  stampEcho = 0;
  #pacing: ClockEvent | undefined;
  #timer: ClockEvent | undefined;
  /** What the retransmission timer is for. */
  pending: 'retransmit' | 'reorder' | undefined;

  constructor(
    readonly sk: TcpSock,
    private readonly hooks: SenderHooks,
  ) {
    const { kernel } = sk.tcp;
    this.tp = sk.tp;
    this.board = new Scoreboard(sk);
    this.ackSample = new ArgObject(kernel, 'ack_sample', ACK_SAMPLE);
    this.rateSample = new ArgObject(kernel, 'rate_sample', RATE_SAMPLE);
  }

  transmit(packet: DataPacket): void {
    this.hooks.transmit(packet);
  }

  get now(): number {
    return this.sk.tcp.kernel.clock.now;
  }

  get unsent(): number {
    return this.written - this.sent;
  }

  /** The application fills the send buffer with what it has. */
  fillBuffer(): void {
    const { tp } = this;
    const capacity = Math.floor(tp.sk_sndbuf / tp.mss_cache) * tp.mss_cache;
    this.written = Math.max(this.written, Math.min(this.offered, tp.bytes_acked + capacity));
    tp.write_seq = u32(FIRST_SEQ + this.written);
  }

  /** tcp_sndbuf_expand: room for twice the window, or what the algorithm says. */
  expandBuffer(): void {
    const { sk, tp } = this;
    const factor = sk.ca.sndbuf_expand?.(sk) ?? 2;
    const segments = Math.max(10, tp.snd_cwnd, tp.reordering + 1);
    const wanted = factor * segments * PER_SEGMENT;
    if (tp.sk_sndbuf < wanted) tp.sk_sndbuf = Math.min(wanted, WMEM_MAX);
  }

  /** tcp_check_space: an application that waits for room gets it when the buffer, not the window, is what is full. */
  checkSpace(): void {
    const { sk, tp } = this;
    this.fillBuffer();
    if (this.written >= this.offered || sk.inFlight >= tp.snd_cwnd) return;
    this.expandBuffer();
    tp.snd_cwnd_stamp = sk.jiffies;
    this.fillBuffer();
  }

  /** Comes back when pacing lets the next packet go. */
  waitForPacing(): void {
    this.#pacing?.cancel();
    this.#pacing = this.sk.tcp.kernel.clock.schedule(this.tp.tcp_wstamp_ns, () => this.hooks.pacingOver(this));
  }

  arm(pending: 'retransmit' | 'reorder', ns: number): void {
    this.#timer?.cancel();
    this.pending = pending;
    this.#timer = this.sk.tcp.kernel.clock.schedule(this.now + Math.max(Math.floor(ns), 1), () => {
      this.pending = undefined;
      this.sk.refreshClock();
      if (pending === 'retransmit') this.hooks.retransmitTimeout(this);
      else this.hooks.reorderTimeout(this);
    });
  }

  /** tcp_rearm_rto: progress was made, or a first segment is out. */
  rearm(): void {
    const { tp, board } = this;
    if (tp.packets_out === 0) {
      this.#timer?.cancel();
      this.pending = undefined;
      return;
    }
    let wait = rtoNs(this.sk);
    if (this.pending === 'reorder' && board.head) {
      wait = Math.max(wait - (tp.tcp_mstamp - board.head.sentUs) * 1000, 1000);
    }
    this.arm('retransmit', wait);
  }

  free(): void {
    this.#timer?.cancel();
    this.#pacing?.cancel();
    this.ackSample.free();
    this.rateSample.free();
  }
}
