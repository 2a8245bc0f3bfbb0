import { checkArgument } from '../argument.js';
import { EHDR_BYTES, EM_BPF, ET_DYN, ET_EXEC, ET_REL, isElf } from './elf.js';

const SHDR_BYTES = 64;
const SYM_BYTES = 24;

const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const STT_OBJECT = 1;
const STT_FILE = 4;

/** Most objects that one executable gives; scx_loader embeds about twenty. */
const MAX_OBJECTS = 1024;

export interface EmbeddedObject {
  /** Its source file without suffix, else the executable's symbol for it, else `object@0x…` by file offset. */
  name: string;
  bytes: Uint8Array;
}

/**
 * BPF objects inside an executable: section `.bpf.objs` of libbpf-rs, byte arrays in .rodata of libbpf skeletons. Found by
 * their ELF headers wherever they lie; their extent is that of their section table and sections. A file that is a BPF
 * object itself embeds none. Never throws: what does not look sound is not listed.
 */
export function findObjects(bytes: Uint8Array): EmbeddedObject[] {
  checkArgument('findObjects: bytes', bytes, 'bytes');
  const file = new Image(bytes);
  if (file.isObjectAt(0)) return [];
  const found: EmbeddedObject[] = [];
  const symbols = new Map<number, string>();
  for (let at = bytes.indexOf(0x7f, 1); at >= 0 && found.length < MAX_OBJECTS; at = bytes.indexOf(0x7f, at + 1)) {
    if (!file.isObjectAt(at)) continue;
    const length = file.extent(at);
    if (length === 0) continue;
    if (symbols.size === 0) file.objectNames(symbols);
    const object = bytes.subarray(at, at + length);
    const name = new Image(object).sourceName() ?? symbols.get(at) ?? `object@0x${at.toString(16)}`;
    found.push({ name, bytes: object });
    at += length - 1;
  }
  return found;
}

interface Header {
  name: number;
  type: number;
  address: number;
  offset: number;
  size: number;
  link: number;
}

/** Whether a file is an executable, or a shared object: what a program of the user's is, with a BPF object in it or not. */
export function isExecutable(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 18 || !isElf(view)) return false;
  const type = view.getUint16(16, true);
  return type === ET_EXEC || type === ET_DYN;
}

/** Bounds-checked reads of little-endian ELF64 structures at any offset of a file. */
class Image {
  readonly #view: DataView;
  /** Section headers that may still be read: headers that overlap each other cost no more than a file of sound ones. */
  #budget = 4_000_000;

  constructor(readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  isObjectAt(at: number): boolean {
    const view = this.#view;
    return (
      at + EHDR_BYTES <= this.bytes.length &&
      isElf(view, at) &&
      view.getUint8(at + 4) === 2 &&
      view.getUint8(at + 5) === 1 &&
      view.getUint16(at + 16, true) === ET_REL &&
      view.getUint16(at + 18, true) === EM_BPF
    );
  }

  /** Bytes from the header to the end of the last section or the section table; 0 if that is past the end of the file. */
  extent(at: number): number {
    let end = EHDR_BYTES;
    for (const section of this.sections(at)) {
      end = Math.max(end, section.type === SHT_NOBITS ? 0 : section.offset + section.size);
    }
    const table = this.#u64(at + 40) + this.#view.getUint16(at + 60, true) * SHDR_BYTES;
    end = Math.max(end, table);
    return end > EHDR_BYTES && at + end <= this.bytes.length ? end : 0;
  }

  /** Section headers of the ELF file at this offset; none if the table does not fit. */
  sections(at: number): Header[] {
    const view = this.#view;
    const table = at + this.#u64(at + 40);
    const count = view.getUint16(at + 60, true);
    if (view.getUint16(at + 58, true) !== SHDR_BYTES || table + count * SHDR_BYTES > this.bytes.length) return [];
    this.#budget -= count;
    if (this.#budget < 0) return [];
    return Array.from({ length: count }, (_, i) => {
      const header = table + i * SHDR_BYTES;
      return {
        name: view.getUint32(header, true),
        type: view.getUint32(header + 4, true),
        address: this.#u64(header + 16),
        offset: this.#u64(header + 24),
        size: this.#u64(header + 32),
        link: view.getUint32(header + 40, true),
      };
    });
  }

  /** Base name of the C file that BTF's line information or the symbol table names: `scx_simple` of `scx_simple.bpf.c`. */
  sourceName(): string | undefined {
    const sections = this.sections(0);
    const btf = sections.find((section) => this.#sectionName(sections, section) === '.BTF');
    const strings = btf && new TextDecoder().decode(this.bytes.subarray(btf.offset, btf.offset + btf.size));
    const inBtf = strings?.match(/([^\0/]+?)(?:\.bpf)?\.c\0/)?.[1];
    if (inBtf !== undefined) return inBtf;
    for (const symbol of this.#symbols()) {
      if (symbol.type !== STT_FILE) continue;
      const name = symbol.name.slice(symbol.name.lastIndexOf('/') + 1).replace(/(\.bpf)?\.[a-z]+$/i, '');
      if (name !== '') return name;
    }
    return undefined;
  }

  #sectionName(sections: readonly Header[], { name }: Header): string {
    const names = sections[this.#view.getUint16(62, true)];
    const start = (names?.offset ?? 0) + name;
    const text = this.bytes.subarray(start, start + MAX_SYMBOL);
    const end = text.indexOf(0);
    return new TextDecoder().decode(text.subarray(0, Math.max(end, 0)));
  }

  /** Names of this executable's data symbols by file offset. */
  objectNames(out: Map<number, string>): void {
    if (this.bytes.length < EHDR_BYTES || !isElf(this.#view) || this.bytes[4] !== 2) return;
    const sections = this.sections(0);
    for (const { name, type, section, value } of this.#symbols()) {
      const home = sections[section];
      if (type === STT_OBJECT && home !== undefined && name !== '') out.set(home.offset + value - home.address, name);
    }
  }

  *#symbols(): Generator<{ name: string; type: number; section: number; value: number }> {
    const sections = this.sections(0);
    const table = sections.find((section) => section.type === SHT_SYMTAB);
    const strings = sections[table?.link ?? -1];
    if (table === undefined || strings === undefined) return;
    const fits = ({ offset, size }: Header) => offset + size <= this.bytes.length;
    if (!fits(table) || !fits(strings)) return;
    const names = this.bytes.subarray(strings.offset, strings.offset + strings.size);
    const view = this.#view;
    for (let at = table.offset; at + SYM_BYTES <= table.offset + table.size; at += SYM_BYTES) {
      const type = view.getUint8(at + 4) & 0xf;
      if (type !== STT_OBJECT && type !== STT_FILE) continue;
      const start = view.getUint32(at, true);
      const text = names.subarray(start, start + MAX_SYMBOL);
      const end = text.indexOf(0);
      if (end < 0) continue;
      const name = new TextDecoder().decode(text.subarray(0, end));
      yield { name, type, section: view.getUint16(at + 6, true), value: this.#u64(at + 8) };
    }
  }

  #u64(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }
}

/** Longest symbol name that is read. */
const MAX_SYMBOL = 1024;
