import { ERRNO, ErrnoError } from '../../errno.js';
import type { GuestMemory, GuestPtr } from '../../vm/types.js';

/** Where the values of a map lie in guest memory: `count` elements of `bytes` bytes, `stride` apart. */
export interface Mapping {
  ptr: GuestPtr;
  bytes: number;
  stride: number;
  count: number;
  /** Arenas: the user address of the first byte. */
  address?: bigint;
  /** False: user space may only read. */
  writable?: boolean;
  /** Where an element lies that is no multiple of the stride away. Arenas allocate the page, or throw ErrnoError(EFAULT). */
  element?: (index: number) => GuestPtr;
}

/**
 * A map's memory as user space sees it through mmap(2): element after element without the redzones between them. Offsets
 * count from the mapping's first byte.
 */
export class MapMapping {
  /** Bytes. */
  readonly length: number;
  #unmap: (() => void) | null;

  constructor(
    private readonly memory: GuestMemory,
    private readonly place: Mapping,
    readonly writable: boolean,
    unmap: () => void,
    length = Number.POSITIVE_INFINITY,
    /** First byte of the map that the mapping shows. */
    private readonly offset = 0,
  ) {
    this.length = Math.min(length, place.bytes * place.count - offset);
    this.#unmap = unmap;
  }

  /** Guest address of the first element; 0 for an arena, whose pages come and go. */
  get ptr(): GuestPtr {
    return this.place.ptr;
  }

  /** User address of the first byte, which pointers in an arena count from; undefined for other maps. */
  get address(): bigint | undefined {
    return this.place.address;
  }

  /** A copy of the bytes. Throws ErrnoError(EFAULT) outside the mapping, and for pages that an arena does not hand out. */
  read(offset: number, bytes: number): Uint8Array {
    const result = new Uint8Array(Math.max(bytes, 0));
    this.#pieces(offset, bytes, (piece, at) => result.set(piece, at));
    return result;
  }

  /** Throws ErrnoError(EFAULT) outside the mapping, and for one that is read-only. */
  write(offset: number, bytes: Uint8Array): void {
    if (!this.writable) throw new ErrnoError(ERRNO.EFAULT, 'write to a read-only mapping of a map');
    this.#pieces(offset, bytes.length, (piece, at) => piece.set(bytes.subarray(at, at + piece.length)));
  }

  /** munmap(2): gives the reference to the map back. Once is enough. */
  unmap(): void {
    this.#unmap?.();
    this.#unmap = null;
  }

  /** The range's bytes in guest memory, element by element, with their place in the range. */
  #pieces(offset: number, bytes: number, visit: (piece: Uint8Array, at: number) => void): void {
    if (!this.#unmap || offset < 0 || bytes < 0 || offset + bytes > this.length) {
      throw new ErrnoError(ERRNO.EFAULT, `mapping of ${this.length} bytes: ${bytes} bytes at ${offset}`);
    }
    const { ptr, stride, bytes: size } = this.place;
    const start = this.place.element ?? ((index) => ptr + index * stride);
    const first = this.offset + offset;
    for (let at = 0; at < bytes; ) {
      const within = (first + at) % size;
      const take = Math.min(size - within, bytes - at);
      const element = Math.floor((first + at) / size);
      visit(this.memory.bytes(start(element) + within, take), at);
      at += take;
    }
  }
}
