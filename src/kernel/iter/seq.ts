import { ERRNO } from '../../errno.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';

/** PAGE_SIZE << 3 (kernel: bpf_seq_read). */
const SEQ_BYTES = 32768;

/** The buffer of a struct seq_file, of which programs see nothing but the address. */
export class SeqBuffer {
  /** struct seq_file */
  readonly ptr: GuestPtr;
  readonly #bytes = new Uint8Array(SEQ_BYTES);
  /** Bytes in it. */
  count = 0;
  /** First of them that was not read yet. */
  from = 0;

  constructor(private readonly kernel: Kernel) {
    this.ptr = kernel.newObject('seq_file', { name: 'a file of an iterator', modelled: [] });
    kernel.seqs.set(this.ptr, this);
  }

  /** seq_has_overflowed() */
  get overflowed(): boolean {
    return this.count === SEQ_BYTES;
  }

  /** Appends all of it or, if it does not fit, nothing: 0 or -EOVERFLOW. */
  write(bytes: Uint8Array): number {
    if (this.count + bytes.length >= SEQ_BYTES) {
      this.count = SEQ_BYTES;
      return -ERRNO.EOVERFLOW;
    }
    this.#bytes.set(bytes, this.count);
    this.count += bytes.length;
    return 0;
  }

  /** Takes up to `size` bytes out. */
  take(size: number): Uint8Array {
    const n = Math.min(this.count, size);
    const out = this.#bytes.slice(this.from, this.from + n);
    this.count -= n;
    this.from += n;
    return out;
  }

  free(): void {
    this.kernel.seqs.delete(this.ptr);
    this.kernel.freeObject(this.ptr);
  }
}
