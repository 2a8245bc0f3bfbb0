import { ERRNO, ErrnoError } from '../../errno.js';
import type { GuestMemory, GuestPtr } from '../../vm/types.js';

/** Where the values of a map lie. */
export interface Mapping {
  ptr: GuestPtr;
  length: number;
}

/** A map's memory as user space sees it through mmap(2). Offsets count from its first byte. */
export class MapMapping implements Mapping {
  readonly ptr: GuestPtr;
  readonly length: number;
  #unmap: (() => void) | null;

  constructor(
    private readonly memory: GuestMemory,
    place: Mapping,
    readonly writable: boolean,
    unmap: () => void,
  ) {
    this.ptr = place.ptr;
    this.length = place.length;
    this.#unmap = unmap;
  }

  /** A copy of the bytes. Throws ErrnoError(EFAULT) outside the mapping. */
  read(offset: number, bytes: number): Uint8Array {
    return this.memory.bytes(this.#at(offset, bytes), bytes).slice();
  }

  /** Throws ErrnoError(EFAULT) outside the mapping, and for one that is read-only. */
  write(offset: number, bytes: Uint8Array): void {
    if (!this.writable) throw new ErrnoError(ERRNO.EFAULT, 'write to a read-only mapping of a map');
    this.memory.bytes(this.#at(offset, bytes.length), bytes.length).set(bytes);
  }

  /** munmap(2): gives the reference to the map back. Once is enough. */
  unmap(): void {
    this.#unmap?.();
    this.#unmap = null;
  }

  #at(offset: number, bytes: number): GuestPtr {
    if (!this.#unmap || offset < 0 || bytes < 0 || offset + bytes > this.length) {
      throw new ErrnoError(ERRNO.EFAULT, `mapping of ${this.length} bytes: ${bytes} bytes at ${offset}`);
    }
    return this.ptr + offset;
  }
}
