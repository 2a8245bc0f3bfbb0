import { ACCESS_FREED, ACCESS_NONE, ACCESS_RW } from '../../../assembly/abi.js';
import { ERRNO } from '../../errno.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../uapi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../link.js';
import { HostMap } from './host_map.js';
import type { BpfMap, MapCreateAttr, MmapRequest } from './map.js';
import type { Mapping } from './mapping.js';

// Ring buffers (kernel: kernel/bpf/ringbuf.c, 7.3). In guest memory, and in user space's mapping, they lie like this:
//
//   | consumer_pos | producer_pos, pending_pos, overwrite_pos | data | data again |
//     page 0         page 1                                     N      N
//
// A record is a header of { u32 length and bits, u32 page offset } and its bytes, rounded up to 8. In the kernel the second
// copy is the first one mapped again. Here a record that wraps lies in the second copy as far as it wraps: commit and drain
// move that part, and the mapping shows the first copy twice.

const PAGE = 4096;
const META = 2 * PAGE;
const CONSUMER = 0;
const PRODUCER = PAGE;
const PENDING = PAGE + 8;
const OVERWRITE = PAGE + 16;
/** Pages of struct bpf_ringbuf before the consumer's (RINGBUF_PGOFF). */
const PGOFF = 1;

export const BPF_RINGBUF_BUSY_BIT = 0x80000000;
export const BPF_RINGBUF_DISCARD_BIT = 0x40000000;
export const BPF_RINGBUF_HDR_SZ = 8;
const RINGBUF_MAX_RECORD_SZ = Math.floor(0xffffffff / 4);

export const BPF_RB_NO_WAKEUP = 1;
export const BPF_RB_FORCE_WAKEUP = 2;

/** What bpf_ringbuf_query asks for, by its flags. */
const QUERY = { AVAIL_DATA: 0, RING_SIZE: 1, CONS_POS: 2, PROD_POS: 3, OVERWRITE_POS: 4 };

function recordBytes(length: number): number {
  return Math.ceil((length + BPF_RINGBUF_HDR_SZ) / 8) * 8;
}

/** Kernel: ringbuf_map_alloc; there is no alloc_check. */
export function ringbufMapAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  const { ringbufOverwrite } = kernel.profile.behaviours;
  const known = BPF_MAP_FLAG.NUMA_NODE | (ringbufOverwrite ? BPF_MAP_FLAG.RB_OVERWRITE : 0);
  if ((attr.map_flags & ~known) !== 0) return -ERRNO.EINVAL;
  const user = attr.map_type === BPF_MAP_TYPE.USER_RINGBUF;
  if ((attr.map_flags & BPF_MAP_FLAG.RB_OVERWRITE) !== 0 && user) return -ERRNO.EINVAL;
  const bytes = attr.max_entries;
  const powerOfTwo = bytes !== 0 && 2 ** Math.floor(Math.log2(bytes)) === bytes;
  if (attr.key_size !== 0 || attr.value_size !== 0 || !powerOfTwo || bytes % PAGE !== 0) return -ERRNO.EINVAL;
  return user ? new UserRingbufMap(kernel, attr) : new RingbufMap(kernel, attr);
}

abstract class Ring extends HostMap {
  /** Guest address of page 0 of the layout above. */
  protected readonly area: GuestPtr;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    const name = `ring buffer "${attr.map_name}"`;
    try {
      this.area = kernel.memory.alloc(META + 2 * attr.max_entries, { align: 16, access: ACCESS_NONE, name });
    } catch (error) {
      super.freeMap();
      throw error;
    }
  }

  protected get mask(): number {
    return this.maxEntries - 1;
  }

  get consumerPos(): number {
    return this.kernel.memory.u64n(this.area + CONSUMER);
  }

  get producerPos(): number {
    return this.kernel.memory.u64n(this.area + PRODUCER);
  }

  /** Where the record at this position begins. */
  protected header(position: number): GuestPtr {
    return this.area + META + (position % this.maxEntries);
  }

  /** Bytes of a record that begins at `header` beyond the first copy. */
  protected wrapped(header: GuestPtr, length: number): number {
    return Math.max(header + BPF_RINGBUF_HDR_SZ + length - (this.area + META + this.maxEntries), 0);
  }

  protected firstCopy(bytes: number): Uint8Array {
    return this.kernel.memory.bytes(this.area + META, bytes);
  }

  protected secondCopy(bytes: number): Uint8Array {
    return this.kernel.memory.bytes(this.area + META + this.maxEntries, bytes);
  }

  override lookupElem(): number {
    return -ERRNO.ENOTSUPP;
  }

  override updateElem(): number {
    return -ERRNO.ENOTSUPP;
  }

  override deleteElem(): number {
    return -ERRNO.ENOTSUPP;
  }

  override nextKey(): number {
    return -ERRNO.ENOTSUPP;
  }

  /** True if user space may write to such a part of the mapping. */
  protected abstract mayWrite(offset: number, length: number): boolean;

  override mmap(length: number | undefined, { offset = 0, write }: MmapRequest = {}): Mapping | number {
    const whole = META + 2 * this.maxEntries;
    const allowed = this.mayWrite(offset, length ?? whole - offset);
    if (write === true && !allowed) return -ERRNO.EPERM;
    const pages = this.maxEntries / PAGE;
    return {
      ptr: this.area,
      bytes: PAGE,
      stride: PAGE,
      count: whole / PAGE,
      writable: allowed,
      element: (index) => this.area + (index < 2 ? index : 2 + ((index - 2) % pages)) * PAGE,
    };
  }

  protected override freeMap(): void {
    super.freeMap();
    this.kernel.memory.free(this.area);
  }
}

/** BPF_MAP_TYPE_RINGBUF: programs produce, user space consumes. */
export class RingbufMap extends Ring {
  protected override mayWrite(offset: number, length: number): boolean {
    return offset === 0 && length === PAGE;
  }

  get #overwrites(): boolean {
    return (this.flags & BPF_MAP_FLAG.RB_OVERWRITE) !== 0;
  }

  get overwritePos(): number {
    return this.kernel.memory.u64n(this.area + OVERWRITE);
  }

  /** A record's bytes, which the program may write until commit; 0 if there is no room (kernel: __bpf_ringbuf_reserve). */
  reserve(size: number): GuestPtr {
    const { memory } = this.kernel;
    if (size > RINGBUF_MAX_RECORD_SZ) return 0;
    const bytes = recordBytes(size);
    if (bytes > this.maxEntries) return 0;
    const producer = this.producerPos;
    const next = producer + bytes;
    const pending = this.#committedUpTo(producer);
    memory.setU64n(this.area + PENDING, pending);
    if (next - pending > this.mask) return 0;
    const ahead = next - this.consumerPos;
    // A consumer position from beyond the producer's is far behind in 64 bits.
    if (!this.#overwrites && (ahead > this.mask || ahead < 0)) return 0;
    if (this.#overwrites) this.#dropUpTo(next);
    const header = this.header(producer);
    memory.setU32(header, (size | BPF_RINGBUF_BUSY_BIT) >>> 0);
    memory.setU32(header + 4, PGOFF + Math.floor((header - this.area) / PAGE));
    memory.setU64n(this.area + PRODUCER, next);
    const sample = header + BPF_RINGBUF_HDR_SZ;
    if (size > 0) memory.setAccess(sample, size, ACCESS_RW);
    return sample;
  }

  /** Where the oldest record that is still being written begins. */
  #committedUpTo(producer: number): number {
    let position = this.kernel.memory.u64n(this.area + PENDING);
    while (producer - position > 0) {
      const length = this.kernel.memory.u32(this.header(position));
      if ((length & BPF_RINGBUF_BUSY_BIT) !== 0) break;
      position += recordBytes(length & ~BPF_RINGBUF_DISCARD_BIT);
    }
    return position;
  }

  /** Gives up the oldest records that a new one up to this position writes over. */
  #dropUpTo(next: number): void {
    let position = this.overwritePos;
    while (next - position > this.mask) {
      position += recordBytes(this.kernel.memory.u32(this.header(position)) & ~BPF_RINGBUF_DISCARD_BIT);
    }
    this.kernel.memory.setU64n(this.area + OVERWRITE, position);
  }

  /** Kernel: bpf_ringbuf_commit. `sample` is one that reserve gave and that was not committed. */
  commit(sample: GuestPtr, flags: number, discard: boolean): void {
    const { memory } = this.kernel;
    const header = sample - BPF_RINGBUF_HDR_SZ;
    const length = (memory.u32(header) & ~BPF_RINGBUF_BUSY_BIT) >>> 0;
    memory.setU32(header, (discard ? length | BPF_RINGBUF_DISCARD_BIT : length) >>> 0);
    const wrapped = this.wrapped(header, length);
    if (wrapped > 0) this.firstCopy(wrapped).set(this.secondCopy(wrapped));
    if (length > 0) memory.setAccess(sample, Math.ceil(length / 8) * 8, ACCESS_FREED);
    const caughtUp = this.header(this.consumerPos) === header;
    if ((flags & BPF_RB_FORCE_WAKEUP) !== 0 || (caughtUp && (flags & BPF_RB_NO_WAKEUP) === 0)) this.waiters.wake();
  }

  /** Kernel: bpf_ringbuf_query. Positions that user space wrote may be any u64. */
  query(what: number): bigint {
    const { memory } = this.kernel;
    switch (what) {
      case QUERY.AVAIL_DATA: {
        const available = (since: number) =>
          BigInt.asUintN(64, memory.u64(this.area + PRODUCER) - memory.u64(this.area + since));
        const unread = available(CONSUMER);
        const kept = available(OVERWRITE);
        return this.#overwrites && kept < unread ? kept : unread;
      }
      case QUERY.RING_SIZE:
        return BigInt(this.maxEntries);
      case QUERY.CONS_POS:
        return memory.u64(this.area + CONSUMER);
      case QUERY.PROD_POS:
        return memory.u64(this.area + PRODUCER);
      case QUERY.OVERWRITE_POS:
        return this.kernel.profile.behaviours.ringbufOverwrite ? memory.u64(this.area + OVERWRITE) : 0n;
      default:
        return 0n;
    }
  }

  override poll(): number {
    return this.query(QUERY.AVAIL_DATA) === 0n ? 0 : POLLIN | POLLRDNORM;
  }
}

/** A sample of user space's that a program is to see. */
export interface UserSample {
  ptr: GuestPtr;
  bytes: number;
}

/** BPF_MAP_TYPE_USER_RINGBUF: user space produces, programs drain. */
export class UserRingbufMap extends Ring {
  /** A program is draining it (kernel: rb->busy). */
  busy = false;

  protected override mayWrite(offset: number): boolean {
    return offset !== 0;
  }

  /**
   * The next sample, open to the program until `release`; `empty`, `skipped` for one that user space discarded, or -errno
   * (kernel: __bpf_user_ringbuf_peek).
   */
  peek(maxBytes: number): UserSample | 'empty' | 'skipped' | number {
    const { memory } = this.kernel;
    const producer = this.producerPos;
    if (memory.u32(this.area + PRODUCER) % 8 !== 0) return -ERRNO.EINVAL;
    const consumer = this.consumerPos;
    if (consumer >= producer) return 'empty';
    const header = this.header(consumer);
    const word = memory.u32(header);
    const bytes = (word & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT)) >>> 0;
    const total = recordBytes(bytes);
    if (total > producer - consumer) return -ERRNO.EINVAL;
    if (total > this.maxEntries || bytes > maxBytes) return -ERRNO.E2BIG;
    if ((word & BPF_RINGBUF_DISCARD_BIT) !== 0) {
      memory.setU64n(this.area + CONSUMER, consumer + total);
      return 'skipped';
    }
    if ((word & BPF_RINGBUF_BUSY_BIT) !== 0) return 'empty';
    const wrapped = this.wrapped(header, bytes);
    if (wrapped > 0) this.secondCopy(wrapped).set(this.firstCopy(wrapped));
    const ptr = header + BPF_RINGBUF_HDR_SZ;
    if (bytes > 0) memory.setAccess(ptr, bytes, ACCESS_RW);
    return { ptr, bytes };
  }

  /** Kernel: __bpf_user_ringbuf_sample_release. */
  doneWith({ ptr, bytes }: UserSample): void {
    const { memory } = this.kernel;
    if (bytes > 0) memory.setAccess(ptr, Math.ceil(bytes / 8) * 8, ACCESS_NONE);
    memory.setU64n(this.area + CONSUMER, this.consumerPos + recordBytes(bytes));
  }

  /** Tells waiting producers that there is room. */
  drained(): void {
    this.waiters.wake();
  }

  override poll(): number {
    return this.producerPos - this.consumerPos < this.maxEntries ? POLLOUT | POLLWRNORM : 0;
  }
}
