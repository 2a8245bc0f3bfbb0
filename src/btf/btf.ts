import { InputError, located } from '../errors.js';
import { alignOf, findMember, findPath, resolveType, sizeOfType } from './layout.js';
import { HashedNames } from './name_hash.js';
import type { NameOrder } from './name_order.js';
import { OrderedNames } from './name_search.js';
import type { Names } from './names.js';
import { BTF_HEADER_BYTES, BTF_MAGIC, decodeRecord, enumeratorValue, indexRecords, kindOfInfo } from './records.js';
import { lowerBound } from './search.js';
import { BtfStrings } from './strings.js';
import { BTF_KIND, type BtfKind, type BtfMember, type BtfType, type BtfView } from './types.js';
import { checkRecord, type Records, validate } from './validate.js';

const VOID: BtfType = { kind: BTF_KIND.UNKN, id: 0, name: '' };

/**
 * One BTF blob. Parsing finds where every type is and nothing else: a kernel's 5 MB take a few ms. A type is decoded and
 * checked when it is asked for; names are found in an order that came with the blob or through an index of hashes.
 * Every method throws InputError naming the type id that is wrong.
 */
export class Btf implements BtfView {
  readonly typeCount: number;
  readonly #firstId: number;
  readonly #types = new Map<number, BtfType>();
  readonly #aligns = new Map<number, number>();
  readonly #index: Uint32Array;
  readonly #names: Names;

  private constructor(
    readonly raw: Uint8Array,
    /** Split BTF continues the ids and string offsets of its base. */
    readonly base: Btf | undefined,
    /** Byte offset in `raw` of the type section. */
    readonly typesOffset: number,
    readonly words: Uint32Array,
    readonly strings: BtfStrings,
    order: NameOrder | undefined,
  ) {
    this.#firstId = base?.typeCount ?? 1;
    this.#index = indexRecords(words, this.#firstId);
    this.typeCount = this.#firstId + this.#index.length;
    const records = { words, index: this.#index, firstId: this.#firstId };
    this.#names = order ? new OrderedNames(records, strings, order) : new HashedNames(records, strings);
  }

  /**
   * Reads header and type boundaries. Throws InputError naming the offset or type id that is wrong. `order` is believed: whoever
   * passes it knows that it was made from these bytes.
   */
  static parse(raw: Uint8Array, base?: Btf, order?: NameOrder): Btf {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    if (raw.length < BTF_HEADER_BYTES) throw new InputError(`BTF header: truncated at ${raw.length} bytes`);
    const magic = view.getUint16(0, true);
    if (magic === 0x9feb) throw new InputError('BTF header: big-endian; only little-endian BTF is read');
    if (magic !== BTF_MAGIC) throw new InputError(`BTF header: magic 0x${magic.toString(16)} is not 0xeb9f`);
    const version = view.getUint8(2);
    if (version !== 1) throw new InputError(`BTF header: unsupported version ${version}`);
    const headerBytes = view.getUint32(4, true);
    if (headerBytes < BTF_HEADER_BYTES || headerBytes > raw.length) {
      throw new InputError(`BTF header: length ${headerBytes} of ${raw.length} bytes`);
    }
    const section = (name: string, at: number) => {
      const offset = headerBytes + view.getUint32(at, true);
      const length = view.getUint32(at + 4, true);
      if (offset + length > raw.length) {
        throw new InputError(
          `BTF ${name} section: ${length} bytes at ${offset} are past the end (${raw.length} bytes)`,
        );
      }
      return { offset, bytes: raw.subarray(offset, offset + length) };
    };
    const types = section('type', 8);
    const strings = section('string', 16).bytes;
    if (view.getUint32(8, true) % 4 !== 0 || types.bytes.length % 4 !== 0) {
      throw new InputError(`BTF type section: ${types.bytes.length} bytes at ${types.offset} are not aligned to 4`);
    }
    if (strings.length === 0 ? base === undefined : strings[strings.length - 1] !== 0) {
      throw new InputError('BTF string section: not terminated');
    }
    if (base === undefined && strings[0] !== 0) throw new InputError('BTF string section: does not start with ""');
    return new Btf(
      raw,
      base,
      types.offset,
      wordsOf(types.bytes),
      new BtfStrings(strings, base?.strings.end ?? 0, base?.strings),
      order,
    );
  }

  /** Checks every type of this blob (not of its base), cycles included. Throws InputError. Returns itself. */
  validate(): this {
    this.strings.check();
    validate(this.#records());
    return this;
  }

  type(id: number): BtfType {
    if (id < this.#firstId) {
      if (id === 0) return VOID;
      if (this.base !== undefined) return this.base.type(id);
    }
    let type = this.#types.get(id);
    if (type === undefined) {
      const word = this.#wordOf(id);
      try {
        checkRecord(this.#records(), id);
        type = decodeRecord(this.words, word, id, (offset) => this.string(offset));
      } catch (error) {
        throw located(`type [${id}]`, error);
      }
      this.#types.set(id, type);
    }
    return type;
  }

  kindOf(id: number): BtfKind {
    if (id < this.#firstId)
      return id === 0 ? BTF_KIND.UNKN : this.base !== undefined ? this.base.kindOf(id) : this.type(id).kind;
    return kindOfInfo(this.words[this.#wordOf(id) + 1] as number) as BtfKind;
  }

  nameOf(id: number): string {
    if (id === 0) return '';
    if (id < this.#firstId && this.base !== undefined) return this.base.nameOf(id);
    try {
      return this.string(this.words[this.#wordOf(id)] as number);
    } catch (error) {
      throw located(`type [${id}]`, error);
    }
  }

  find(name: string, ...kinds: BtfKind[]): number {
    const inBase = this.base?.find(name, ...kinds) ?? 0;
    if (inBase !== 0) return inBase;
    const any = kinds.length === 0;
    let lowest = 0;
    const search = (funcs: boolean) => {
      for (const id of this.#names.types(name, funcs)) {
        if (lowest !== 0 && id > lowest) return;
        if (any || kinds.includes(this.kindOf(id))) {
          lowest = id;
          return;
        }
      }
    };
    if (any || kinds.some((kind) => kind !== BTF_KIND.FUNC)) search(false);
    if (any || kinds.includes(BTF_KIND.FUNC)) search(true);
    return lowest;
  }

  findAll(name: string): readonly number[] {
    const own = [...this.#names.types(name, false), ...this.#names.types(name, true)];
    return [...(this.base?.findAll(name) ?? []), ...own.sort((a, b) => a - b)];
  }

  flavours(name: string): readonly string[] {
    return this.#names.flavours(name);
  }

  get stringsEnd(): number {
    return this.strings.end;
  }

  hasAny(names: ReadonlySet<string>): boolean {
    for (const word of this.#index) {
      const name = this.words[word] as number;
      if (name !== 0 && name < this.strings.end && names.has(this.strings.at(name))) return true;
    }
    return this.base?.hasAny(names) ?? false;
  }

  string(offset: number): string {
    return this.strings.at(offset);
  }

  resolve(id: number): number {
    return resolveType(this, id);
  }

  sizeOf(id: number): number {
    return sizeOfType(this, id);
  }

  alignOf(id: number): number {
    return alignOf(this, id, this.#aligns);
  }

  member(structId: number, name: string): BtfMember | undefined {
    return findMember(this, structId, name);
  }

  path(structId: number, path: string): { type: number; bitOffset: number; bitSize: number } | undefined {
    return findPath(this, structId, path);
  }

  enumerator(name: string): bigint | undefined {
    const inBase = this.base?.enumerator(name);
    if (inBase !== undefined) return inBase;
    const word = this.#names.enumerator(name);
    if (word < 0) return undefined;
    // Of the last type whose record begins before it.
    const id = this.#firstId + lowerBound(this.#index.length, (i) => (this.#index[i] as number) <= word) - 1;
    try {
      checkRecord(this.#records(), id);
    } catch (error) {
      throw located(`type [${id}]`, error);
    }
    return enumeratorValue(this.words, this.#wordOf(id), word);
  }

  /** Byte offset in `raw` of a type's record (struct btf_type). */
  recordOffset(id: number): number {
    return this.typesOffset + this.#wordOf(id) * 4;
  }

  #records(): Records {
    return {
      words: this.words,
      index: this.#index,
      firstId: this.#firstId,
      typeCount: this.typeCount,
      stringsEnd: this.strings.end,
    };
  }

  #wordOf(id: number): number {
    const word = this.#index[id - this.#firstId];
    if (word === undefined) throw new InputError(`type ${id} does not exist (${this.typeCount} types)`);
    return word;
  }
}

/** The bytes as little-endian words, without a copy where alignment allows it. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  if (bytes.byteOffset % 4 === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  return new Uint32Array(bytes.slice().buffer);
}
