import elfy, { type ElfySection } from '#elfy';
import { InputError } from '../errors.js';
import { ElfyBytes } from './bytes.js';

// ELF64 gABI: sizes of the file header, a section header, a symbol and a relocation without addend.
export const EHDR_BYTES = 64;
const SHDR_BYTES = 64;
const SYM_BYTES = 24;
const REL_BYTES = 16;

export const EM_NONE = 0;
export const EM_BPF = 247;
export const ET_REL = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;

export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;

export const STB = { LOCAL: 0, GLOBAL: 1, WEAK: 2 } as const;
export const STT = { NOTYPE: 0, OBJECT: 1, FUNC: 2, SECTION: 3, FILE: 4 } as const;
export const STV = { DEFAULT: 0, INTERNAL: 1, HIDDEN: 2, PROTECTED: 3 } as const;

/** Longest section or symbol name, in bytes. Bounds the work that overlapping, endless names can ask for. */
const MAX_NAME = 1024;

/** Most bytes that NOBITS sections may ask for together. */
const MAX_NOBITS = 128 * 2 ** 20;

export interface ElfSection {
  index: number;
  name: string;
  /** elfy's name of the sh_type: 'progbits', 'nobits', 'symtab', 'rel', …; '' for numbers it does not name. */
  type: string;
  /** SHF_EXECINSTR. */
  executable: boolean;
  offset: number;
  /** Of the section in memory; for 'nobits' the file has none of it. */
  size: number;
  link: number;
  info: number;
  entrySize: number;
  /** A view of the file; empty for 'nobits'. */
  data: Uint8Array;
}

export interface ElfSymbol {
  index: number;
  /** The section's name for an unnamed section symbol. */
  name: string;
  value: number;
  size: number;
  type: number;
  bind: number;
  visibility: number;
  /** Section index, SHN_UNDEF, or a reserved one from SHN_LORESERVE on. */
  section: number;
}

export interface ElfRelocation {
  offset: number;
  symbol: ElfSymbol;
  type: number;
}

/** A little-endian ELF64 relocatable file for EM_BPF, its section table validated. Everything else is read on demand. */
export class ElfFile {
  readonly sections: readonly ElfSection[];
  #symbols: readonly ElfSymbol[] | undefined;

  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    // Views of a Node Buffer are Buffers, which take longer to make and whose slices share memory.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    checkHeader(this.bytes);
    this.sections = readSections(this.bytes);
  }

  /** First section of this name. */
  section(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** The symbol table, [] if there is none; entry 0 is the null symbol. Throws InputError. */
  get symbols(): readonly ElfSymbol[] {
    this.#symbols ??= this.#readSymbols();
    return this.#symbols;
  }

  /** Entries of a 'rel' section in file order. Throws InputError. */
  relocations(section: ElfSection): ElfRelocation[] {
    const place = `section "${section.name}"`;
    checkTable(section, REL_BYTES);
    const view = viewOf(section.data);
    const out: ElfRelocation[] = [];
    for (let at = 0; at < section.size; at += REL_BYTES) {
      const index = view.getUint32(at + 12, true);
      const symbol = this.symbols[index];
      if (symbol === undefined) {
        throw new InputError(`${place}: symbol #${index} not found for relo #${at / REL_BYTES}`);
      }
      out.push({
        offset: u64(view, at, place, 'relo', at / REL_BYTES),
        symbol,
        type: view.getUint32(at + 8, true),
      });
    }
    return out;
  }

  /** How often each relocation type occurs in a 'rel' section. Throws InputError. */
  relocationTypes(section: ElfSection): Map<number, number> {
    checkTable(section, REL_BYTES);
    const view = viewOf(section.data);
    const counts = new Map<number, number>();
    for (let at = 8; at < section.size; at += REL_BYTES) {
      const type = view.getUint32(at, true);
      counts.set(type, (counts.get(type) ?? 0) + 1);
    }
    return counts;
  }

  #readSymbols(): ElfSymbol[] {
    const tables = this.sections.filter((section) => section.type === 'symtab');
    const table = tables[0];
    if (table === undefined) return [];
    if (tables.length > 1) throw new InputError(`section "${tables[1]?.name}": multiple symbol tables`);
    const place = `section "${table.name}"`;
    checkTable(table, SYM_BYTES);
    const strings = this.sections[table.link];
    if (strings?.type !== 'strtab') throw new InputError(`${place}: no string table in section ${table.link}`);
    const names = new StringTable(strings);
    const view = viewOf(table.data);
    const out: ElfSymbol[] = [];
    for (let at = 0; at < table.size; at += SYM_BYTES) {
      const index = at / SYM_BYTES;
      const info = view.getUint8(at + 4);
      const section = view.getUint16(at + 6, true);
      if (section >= this.sections.length && section < SHN_LORESERVE) {
        throw new InputError(`${place}: symbol #${index} is in section ${section}, which does not exist`);
      }
      const nameOffset = view.getUint32(at, true);
      const type = info & 0xf;
      out.push({
        index,
        name:
          type === STT.SECTION && nameOffset === 0
            ? (this.sections[section]?.name ?? '')
            : names.at(nameOffset, place, index),
        value: u64(view, at + 8, place, 'value of symbol', index),
        size: u64(view, at + 16, place, 'size of symbol', index),
        type,
        bind: info >>> 4,
        visibility: view.getUint8(at + 5) & 3,
        section,
      });
    }
    return out;
  }
}

/** NUL-terminated names by offset, each decoded once. */
class StringTable {
  readonly #cache = new Map<number, string>();
  constructor(readonly section: ElfSection) {
    checkNames(section.data, `section "${section.name}"`);
  }
  at(offset: number, place: string, symbol: number): string {
    let name = this.#cache.get(offset);
    if (name === undefined) {
      const { data } = this.section;
      if (offset >= data.length) {
        if (offset === 0) return '';
        throw new InputError(
          `${place}: symbol #${symbol}: name offset ${offset} is past the end of section "${this.section.name}"`,
        );
      }
      name = ElfyBytes.over(data.subarray(offset, data.indexOf(0, offset))).toString();
      this.#cache.set(offset, name);
    }
    return name;
  }
}

/** Every name ends with NUL and none is longer than MAX_NAME. */
function checkNames(data: Uint8Array, place: string): void {
  for (let start = 0; start < data.length; ) {
    const end = data.indexOf(0, start);
    if (end < 0) throw new InputError(`${place}: string at offset ${start} is not terminated`);
    if (end - start > MAX_NAME) throw new InputError(`${place}: string at offset ${start} has ${end - start} bytes`);
    start = end + 1;
  }
}

/** Does an ELF file begin there? */
export function isElf(view: DataView, at = 0): boolean {
  return at + 4 <= view.byteLength && view.getUint32(at) === 0x7f454c46;
}

/** What elfy does not tell or tells wrongly: identification, machine, type, and whether the section table is sound. */
function checkHeader(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  if (!isElf(view)) throw new InputError('not an ELF file');
  if (bytes.length < EHDR_BYTES)
    throw new InputError(`ELF header: truncated at ${bytes.length} of ${EHDR_BYTES} bytes`);
  const fileClass = bytes[4];
  const data = bytes[5];
  if (fileClass !== 2) {
    throw new InputError(`ELF header: ${fileClass === 1 ? '32-bit' : `class ${fileClass}`}; a BPF object is 64-bit`);
  }
  if (data !== 1) {
    throw new InputError(
      `ELF header: ${data === 2 ? 'big-endian' : `data encoding ${data}`}; only little-endian BPF objects are read`,
    );
  }
  const type = view.getUint16(16, true);
  const machine = view.getUint16(18, true);
  // EM_NONE: objects of old LLVM versions; libbpf's bpf_object__elf_init accepts them too.
  if (machine !== EM_BPF && machine !== EM_NONE) {
    throw new InputError(`ELF header: machine ${machine} is not BPF (${EM_BPF})`);
  }
  if (type !== ET_REL) throw new InputError(`ELF header: type ${type} is not a relocatable object (${ET_REL})`);
  if (view.getUint16(56, true) !== 0) throw new InputError('ELF header: a relocatable object has no program headers');
  const entrySize = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  const names = view.getUint16(62, true);
  const offset = u64(view, 40, 'ELF header', 'section table offset');
  if (offset === 0 || count === 0) throw new InputError('ELF header: no section table');
  if (entrySize !== SHDR_BYTES) throw new InputError(`ELF header: section headers of ${entrySize} bytes`);
  if (offset + count * SHDR_BYTES > bytes.length) {
    throw new InputError(
      `ELF header: section table of ${count} entries at ${offset} is past the end (${bytes.length} bytes)`,
    );
  }
  if (names >= count) throw new InputError(`ELF header: no section ${names} for section names`);
  const at = offset + names * SHDR_BYTES;
  if (view.getUint32(at + 4, true) !== 3) throw new InputError(`ELF section ${names}: not a string table`);
  const namesAt = u64(view, at + 24, `ELF section ${names}`, 'offset');
  const namesSize = u64(view, at + 32, `ELF section ${names}`, 'size');
  if (namesAt + namesSize > bytes.length) throw new InputError(`ELF section ${names}: section names past the end`);
  checkNames(bytes.subarray(namesAt, namesAt + namesSize), `ELF section ${names}`);
}

function readSections(bytes: Uint8Array): ElfSection[] {
  const view = viewOf(bytes);
  let table: ElfySection[];
  try {
    table = elfy.parse(ElfyBytes.over(bytes)).body.sections;
  } catch (cause) {
    throw new InputError(`ELF section table: ${(cause as Error).message}`, { cause });
  }
  const tableAt = Number(view.getBigUint64(40, true));
  let inFile = 0;
  let inMemory = 0;
  const sections = table.map((raw, index): ElfSection => {
    const place = `section "${raw.name}"`;
    const type = typeof raw.type === 'string' ? raw.type : '';
    const none = type === 'nobits' || type === 'undef' || type === 'null';
    const { off: offset, size } = raw;
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(size)) {
      throw new InputError(`${place}: ${size} bytes at ${offset}`);
    }
    if (!none && offset + size > bytes.length) {
      throw new InputError(`${place}: ${size} bytes at ${offset} are past the end of the file (${bytes.length} bytes)`);
    }
    if (none) inMemory += type === 'nobits' ? size : 0;
    else inFile += size;
    if (inMemory > MAX_NOBITS) throw new InputError(`${place}: zeroed sections of more than ${MAX_NOBITS} bytes`);
    return {
      index,
      name: raw.name,
      type,
      executable: raw.flags.execinstr === true,
      offset,
      size,
      link: raw.link,
      info: raw.info,
      entrySize: u64(view, tableAt + index * SHDR_BYTES + 56, place, 'entry size'),
      data: none ? new Uint8Array(0) : bytes.subarray(offset, offset + size),
    };
  });
  // Bounds what is done per section by the size of the file.
  if (inFile > bytes.length)
    throw new InputError(`ELF section table: sections overlap (${inFile} of ${bytes.length} bytes)`);
  return sections;
}

function checkTable(section: ElfSection, entryBytes: number): void {
  if (section.entrySize !== entryBytes || section.size % entryBytes !== 0) {
    throw new InputError(
      `section "${section.name}": ${section.size} bytes in entries of ${section.entrySize}, expected ${entryBytes} each`,
    );
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What the number is of, in three parts, because it is said only where it is too large. */
function u64(view: DataView, at: number, place: string, what: string, number?: number): number {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  if (Number.isSafeInteger(value)) return value;
  const which = number === undefined ? what : `${what} #${number}`;
  throw new InputError(`${place}: ${which}: 0x${view.getBigUint64(at, true).toString(16)}`);
}
