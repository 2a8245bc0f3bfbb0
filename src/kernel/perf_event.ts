import type { Kernel } from './kernel.js';
import { POLLIN } from './link.js';
import { WaitQueue } from './wait_queue.js';

// Software events of the kind PERF_COUNT_SW_BPF_OUTPUT, each with the ring of its CPU (kernel: kernel/events/core.c,
// ring_buffer.c). What user space maps is a page of positions and then the data:
//
//   | ... data_head (1024) | data_tail (1032) ... | data, a power of two of pages |
//
// A record is { u32 type, u16 misc, u16 size } and its body, a multiple of 8 bytes; records wrap.

export const PERF_PAGE = 4096;
export const PERF_DATA_HEAD = 1024;
export const PERF_DATA_TAIL = 1032;
export const PERF_RECORD_LOST = 2;
export const PERF_RECORD_SAMPLE = 9;
const PERF_RECORD_MISC_KERNEL = 1;
const HEADER = 8;
const LOST_BYTES = HEADER + 16;
/** A record's size is a u16. */
export const PERF_MAX_RAW = 0xffff - 7 - HEADER - 4;

/** Bytes of a sample's raw data with the padding that the kernel counts as data. */
function paddedRaw(bytes: number): number {
  return Math.ceil((bytes + 4) / 8) * 8 - 4;
}

export class PerfEvent {
  readonly fdKind = 'file';
  /** Whoever sleeps on its file. */
  readonly waiters: WaitQueue;
  /** The mapping: positions and data. */
  readonly memory: Uint8Array;
  readonly #view: DataView;
  readonly #dataBytes: number;
  #head = 0;
  #lost = 0;

  constructor(
    readonly kernel: Kernel,
    readonly id: number,
    readonly cpu: number,
    pages: number,
  ) {
    this.waiters = new WaitQueue(kernel.rcu);
    this.#dataBytes = pages * PERF_PAGE;
    this.memory = new Uint8Array(PERF_PAGE + this.#dataBytes);
    this.#view = new DataView(this.memory.buffer);
  }

  /** perf_event_output of a sample with PERF_SAMPLE_RAW alone; false when there is no room and the sample is counted as lost. */
  output(raw: Uint8Array): boolean {
    const padded = paddedRaw(raw.length);
    const size = HEADER + 4 + padded;
    const lost = this.#lost > 0 ? LOST_BYTES : 0;
    if (this.#room() < size + lost) {
      this.#lost++;
      return false;
    }
    if (lost > 0) {
      const body = new Uint8Array(BigUint64Array.of(BigInt(this.id), BigInt(this.#lost)).buffer);
      this.#record(PERF_RECORD_LOST, 0, body);
      this.#lost = 0;
    }
    const body = new Uint8Array(4 + padded);
    new DataView(body.buffer).setUint32(0, padded, true);
    body.set(raw, 4);
    this.#record(PERF_RECORD_SAMPLE, PERF_RECORD_MISC_KERNEL, body);
    // wakeup_events is 1: each sample wakes.
    this.waiters.wake();
    return true;
  }

  /** Kernel: CIRC_SPACE: one byte always stays free. */
  #room(): number {
    const tail = Number(this.#view.getBigUint64(PERF_DATA_TAIL, true) % BigInt(this.#dataBytes));
    return (tail - (this.#head % this.#dataBytes) - 1 + this.#dataBytes) % this.#dataBytes;
  }

  #record(type: number, misc: number, body: Uint8Array): void {
    const header = new Uint8Array(HEADER);
    const view = new DataView(header.buffer);
    view.setUint32(0, type, true);
    view.setUint16(4, misc, true);
    view.setUint16(6, HEADER + body.length, true);
    for (const part of [header, body]) {
      for (const byte of part) this.memory[PERF_PAGE + (this.#head++ % this.#dataBytes)] = byte;
    }
    this.#view.setBigUint64(PERF_DATA_HEAD, BigInt(this.#head), true);
  }

  poll(): number {
    return this.#view.getBigUint64(PERF_DATA_TAIL, true) < BigInt(this.#head) ? POLLIN : 0;
  }

  release(): void {}
}
