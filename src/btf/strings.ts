import { InputError } from '../errors.js';

const utf8 = new TextDecoder();
const encoder = new TextEncoder();

/** Strings longer than this are found through an index of where strings end, so that many references to one stay cheap. */
const LONG_STRING = 1024;

/** Longest string in a section that is not ASCII, where each reference is decoded anew. */
const MAX_UNICODE_STRING = 4096;

/** One string in so many bytes may be decoded by itself before the section is decoded as a whole. */
const BYTES_PER_STRING = 256;

/** A BTF string section: NUL-terminated UTF-8 strings by byte offset. */
export class BtfStrings {
  #text: string | undefined;
  #ascii = false;
  /** Where each string ends, ascending; only if one is long. */
  #ends: Uint32Array | undefined;
  /** Strings that were decoded one by one. Few of a kernel's are ever asked for. */
  #singles = 0;

  /** `start` is the offset of the first byte: the length of the base's section for split BTF. */
  constructor(
    readonly bytes: Uint8Array,
    readonly start: number,
    readonly base: BtfStrings | undefined,
  ) {}

  /** Offset past the last byte. */
  get end(): number {
    return this.start + this.bytes.length;
  }

  at(offset: number): string {
    if (offset === 0) return '';
    if (offset < this.start) return (this.base as BtfStrings).at(offset);
    const from = offset - this.start;
    if (from >= this.bytes.length) throw new InputError(`string offset ${offset} is past the end (${this.end})`);
    const to = this.#endOf(from);
    if (this.#text === undefined && to - from <= LONG_STRING) {
      if (++this.#singles * BYTES_PER_STRING <= this.bytes.length) return decodeShort(this.bytes.subarray(from, to));
    }
    this.#decode();
    return this.#ascii ? (this.#text as string).slice(from, to) : utf8.decode(this.bytes.subarray(from, to));
  }

  /** Prepares for reading every string in time that depends on the length of the section alone. Throws InputError. */
  check(): void {
    this.#decode();
    if (!hasLong(this.bytes)) return;
    const ends: number[] = [];
    for (let start = 0; start < this.bytes.length; ) {
      const end = this.bytes.indexOf(0, start);
      if (end - start > MAX_UNICODE_STRING && !this.#ascii) {
        throw new InputError(`string at offset ${this.start + start} has ${end - start} bytes`);
      }
      ends.push(end);
      start = end + 1;
    }
    this.#ends = Uint32Array.from(ends);
  }

  #decode(): void {
    if (this.#text !== undefined) return;
    this.#text = utf8.decode(this.bytes);
    // As many UTF-16 units as bytes: every unit stands for one byte, so offsets agree.
    this.#ascii = this.#text.length === this.bytes.length;
  }

  #endOf(from: number): number {
    const ends = this.#ends;
    if (ends === undefined) return this.bytes.indexOf(0, from);
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] as number) < from) low = middle + 1;
      else high = middle;
    }
    return ends[low] as number;
  }
}

/** Whether one of the strings, which all end, is longer than LONG_STRING. Looks at one end in so many bytes. */
function hasLong(bytes: Uint8Array): boolean {
  for (let start = 0; start + LONG_STRING < bytes.length; ) {
    const end = bytes.lastIndexOf(0, start + LONG_STRING);
    if (end < start) return true;
    start = end + 1;
  }
  return false;
}

/** A name, most often of ASCII and shorter than what a decoder takes to begin. */
function decodeShort(bytes: Uint8Array): string {
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] as number) >= 0x80) return utf8.decode(bytes);
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

/**
 * Finds entries by name without decoding any: chained hash over the bytes of the names. Entry i has the name at offset
 * `names[i]` of the string section (0: none). Entries of one name are found in ascending order.
 */
export class NameTable {
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  readonly #mask: number;

  constructor(
    readonly strings: BtfStrings,
    readonly names: Uint32Array,
  ) {
    const { bytes, start } = strings;
    let buckets = 16;
    while (buckets < names.length) buckets *= 2;
    this.#mask = buckets - 1;
    this.#heads = new Int32Array(buckets).fill(-1);
    this.#next = new Int32Array(names.length);
    for (let i = names.length - 1; i >= 0; i--) {
      const offset = names[i] as number;
      if (offset === 0) continue;
      const slot = (offset >= start ? hash(bytes, offset - start) : this.#foreign(offset)) & this.#mask;
      this.#next[i] = this.#heads[slot] as number;
      this.#heads[slot] = i;
    }
  }

  /** First entry of this name after entry `previous`, or -1. */
  find(name: string, previous = -1): number {
    const key = encoder.encode(`${name}\0`);
    if (key.length === 1) return -1;
    let i = previous < 0 ? (this.#heads[hash(key, 0) & this.#mask] as number) : (this.#next[previous] as number);
    while (i >= 0 && !this.#matches(this.names[i] as number, key)) i = this.#next[i] as number;
    return i;
  }

  #matches(offset: number, key: Uint8Array): boolean {
    let { strings } = this;
    while (offset < strings.start) strings = strings.base as BtfStrings;
    const { bytes } = strings;
    const from = offset - strings.start;
    for (let i = 0; i < key.length; i++) if (bytes[from + i] !== key[i]) return false;
    return true;
  }

  #foreign(offset: number): number {
    let strings = this.strings;
    while (offset < strings.start) strings = strings.base as BtfStrings;
    return hash(strings.bytes, offset - strings.start);
  }
}

/** FNV-1a over a NUL-terminated name. */
function hash(bytes: Uint8Array, from: number): number {
  let h = 0x811c9dc5;
  for (let i = from; ; i++) {
    const byte = bytes[i];
    if (!byte) break;
    h = Math.imul(h ^ byte, 0x01000193);
  }
  return h ^ (h >>> 15);
}
