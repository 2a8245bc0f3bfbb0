import type { FieldMemory } from '../view.js';

/** A byte buffer with the accessors of guest memory, so that struct views work on it; address 0 is its first byte. */
export class ByteMemory implements FieldMemory {
  readonly #view: DataView;

  constructor(private readonly buffer: Uint8Array) {
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  u8(at: number): number {
    return this.#view.getUint8(at);
  }
  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
  s32(at: number): number {
    return this.#view.getInt32(at, true);
  }
  u64(at: number): bigint {
    return this.#view.getBigUint64(at, true);
  }
  u64n(at: number): number {
    return this.u32(at + 4) * 2 ** 32 + this.u32(at);
  }
  setU8(at: number, value: number): void {
    this.#view.setUint8(at, value);
  }
  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }
  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }
  setU64(at: number, value: bigint): void {
    this.#view.setBigUint64(at, value, true);
  }
  setU64n(at: number, value: number): void {
    this.#view.setBigInt64(at, BigInt(value), true);
  }
  /** The low half, as user space's pointers mean nothing here. */
  ptr(at: number): number {
    return this.u32(at);
  }
  setPtr(at: number, value: number): void {
    this.setU64n(at, value);
  }
  bytes(at: number, length: number): Uint8Array {
    return this.buffer.subarray(at, at + length);
  }
  cstring(at: number, max: number): string {
    const bytes = this.bytes(at, max);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }
}
