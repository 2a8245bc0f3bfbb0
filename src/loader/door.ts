import { ERRNO, ErrnoError } from '../errno.js';
import type { BpfAttr, BpfSyscall, Profile } from '../kernel/types.js';

/** All that the loader asks of a kernel (`Kernel` is one): bpf(2), close(2), unlink(2) of a pin, mmap(2) of a map, what uname and sysfs would say. */
export interface KernelDoor {
  readonly profile: Profile;
  /** Possible CPUs. */
  readonly cpus: number;
  readonly bpf: BpfSyscall;
  /** 0 or -EBADF. */
  close(fd: number): number;
  /** Which tracepoints and functions something raises, so that programs at them run. */
  readonly tracing?: { raises(name: string): boolean };
  /** For messages: the member at which the last update of a struct_ops map was refused. */
  readonly structOps?: { readonly refused: string | undefined };
  /** Removes a pinned path: 0 or -ENOENT. */
  unlink(path: string): number;
  /** Memory of a map: an arena's pages or a BPF_F_MMAPABLE array's values. Throws ErrnoError as mmap(2) fails. */
  mmap(fd: number): MapMemory;
}

/** What consumers and producers of ring buffers ask of a kernel besides. */
export interface EventDoor extends KernelDoor {
  /** `length` bytes from `request.offset` on. */
  mmap(fd: number, length?: number, request?: { offset?: number; write?: boolean }): MapMemory;
  /** Ready events (POLLIN, …) of an fd, or -EBADF. */
  poll(fd: number): number;
  /** perf_event_open(2) of a PERF_COUNT_SW_BPF_OUTPUT event with a ring of so many pages: an fd or -errno. */
  perfEventOpen(cpu: number, pages: number): number;
  /** mmap(2) of such an event, shared: a page of positions and the ring. */
  perfMmap(fd: number): Uint8Array;
  /** Calls `ready` when the file wakes those that wait for it; until the returned function is called. */
  onReady(fd: number, ready: () => void): () => void;
}

/** A mapping of a map's memory. Offsets count from the map's first byte. */
export interface MapMemory {
  /** Arenas: the user address of the first byte, which pointers in the arena count from. */
  readonly address?: bigint | undefined;
  read(offset: number, bytes: number): Uint8Array;
  write(offset: number, bytes: Uint8Array): void;
  unmap(): void;
}

type Cmd = keyof BpfAttr & Parameters<BpfSyscall>[0];

/** Calls bpf(2); throws ErrnoError with `what` when it answers with an errno. */
export function bpf<C extends Cmd>(kernel: KernelDoor, cmd: C, attr: BpfAttr[C], what: string): number {
  const result = kernel.bpf(cmd, attr);
  if (result < 0) throw new ErrnoError(-result, what);
  return result;
}

/** File descriptors and pins of one load: on failure all are given back, newest first; on success the object owns the fds. */
export class FdSet {
  readonly #fds: number[] = [];
  readonly #pins: string[] = [];

  constructor(readonly kernel: KernelDoor) {}

  keep(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }

  /** Closes one early. */
  close(fd: number): void {
    const at = this.#fds.lastIndexOf(fd);
    if (at < 0) throw new ErrnoError(ERRNO.EBADF, `close ${fd}`);
    this.#fds.splice(at, 1);
    this.kernel.close(fd);
  }

  keepPin(path: string): void {
    this.#pins.push(path);
  }

  /** Takes back what was pinned. */
  unpinAll(): void {
    for (let path = this.#pins.pop(); path !== undefined; path = this.#pins.pop()) this.kernel.unlink(path);
  }

  closeAll(): void {
    for (let fd = this.#fds.pop(); fd !== undefined; fd = this.#fds.pop()) this.kernel.close(fd);
  }
}
