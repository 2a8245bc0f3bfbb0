import { InputError } from '../errors.js';
import type { Btf } from './btf.js';
import { BTF_MAGIC } from './records.js';

export interface FuncInfo {
  /** Bytes from the start of the section, as in the three record kinds. */
  offset: number;
  /** BTF id of a FUNC. */
  type: number;
}
export interface LineRecord {
  offset: number;
  /** String offsets in the BTF. */
  file: number;
  text: number;
  line: number;
  column: number;
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
  lines: Map<string, LineRecord[]>;
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

  const checkString = (offset: number, place: string) => {
    if (offset >= btf.strings.end) throw new InputError(`${place}: string offset ${offset} is past the end`);
  };
  const checkId = (id: number, place: string) => {
    if (id >= btf.typeCount) throw new InputError(`${place}: type ${id} does not exist (${btf.typeCount} types)`);
  };

  function table<T>(
    name: string,
    at: number,
    recordBytes: number,
    read: (at: number, place: string) => T,
  ): Map<string, T[]> {
    const out = new Map<string, T[]>();
    if (headerBytes < at + 8) return out;
    const start = headerBytes + view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (length === 0) return out;
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
      checkString(nameOffset, name);
      if (count === 0 || count * stride > end - pos) {
        throw new InputError(`${name}: ${count} records at offset ${pos}, ${end - pos} bytes are left`);
      }
      const section = btf.string(nameOffset);
      const records = out.get(section) ?? [];
      out.set(section, records);
      for (let i = 0; i < count; i++, pos += stride) {
        const place = `${name} #${records.length} of section "${section}"`;
        records.push(read(pos, place));
      }
    }
    return out;
  }

  return {
    funcs: table('func_info', 8, 8, (at, place) => {
      const type = view.getUint32(at + 4, true);
      checkId(type, place);
      return { offset: view.getUint32(at, true), type };
    }),
    lines: table('line_info', 16, 16, (at, place) => {
      const file = view.getUint32(at + 4, true);
      const text = view.getUint32(at + 8, true);
      checkString(file, place);
      checkString(text, place);
      // | line (31..10) | column (9..0) |
      const position = view.getUint32(at + 12, true);
      return { offset: view.getUint32(at, true), file, text, line: position >>> 10, column: position & 0x3ff };
    }),
    coRe: table('core_relo', 24, 16, (at, place) => {
      const type = view.getUint32(at + 4, true);
      const accessor = view.getUint32(at + 8, true);
      checkId(type, place);
      checkString(accessor, place);
      return { offset: view.getUint32(at, true), type, accessor, kind: view.getUint32(at + 12, true) };
    }),
  };
}
