import { BTF_KIND, type BtfView } from '../btf/types.js';
import { InputError, UnsupportedError } from '../errors.js';
import type { GuestMemory, GuestPtr } from '../vm/types.js';
import { BitField, intField, PlainField, PointerField, TextField } from './field_access.js';
import { fieldAt, typeName } from './field_name.js';

/** What a field holds, after typedefs, qualifiers and type tags. */
export type FieldKind = 'int' | 'bool' | 'pointer' | 'string' | 'float' | 'aggregate';

/**
 * One field of a struct in guest memory, compiled from BTF once; the methods take the address of the struct. Numbers are
 * plain Numbers: 64-bit integers are exact up to 2^53 (`big` and `setBig` for the rest), bools are 0 and 1, pointers are
 * GuestPtr (get gives -1 for a pointer that lies outside the window).
 */
export interface Field {
  /** `scx.slice` */
  readonly path: string;
  readonly kind: FieldKind;
  /** Byte offset in the struct; of a bitfield, that of its first byte. */
  readonly offset: number;
  /** Bytes; of a bitfield, those it touches. */
  readonly size: number;
  readonly signed: boolean;
  /** BTF type id of the field. */
  readonly type: number;
  get(ptr: GuestPtr): number;
  set(ptr: GuestPtr, value: number): void;
  big(ptr: GuestPtr): bigint;
  setBig(ptr: GuestPtr, value: bigint): void;
  /** Char arrays up to their NUL. */
  text(ptr: GuestPtr): string;
  /** Stores text and NULs to the end of the array; what does not fit beside one NUL is cut off. */
  setText(ptr: GuestPtr, value: string): void;
}

/** What a field needs of the memory it lies in. */
export type FieldMemory = Pick<
  GuestMemory,
  | 'u8'
  | 'u16'
  | 'u32'
  | 's32'
  | 'u64'
  | 'u64n'
  | 'setU8'
  | 'setU16'
  | 'setU32'
  | 'setU64'
  | 'setU64n'
  | 'ptr'
  | 'setPtr'
  | 'bytes'
  | 'cstring'
>;

/** A struct or union of a BTF, as laid over guest memory. */
export class StructType {
  readonly name: string;
  readonly size: number;
  readonly #fields = new Map<string, Field>();

  constructor(
    readonly memory: FieldMemory,
    readonly btf: BtfView,
    readonly id: number,
  ) {
    this.name = btf.nameOf(id);
    this.size = btf.sizeOf(id);
  }

  /** A field by its path, `scx.slice` or `comm` or `stats[2].nr`. Throws InputError if the struct has no such field. */
  field(path: string): Field {
    const field = this.tryField(path);
    if (!field) throw new InputError(`struct ${this.name}: no field ${path}`);
    return field;
  }

  /** The field, or undefined on a kernel whose struct lacks it. */
  tryField(path: string): Field | undefined {
    let field = this.#fields.get(path);
    if (field) return field;
    const found = this.btf.path(this.id, path);
    if (!found) return undefined;
    field = compileField(this.memory, this.btf, `struct ${this.name}`, path, found);
    this.#fields.set(path, field);
    return field;
  }

  /** The same struct over other memory. */
  over(memory: FieldMemory): StructType {
    return new StructType(memory, this.btf, this.id);
  }

  /** The innermost field at a byte offset, in words: `se.vruntime`, `padding`. */
  describe(offset: number): string {
    return fieldAt(this.btf, this.id, offset);
  }
}

/** The types of one BTF over one guest memory; structs are compiled once. */
export class Types {
  readonly #structs = new Map<number, StructType>();
  /** Those that were asked for by name. */
  readonly #named = new Map<string, StructType>();
  /** Structs of which a declared list of fields is modelled, by name; of others whoever makes them knows. */
  readonly layouts = new Map<string, { readonly modelled: readonly string[]; readonly nulls?: readonly string[] }>();

  constructor(
    readonly memory: GuestMemory,
    readonly btf: BtfView,
  ) {}

  /** A struct or union by name. Throws UnsupportedError if this kernel has none. */
  struct(name: string): StructType {
    const found = this.tryStruct(name);
    if (!found) throw new UnsupportedError(`struct ${name}: this kernel's BTF has no such type`);
    return found;
  }

  tryStruct(name: string): StructType | undefined {
    const known = this.#named.get(name);
    if (known !== undefined) return known;
    const id = this.btf.find(name, BTF_KIND.STRUCT, BTF_KIND.UNION);
    if (id === 0) return undefined;
    const struct = this.structById(id);
    this.#named.set(name, struct);
    return struct;
  }

  /** True if anybody has asked for this struct: what nobody knows is nowhere in the kernel's memory. */
  inUse(name: string): boolean {
    const id = this.btf.find(name, BTF_KIND.STRUCT, BTF_KIND.UNION);
    return id !== 0 && this.#structs.has(id);
  }

  structById(id: number): StructType {
    let type = this.#structs.get(id);
    if (!type) {
      type = new StructType(this.memory, this.btf, id);
      this.#structs.set(id, type);
    }
    return type;
  }
}

interface Place {
  type: number;
  bitOffset: number;
  bitSize: number;
}

/** Fields of kind `float` and `aggregate` have an address but no number. */
function compileField(memory: FieldMemory, btf: BtfView, owner: string, path: string, found: Place): Field {
  const { type, bitOffset, bitSize } = found;
  const { kind, signed } = shapeOf(btf, type);
  const offset = Math.floor(bitOffset / 8);
  const size = bitSize > 0 ? Math.ceil(((bitOffset % 8) + bitSize) / 8) : btf.sizeOf(type);
  const label = () => `${owner}: field ${path} (${typeName(btf, btf.resolve(type))})`;
  const place = { path, kind, offset, size, signed, type, label };
  if (kind === 'string') return new TextField(memory, place);
  if (kind === 'float' || kind === 'aggregate') return new PlainField(memory, place);
  if (bitSize > 0) return new BitField(memory, place, bitOffset, bitSize);
  return kind === 'pointer' ? new PointerField(memory, place) : intField(memory, place);
}

function shapeOf(btf: BtfView, id: number): { kind: FieldKind; signed: boolean } {
  const type = btf.type(btf.resolve(id));
  switch (type.kind) {
    case BTF_KIND.INT:
      return { kind: type.bool ? 'bool' : 'int', signed: type.signed };
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      return { kind: 'int', signed: type.signed };
    case BTF_KIND.PTR:
      return { kind: 'pointer', signed: false };
    case BTF_KIND.FLOAT:
      return { kind: 'float', signed: true };
    case BTF_KIND.ARRAY: {
      const element = btf.type(btf.resolve(type.type));
      const text = element.kind === BTF_KIND.INT && element.size === 1 && (element.char || element.name === 'char');
      return { kind: text ? 'string' : 'aggregate', signed: false };
    }
    default:
      return { kind: 'aggregate', signed: false };
  }
}
