import { checkArgument } from '../argument.js';
import { ERRNO } from '../errno.js';
import { VmtableError } from '../errors.js';
import type { Kdata, Kernel } from '../kernel/index.js';
import type { AccessClass, GuestPtr, HostCall } from '../vm/types.js';
import { registerQdiscKfuncs } from './kfuncs.js';
import type { Qdisc, ToFree } from './qdisc.js';
import { type Skb, SkbLayout } from './skb.js';
import { structOpsDef } from './struct_ops.js';

/** Disciplines that net/sched always brings (pktsched_init). */
const ALWAYS = ['pfifo_fast', 'pfifo', 'bfifo', 'pfifo_head_drop', 'mq', 'noqueue'];

/**
 * Queueing disciplines on one kernel: the struct_ops type Qdisc_ops, its kfuncs, the list of disciplines, and the packets that
 * they hold. Throws UnsupportedError for a kernel without it (before 6.16).
 */
export class QdiscHost {
  /** Access class of the fields that programs may write. */
  readonly writable: AccessClass;
  readonly skbs: SkbLayout;
  /** The list that the running enqueue may add to. */
  toFree: ToFree | undefined;
  /** By id; null for the kernel's own, which are not modelled. */
  readonly #registered: Map<string, Kdata | null>;
  readonly #skbs = new Map<GuestPtr, Skb>();
  readonly #qdiscs = new Map<GuestPtr, Qdisc>();

  constructor(readonly kernel: Kernel) {
    this.writable = kernel.newAccessClass();
    this.skbs = new SkbLayout(kernel, this.writable);
    const own = Object.entries(kernel.profile.behaviours.config)
      .filter(([option, value]) => /^CONFIG_NET_SCH_(?!BPF$|DEFAULT$|FIFO$)/.test(option) && value === 'y')
      .map(([option]) => option.replace('CONFIG_NET_SCH_', '').toLowerCase());
    this.#registered = new Map([...ALWAYS, ...own].map((id) => [id, null]));
    kernel.registerStructOps(structOpsDef(this));
    registerQdiscKfuncs(this);
    kernel.dtors.register('sk_buff', (ptr) => this.#skbs.get(ptr)?.drop('freed'));
  }

  /** Ids, in order of registration. */
  get ids(): string[] {
    return [...this.#registered.keys()];
  }

  find(id: string): Kdata | null | undefined {
    return this.#registered.get(id);
  }

  /** register_qdisc */
  register(kdata: Kdata): number {
    const id = String(kdata.get('id'));
    if (this.#registered.has(id)) return -ERRNO.EEXIST;
    this.#registered.set(id, kdata);
    return 0;
  }

  /** unregister_qdisc: devices keep what they use. */
  unregister(kdata: Kdata): void {
    for (const [id, registered] of this.#registered) {
      if (registered?.ptr === kdata.ptr) this.#registered.delete(id);
    }
  }

  /** @internal */
  addSkb(skb: Skb): void {
    this.#skbs.set(skb.ptr, skb);
  }

  /** @internal */
  removeSkb(skb: Skb): void {
    this.#skbs.delete(skb.ptr);
  }

  /** @internal */
  addQdisc(qdisc: Qdisc): void {
    this.#qdiscs.set(qdisc.ptr, qdisc);
  }

  /** @internal */
  removeQdisc(qdisc: Qdisc): void {
    this.#qdiscs.delete(qdisc.ptr);
  }

  skbAt(ptr: GuestPtr): Skb | undefined {
    return this.#skbs.get(ptr);
  }

  /** The packet that an argument points to; anything else stops the program. */
  skbOf(call: HostCall, index: number): Skb {
    const ptr = call.ptr(index);
    return this.#skbs.get(ptr) ?? call.fail(new VmtableError(notA('sk_buff', call, index, ptr)));
  }

  /** The same for a packet that the program owns and gives away with the call (KF_RELEASE). */
  releasedSkb(call: HostCall, index: number): Skb {
    const skb = this.skbOf(call, index);
    if (!this.kernel.held.release('reference', skb.ptr)) {
      call.fail(new VmtableError(`argument ${index + 1}: the program does not own this ${skb.name}`));
    }
    return skb;
  }

  qdiscOf(call: HostCall, index: number): Qdisc {
    const ptr = call.ptr(index);
    return this.#qdiscs.get(ptr) ?? call.fail(new VmtableError(notA('Qdisc', call, index, ptr)));
  }
}

function notA(struct: string, call: HostCall, index: number, ptr: GuestPtr): string {
  return `argument ${index + 1}: no live ${struct} but ${ptr === 0 ? 'NULL' : call.memory.describe(ptr)}`;
}

/** Adds queueing disciplines to a kernel. */
export function addQdisc(kernel: Kernel): QdiscHost {
  checkArgument('addQdisc: kernel', kernel, 'kernel');
  return new QdiscHost(kernel);
}
