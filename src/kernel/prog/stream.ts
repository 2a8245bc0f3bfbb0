import { ERRNO } from '../../errno.js';
import type { HostCall } from '../../vm/types.js';
import { baseName } from '../fault_of.js';
import { MAX_BPRINTF_BUF } from '../helper/bprintf.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from './prog.js';
import { programStack, symbol } from './text.js';

// Streams of a program (kernel: kernel/bpf/stream.c, 6.17): what it prints for whoever holds its fd.

export const BPF_STREAM_MAX_CAPACITY = 100_000;
export const BPF_STDOUT = 1;
export const BPF_STDERR = 2;
/** No report is shorter than that. */
const SHORTEST_REPORT = 100;

const encoder = new TextEncoder();

class ProgStream {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  /** 0, -ENOSPC when the reader is too far behind, -ENOMEM for a text that no print buffer holds. */
  push(text: string): number {
    const bytes = encoder.encode(text);
    if (this.#bytes + bytes.length >= BPF_STREAM_MAX_CAPACITY) return -ERRNO.ENOSPC;
    // The kernel has counted the bytes by now and does not take them back.
    this.#bytes += bytes.length;
    if (bytes.length > MAX_BPRINTF_BUF) return -ERRNO.ENOMEM;
    this.#pieces.push(bytes);
    return 0;
  }

  /** Several texts at once, all of them or none (kernel: bpf_stream_stage_commit). */
  pushAll(texts: readonly string[]): void {
    const pieces = texts.map((text) => encoder.encode(text)).filter(({ length }) => length <= MAX_BPRINTF_BUF);
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    if (this.#bytes + bytes >= BPF_STREAM_MAX_CAPACITY) return;
    this.#bytes += bytes;
    this.#pieces.push(...pieces);
  }

  /** Bytes that it would still take. */
  get room(): number {
    return BPF_STREAM_MAX_CAPACITY - this.#bytes;
  }

  /** Takes the oldest bytes; how many. Room is free again when a piece has been read whole. */
  read(to: Uint8Array): number {
    let at = 0;
    while (at < to.length) {
      const piece = this.#pieces[0];
      if (!piece) break;
      const left = piece.subarray(this.#consumed);
      const taken = Math.min(left.length, to.length - at);
      to.set(left.subarray(0, taken), at);
      at += taken;
      this.#consumed += taken;
      if (this.#consumed < piece.length) break;
      this.#pieces.shift();
      this.#bytes -= piece.length;
      this.#consumed = 0;
    }
    return at;
  }

  #consumed = 0;
}

const streams = new WeakMap<BpfProg, ReadonlyMap<number, ProgStream>>();

/** A program's streams by BPF_STDOUT and BPF_STDERR. */
export function streamsOf(prog: BpfProg): ReadonlyMap<number, ProgStream> {
  let own = streams.get(prog);
  if (!own) {
    own = new Map([BPF_STDOUT, BPF_STDERR].map((id) => [id, new ProgStream()]));
    streams.set(prog, own);
  }
  return own;
}

/** Who runs, and the programs on the kernel's stack (kernel: bpf_stream_dump_stack). */
export function stackDump(kernel: Kernel, chain: HostCall['chain']): string[] {
  const { pid, comm, uid } = kernel.current;
  const levels = programStack(kernel, chain).map((level) => {
    const line = level.prog.line(level.insn);
    return `${symbol(level)}\n${line ? `  ${line.text.trimStart()} @ ${baseName(line.file)}:${line.line}\n` : ''}`;
  });
  return [`CPU: ${kernel.currentCpu} UID: ${uid} PID: ${pid} Comm: ${comm}\n`, 'Call trace:\n', ...levels, '\n'];
}

/**
 * An arena page that a program accesses is not there: it goes on, and its BPF_STDERR says so (kernel:
 * bpf_prog_report_arena_violation).
 */
export function reportArenaViolation(kernel: Kernel, chain: HostCall['chain'], address: bigint, write: boolean): void {
  const prog = chain[0] && kernel.progOf(chain[0].prog);
  const stream = prog && streamsOf(prog).get(BPF_STDERR);
  if (!stream || stream.room < SHORTEST_REPORT) return;
  const what = `ERROR: Arena ${write ? 'WRITE' : 'READ'} access at unmapped address 0x${address.toString(16)}\n`;
  stream.pushAll([what, ...stackDump(kernel, chain)]);
}

/** BPF_PROG_STREAM_READ_BY_FD: bytes read (6.17). */
export function progStreamRead(
  kernel: Kernel,
  attr: { prog_fd: number; stream_id: number; stream_buf: Uint8Array },
): number {
  const prog = kernel.fds.prog(attr.prog_fd);
  if (typeof prog === 'number') return prog;
  const stream = streamsOf(prog).get(attr.stream_id);
  if (!stream) return -ERRNO.ENOENT;
  return attr.stream_buf === undefined ? -ERRNO.EFAULT : stream.read(attr.stream_buf);
}
