import type { Field, Kernel, StructType } from '../kernel/index.js';
import type { AccessClass, GuestPtr } from '../vm/types.js';
import type { QdiscHost } from './host.js';

/** Fields of sk_buff that are kept as a kernel keeps them. Packets belong to no socket (forwarded traffic): sk is NULL. */
const SKB_FIELDS = ['len', 'priority', 'hash', 'tstamp', 'cb', 'sk', 'protocol', 'mark', 'queue_mapping'] as const;

/** ETH_P_IP as it stands in the field, network byte order. */
const PROTOCOL_IP = 0x0008;

/** struct sk_buff and what disciplines keep in its cb, struct qdisc_skb_cb. */
export class SkbLayout {
  readonly struct: StructType;
  readonly len: Field;
  readonly priority: Field;
  readonly hash: Field;
  readonly tstamp: Field;
  readonly protocol: Field;
  readonly #cb: Field;
  readonly #pktLen: Field;
  readonly #data: Field;

  constructor(
    private readonly kernel: Kernel,
    private readonly writable: AccessClass,
  ) {
    this.struct = kernel.types.struct('sk_buff');
    const cb = kernel.types.struct('qdisc_skb_cb');
    const field = (name: (typeof SKB_FIELDS)[number]) => this.struct.field(name);
    this.len = field('len');
    this.priority = field('priority');
    this.hash = field('hash');
    this.tstamp = field('tstamp');
    this.protocol = field('protocol');
    this.#cb = field('cb');
    this.#pktLen = cb.field('pkt_len');
    this.#data = cb.field('data');
  }

  /** A packet of so many bytes; programs write its tstamp and the discipline's part of cb (bpf_qdisc_sk_buff_access). */
  newSkb(name: string, bytes: number): GuestPtr {
    const { kernel, writable } = this;
    const ptr = kernel.newObject(this.struct, {
      name,
      modelled: SKB_FIELDS,
      writable: { tstamp: writable },
    });
    kernel.memory.setAccess(ptr + this.#cb.offset + this.#data.offset, this.#data.size, writable);
    this.len.set(ptr, bytes);
    this.protocol.set(ptr, PROTOCOL_IP);
    this.#pktLen.set(ptr + this.#cb.offset, bytes);
    return ptr;
  }
}

/** How a packet ended. */
export type SkbEnd = 'sent' | 'dropped' | 'freed';

/** One packet between its source and its end. */
export class Skb {
  readonly ptr: GuestPtr;
  readonly name: string;
  ended: SkbEnd | undefined;

  constructor(
    private readonly host: QdiscHost,
    readonly flow: number,
    readonly bytes: number,
    /** When the source gave it away, nanoseconds. */
    readonly born: number,
    values: { name: string; priority: number; hash: number; tstamp: number },
    private readonly onEnd: (skb: Skb, end: SkbEnd) => void,
  ) {
    const { skbs } = host;
    this.name = values.name;
    this.ptr = skbs.newSkb(values.name, bytes);
    skbs.priority.set(this.ptr, values.priority);
    skbs.hash.set(this.ptr, values.hash);
    skbs.tstamp.set(this.ptr, values.tstamp);
    host.addSkb(this);
  }

  get hash(): number {
    return this.host.skbs.hash.get(this.ptr);
  }

  /** It left the machine. */
  sent(): void {
    this.#end('sent');
  }

  /** `dropped`: by way of to_free (qdisc_skb_drop); `freed`: at once (kfree_skb, a kptr's destructor). */
  drop(how: 'dropped' | 'freed'): void {
    this.#end(how);
  }

  #end(how: SkbEnd): void {
    if (this.ended) return;
    this.ended = how;
    this.host.removeSkb(this);
    this.host.kernel.freeObject(this.ptr);
    this.onEnd(this, how);
  }
}
