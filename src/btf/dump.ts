import { InputError, UnsupportedError } from '../errors.js';
import { describe, MAX_DEPTH } from './layout.js';
import { BTF_KIND, type BtfMember, type BtfType, type BtfView } from './types.js';

/**
 * A value as plain data. 64-bit integers and pointers are numbers where a number is exact, else bigint; bitfields and
 * 128-bit integers are hexadecimal strings; enums the enumerator's name, or a number without one.
 */
export type DumpValue = number | bigint | string | boolean | DumpValue[] | { [name: string]: DumpValue };

/** Most values in one dump. */
const MAX_VALUES = 1_000_000;

/**
 * The value of a type in memory, in the forms of `bpftool map dump -j` (btf_dumper.c), except that members of anonymous
 * structs and unions stand in the struct around them.
 *
 * @throws InputError if there are fewer bytes than the type has, or if the type has no values
 */
export function dumpValue(btf: BtfView, typeId: number, bytes: Uint8Array): DumpValue {
  const size = btf.sizeOf(typeId);
  if (bytes.length < size) throw new InputError(`${describe(btf, typeId)}: ${bytes.length} of ${size} bytes`);
  return new Dumper(btf, bytes).value(typeId, 0, 0);
}

class Dumper {
  readonly #view: DataView;
  #values = 0;

  constructor(
    readonly btf: BtfView,
    readonly bytes: Uint8Array,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(id: number, bit: number, depth: number): DumpValue {
    if (depth > MAX_DEPTH) throw new InputError(`type [${id}]: nested more than ${MAX_DEPTH} deep`);
    if (++this.#values > MAX_VALUES) throw new InputError(`type [${id}]: more than ${MAX_VALUES} values`);
    const type = this.btf.type(this.btf.resolve(id));
    switch (type.kind) {
      case BTF_KIND.INT:
        return this.#int(type, bit);
      case BTF_KIND.PTR:
        return exact(this.#bits(bit, 64));
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64:
        return this.#enum(type, bit);
      case BTF_KIND.FLOAT:
        return this.#float(type.size, bit);
      case BTF_KIND.ARRAY:
        return this.#array(type, bit, depth);
      case BTF_KIND.STRUCT:
      case BTF_KIND.UNION: {
        const out: { [name: string]: DumpValue } = Object.create(null);
        this.#members(type.members, bit, depth, out);
        return { ...out };
      }
      case BTF_KIND.VAR:
        return { [type.name]: this.value(type.type, bit, depth + 1) };
      case BTF_KIND.DATASEC:
        return {
          [type.name]: type.vars.map((entry) => {
            if (entry.offset + this.btf.sizeOf(entry.type) > this.bytes.length) {
              throw new InputError(
                `variable "${this.btf.nameOf(entry.type)}" is past the end of section "${type.name}"`,
              );
            }
            return this.value(entry.type, entry.offset * 8, depth + 1);
          }),
        };
      default:
        throw new InputError(`${describe(this.btf, id)} has no values`);
    }
  }

  #members(members: readonly BtfMember[], bit: number, depth: number, out: { [name: string]: DumpValue }): void {
    for (const { name, type, bitOffset, bitSize } of members) {
      const at = bit + bitOffset;
      const inner = name === '' ? this.btf.type(this.btf.resolve(type)) : undefined;
      if (inner?.kind === BTF_KIND.STRUCT || inner?.kind === BTF_KIND.UNION) {
        if (depth > MAX_DEPTH) throw new InputError(`type [${type}]: nested more than ${MAX_DEPTH} deep`);
        this.#values++;
        this.#members(inner.members, at, depth + 1, out);
      } else if (name !== '') {
        out[name] = bitSize > 0 ? hex(this.#bits(at, bitSize)) : this.value(type, at, depth + 1);
      }
      if (this.#values > MAX_VALUES) throw new InputError(`type [${type}]: more than ${MAX_VALUES} values`);
    }
  }

  #int(type: BtfType & { kind: typeof BTF_KIND.INT }, bit: number): DumpValue {
    const at = bit + type.bitOffset;
    // An old bitfield: a narrow int, or an int that does not start at a byte.
    if (at % 8 !== 0 || type.bitOffset !== 0 || ![8, 16, 32, 64].includes(type.bits)) {
      return hex(this.#bits(at, type.bits));
    }
    const raw = this.#bits(at, type.bits);
    if (type.bool) return raw !== 0n;
    if (type.char) return String.fromCharCode(Number(raw & 0xffn));
    return exact(type.signed ? BigInt.asIntN(type.bits, raw) : raw);
  }

  #enum(type: BtfType & { kind: typeof BTF_KIND.ENUM | typeof BTF_KIND.ENUM64 }, bit: number): DumpValue {
    const bits = type.size * 8;
    const raw = this.#bits(bit, bits);
    const found = type.values.find(({ value }) => BigInt.asUintN(bits, value) === raw);
    return found?.name ?? exact(type.signed ? BigInt.asIntN(bits, raw) : raw);
  }

  #float(size: number, bit: number): DumpValue {
    if (size === 4) return this.#view.getFloat32(bit / 8, true);
    if (size === 8) return this.#view.getFloat64(bit / 8, true);
    throw new UnsupportedError(`floating-point values of ${size} bytes`);
  }

  #array(type: BtfType & { kind: typeof BTF_KIND.ARRAY }, bit: number, depth: number): DumpValue {
    const text = this.#string(type, bit);
    if (text !== undefined) return text;
    const step = this.btf.sizeOf(type.type) * 8;
    const out: DumpValue[] = [];
    for (let i = 0; i < type.length; i++) out.push(this.value(type.type, bit + i * step, depth + 1));
    return out;
  }

  /** The text of a char array that holds printable characters and a NUL (btf_dumper.c: is_str_array). */
  #string(type: BtfType & { kind: typeof BTF_KIND.ARRAY }, bit: number): string | undefined {
    const element = this.btf.type(this.btf.resolve(type.type));
    if (element.kind !== BTF_KIND.INT || element.size !== 1 || bit % 8 !== 0) return undefined;
    if (!element.char && this.btf.nameOf(element.id) !== 'char') return undefined;
    let text = '';
    for (let i = 0; i < type.length; i++) {
      const byte = this.bytes[bit / 8 + i] ?? 0xff;
      if (byte === 0) return text;
      if (byte <= 0x1f || byte >= 0x7f) return undefined;
      text += String.fromCharCode(byte);
    }
    return undefined;
  }

  /** Little-endian bits as an unsigned integer; bits past the end of the bytes are refused. */
  #bits(bit: number, count: number): bigint {
    const first = Math.floor(bit / 8);
    const last = Math.ceil((bit + count) / 8);
    if (last > this.bytes.length) throw new InputError(`value at byte ${first} is past the end (${this.bytes.length})`);
    let value = 0n;
    for (let i = last - 1; i >= first; i--) value = (value << 8n) | BigInt(this.bytes[i] as number);
    return BigInt.asUintN(count, value >> BigInt(bit % 8));
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
