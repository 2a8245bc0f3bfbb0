import { InputError } from '../errors.js';
import type { Btf } from './btf.js';
import { LINE_WORDS, NO_LINES } from './lines.js';
import { BTF_MAGIC } from './records.js';

export interface FuncInfo {
  /** Bytes from the start of the section, as in the three record kinds. */
  offset: number;
  /** BTF id of a FUNC. */
  type: number;
}
export interface CoreRecord {
  offset: number;
  type: number;
  /** String offset of the access string. */
  accessor: number;
  kind: number;
}

/** .BTF.ext by section name, records in file order. */
export interface BtfExt {
  funcs: Map<string, FuncInfo[]>;
  /** Packed, see LINE_WORDS. */
  lines: Map<string, Uint32Array>;
  coRe: Map<string, CoreRecord[]>;
}

/**
 * Reads .BTF.ext (kernel: Documentation/bpf/btf.rst, "The .BTF.ext section"). Records may be longer than what is known of
 * them; the rest is skipped. Type ids and string offsets are checked against `btf`. Throws InputError.
 */
export function parseBtfExt(bytes: Uint8Array, btf: Btf): BtfExt {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 24) throw new InputError(`header: truncated at ${bytes.length} bytes`);
  const magic = view.getUint16(0, true);
  if (magic !== BTF_MAGIC) throw new InputError(`header: magic 0x${magic.toString(16)} is not 0xeb9f`);
  if (view.getUint8(2) !== 1) throw new InputError(`header: unsupported version ${view.getUint8(2)}`);
  const headerBytes = view.getUint32(4, true);
  if (headerBytes < 24 || headerBytes > bytes.length) {
    throw new InputError(`header: length ${headerBytes} of ${bytes.length} bytes`);
  }

  const { end: stringsEnd } = btf.strings;
  const checkString = (offset: number, place: () => string) => {
    if (offset >= stringsEnd) throw new InputError(`${place()}: string offset ${offset} is past the end`);
  };
  const checkId = (id: number, place: () => string) => {
    if (id >= btf.typeCount) throw new InputError(`${place()}: type ${id} does not exist (${btf.typeCount} types)`);
  };

  /** Calls `visit` with the records of one section at a time: where the first is, and bytes from one to the next. */
  const table = (
    name: string,
    at: number,
    recordBytes: number,
    visit: (section: string, pos: number, count: number, stride: number) => void,
  ) => {
    if (headerBytes < at + 8) return;
    const start = headerBytes + view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (length === 0) return;
    const end = start + length;
    if (end > bytes.length || length < 4) {
      throw new InputError(`${name}: ${length} bytes at ${start} are past the end (${bytes.length} bytes)`);
    }
    const stride = view.getUint32(start, true);
    if (stride < recordBytes || stride % 4 !== 0) throw new InputError(`${name}: records of ${stride} bytes`);
    let pos = start + 4;
    while (pos < end) {
      if (end - pos < 8) throw new InputError(`${name}: truncated at offset ${pos}`);
      const nameOffset = view.getUint32(pos, true);
      const count = view.getUint32(pos + 4, true);
      pos += 8;
      checkString(nameOffset, () => name);
      if (count === 0 || count * stride > end - pos) {
        throw new InputError(`${name}: ${count} records at offset ${pos}, ${end - pos} bytes are left`);
      }
      visit(btf.string(nameOffset), pos, count, stride);
      pos += count * stride;
    }
  };
  const listOf = <T>(map: Map<string, T[]>, section: string): T[] => {
    const known = map.get(section);
    if (known !== undefined) return known;
    const list: T[] = [];
    map.set(section, list);
    return list;
  };

  const funcs = new Map<string, FuncInfo[]>();
  table('func_info', 8, 8, (section, pos, count, stride) => {
    const list = listOf(funcs, section);
    for (let i = 0; i < count; i++, pos += stride) {
      const type = view.getUint32(pos + 4, true);
      checkId(type, () => `func_info #${list.length} of section "${section}"`);
      list.push({ offset: view.getUint32(pos, true), type });
    }
  });
  const lines = new Map<string, Uint32Array>();
  table('line_info', 16, 16, (section, pos, count, stride) => {
    const before = lines.get(section) ?? NO_LINES;
    const words = new Uint32Array(before.length + count * LINE_WORDS);
    words.set(before);
    const given = new Uint32Array(new Uint8Array(bytes.subarray(pos, pos + count * stride)).buffer);
    if (stride === LINE_WORDS * 4) words.set(given, before.length);
    for (let to = before.length, from = 0; to < words.length; to += LINE_WORDS, from += stride / 4) {
      const file = given[from + 1] as number;
      const text = given[from + 2] as number;
      if (file >= stringsEnd || text >= stringsEnd) {
        const place = () => `line_info #${to / LINE_WORDS} of section "${section}"`;
        checkString(file, place);
        checkString(text, place);
      }
      if (stride === LINE_WORDS * 4) continue;
      words[to] = given[from] as number;
      words[to + 1] = file;
      words[to + 2] = text;
      words[to + 3] = given[from + 3] as number;
    }
    lines.set(section, words);
  });
  const coRe = new Map<string, CoreRecord[]>();
  table('core_relo', 24, 16, (section, pos, count, stride) => {
    const list = listOf(coRe, section);
    const place = () => `core_relo #${list.length} of section "${section}"`;
    for (let i = 0; i < count; i++, pos += stride) {
      const type = view.getUint32(pos + 4, true);
      const accessor = view.getUint32(pos + 8, true);
      checkId(type, place);
      checkString(accessor, place);
      list.push({ offset: view.getUint32(pos, true), type, accessor, kind: view.getUint32(pos + 12, true) });
    }
  });
  return { funcs, lines, coRe };
}
