import { InputError } from '../errors.js';
import { Btf } from './btf.js';
import { MAX_DEPTH } from './layout.js';
import { BTF_HEADER_BYTES, BTF_MAGIC } from './records.js';
import { BTF_KIND } from './types.js';

/** A member whose place is left out follows the one before it, naturally aligned. */
export interface NewMember {
  name: string;
  type: number;
  bitOffset?: number;
  /** Makes it a bitfield; needs bitOffset. */
  bitSize?: number;
}

interface Layout {
  size: number;
  align: number;
}

/**
 * Writes BTF: each method adds one type and returns its id, in order from 1, or from the end of `base` for split BTF.
 * A type may refer to a later one if its id is known: `struct()` without members reserves an id that `members()` fills.
 *
 * ```ts
 * const b = new BtfBuilder(kernelBtf);
 * const int = b.int('int', 4, { signed: true });
 * const ops = b.struct('my_ops', [{ name: 'run', type: b.ptr(b.funcProto(int, [])) }]);
 * const btf = b.parse();
 * ```
 */
export class BtfBuilder {
  readonly #records: number[][] = [];
  readonly #layouts = new Map<number, Layout | (() => Layout)>();
  readonly #strings: number[] = [];
  readonly #stringOffsets = new Map<string, number>([['', 0]]);
  readonly #firstId: number;
  readonly #firstString: number;
  #depth = 0;

  constructor(readonly base?: Btf) {
    this.#firstId = base?.typeCount ?? 1;
    this.#firstString = base?.strings.end ?? 0;
    if (base === undefined) this.#strings.push(0);
  }

  int(
    name: string,
    size: number,
    options: { signed?: boolean; char?: boolean; bool?: boolean; bits?: number } = {},
  ): number {
    const { signed = false, char = false, bool = false, bits = size * 8 } = options;
    const encoding = Number(signed) | (Number(char) << 1) | (Number(bool) << 2);
    return this.#add(BTF_KIND.INT, name, 0, size, [(encoding << 24) | bits], { size, align: Math.min(size, 8) });
  }

  float(name: string, size: number): number {
    return this.#add(BTF_KIND.FLOAT, name, 0, size, [], { size, align: Math.min(size, 8) });
  }

  ptr(type: number): number {
    return this.#add(BTF_KIND.PTR, '', 0, type, [], { size: 8, align: 8 });
  }

  array(type: number, length: number, indexType: number): number {
    return this.#add(BTF_KIND.ARRAY, '', 0, 0, [type, indexType, length], () => {
      const { size, align } = this.#layout(type);
      return { size: size * length, align };
    });
  }

  /** Size and member offsets by the rules of the System V ABI where they are not given. */
  struct(name: string, members: readonly NewMember[] = [], size?: number): number {
    const id = this.#add(BTF_KIND.STRUCT, name, 0, 0, [], { size: 0, align: 1 });
    return this.members(id, members, size);
  }

  union(name: string, members: readonly NewMember[] = [], size?: number): number {
    const id = this.#add(BTF_KIND.UNION, name, 0, 0, [], { size: 0, align: 1 });
    return this.members(id, members, size);
  }

  /** Sets the members of a struct or union of this builder; returns its id. */
  members(id: number, members: readonly NewMember[], size?: number): number {
    const record = this.#record(id);
    const [name, info] = record as [number, number];
    const kind = (info >>> 24) & 0x1f;
    const union = kind === BTF_KIND.UNION;
    const bitfields = members.some((member) => (member.bitSize ?? 0) > 0);
    let end = 0;
    let largest = 1;
    const words: number[] = [];
    for (const member of members) {
      const bitSize = member.bitSize ?? 0;
      // A struct of a given size may have members whose types have no size yet.
      const own = size === undefined || member.bitOffset === undefined ? this.#layout(member.type) : undefined;
      if (member.bitOffset === undefined && bitSize > 0) {
        throw new InputError(`member "${member.name}": a bitfield needs bitOffset`);
      }
      const align = own?.align ?? 1;
      const bitOffset = member.bitOffset ?? (union ? 0 : Math.ceil(end / align) * align * 8);
      const packed = bitSize === 0 && bitOffset % (align * 8) !== 0;
      largest = Math.max(largest, packed ? 1 : align);
      words.push(this.#string(member.name), member.type, bitfields ? bitOffset | (bitSize << 24) : bitOffset);
      end = Math.max(end, Math.ceil((bitOffset + (bitSize || (own?.size ?? 0) * 8)) / 8));
    }
    const bytes = size ?? Math.ceil(end / largest) * largest;
    record.length = 0;
    record.push(name, header(kind, members.length, bitfields), bytes, ...words);
    this.#layouts.set(id, { size: bytes, align: largest });
    return id;
  }

  enum(
    name: string,
    values: Readonly<Record<string, number>>,
    options: { signed?: boolean; size?: number } = {},
  ): number {
    const entries = Object.entries(values);
    const { size = 4, signed = entries.some(([, value]) => value < 0) } = options;
    const words = entries.flatMap(([key, value]) => [this.#string(key), value >>> 0]);
    return this.#add(BTF_KIND.ENUM, name, entries.length, size, words, { size, align: size }, signed);
  }

  enum64(
    name: string,
    values: Readonly<Record<string, bigint>>,
    options: { signed?: boolean; size?: number } = {},
  ): number {
    const entries = Object.entries(values);
    const { size = 8, signed = entries.some(([, value]) => value < 0n) } = options;
    const words = entries.flatMap(([key, value]) => [
      this.#string(key),
      Number(BigInt.asUintN(32, value)),
      Number(BigInt.asUintN(32, value >> 32n)),
    ]);
    return this.#add(BTF_KIND.ENUM64, name, entries.length, size, words, { size, align: size }, signed);
  }

  fwd(name: string, union = false): number {
    return this.#add(BTF_KIND.FWD, name, 0, 0, [], undefined, union);
  }

  typedef(name: string, type: number): number {
    return this.#add(BTF_KIND.TYPEDEF, name, 0, type, [], () => this.#layout(type));
  }

  const(type: number): number {
    return this.#add(BTF_KIND.CONST, '', 0, type, [], () => this.#layout(type));
  }

  volatile(type: number): number {
    return this.#add(BTF_KIND.VOLATILE, '', 0, type, [], () => this.#layout(type));
  }

  restrict(type: number): number {
    return this.#add(BTF_KIND.RESTRICT, '', 0, type, [], () => this.#layout(type));
  }

  typeTag(name: string, type: number): number {
    return this.#add(BTF_KIND.TYPE_TAG, name, 0, type, [], () => this.#layout(type));
  }

  /** A parameter of type 0 at the end stands for `...`. */
  funcProto(returns: number, params: readonly { name: string; type: number }[]): number {
    const words = params.flatMap(({ name, type }) => [this.#string(name), type]);
    return this.#add(BTF_KIND.FUNC_PROTO, '', params.length, returns, words);
  }

  func(name: string, proto: number, linkage: 'static' | 'global' | 'extern' = 'global'): number {
    return this.#add(BTF_KIND.FUNC, name, ['static', 'global', 'extern'].indexOf(linkage), proto, []);
  }

  var(name: string, type: number, linkage: 'static' | 'global' | 'extern' = 'global'): number {
    const word = ['static', 'global', 'extern'].indexOf(linkage);
    return this.#add(BTF_KIND.VAR, name, 0, type, [word], () => this.#layout(type));
  }

  datasec(name: string, size: number, vars: readonly { type: number; offset: number; size: number }[]): number {
    const words = vars.flatMap((entry) => [entry.type, entry.offset, entry.size]);
    return this.#add(BTF_KIND.DATASEC, name, vars.length, size, words);
  }

  /** `component` -1 tags the whole type, otherwise member or parameter `component`. */
  declTag(name: string, type: number, component = -1): number {
    return this.#add(BTF_KIND.DECL_TAG, name, 0, type, [component]);
  }

  /** The BTF blob. */
  build(): Uint8Array {
    const types = Uint32Array.from(this.#records.flat().map((word) => word >>> 0));
    const out = new Uint8Array(BTF_HEADER_BYTES + types.byteLength + this.#strings.length);
    const view = new DataView(out.buffer);
    view.setUint16(0, BTF_MAGIC, true);
    view.setUint8(2, 1);
    view.setUint32(4, BTF_HEADER_BYTES, true);
    view.setUint32(12, types.byteLength, true);
    view.setUint32(16, types.byteLength, true);
    view.setUint32(20, this.#strings.length, true);
    out.set(new Uint8Array(types.buffer), BTF_HEADER_BYTES);
    out.set(this.#strings, BTF_HEADER_BYTES + types.byteLength);
    return out;
  }

  /** The BTF blob, parsed and validated. Throws InputError. */
  parse(): Btf {
    return Btf.parse(this.build(), this.base).validate();
  }

  #add(
    kind: number,
    name: string,
    vlen: number,
    sizeOrType: number,
    words: readonly number[],
    layout?: Layout | (() => Layout),
    flag = false,
  ): number {
    const id = this.#firstId + this.#records.length;
    this.#records.push([this.#string(name), header(kind, vlen, flag), sizeOrType, ...words]);
    if (layout !== undefined) this.#layouts.set(id, layout);
    return id;
  }

  #record(id: number): number[] {
    const record = this.#records[id - this.#firstId];
    const kind = ((record?.[1] ?? 0) >>> 24) & 0x1f;
    if (record === undefined || (kind !== BTF_KIND.STRUCT && kind !== BTF_KIND.UNION)) {
      throw new InputError(`type [${id}] is no struct or union of this builder`);
    }
    return record;
  }

  #layout(id: number): Layout {
    if (id < this.#firstId && id > 0 && this.base !== undefined) {
      return { size: this.base.sizeOf(id), align: this.base.alignOf(id) };
    }
    const layout = this.#layouts.get(id);
    if (layout === undefined) throw new InputError(`type [${id}] has no size`);
    if (typeof layout !== 'function') return layout;
    if (this.#depth > MAX_DEPTH) throw new InputError(`type [${id}]: nested more than ${MAX_DEPTH} deep`);
    this.#depth++;
    try {
      return layout();
    } finally {
      this.#depth--;
    }
  }

  #string(text: string): number {
    let offset = this.#stringOffsets.get(text);
    if (offset === undefined) {
      offset = this.#firstString + this.#strings.length;
      this.#strings.push(...new TextEncoder().encode(text), 0);
      this.#stringOffsets.set(text, offset);
    }
    return offset;
  }
}

function header(kind: number, vlen: number, flag: boolean): number {
  if (vlen > 0xffff) throw new InputError(`${vlen} items; one type has at most 65535`);
  return ((flag ? 0x80000000 : 0) | (kind << 24) | vlen) >>> 0;
}
