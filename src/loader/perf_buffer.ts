import { ERRNO, ErrnoError } from '../errno.js';
import type { EventDoor } from './door.js';
import { type MapLike, mapFd } from './map_like.js';

// Samples of bpf_perf_event_output from user space (libbpf: perf_buffer__new and below).

const PAGE = 4096;
const DATA_HEAD = 1024;
const DATA_TAIL = 1032;
const RECORD_LOST = 2;
const RECORD_SAMPLE = 9;
const POLLIN = 1;

export interface PerfBufferCallbacks {
  /** A sample: a copy of its bytes, with the kernel's padding to 4 bytes less than a multiple of 8. */
  sample: (cpu: number, data: Uint8Array) => void;
  /** So many samples found no room since the last that did. */
  lost?: (cpu: number, count: number) => void;
}

interface CpuBuffer {
  cpu: number;
  fd: number;
  memory: Uint8Array;
  dataBytes: number;
}

/** Consumer of a BPF_MAP_TYPE_PERF_EVENT_ARRAY: one ring for each CPU. Made by `new`, ended by `free`. */
export class PerfBuffer {
  readonly #buffers: CpuBuffer[] = [];
  readonly #mapFd: number;

  /**
   * @param pages of each ring, a power of two
   * Throws ErrnoError as perf_buffer__new fails.
   */
  constructor(
    private readonly kernel: EventDoor,
    map: MapLike,
    pages: number,
    private readonly callbacks: PerfBufferCallbacks,
  ) {
    this.#mapFd = mapFd(map);
    if (!(Number.isInteger(pages) && pages > 0 && (pages & (pages - 1)) === 0)) {
      throw new ErrnoError(ERRNO.EINVAL, `perf buffer: page count should be a power of two, but is ${pages}`);
    }
    const info: Record<string, unknown> = {};
    const result = kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: this.#mapFd, info });
    if (result < 0) throw new ErrnoError(-result, `perf buffer: info of fd ${this.#mapFd}`);
    const entries = Math.min(Number(info.max_entries), kernel.cpus);
    try {
      for (let cpu = 0; cpu < entries; cpu++) this.#open(cpu, pages);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  #open(cpu: number, pages: number): void {
    const fd = this.kernel.perfEventOpen(cpu, pages);
    if (fd < 0) throw new ErrnoError(-fd, `perf event of CPU ${cpu}`);
    this.#buffers.push({ cpu, fd, memory: this.kernel.perfMmap(fd), dataBytes: pages * PAGE });
    const bytes = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
    const attr = { map_fd: this.#mapFd, key: bytes(cpu), value: bytes(fd), flags: 0 };
    const result = this.kernel.bpf('MAP_UPDATE_ELEM', attr);
    if (result < 0) throw new ErrnoError(-result, `perf buffer: entry of CPU ${cpu}`);
  }

  /** Hands out what waits on the CPUs that are ready; how many records (perf_buffer__poll with a timeout of 0). */
  poll(): number {
    return this.#consume(this.#buffers.filter(({ fd }) => (this.kernel.poll(fd) & POLLIN) !== 0));
  }

  /** Hands out what waits on every CPU, CPU by CPU (perf_buffer__consume). */
  consume(): number {
    return this.#consume(this.#buffers);
  }

  #consume(buffers: readonly CpuBuffer[]): number {
    let count = 0;
    for (const buffer of buffers) count += this.#drain(buffer);
    return count;
  }

  #drain({ cpu, memory, dataBytes }: CpuBuffer): number {
    const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    const position = (at: number) => Number(view.getBigUint64(at, true));
    let count = 0;
    for (let tail = position(DATA_TAIL); tail < position(DATA_HEAD); count++) {
      const read = (at: number, length: number) =>
        Uint8Array.from({ length }, (_, i) => memory[PAGE + ((tail + at + i) % dataBytes)]!);
      const header = new DataView(read(0, 8).buffer);
      const size = header.getUint16(6, true);
      const body = read(8, size - 8);
      const fields = new DataView(body.buffer);
      tail += size;
      view.setBigUint64(DATA_TAIL, BigInt(tail), true);
      const type = header.getUint32(0, true);
      if (type === RECORD_SAMPLE) this.callbacks.sample(cpu, body.slice(4, 4 + fields.getUint32(0, true)));
      else if (type === RECORD_LOST) this.callbacks.lost?.(cpu, Number(fields.getBigUint64(8, true)));
    }
    return count;
  }

  /** Calls `ready` whenever a sample comes in; until the returned function is called. */
  onReady(ready: () => void): () => void {
    const ends = this.#buffers.map(({ fd }) => this.kernel.onReady(fd, ready));
    return () => {
      for (const end of ends) end();
    };
  }

  free(): void {
    for (const { cpu, fd } of this.#buffers.splice(0)) {
      this.kernel.bpf('MAP_DELETE_ELEM', { map_fd: this.#mapFd, key: new Uint8Array(Uint32Array.of(cpu).buffer) });
      this.kernel.close(fd);
    }
  }
}
