import { InputError } from '../errors.js';
import type { Clock } from '../kernel/index.js';
import { Random } from '../kernel/index.js';
import type { AckPacket, DataPacket } from './sender.js';
import { distance } from './seq.js';

/** A way from a sender to a receiver and back, with one bottleneck. It keeps the order of packets; acks are never lost. */
export interface PathOptions {
  /** Bottleneck, bits a second; default 50 Mbit/s. */
  rate?: number;
  /** Round trip without queueing, nanoseconds; default 40 ms. */
  rttNs?: number;
  /** Packets that wait before the bottleneck at most; the next one is dropped. Default: as many as fill the path once. */
  queuePackets?: number;
  /** ECN-capable packets that meet at least so many waiting ones are marked; default never. */
  markPackets?: number;
  /** Share of packets that get lost by chance, 0 to 1; default 0. */
  loss?: number;
  /** Packets to lose, by their number from 1 on, retransmissions counted. */
  drops?: readonly number[];
  /** Stretches of time, nanoseconds from the start on, in which the bottleneck sends nothing and drops nothing. */
  stalls?: readonly { from: number; to: number }[];
  /** Of the losses by chance; default 1. */
  seed?: number;
}

/** Bytes around a segment on the wire: Ethernet, IPv4, TCP with timestamps. */
const HEADER_BYTES = 14 + 20 + 32;

/** The options with their defaults. Throws InputError for what no path can be. */
export function pathOptions(options: PathOptions, mss: number): Required<PathOptions> {
  const rate = options.rate ?? 50_000_000;
  const rttNs = options.rttNs ?? 40_000_000;
  const check = (name: string, value: number, least: number, most: number) => {
    if (!(value >= least && value <= most))
      throw new InputError(`path: ${name} ${value} is not within ${least} to ${most}`);
  };
  check('rate', rate, 1000, 1e12);
  check('rttNs', rttNs, 1000, 60e9);
  const perPacket = ((mss + HEADER_BYTES) * 8 * 1e9) / rate;
  const result = {
    rate,
    rttNs: Math.floor(rttNs),
    queuePackets: options.queuePackets ?? Math.max(Math.ceil(rttNs / perPacket), 1),
    markPackets: options.markPackets ?? Infinity,
    loss: options.loss ?? 0,
    drops: options.drops ?? [],
    stalls: options.stalls ?? [],
    seed: options.seed ?? 1,
  };
  check('queuePackets', result.queuePackets, 0, 1e6);
  check('markPackets', result.markPackets, 0, Infinity);
  check('loss', result.loss, 0, 1);
  return result;
}

export class Path {
  readonly counts = { packets: 0, droppedByQueue: 0, droppedByChance: 0, marked: 0 };
  readonly #random: Random;
  readonly #drops: ReadonlySet<number>;
  readonly #start: number;
  /** When each packet that waits begins to be transmitted; past ones are taken off lazily. */
  #starts: number[] = [];
  #head = 0;
  /** When the bottleneck has sent all that it has. */
  #free = 0;
  #closed = false;

  constructor(
    private readonly clock: Clock,
    private readonly options: Required<PathOptions>,
    private readonly ends: { receive(packet: DataPacket): void; acked(ack: AckPacket): void },
  ) {
    this.#random = new Random(options.seed);
    this.#drops = new Set(options.drops);
    this.#start = clock.now;
  }

  /** Packets that wait before the bottleneck now. */
  get queued(): number {
    while (this.#head < this.#starts.length && this.#starts[this.#head]! <= this.clock.now) this.#head++;
    if (this.#head > 1024) {
      this.#starts = this.#starts.slice(this.#head);
      this.#head = 0;
    }
    return this.#starts.length - this.#head;
  }

  /** Nanoseconds that the bottleneck takes for a packet. */
  #serviceNs(packet: DataPacket): number {
    return Math.ceil(((distance(packet.end, packet.seq) + HEADER_BYTES) * 8 * 1e9) / this.options.rate);
  }

  send(packet: DataPacket): void {
    const { counts, options, clock } = this;
    const chance = this.#random.u32() / 2 ** 32;
    counts.packets++;
    if (this.#drops.has(counts.packets) || chance < options.loss) {
      counts.droppedByChance++;
      return;
    }
    const waiting = this.queued;
    const idle = this.#free <= clock.now && !this.#stallAt(clock.now);
    if (!idle && waiting >= options.queuePackets) {
      counts.droppedByQueue++;
      return;
    }
    if (packet.ect && waiting >= options.markPackets) {
      packet.ce = true;
      counts.marked++;
    }
    const begin = Math.max(this.#free, clock.now);
    const start = this.#stallAt(begin)?.to ?? begin;
    this.#starts.push(start);
    this.#free = start + this.#serviceNs(packet);
    clock.schedule(this.#free + Math.floor(options.rttNs / 2), () => this.#closed || this.ends.receive(packet));
  }

  /** The stall that a time lies in, in the clock's time. */
  #stallAt(time: number): { to: number } | undefined {
    const since = time - this.#start;
    const stall = this.options.stalls.find(({ from, to }) => since >= from && since < to);
    return stall && { to: Math.ceil(stall.to) + this.#start };
  }

  /** Nothing arrives any more. */
  close(): void {
    this.#closed = true;
  }

  sendAck(ack: AckPacket): void {
    const { clock, options } = this;
    clock.schedule(clock.now + Math.ceil(options.rttNs / 2), () => this.#closed || this.ends.acked(ack));
  }
}
