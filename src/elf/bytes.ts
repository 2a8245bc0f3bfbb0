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
    return this.#byte(offset);
  }
  readUInt16LE(offset: number): number {
    return this.#byte(offset) | (this.#byte(offset + 1) << 8);
  }
  readUInt32LE(offset: number): number {
    return this.readUInt16LE(offset) + this.readUInt16LE(offset + 2) * 0x10000;
  }
  #byte(offset: number): number {
    const byte = this[offset];
    if (byte === undefined) throw new RangeError(`offset ${offset} of ${this.length} bytes`);
    return byte;
  }
}
