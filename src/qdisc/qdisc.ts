import { ERRNO } from '../errno.js';
import { InputError } from '../errors.js';
import type { ClockEvent, Kdata } from '../kernel/index.js';
import type { GuestPtr } from '../vm/types.js';
import type { QdiscHost } from './host.js';
import type { Skb } from './skb.js';

/** Fields of struct Qdisc that are kept as a kernel keeps them; the second half may be written (bpf_qdisc_qdisc_access). */
const READ_ONLY = ['flags', 'parent', 'handle', 'dev_queue', 'bstats.bytes', 'bstats.packets'] as const;
const WRITABLE = ['limit', 'q.qlen', 'qstats'] as const;

/** TC_H_ROOT, and a class of another discipline. */
const PARENTS = { root: 0xffff_ffff, class: 0x0001_0001 } as const;
const HANDLE = 0x8001_0000;
/** Far away: the timer is off (qdisc_watchdog_schedule_range_ns is told so by U64_MAX). */
const NEVER = 2 ** 53;

export interface QdiscOptions {
  /** Where it is attached: BPF disciplines take the root of a device only, or a queue of mq. */
  parent?: keyof typeof PARENTS;
  /** Of the device; default 1500 and 14. */
  mtu?: number;
  hardHeaderLen?: number;
}

/** What a discipline wants dropped once its lock is free (the list that enqueue gets as to_free). */
export class ToFree {
  readonly #skbs: Skb[] = [];

  constructor(
    private readonly host: QdiscHost,
    /** The head of the list: struct bpf_sk_buff_ptr. */
    readonly ptr: GuestPtr,
  ) {}

  /** __qdisc_drop */
  push(skb: Skb): void {
    this.#skbs.push(skb);
    this.host.kernel.memory.setPtr(this.ptr, skb.ptr);
  }

  /** kfree_skb_list */
  free(): void {
    this.host.kernel.memory.setPtr(this.ptr, 0);
    for (const skb of this.#skbs.splice(0)) skb.drop('dropped');
  }
}

/** One discipline on one device: its struct Qdisc, its watchdog, and its programs as the kernel calls them. */
export class Qdisc {
  readonly ptr: GuestPtr;
  readonly #objects: GuestPtr[] = [];
  readonly #toFree: ToFree;
  #watchdog: ClockEvent | undefined;
  /** When the watchdog goes off, nanoseconds. */
  #expires = 0;
  /** Tells the device that something may be dequeued (__netif_schedule). */
  onWatchdog: () => void = () => {};

  /** Makes and initialises it (qdisc_create). Throws InputError if init, or its prologue, fails. */
  constructor(
    private readonly host: QdiscHost,
    private readonly kdata: Kdata,
    options: QdiscOptions = {},
  ) {
    const { kernel } = host;
    const make = (struct: string, name: string, modelled: readonly string[]): GuestPtr => {
      const ptr = kernel.newObject(struct, { name, modelled });
      this.#objects.push(ptr);
      return ptr;
    };
    const set = (struct: string, ptr: GuestPtr, path: string, value: number) =>
      kernel.types.struct(struct).field(path).set(ptr, value);
    const id = String(kdata.get('id'));
    const device = make('net_device', 'net_device eth0', ['mtu', 'hard_header_len', 'ifindex', 'name']);
    set('net_device', device, 'mtu', options.mtu ?? 1500);
    set('net_device', device, 'hard_header_len', options.hardHeaderLen ?? 14);
    set('net_device', device, 'ifindex', 2);
    kernel.types.struct('net_device').field('name').setText(device, 'eth0');
    const queue = make('netdev_queue', 'netdev_queue of eth0', ['dev']);
    set('netdev_queue', queue, 'dev', device);
    this.ptr = kernel.newObject('Qdisc', {
      name: `Qdisc "${id}"`,
      modelled: [...READ_ONLY, ...WRITABLE],
      writable: Object.fromEntries(WRITABLE.map((path) => [path, host.writable])),
    });
    this.#objects.push(this.ptr);
    const { parent = 'root' } = options;
    set('Qdisc', this.ptr, 'parent', PARENTS[parent]);
    set('Qdisc', this.ptr, 'handle', HANDLE);
    set('Qdisc', this.ptr, 'dev_queue', queue);
    this.#toFree = new ToFree(host, make('bpf_sk_buff_ptr', 'the list to_free', ['skb']));
    const extack = make('netlink_ext_ack', 'netlink_ext_ack', []);
    if (!kernel.structOps.get(kdata)) throw new InputError(`qdisc "${id}" is on its way out`);
    host.addQdisc(this);
    // bpf_qdisc_init_prologue
    const result =
      parent === 'root' ? Number(kdata.ops.init?.({ ptr: this.ptr }, 0, { ptr: extack }) ?? 0) : -ERRNO.EINVAL;
    if (result !== 0) {
      // The kernel lets go of what init may have made all the same.
      kdata.ops.destroy?.({ ptr: this.ptr });
      this.#free();
      throw new InputError(
        parent === 'root'
          ? `qdisc "${id}": init answered ${result}`
          : `qdisc "${id}": BPF qdisc only supported on root or mq`,
      );
    }
  }

  #field(path: string): number {
    return this.host.kernel.types.struct('Qdisc').field(path).get(this.ptr);
  }

  /** What the programs say of themselves: packets and bytes that wait, packets that were dropped. */
  get qlen(): number {
    return this.#field('q.qlen');
  }

  get backlog(): number {
    return this.#field('qstats.backlog');
  }

  get limit(): number {
    return this.#field('limit');
  }

  /** Packets and bytes that bpf_qdisc_bstats_update has counted. */
  get counted(): { packets: number; bytes: number } {
    return { packets: this.#bstats('packets'), bytes: this.#bstats('bytes') };
  }

  #bstats(name: 'packets' | 'bytes', add = 0): number {
    const { kernel } = this.host;
    // u64_stats_t: a plain u64 on 64-bit machines.
    const at = this.ptr + kernel.types.struct('Qdisc').field(`bstats.${name}`).offset;
    const value = kernel.memory.u64n(at) + add;
    if (add > 0) kernel.memory.setU64n(at, value);
    return value;
  }

  /** bstats_update */
  countSent(bytes: number): void {
    this.#bstats('bytes', bytes);
    this.#bstats('packets', 1);
  }

  /** dev_qdisc_enqueue: gives a packet away; NET_XMIT_*. What is dropped is freed when the program is over. */
  enqueue(skb: Skb): number {
    const { host } = this;
    host.toFree = this.#toFree;
    try {
      return Number(this.kdata.ops.enqueue!({ ptr: skb.ptr }, { ptr: this.ptr }, { ptr: this.#toFree.ptr }));
    } finally {
      host.toFree = undefined;
      this.#toFree.free();
    }
  }

  /** The packet to send next, if one may go now. */
  dequeue(): Skb | undefined {
    const ptr = Number(this.kdata.ops.dequeue!({ ptr: this.ptr }));
    return ptr === 0 ? undefined : this.host.skbAt(ptr);
  }

  /** qdisc_watchdog_schedule_range_ns: a timer that is set within the slack stays as it is. */
  scheduleWatchdog(expires: number, slack: number): void {
    const { clock } = this.host.kernel;
    if (this.#watchdog?.pending && Math.abs(this.#expires - expires) <= slack && this.#expires >= expires) return;
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    if (expires >= NEVER) return;
    this.#expires = expires;
    this.#watchdog = clock.schedule(expires, () => this.onWatchdog());
  }

  /** qdisc_reset, with the epilogue that stops the watchdog. */
  reset(): void {
    this.kdata.ops.reset!({ ptr: this.ptr });
    this.#watchdog?.cancel();
    const { types } = this.host.kernel;
    for (const path of ['q.qlen', 'qstats.backlog']) types.struct('Qdisc').field(path).set(this.ptr, 0);
  }

  /** qdisc_destroy: reset, destroy, and the memory back. */
  destroy(): void {
    try {
      this.reset();
      this.kdata.ops.destroy!({ ptr: this.ptr });
    } finally {
      this.#free();
    }
  }

  #free(): void {
    this.#watchdog?.cancel();
    this.host.removeQdisc(this);
    for (const ptr of this.#objects) this.host.kernel.freeObject(ptr);
    this.host.kernel.structOps.put(this.kdata);
  }
}
