import { InputError } from '../errors.js';
import type { ClockEvent } from '../kernel/index.js';
import type { CaOps } from './ca_ops.js';
import { CONG_NEEDS_ECN, ECN_OK, TCP_ESTABLISHED, TCP_INFINITE_SSTHRESH, TCP_INIT_CWND } from './consts.js';
import { ackReceived, updatePacingRate } from './input.js';
import { pacingOver, write } from './output.js';
import { Path, type PathOptions, pathOptions } from './path.js';
import { Receiver } from './receiver.js';
import { reorderTimeout, retransmitTimeout } from './recovery.js';
import { resetMinRtt, updateRtt } from './rtt.js';
import { FIRST_SEQ, Sender } from './sender.js';
import { TcpSock } from './sock.js';
import type { Tcp } from './tcp.js';

export interface FlowOptions extends PathOptions {
  /** Bytes of payload in a full segment; default 1448. */
  mss?: number;
  /** Both ends know ECN (RFC 3168); default: if the algorithm needs it, or the path marks. */
  ecn?: boolean;
  /** What the application sends: bytes at nanoseconds from the start on; default without end from 0 on. */
  writes?: readonly { at: number; bytes: number }[];
  /** Time between points of the curve, nanoseconds; default 10 ms. */
  sampleNs?: number;
}

/** The sender at one moment. */
export interface CurvePoint {
  /** Nanoseconds since the connection was made. */
  time: number;
  /** Packets. */
  cwnd: number;
  /** Packets; null while it is infinite. */
  ssthresh: number | null;
  inFlight: number;
  /** Packets that wait before the bottleneck. */
  queue: number;
  srttUs: number;
  /** enum tcp_ca_state: 0 Open, 1 Disorder, 2 CWR, 3 Recovery, 4 Loss. */
  state: number;
  /** Packets that have arrived since the start. */
  delivered: number;
}

/**
 * One TCP connection with data in one direction over a path with a bottleneck: the sender as Linux does it around congestion
 * control (SACK, RACK, PRR, RTO with F-RTO, rate samples, pacing), a receiver that acks every segment. Handshake and receive
 * window are not modelled: the connection begins established, with one sample of the RTT.
 */
export class TcpFlow {
  readonly path: Path;
  readonly options: Required<PathOptions>;
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly curve: CurvePoint[] = [];
  readonly mss: number;
  /** When the connection was made, in the clock's time. */
  readonly start: number;
  readonly #sampleNs: number;
  #sampling: ClockEvent | undefined;
  readonly #writes: ClockEvent[];
  #closed = false;

  /** Connects two sockets that use an algorithm; nothing happens before the clock is advanced. Throws InputError. */
  constructor(
    readonly tcp: Tcp,
    algorithm: string,
    options: FlowOptions = {},
  ) {
    const { kernel } = tcp;
    const { clock } = kernel;
    const ca = tcp.algorithms.find(algorithm);
    if (!ca) throw new InputError(`TCP: no algorithm "${algorithm}" (there are ${tcp.algorithms.available})`);
    this.mss = options.mss ?? 1448;
    if (!(Number.isInteger(this.mss) && this.mss >= 1 && this.mss <= 65_000)) {
      throw new InputError(`TCP: a segment cannot have ${this.mss} bytes`);
    }
    this.options = pathOptions(options, this.mss);
    this.#sampleNs = options.sampleNs ?? 10_000_000;
    if (!(Number.isSafeInteger(this.#sampleNs) && this.#sampleNs > 0)) {
      throw new InputError(`TCP: sampleNs ${this.#sampleNs} is no time`);
    }
    // The time that the handshake takes; no clock value of TCP is 0 then.
    clock.advance(this.options.rttNs);
    this.start = clock.now;
    this.path = new Path(clock, this.options, {
      receive: (packet) => this.receiver.receive(packet),
      acked: (ack) => ackReceived(this.sender, ack),
    });
    const ecn = options.ecn ?? ((ca.flags & CONG_NEEDS_ECN) !== 0 || options.markPackets !== undefined);
    this.sender = new Sender(this.#sock('sender', ca, ecn), {
      transmit: (packet) => this.path.send(packet),
      pacingOver,
      retransmitTimeout,
      reorderTimeout,
    });
    this.receiver = new Receiver(this.#sock('receiver', ca, ecn), (ack) => this.path.sendAck(ack));
    for (const sk of [this.sender.sk, this.receiver.sk]) tcp.algorithms.init(sk);
    this.sender.expandBuffer();
    this.#sampling = clock.schedule(clock.now, () => this.#sample());
    this.#writes = (options.writes ?? [{ at: 0, bytes: Infinity }]).map(({ at, bytes }) =>
      clock.schedule(this.start + at, () => write(this.sender, bytes)),
    );
  }

  /** An established socket (tcp_init_transfer), but for the algorithm's init. */
  #sock(name: string, ca: CaOps, ecn: boolean): TcpSock {
    if (!this.tcp.algorithms.hold(ca)) throw new InputError(`TCP: algorithm "${ca.name}" is on its way out`);
    const sk = new TcpSock(this.tcp, `tcp socket "${name}"`, ca);
    const { tp } = sk;
    resetMinRtt(sk);
    sk.refreshClock();
    tp.skc_state = TCP_ESTABLISHED;
    tp.mss_cache = this.mss;
    tp.ecn_flags = ecn ? ECN_OK : 0;
    for (const field of ['snd_una', 'snd_nxt', 'write_seq', 'rcv_nxt', 'cwnd_usage_seq'] as const)
      tp[field] = FIRST_SEQ;
    const rttUs = Math.ceil(this.options.rttNs / 1000);
    updateRtt(sk, rttUs, rttUs);
    tp.snd_cwnd = TCP_INIT_CWND;
    tp.snd_cwnd_stamp = sk.jiffies;
    tp.lsndtime = sk.jiffies;
    if (!ca.cong_control) updatePacingRate({ tp });
    return sk;
  }

  /** Lets time pass, nanoseconds. What stops a program stops it: ProgramFault. */
  run(ns: number): void {
    const { clock } = this.tcp.kernel;
    clock.advance(ns);
  }

  #sample(): void {
    const { clock } = this.tcp.kernel;
    const { sk, tp } = this.sender;
    this.curve.push({
      time: clock.now - this.start,
      cwnd: tp.snd_cwnd,
      ssthresh: tp.snd_ssthresh >= TCP_INFINITE_SSTHRESH ? null : tp.snd_ssthresh,
      inFlight: sk.inFlight,
      queue: this.path.queued,
      srttUs: tp.srtt_us >>> 3,
      state: tp.icsk_ca_state,
      delivered: tp.delivered,
    });
    this.#sampling = clock.schedule(clock.now + this.#sampleNs, () => this.#sample());
  }

  /** Ends the connection: the algorithm's release, and all memory back. Packets on their way go nowhere. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sampling?.cancel();
    for (const event of this.#writes) event.cancel();
    this.path.close();
    try {
      this.sender.sk.free();
    } finally {
      this.receiver.sk.free();
      this.sender.free();
    }
  }
}
