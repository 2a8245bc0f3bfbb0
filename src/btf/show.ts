import { BTF_KIND, type BtfView } from './types.js';

/** Bytes that are printable to the kernel, whose isprint() knows Latin-1 (lib/ctype.c). */
function printable(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte >= 0xa0;
}

/** Kernel: PTR_TO_HASHVAL without its secret: 32 bits that tell pointers apart and no addresses. */
function hashedPointer(value: bigint): string {
  // NULL and error pointers are shown as they are (lib/vsprintf.c, ptr_to_id).
  if (value === 0n || value >= 2n ** 64n - 4095n) return value.toString(16).padStart(16, '0');
  let hash = 0x811c9dc5;
  for (let i = 0n; i < 8n; i++) hash = Math.imul(hash ^ Number((value >> (8n * i)) & 0xffn), 0x01000193) >>> 0;
  return hash.toString(16).padStart(16, '0');
}

/**
 * A value as the kernel prints it into the files of bpffs: `{3,['h','i',],READY,}` (kernel: btf_type_seq_show with
 * BTF_SHOW_NONAME, _COMPACT and _ZERO, kernel/bpf/btf.c 6.18). Brackets inside of arrays and of pointers are missing and an
 * array of pointers or of arrays shows its first element each time, as there. Pointers are hashed, there with a secret of the boot.
 */
export function showValue(btf: BtfView, type: number, bytes: Uint8Array): string {
  return new Show(btf, bytes).value(type);
}

class Show {
  readonly #view: DataView;
  #text = '';
  #depth = 0;
  /** An element of an array comes next: its brackets are left out. */
  #element = false;
  /** The innermost array has elements of one byte, which show as characters up to a NUL. */
  #chars = false;
  #terminated = false;

  constructor(
    private readonly btf: BtfView,
    private readonly bytes: Uint8Array,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(type: number): string {
    this.#show(type, 0);
    return this.#text;
  }

  #put(text: string): void {
    this.#text += text + (this.#depth > 0 ? ',' : '');
  }

  #open(bracket: string): void {
    if (!this.#element) this.#text += bracket;
    this.#depth++;
  }

  #close(bracket: string): void {
    this.#depth--;
    this.#put(bracket);
  }

  #show(id: number, at: number): void {
    const type = this.btf.type(this.btf.resolve(id));
    switch (type.kind) {
      case BTF_KIND.INT:
        this.#int(type, at);
        return;
      case BTF_KIND.PTR:
        this.#put(`0x${hashedPointer(this.#view.getBigUint64(at, true))}`);
        return;
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64: {
        const value = this.#integer(at, type.size, type.signed);
        this.#put(type.values.find((candidate) => candidate.value === value)?.name ?? `${value}`);
        return;
      }
      case BTF_KIND.ARRAY:
        this.#array(type, at);
        return;
      case BTF_KIND.STRUCT:
      case BTF_KIND.UNION:
        this.#open('{');
        for (const { type: member, bitOffset, bitSize } of type.members) {
          if (bitSize > 0) this.#bits(at * 8 + bitOffset, bitSize);
          else this.#show(member, at + bitOffset / 8);
        }
        this.#close('}');
        return;
      case BTF_KIND.VAR:
        this.#show(type.type, at);
        return;
      case BTF_KIND.DATASEC:
        this.#text += `section ("${type.name}") = {`;
        type.vars.forEach((variable, i) => {
          if (i > 0) this.#text += ',';
          this.#show(variable.type, at + variable.offset);
        });
        return;
      default:
        this.#text += `<unsupported kind:${type.kind}>`;
    }
  }

  #array(type: { type: number; length: number }, at: number): void {
    const element = this.btf.type(this.btf.resolve(type.type));
    const pointers = element.kind === BTF_KIND.PTR;
    const size = pointers || element.kind === BTF_KIND.ARRAY ? 0 : this.btf.sizeOf(type.type);
    this.#open(pointers ? '' : '[');
    this.#chars = element.kind === BTF_KIND.INT && size === 1;
    this.#terminated = false;
    for (let i = 0; i < type.length; i++) {
      this.#element = true;
      this.#show(type.type, at + i * size);
      this.#element = false;
      if (this.#terminated) break;
    }
    this.#chars = false;
    this.#terminated = false;
    this.#close(']');
  }

  #int(type: { size: number; bits: number; bitOffset: number; signed: boolean }, at: number): void {
    if (type.bitOffset !== 0 || type.bits !== type.size * 8) {
      this.#bits(at * 8 + type.bitOffset, type.bits);
      return;
    }
    if (type.size === 16) {
      const high = this.#view.getBigUint64(at + 8, true);
      const low = this.#view.getBigUint64(at, true);
      this.#put(`0x${high === 0n ? low.toString(16) : high.toString(16) + low.toString(16).padStart(16, '0')}`);
      return;
    }
    if (type.size === 1 && this.#chars) {
      const byte = this.bytes[at]!;
      if (byte === 0) {
        this.#terminated = true;
        return;
      }
      if (printable(byte)) {
        this.#put(`'${String.fromCharCode(byte)}'`);
        return;
      }
    }
    this.#put(`${this.#integer(at, type.size, type.signed)}`);
  }

  #integer(at: number, size: number, signed: boolean): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[at + i]!);
    return signed ? BigInt.asIntN(size * 8, value) : value;
  }

  #bits(bit: number, width: number): void {
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) {
      const at = bit + i;
      value = (value << 1n) | BigInt((this.bytes[at >> 3]! >> (at & 7)) & 1);
    }
    this.#put(`0x${value.toString(16)}`);
  }
}
