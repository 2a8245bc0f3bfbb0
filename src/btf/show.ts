import { BTF_KIND, type BtfMember, type BtfType, type BtfView } from './types.js';

/** How values are shown (kernel: BTF_F_COMPACT, _NONAME, _PTR_RAW, _ZERO, include/uapi/linux/bpf.h). */
export const BTF_SHOW = { COMPACT: 1, NONAME: 2, PTR_RAW: 4, ZERO: 8 } as const;

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
  const flags = BTF_SHOW.COMPACT | BTF_SHOW.NONAME | BTF_SHOW.ZERO;
  return showMemory(btf, type, (at, size) => bytes.subarray(at, at + size), flags);
}

/** Gives `size` bytes at an offset of what is shown; called for each scalar that is looked at. What it throws comes through. */
export type ReadBytes = (at: number, size: number) => Uint8Array;

/**
 * The same with any flags (kernel: btf_type_snprintf_show): without NONAME members and types are told, without COMPACT each
 * stands on a line of its own, without ZERO what is 0 is left out below the outermost level.
 */
export function showMemory(btf: BtfView, type: number, read: ReadBytes, flags: number): string {
  return new Show(btf, read, flags).value(type);
}

/** Nested pointers, arrays and typedefs that a name shows (kernel: BTF_SHOW_MAX_ITER). */
const MAX_ITER = 10;
const MAX_INDENT = 32;
const QUALIFIERS: ReadonlySet<number> = new Set([
  BTF_KIND.VOLATILE,
  BTF_KIND.CONST,
  BTF_KIND.RESTRICT,
  BTF_KIND.TYPE_TAG,
]);

type Aggregate = { id: number; type: BtfType; at: number };

class Show {
  #text = '';
  #depth = 0;
  /** The member whose value comes next. */
  #member: BtfMember | undefined;
  /** An element of an array comes next: its type and brackets are left out. */
  #element = false;
  /** The innermost array has elements of one byte, which show as characters up to a NUL. */
  #chars = false;
  #terminated = false;
  /** Not 0: nothing is written, it is found out how deep something other than 0 lies (kernel: show->state.depth_check). */
  #depthCheck = 0;
  #depthToShow = 0;
  /** Type of the value that is shown; 0 at the end of an aggregate. */
  #type: BtfType | undefined;

  constructor(
    private readonly btf: BtfView,
    private readonly read: ReadBytes,
    private readonly flags: number,
  ) {}

  value(type: number): string {
    this.#show(type, 0);
    return this.#text;
  }

  get #compact(): boolean {
    return (this.flags & BTF_SHOW.COMPACT) !== 0;
  }

  get #zero(): boolean {
    return (this.flags & BTF_SHOW.ZERO) !== 0;
  }

  #put(text: string): void {
    if (this.#depthCheck === 0) this.#text += text;
  }

  get #indent(): string {
    return this.#compact ? '' : ' '.repeat(Math.min(this.#depth, MAX_INDENT));
  }

  get #newline(): string {
    return this.#compact ? '' : '\n';
  }

  get #delimiter(): string {
    if (this.#depth === 0) return '';
    return this.#compact && this.#type?.kind === BTF_KIND.UNION ? '|' : ',';
  }

  /** A value that is not left out (kernel: btf_show_type_values). */
  #values(id: number, text: string): void {
    this.#put(`${this.#indent}${this.#name(id)}${text}${this.#delimiter}${this.#newline}`);
    if (this.#depth > this.#depthToShow) this.#depthToShow = this.#depth;
  }

  /** One that is left out if it is 0 (kernel: btf_show_type_value). */
  #valueOf(id: number, value: bigint, text: string): void {
    if (value !== 0n || this.#zero || this.#depth === 0) this.#values(id, text);
  }

  /** Kernel: btf_show_name. */
  #name(id: number): string {
    if (this.#element) return '';
    const { btf } = this;
    const member = this.#member?.name ?? '';
    let type = btf.type(this.#member?.type ?? id);
    let name = '';
    let typedef = false;
    let pointers = '';
    let arrays = '';
    let depth = 0;
    for (; depth < MAX_ITER; depth++) {
      let next = 0;
      if (type.kind === BTF_KIND.TYPEDEF) {
        name ||= type.name;
        typedef = true;
        next = type.type;
      } else if (type.kind === BTF_KIND.ARRAY) {
        arrays += '[]';
        next = type.type;
      } else if (type.kind === BTF_KIND.PTR) {
        pointers += '*';
        next = type.type;
      }
      if (next === 0) break;
      type = this.#skipQualifiers(next);
    }
    if (depth === MAX_ITER) return '';
    name ||= 'name' in type ? type.name : '';
    let prefix = '';
    let parens = arrays ? '[' : '';
    if (type.kind === BTF_KIND.STRUCT || type.kind === BTF_KIND.UNION) {
      prefix = type.kind === BTF_KIND.STRUCT ? 'struct' : 'union';
      if (!arrays) parens = '{';
    } else if (type.kind === BTF_KIND.ENUM || type.kind === BTF_KIND.ENUM64) prefix = 'enum';
    if (pointers) parens = '';
    if (typedef) prefix = '';
    if (this.flags & BTF_SHOW.NONAME) return parens;
    const gap = prefix && name ? ' ' : '';
    return `${member ? `.${member} = ` : ''}(${prefix}${gap}${name}${pointers ? ` ${pointers}` : ''}${arrays})${parens}`;
  }

  #skipQualifiers(id: number): BtfType {
    let type = this.btf.type(id);
    while (QUALIFIERS.has(type.kind) && 'type' in type) type = this.btf.type(type.type);
    return type;
  }

  #show(id: number, at: number): void {
    const type = this.btf.type(this.btf.resolve(id));
    switch (type.kind) {
      case BTF_KIND.INT:
        this.#type = type;
        this.#int(id, type, at);
        break;
      case BTF_KIND.PTR: {
        this.#type = type;
        const value = this.#integer(at, 8, false);
        const raw = (this.flags & BTF_SHOW.PTR_RAW) !== 0;
        this.#valueOf(id, value, `0x${raw ? value.toString(16).padStart(16, '0') : hashedPointer(value)}`);
        break;
      }
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64: {
        this.#type = type;
        const value = this.#integer(at, type.size, type.signed);
        const named = type.values.find((candidate) => candidate.value === value);
        if (named) this.#values(id, named.name);
        else this.#valueOf(id, value, `${value}`);
        break;
      }
      case BTF_KIND.ARRAY:
        this.#unlessZero(() => this.#array({ id, type, at }, type));
        return;
      case BTF_KIND.STRUCT:
      case BTF_KIND.UNION:
        this.#unlessZero(() => this.#struct({ id, type, at }, type.members));
        return;
      case BTF_KIND.VAR:
        this.#show(type.type, at);
        return;
      case BTF_KIND.DATASEC:
        this.#put(`section ("${type.name}") = {`);
        type.vars.forEach((variable, i) => {
          if (i > 0) this.#put(',');
          this.#show(variable.type, at + variable.offset);
        });
        return;
      default:
        this.#put(`<unsupported kind:${type.kind}>`);
        return;
    }
    this.#type = undefined;
  }

  /** An aggregate that is 0 all over is left out: a first pass writes nothing and finds out (kernel: btf_struct_show). */
  #unlessZero(body: () => void): void {
    if (this.#depth > 0 && !this.#zero) {
      const member = this.#member;
      if (this.#depthCheck === 0) {
        this.#depthCheck = this.#depth + 1;
        this.#depthToShow = 0;
      }
      body();
      this.#member = member;
      if (this.#depthCheck !== this.#depth + 1) return;
      this.#depthCheck = 0;
      if (this.#depthToShow <= this.#depth) return;
    }
    body();
  }

  #open({ id, type }: Aggregate): void {
    this.#type = type;
    this.#put(`${this.#indent}${this.#name(id)}${this.#newline}`);
    this.#depth++;
  }

  #close(bracket: string): void {
    this.#depth--;
    this.#put(`${this.#indent}${bracket}${this.#delimiter}${this.#newline}`);
    this.#type = undefined;
  }

  #struct(aggregate: Aggregate, members: readonly BtfMember[]): void {
    this.#open(aggregate);
    for (const member of members) {
      this.#member = member;
      const { type, bitOffset, bitSize } = member;
      if (bitSize > 0) {
        this.#type = this.btf.type(this.btf.resolve(type));
        this.#bits(type, aggregate.at * 8 + bitOffset, bitSize);
        this.#type = undefined;
      } else this.#show(type, aggregate.at + bitOffset / 8);
      this.#member = undefined;
    }
    this.#close('}');
  }

  #array(aggregate: Aggregate, { type: elementType, length }: { type: number; length: number }): void {
    const element = this.btf.type(this.btf.resolve(elementType));
    const sized = element.kind !== BTF_KIND.PTR && element.kind !== BTF_KIND.ARRAY;
    const size = sized ? this.btf.sizeOf(elementType) : 0;
    this.#chars = element.kind === BTF_KIND.INT && size === 1;
    this.#terminated = false;
    this.#open(aggregate);
    for (let i = 0; i < length; i++) {
      this.#element = true;
      this.#member = undefined;
      this.#show(elementType, aggregate.at + i * size);
      this.#element = false;
      this.#member = undefined;
      if (this.#terminated) break;
    }
    this.#chars = false;
    this.#terminated = false;
    this.#close(']');
  }

  #int(id: number, type: { size: number; bits: number; bitOffset: number; signed: boolean }, at: number): void {
    if (type.bitOffset !== 0 || type.bits !== type.size * 8) {
      this.#bits(id, at * 8 + type.bitOffset, type.bits);
      return;
    }
    if (type.size === 16) {
      this.#wide(id, this.#integer(at, 16, false));
      return;
    }
    const value = this.#integer(at, type.size, type.signed);
    if (type.size === 1 && this.#chars) {
      const byte = Number(value & 0xffn);
      if (byte === 0) {
        this.#terminated = true;
        return;
      }
      if (printable(byte)) {
        this.#valueOf(id, value, `'${String.fromCharCode(byte)}'`);
        return;
      }
    }
    this.#valueOf(id, value, `${value}`);
  }

  #integer(at: number, size: number, signed: boolean): bigint {
    const bytes = this.read(at, size);
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return signed ? BigInt.asIntN(size * 8, value) : value;
  }

  #bits(id: number, bit: number, width: number): void {
    const start = bit >> 3;
    const bytes = this.read(start, Math.ceil((bit + width) / 8) - start);
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) {
      const at = bit - start * 8 + i;
      value = (value << 1n) | BigInt((bytes[at >> 3]! >> (at & 7)) & 1);
    }
    this.#wide(id, value);
  }

  /** Kernel: btf_int128_print, which shows zeros, too. */
  #wide(id: number, value: bigint): void {
    const high = value >> 64n;
    const low = value & (2n ** 64n - 1n);
    this.#values(id, `0x${high === 0n ? low.toString(16) : high.toString(16) + low.toString(16).padStart(16, '0')}`);
  }
}
