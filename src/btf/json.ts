import { InputError } from '../errors.js';
import { BTF_KIND, type BtfType, type BtfView } from './types.js';

// Values as the JSON that bpftool prints (bpftool: btf_dumper.c, json_writer.c): numbers in decimal whatever their size,
// bitfields and 128-bit integers as hexadecimal text, char arrays with a NUL as text, enums by name. A text and not a value,
// because numbers beyond 2^53 and several anonymous members of one struct are things that objects of JavaScript do not hold.

const MAX_DEPTH = 64;
const KINDS_WITH_TARGET: ReadonlySet<number> = new Set([
  BTF_KIND.TYPEDEF,
  BTF_KIND.VOLATILE,
  BTF_KIND.CONST,
  BTF_KIND.RESTRICT,
  BTF_KIND.TYPE_TAG,
]);

/** Throws InputError for a type that has no values, and for one that reaches beyond the bytes. */
export function btfJson(btf: BtfView, type: number, bytes: Uint8Array): string {
  return new JsonDumper(btf, bytes).value(type, 0, 0);
}

class JsonDumper {
  #depth = 0;

  constructor(
    private readonly btf: BtfView,
    private readonly bytes: Uint8Array,
  ) {}

  /** `bit`: 0 to 7, of an old-style bitfield. */
  value(id: number, at: number, bit: number): string {
    if (++this.#depth > MAX_DEPTH) throw new InputError(`type [${id}]: nested more than ${MAX_DEPTH} deep`);
    try {
      return this.#value(this.btf.type(id), at, bit);
    } finally {
      this.#depth--;
    }
  }

  #value(type: BtfType, at: number, bit: number): string {
    switch (type.kind) {
      case BTF_KIND.INT:
        return this.#int(type, at, bit);
      case BTF_KIND.STRUCT:
      case BTF_KIND.UNION:
        return this.#struct(type, at);
      case BTF_KIND.ARRAY:
        return this.#array(type, at);
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64: {
        const value = BigInt.asIntN(type.size * 8, this.#number(at, type.size));
        const same = (known: bigint) => BigInt.asIntN(type.size * 8, known) === value;
        const name = type.values.find((enumerator) => same(enumerator.value))?.name;
        return name === undefined ? String(value) : JSON.stringify(name);
      }
      case BTF_KIND.PTR:
        return String(this.#number(at, 8));
      case BTF_KIND.TYPEDEF:
      case BTF_KIND.VOLATILE:
      case BTF_KIND.CONST:
      case BTF_KIND.RESTRICT:
      case BTF_KIND.TYPE_TAG:
        return this.value(type.type, at, bit);
      case BTF_KIND.VAR:
        return `{${JSON.stringify(type.name)}:${this.value(type.type, at, bit)}}`;
      case BTF_KIND.DATASEC: {
        const vars = type.vars.map((variable) => this.value(variable.type, at + variable.offset, 0));
        return `{${JSON.stringify(type.name)}:[${vars.join(',')}]}`;
      }
      case BTF_KIND.FLOAT:
        // bpftool gives up on these; their bytes are worth more than nothing.
        return `"0x${this.#number(at, type.size).toString(16)}"`;
      default:
        throw new InputError(`type [${type.id}] ${type.name || '(anonymous)'} has no values`);
    }
  }

  /** Little-endian, unsigned. */
  #number(at: number, size: number): bigint {
    this.#check(at, size);
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[at + i]!);
    return value;
  }

  #check(at: number, size: number): void {
    if (at + size > this.bytes.length) {
      throw new InputError(`${size} bytes at ${at} of a value of ${this.bytes.length}`);
    }
  }

  #bits(at: number, bit: number, count: number): string {
    const value = this.#number(at, Math.ceil((bit + count) / 8)) >> BigInt(bit);
    return `"0x${BigInt.asUintN(count, value).toString(16)}"`;
  }

  #int(type: Extract<BtfType, { kind: typeof BTF_KIND.INT }>, at: number, bit: number): string {
    const { bits, bitOffset } = type;
    if (bit !== 0 || bitOffset !== 0 || bits % 8 !== 0) {
      const first = bit + bitOffset;
      return this.#bits(at + (first >> 3), first & 7, bits);
    }
    if (type.bool) return this.#number(at, type.size) === 0n ? 'false' : 'true';
    if (type.char) return JSON.stringify(String.fromCharCode(Number(this.#number(at, 1))));
    if (bits > 64 || ![8, 16, 32, 64].includes(bits)) return this.#bits(at, 0, bits);
    const value = this.#number(at, bits / 8);
    return String(type.signed ? BigInt.asIntN(bits, value) : value);
  }

  #struct(type: Extract<BtfType, { kind: typeof BTF_KIND.STRUCT | typeof BTF_KIND.UNION }>, at: number): string {
    const members = type.members.map(({ name, type: id, bitOffset, bitSize }) => {
      const first = at + Math.floor(bitOffset / 8);
      const value = bitSize > 0 ? this.#bits(first, bitOffset % 8, bitSize) : this.value(id, first, bitOffset % 8);
      return `${JSON.stringify(name)}:${value}`;
    });
    return `{${members.join(',')}}`;
  }

  #array({ type, length }: Extract<BtfType, { kind: typeof BTF_KIND.ARRAY }>, at: number): string {
    const text = this.#text(type, length, at);
    if (text !== undefined) return JSON.stringify(text);
    const size = this.btf.sizeOf(type);
    if (size === 0) return '[]';
    this.#check(at, size * length);
    const items = Array.from({ length }, (_, i) => this.value(type, at + i * size, 0));
    return `[${items.join(',')}]`;
  }

  /** A char array that holds printable ASCII up to a NUL; typedefs of char do not count. */
  #text(element: number, length: number, at: number): string | undefined {
    let type = this.btf.type(element);
    while (KINDS_WITH_TARGET.has(type.kind) && type.kind !== BTF_KIND.TYPEDEF && 'type' in type) {
      type = this.btf.type(type.type);
    }
    if (type.kind !== BTF_KIND.INT || type.size !== 1 || !(type.char || type.name === 'char')) return undefined;
    this.#check(at, length);
    const end = this.bytes.subarray(at, at + length).indexOf(0);
    const text = end < 0 ? undefined : this.bytes.subarray(at, at + end);
    return text?.every((byte) => byte > 0x1f && byte < 0x7f) ? String.fromCharCode(...text) : undefined;
  }
}
