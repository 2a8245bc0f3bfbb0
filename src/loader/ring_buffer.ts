import { ERRNO, ErrnoError } from '../errno.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../uapi.js';
import { bpf, type EventDoor, type MapMemory } from './door.js';
import { type MapLike, mapFd } from './map_like.js';

// Ring buffers from user space (libbpf: src/ringbuf.c), over the two pages of positions and the data that is mapped twice.

const PAGE = 4096;
const BUSY_BIT = 0x80000000;
const DISCARD_BIT = 0x40000000;
const HDR_SZ = 8;
const POLLIN = 1;
/** Of the second mapping: producer_pos, pending_pos and overwrite_pos. */
const OVERWRITE_POS = 16;

/** Takes a record: a copy of its bytes. A negative number that it returns ends the call that hands records out, which returns it. */
export type SampleCallback = (data: Uint8Array) => unknown;

function recordBytes(length: number): number {
  return Math.ceil((length + HDR_SZ) / 8) * 8;
}

function u32(memory: MapMemory, offset: number): number {
  const bytes = memory.read(offset, 4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}

function u64(memory: MapMemory, offset: number): number {
  const bytes = memory.read(offset, 8);
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
}

function storeU64(memory: MapMemory, offset: number, value: number): void {
  memory.write(offset, new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
}

/** Size in bytes and flags of a map of the right type. Throws ErrnoError(EINVAL). */
function describe(kernel: EventDoor, fd: number, type: number): { size: number; flags: number } {
  const info: Record<string, unknown> = {};
  bpf(kernel, 'OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info }, `info of ring buffer fd ${fd}`);
  if (info.type !== type) throw new ErrnoError(ERRNO.EINVAL, `fd ${fd}: map type ${info.type}, not a ring buffer`);
  return { size: Number(info.max_entries), flags: Number(info.map_flags) };
}

/** One BPF_MAP_TYPE_RINGBUF and who takes its records (libbpf: struct ring). */
export class Ring {
  readonly #positions: MapMemory;
  readonly #data: MapMemory;
  readonly #overwrites: boolean;
  /** Bytes that the buffer holds. */
  readonly size: number;

  /** @internal */
  constructor(
    kernel: EventDoor,
    readonly mapFd: number,
    private readonly callback: SampleCallback,
  ) {
    const { size, flags } = describe(kernel, mapFd, BPF_MAP_TYPE.RINGBUF);
    this.size = size;
    this.#overwrites = (flags & BPF_MAP_FLAG.RB_OVERWRITE) !== 0;
    this.#positions = kernel.mmap(mapFd, PAGE, { offset: 0, write: true });
    this.#data = kernel.mmap(mapFd, PAGE + 2 * size, { offset: PAGE, write: false });
  }

  get consumerPos(): number {
    return u64(this.#positions, 0);
  }

  get producerPos(): number {
    return u64(this.#data, 0);
  }

  /** Bytes that wait, headers included. */
  get availDataSize(): number {
    return this.producerPos - this.#oldest();
  }

  /** The consumer's position, or that of the oldest record which a buffer in overwrite mode still has. */
  #oldest(): number {
    const position = this.consumerPos;
    return this.#overwrites ? Math.max(position, u64(this.#data, OVERWRITE_POS)) : position;
  }

  /**
   * Hands out at most `limit` records, up to one that is still being written; how many, or the callback's negative result
   * (libbpf: ringbuf_process_ring).
   */
  consume(limit = Number.POSITIVE_INFINITY): number {
    let count = 0;
    for (let position = this.#oldest(); position < this.producerPos; ) {
      const at = PAGE + (position % this.size);
      const word = u32(this.#data, at);
      if ((word & BUSY_BIT) !== 0) break;
      const length = (word & ~DISCARD_BIT) >>> 0;
      const next = position + recordBytes(length);
      const data = (word & DISCARD_BIT) === 0 ? this.#data.read(at + HDR_SZ, length) : undefined;
      storeU64(this.#positions, 0, next);
      if (data) {
        const result = this.callback(data);
        if (typeof result === 'number' && result < 0) return result;
        if (++count >= limit) break;
      }
      // A callback may have run programs, which in overwrite mode give up old records.
      position = this.#overwrites ? this.#oldest() : next;
    }
    return count;
  }

  /** @internal */
  free(): void {
    this.#positions.unmap();
    this.#data.unmap();
  }
}

/** Consumer of one or more ring buffers (libbpf: struct ring_buffer). Made by `new`, ended by `free`. */
export class RingBuffer {
  readonly #rings: Ring[] = [];

  /** @param map a BPF_MAP_TYPE_RINGBUF: a map of a loaded object, or an fd. Throws ErrnoError as ring_buffer__new fails. */
  constructor(
    private readonly kernel: EventDoor,
    map: MapLike,
    callback: SampleCallback,
  ) {
    this.add(map, callback);
  }

  get rings(): readonly Ring[] {
    return this.#rings;
  }

  /** A further map (ring_buffer__add). */
  add(map: MapLike, callback: SampleCallback): Ring {
    const ring = new Ring(this.kernel, mapFd(map), callback);
    this.#rings.push(ring);
    return ring;
  }

  /**
   * Hands out what waits in the maps that are ready; how many records, or a callback's negative result. Nothing else runs
   * meanwhile, so there is nothing to wait for (ring_buffer__poll with a timeout of 0); onReady tells when to poll.
   */
  poll(): number {
    return this.#consume(
      this.#rings.filter(({ mapFd }) => (this.kernel.poll(mapFd) & POLLIN) !== 0),
      Number.POSITIVE_INFINITY,
    );
  }

  /** Hands out what waits in every map, whether it asked for a wake-up or not (ring_buffer__consume). */
  consume(): number {
    return this.#consume(this.#rings, Number.POSITIVE_INFINITY);
  }

  /** At most `limit` records of all maps together (ring_buffer__consume_n). */
  consumeN(limit: number): number {
    return this.#consume(this.#rings, limit);
  }

  #consume(rings: readonly Ring[], limit: number): number {
    let count = 0;
    for (const ring of rings) {
      if (count >= limit) break;
      const taken = ring.consume(limit - count);
      if (taken < 0) return taken;
      count += taken;
    }
    return count;
  }

  /** Calls `ready` whenever a program wakes the consumer; until the returned function is called. */
  onReady(ready: () => void): () => void {
    const ends = this.#rings.map(({ mapFd }) => this.kernel.onReady(mapFd, ready));
    return () => {
      for (const end of ends) end();
    };
  }

  free(): void {
    for (const ring of this.#rings.splice(0)) ring.free();
  }
}

/** A record of a UserRingBuffer that is being written. */
export interface UserSample {
  /** Bytes to be filled before submit. */
  readonly data: Uint8Array;
  /** @internal Position of its header. */
  readonly position: number;
}

/** Producer of a BPF_MAP_TYPE_USER_RINGBUF, which programs drain (libbpf: struct user_ring_buffer). */
export class UserRingBuffer {
  readonly #consumer: MapMemory;
  readonly #data: MapMemory;
  readonly #size: number;

  /** Throws ErrnoError as user_ring_buffer__new fails. */
  constructor(kernel: EventDoor, map: MapLike) {
    const fd = mapFd(map);
    const { size } = describe(kernel, fd, BPF_MAP_TYPE.USER_RINGBUF);
    this.#size = size;
    this.#consumer = kernel.mmap(fd, PAGE, { offset: 0, write: false });
    this.#data = kernel.mmap(fd, PAGE + 2 * size, { offset: PAGE, write: true });
  }

  /**
   * Room for a sample of `size` bytes; null if there is not enough now. Throws ErrnoError(E2BIG) if there never is
   * (user_ring_buffer__reserve).
   */
  reserve(size: number): UserSample | null {
    if (!(Number.isInteger(size) && size >= 0) || size >= DISCARD_BIT) {
      throw new ErrnoError(ERRNO.E2BIG, `sample of ${size} bytes`);
    }
    const bytes = recordBytes(size);
    if (bytes > this.#size) throw new ErrnoError(ERRNO.E2BIG, `sample of ${size} bytes`);
    const position = u64(this.#data, 0);
    if (this.#size - (position - u64(this.#consumer, 0)) < bytes) return null;
    this.#header(position, (size | BUSY_BIT) >>> 0);
    storeU64(this.#data, 0, position + bytes);
    return { data: new Uint8Array(size), position };
  }

  /** Lets programs see the sample. */
  submit(sample: UserSample): void {
    this.#data.write(PAGE + (sample.position % this.#size) + HDR_SZ, sample.data);
    this.#header(sample.position, sample.data.length);
  }

  /** Gives the sample up: programs skip it. */
  discard(sample: UserSample): void {
    this.#header(sample.position, (sample.data.length | DISCARD_BIT) >>> 0);
  }

  #header(position: number, word: number): void {
    this.#data.write(PAGE + (position % this.#size), new Uint8Array(Uint32Array.of(word, 0).buffer));
  }

  free(): void {
    this.#consumer.unmap();
    this.#data.unmap();
  }
}
