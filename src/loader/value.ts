import { checkArgument } from '../argument.js';
import { BTF_KIND, type BtfType, type BtfView } from '../btf/types.js';
import { InputError, within } from '../errors.js';

/**
 * A C value as JavaScript sees it: integers up to 32 bits and enums are numbers, wider ones bigints, `bool` a boolean, an array
 * of `char` a string up to its NUL, other arrays arrays, structs objects (members of anonymous ones among their own), pointers
 * bigints.
 */
export type BtfValue = number | bigint | boolean | string | BtfValue[] | { [member: string]: BtfValue };

/** What may be stored: a value, raw bytes of exactly the type's size, or text such as a command line has. */
export type BtfInput =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | readonly BtfInput[]
  | { readonly [member: string]: BtfInput };

/** A value's type and where it lies, in bits from the start of the outermost value. */
export interface Place {
  type: number;
  bitOffset: number;
  /** Width of a bitfield; 0 otherwise. */
  bitSize: number;
}

/**
 * Follows a C path such as `.slice_ns`, `[3]` or `.cpus[2].name` from a value of type `root`; '' is the value itself.
 * Throws InputError naming the step that leads nowhere.
 */
export function locate(btf: BtfView, root: number, path: string): Place {
  const place: Place = { type: root, bitOffset: 0, bitSize: 0 };
  const steps = path.match(/\.[^.[\]]+|\[[^[\]]*\]/g) ?? [];
  if (steps.join('') !== path) throw new InputError(`malformed path "${path}"`);
  for (const step of steps) {
    const type = typeAt(btf, place.type);
    if (step.startsWith('.')) {
      const name = step.slice(1);
      const member = isStruct(type) ? btf.member(type.id, name) : undefined;
      if (!member) throw new InputError(`no member "${name}" in ${describeType(btf, place.type)}`);
      place.type = member.type;
      place.bitOffset += member.bitOffset;
      place.bitSize = member.bitSize;
    } else {
      const text = step.slice(1, -1);
      if (type?.kind !== BTF_KIND.ARRAY)
        throw new InputError(`"${step}" on ${describeType(btf, place.type)}, no array`);
      const index = cInteger(text) ?? -1n;
      if (index < 0n || index >= BigInt(type.length))
        throw new InputError(`index [${text}] of an array of ${type.length}`);
      place.type = type.type;
      place.bitOffset += Number(index) * btf.sizeOf(type.type) * 8;
    }
  }
  return place;
}

/** Reads the value at `place` in `bytes`. */
export function decodeValue(btf: BtfView, place: Place, bytes: Uint8Array): BtfValue {
  const type = typeAt(btf, place.type);
  switch (type?.kind) {
    case BTF_KIND.INT: {
      const bits = place.bitSize || type.bits;
      const value = readBits(bytes, place.bitOffset + type.bitOffset, bits, type.signed);
      if (type.bool) return value !== 0n;
      return bits > 32 ? value : Number(value);
    }
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64: {
      const bits = place.bitSize || type.size * 8;
      const value = readBits(bytes, place.bitOffset, bits, type.signed);
      return bits > 32 ? value : Number(value);
    }
    case BTF_KIND.PTR:
      return readBits(bytes, place.bitOffset, 64, false);
    case BTF_KIND.FLOAT: {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (type.size === 4) return view.getFloat32(place.bitOffset / 8, true);
      if (type.size === 8) return view.getFloat64(place.bitOffset / 8, true);
      throw new InputError(`${type.name} of ${type.size} bytes has no counterpart in JavaScript`);
    }
    case BTF_KIND.ARRAY: {
      const size = btf.sizeOf(type.type);
      if (isChar(btf, type.type)) {
        const start = place.bitOffset / 8;
        const text = bytes.subarray(start, start + type.length);
        const end = text.indexOf(0);
        return new TextDecoder().decode(end < 0 ? text : text.subarray(0, end));
      }
      // BTF says how many there are, and may say anything.
      const room = bytes.length - place.bitOffset / 8;
      if (size === 0 ? type.length > 0xffff : type.length * size > room)
        throw new InputError(`${describeType(btf, place.type)} in ${room} bytes`);
      return Array.from({ length: type.length }, (_, i) =>
        decodeValue(btf, { type: type.type, bitOffset: place.bitOffset + i * size * 8, bitSize: 0 }, bytes),
      );
    }
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION: {
      const value: Record<string, BtfValue> = {};
      for (const member of type.members) {
        const at = { ...member, bitOffset: place.bitOffset + member.bitOffset };
        const inner = decodeValue(btf, at, bytes);
        if (member.name) value[member.name] = inner;
        else if (typeof inner === 'object') Object.assign(value, inner);
      }
      return value;
    }
    default:
      throw new InputError(`${describeType(btf, place.type)} holds no value`);
  }
}

/**
 * Stores a value at `place` in `bytes`. Array elements and struct members that the value does not mention keep theirs. Text is
 * read according to the type: numbers in C's notation, `true`/`false`, names of enumerators, characters for a char array, JSON
 * for other arrays and structs. Throws InputError for a value that does not fit.
 */
export function encodeValue(btf: BtfView, place: Place, value: BtfInput, bytes: Uint8Array): void {
  const type = typeAt(btf, place.type);
  const start = place.bitOffset / 8;
  if (value instanceof Uint8Array) {
    const size = btf.sizeOf(place.type);
    if (place.bitSize || value.length !== size) {
      throw new InputError(`${value.length} raw bytes for ${describeType(btf, place.type)} of ${size}`);
    }
    bytes.set(value, start);
    return;
  }
  switch (type?.kind) {
    case BTF_KIND.INT: {
      const number = type.bool ? toBool(value) : (enumerators(value, btf) ?? toInteger(value));
      const bits = place.bitSize || type.bits;
      writeBits(
        bytes,
        place.bitOffset + type.bitOffset,
        type.bool ? Math.min(bits, 1) : bits,
        type.signed,
        number,
        bits,
      );
      return;
    }
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64: {
      const bits = place.bitSize || type.size * 8;
      const named = typeof value === 'string' ? type.values.find((v) => v.name === value)?.value : undefined;
      writeBits(bytes, place.bitOffset, bits, type.signed, named ?? toInteger(value), bits);
      return;
    }
    case BTF_KIND.PTR:
      writeBits(bytes, place.bitOffset, 64, false, toInteger(value), 64);
      return;
    case BTF_KIND.FLOAT: {
      const number = typeof value === 'string' && value.trim() ? Number(value) : value;
      if (typeof number !== 'number' || Number.isNaN(number)) throw mismatch(value, type.name);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (type.size === 4) view.setFloat32(start, number, true);
      else if (type.size === 8) view.setFloat64(start, number, true);
      else throw new InputError(`${type.name} of ${type.size} bytes has no counterpart in JavaScript`);
      return;
    }
    case BTF_KIND.ARRAY: {
      encodeArray(btf, place, type.length, value, bytes);
      return;
    }
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION: {
      const members = typeof value === 'string' ? parseJson(value) : value;
      if (typeof members !== 'object' || members === null || Array.isArray(members))
        throw mismatch(value, describeType(btf, place.type));
      for (const [name, item] of Object.entries(members as { [member: string]: BtfInput })) {
        const member = btf.member(type.id, name);
        if (!member) throw new InputError(`no member "${name}" in ${describeType(btf, place.type)}`);
        const at = { ...member, bitOffset: place.bitOffset + member.bitOffset };
        within(`.${name}`, () => encodeValue(btf, at, item, bytes));
      }
      return;
    }
    default:
      throw new InputError(`${describeType(btf, place.type)} holds no value`);
  }
}

/** As encodeValue, of an array that has `length` elements whatever its type says. */
export function encodeArray(btf: BtfView, place: Place, length: number, value: BtfInput, bytes: Uint8Array): void {
  const type = typeAt(btf, place.type);
  if (type?.kind !== BTF_KIND.ARRAY) throw new InputError(`${describeType(btf, place.type)} is no array`);
  const start = place.bitOffset / 8;
  const items = arrayItems(btf, type.type, value);
  if (!items) throw mismatch(value, `array of ${length}`);
  if (items instanceof Uint8Array) {
    if (items.length > length) throw new InputError(`${items.length} bytes of text in char[${length}]`);
    bytes.fill(0, start, start + length);
    bytes.set(items, start);
    return;
  }
  if (items.length > length) throw new InputError(`${items.length} values in an array of ${length}`);
  const size = btf.sizeOf(type.type);
  for (const [i, item] of items.entries()) {
    const at = { type: type.type, bitOffset: place.bitOffset + i * size * 8, bitSize: 0 };
    within(`[${i}]`, () => encodeValue(btf, at, item, bytes));
  }
}

/** What a value gives an array with this type of elements: of `char` the bytes of a text, otherwise a list; undefined if neither. */
export function arrayItems(
  btf: BtfView,
  element: number,
  value: BtfInput,
): readonly BtfInput[] | Uint8Array | undefined {
  if (typeof value === 'string' && isChar(btf, element)) return new TextEncoder().encode(value);
  const items = typeof value === 'string' ? parseJson(value) : value;
  return Array.isArray(items) ? items : undefined;
}

/** Stores a value of this type at the beginning of `bytes`, see encodeValue. */
export function encodeBtf(btf: BtfView, type: number, value: BtfInput, bytes: Uint8Array): void {
  checkArgument('encodeBtf: btf', btf, 'btf');
  checkArgument('encodeBtf: type', type, 'count');
  checkArgument('encodeBtf: bytes', bytes, 'bytes');
  encodeValue(btf, { type, bitOffset: 0, bitSize: 0 }, value, bytes);
}

/** `struct task_ctx`, `char[16]`, `u64 *`: a type in C's words. */
export function describeType(btf: BtfView, id: number): string {
  if (id === 0) return 'void';
  const type = btf.type(id);
  switch (type.kind) {
    case BTF_KIND.PTR:
      return `${describeType(btf, type.type)} *`;
    case BTF_KIND.ARRAY: {
      // The outer dimension comes first.
      const element = describeType(btf, type.type);
      const dimensions = element.indexOf('[');
      const at = dimensions < 0 ? element.length : dimensions;
      return `${element.slice(0, at)}[${type.length}]${element.slice(at)}`;
    }
    case BTF_KIND.STRUCT:
      return `struct ${type.name || '(anonymous)'}`;
    case BTF_KIND.UNION:
      return `union ${type.name || '(anonymous)'}`;
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      return `enum ${type.name || '(anonymous)'}`;
    case BTF_KIND.CONST:
    case BTF_KIND.VOLATILE:
    case BTF_KIND.RESTRICT:
    case BTF_KIND.TYPE_TAG:
      return describeType(btf, type.type);
    default:
      return type.name || `type [${id}]`;
  }
}

type StructType = Extract<BtfType, { members: unknown }>;

function isStruct(type: BtfType | undefined): type is StructType {
  return type?.kind === BTF_KIND.STRUCT || type?.kind === BTF_KIND.UNION;
}

function typeAt(btf: BtfView, id: number): BtfType | undefined {
  const resolved = btf.resolve(id);
  return resolved === 0 ? undefined : btf.type(resolved);
}

/** C's plain `char`: the only one-byte type whose arrays are text (u8 arrays are numbers). */
export function isChar(btf: BtfView, id: number): boolean {
  const type = typeAt(btf, id);
  return type?.kind === BTF_KIND.INT && type.size === 1 && (type.char || type.name === 'char');
}

function readBits(bytes: Uint8Array, bitOffset: number, bits: number, signed: boolean): bigint {
  let value = 0n;
  const first = Math.floor(bitOffset / 8);
  const last = Math.ceil((bitOffset + bits) / 8);
  for (let at = last - 1; at >= first; at--) value = (value << 8n) | BigInt(bytes[at] ?? 0);
  value = BigInt.asUintN(bits, value >> BigInt(bitOffset % 8));
  return signed ? BigInt.asIntN(bits, value) : value;
}

/** `range` bits must hold the value; `bits` bits are written. */
function writeBits(
  bytes: Uint8Array,
  bitOffset: number,
  range: number,
  signed: boolean,
  value: bigint,
  bits: number,
): void {
  const wrapped = signed ? BigInt.asIntN(range, value) : BigInt.asUintN(range, value);
  if (wrapped !== value) {
    throw new InputError(`${value} does not fit in ${range} ${signed ? 'signed' : 'unsigned'} bits`);
  }
  const first = Math.floor(bitOffset / 8);
  const last = Math.ceil((bitOffset + bits) / 8);
  const shift = BigInt(bitOffset % 8);
  const mask = ((1n << BigInt(bits)) - 1n) << shift;
  let old = 0n;
  for (let at = last - 1; at >= first; at--) old = (old << 8n) | BigInt(bytes[at] ?? 0);
  let merged = (old & ~mask) | (BigInt.asUintN(bits, value) << shift);
  for (let at = first; at < last; at++) {
    bytes[at] = Number(merged & 0xffn);
    merged >>= 8n;
  }
}

/** An integer without a sign as C and strtoull(…, 0) read it: a leading 0 makes it octal, and 08 is none. */
function cInteger(text: string): bigint | undefined {
  if (/^(0x[\da-f]+|0|[1-9]\d*)$/i.test(text)) return BigInt(text);
  return /^0[0-7]+$/.test(text) ? BigInt(`0o${text.slice(1)}`) : undefined;
}

function toInteger(value: BtfInput): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
  if (typeof value === 'string') {
    const text = value.trim();
    const magnitude = cInteger(text.replace(/^[-+]/, ''));
    if (magnitude !== undefined) return text.startsWith('-') ? -magnitude : magnitude;
    if (value === 'true' || value === 'false') return value === 'true' ? 1n : 0n;
  }
  throw mismatch(value, 'integer');
}

/**
 * C lets an integer be an enumerator of any enum, or several joined by `|`: `SCX_OPS_ENQ_LAST|SCX_OPS_ENQ_EXITING`. Each is looked
 * up in the views in their order; undefined if one of them is not there, or `value` is nothing of the kind.
 */
export function enumerators(value: BtfInput, ...views: BtfView[]): bigint | undefined {
  if (typeof value !== 'string' || !/^[A-Za-z_]\w*( *\| *[A-Za-z_]\w*)*$/.test(value)) return undefined;
  let all = 0n;
  for (const name of value.split('|')) {
    const one = views.map((btf) => btf.enumerator(name.trim())).find((found) => found !== undefined);
    if (one === undefined) return undefined;
    all |= one;
  }
  return all;
}

function toBool(value: BtfInput): bigint {
  const number = toInteger(value);
  if (number !== 0n && number !== 1n) throw mismatch(value, 'bool');
  return number;
}

function parseJson(text: string): BtfInput {
  try {
    return JSON.parse(text) as BtfInput;
  } catch {
    throw new InputError(`${JSON.stringify(text)} is no JSON array or object`);
  }
}

function mismatch(value: BtfInput, expected: string): InputError {
  const shown =
    typeof value === 'string' ? JSON.stringify(value) : typeof value === 'object' ? 'a structure' : String(value);
  return new InputError(`${shown} for ${expected}`);
}
