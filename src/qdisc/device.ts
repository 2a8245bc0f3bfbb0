import type { Clock } from '../kernel/index.js';
import type { QdiscHost } from './host.js';
import type { Qdisc } from './qdisc.js';
import { Skb } from './skb.js';

/** Packets of one kind, at a constant rate. */
export interface PacketFlow {
  name: string;
  /** Bits a second that the source offers. */
  rate: number;
  /** Bytes of a packet; default 1500. */
  bytes?: number;
  /** Packets that come at once; default 1. */
  burst?: number;
  /** skb->priority; default 0. */
  priority?: number;
  /** Nanoseconds from the start on; default from 0 to the end. */
  from?: number;
  to?: number;
}

/** What became of the packets of one flow. */
export interface FlowCounts {
  offered: number;
  offeredBytes: number;
  sent: number;
  sentBytes: number;
  dropped: number;
  /** From the source to the end of transmission, nanoseconds: sum and maximum over the packets that were sent. */
  delayNs: number;
  maxDelayNs: number;
}

/** FNV-1a over a name: flows have hashes that differ, the same in every run. */
export function flowHash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * A device that sends one packet at a time, at the rate of its link, out of one discipline (kernel: __dev_xmit_skb, qdisc_run,
 * sch_direct_xmit): packets come from sources, and leave when they have been transmitted.
 */
export class Device {
  readonly counts: FlowCounts[];
  /** Packets that the discipline holds, as the device counts them. */
  queued = 0;
  #busy = false;
  #serial = 0;
  #stopped = false;

  constructor(
    private readonly host: QdiscHost,
    private readonly qdisc: Qdisc,
    /** Bits a second. */
    private readonly rate: number,
    private readonly flows: readonly PacketFlow[],
  ) {
    this.counts = flows.map(() => ({
      offered: 0,
      offeredBytes: 0,
      sent: 0,
      sentBytes: 0,
      dropped: 0,
      delayNs: 0,
      maxDelayNs: 0,
    }));
    qdisc.onWatchdog = () => this.#run();
  }

  get #clock(): Clock {
    return this.host.kernel.clock;
  }

  /** Lets the sources begin. */
  start(): void {
    const now = this.#clock.now;
    for (const [i, { from = 0 }] of this.flows.entries()) this.#clock.schedule(now + from, () => this.#source(i, now));
  }

  /** Sources fall silent, and nothing more is dequeued. */
  stop(): void {
    this.#stopped = true;
  }

  /** One burst, and the time of the next. */
  #source(index: number, start: number): void {
    const { rate, bytes = 1500, burst = 1, to = Infinity } = this.flows[index]!;
    const { now } = this.#clock;
    if (this.#stopped || now - start >= to) return;
    for (let i = 0; i < burst; i++) this.#offer(index, bytes);
    this.#clock.schedule(now + Math.max(Math.round((burst * bytes * 8 * 1e9) / rate), 1), () =>
      this.#source(index, start),
    );
  }

  #offer(index: number, bytes: number): void {
    const { name, priority = 0 } = this.flows[index]!;
    const counts = this.counts[index]!;
    counts.offered++;
    counts.offeredBytes += bytes;
    const values = { name: `sk_buff ${++this.#serial} of flow "${name}"`, priority, hash: flowHash(name), tstamp: 0 };
    const skb = new Skb(this.host, index, bytes, this.#clock.now, values, (ended, how) => {
      this.queued--;
      if (how !== 'sent') this.counts[ended.flow]!.dropped++;
    });
    this.queued++;
    this.qdisc.enqueue(skb);
    this.#run();
  }

  /** qdisc_restart, as long as the link is free; one packet at a time. */
  #run(): void {
    if (this.#busy || this.#stopped) return;
    const skb = this.qdisc.dequeue();
    if (!skb) return;
    this.#busy = true;
    const ns = Math.ceil((skb.bytes * 8 * 1e9) / this.rate);
    this.#clock.schedule(this.#clock.now + ns, () => this.#transmitted(skb));
  }

  #transmitted(skb: Skb): void {
    const counts = this.counts[skb.flow]!;
    const delay = this.#clock.now - skb.born;
    counts.sent++;
    counts.sentBytes += skb.bytes;
    counts.delayNs += delay;
    counts.maxDelayNs = Math.max(counts.maxDelayNs, delay);
    skb.sent();
    this.#busy = false;
    this.#run();
  }
}
