const utf8 = new TextDecoder();

/**
 * The few methods of Node's Buffer that elfy 1.0.0 and endian-reader 0.3.0 call, over any Uint8Array, so that elfy runs
 * where there is no Buffer. Slices share memory. Reads past the end throw RangeError, as Buffer's do.
 */
export class ElfyBytes extends Uint8Array {
  static over(bytes: Uint8Array): ElfyBytes {
    return new ElfyBytes(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
  }
  override slice(start?: number, end?: number): ElfyBytes {
    const from = start ?? 0;
    const view = this.subarray(from, end ?? this.length);
    return new ElfyBytes(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
  }
  override toString(): string {
    return utf8.decode(this);
  }
  readUInt8(offset: number): number {
    this.#check(offset, 1);
    return this[offset] as number;
  }
  readUInt16LE(offset: number): number {
    this.#check(offset, 2);
    return (this[offset] as number) | ((this[offset + 1] as number) << 8);
  }
  readUInt32LE(offset: number): number {
    this.#check(offset, 4);
    const high = ((this[offset + 2] as number) << 16) | ((this[offset + 3] as number) << 24);
    return ((this[offset] as number) | ((this[offset + 1] as number) << 8) | high) >>> 0;
  }
  #check(offset: number, bytes: number): void {
    if (offset + bytes > this.length) throw new RangeError(`offset ${offset} of ${this.length} bytes`);
  }
}
