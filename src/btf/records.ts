import { InputError } from '../errors.js';
import { BTF_KIND, type BtfKind, type BtfType } from './types.js';

// struct btf_type (kernel: include/uapi/linux/btf.h), little-endian 32-bit words:
//
//   +0 name_off   +4 info   +8 size or type   +12 what the kind adds
//
//   info:  | kind_flag (31) | 0 (30..29) | kind (28..24) | 0 (23..16) | vlen (15..0) |

export const BTF_MAGIC = 0xeb9f;
export const BTF_HEADER_BYTES = 24;

/** Words of a record without its items, and of one item, by kind. */
const WORDS = Uint8Array.of(3, 4, 3, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 4, 3, 3);
const ITEM_WORDS = Uint8Array.of(0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3);

export const KIND_NAMES = [
  'UNKN',
  'INT',
  'PTR',
  'ARRAY',
  'STRUCT',
  'UNION',
  'ENUM',
  'FWD',
  'TYPEDEF',
  'VOLATILE',
  'CONST',
  'RESTRICT',
  'FUNC',
  'FUNC_PROTO',
  'VAR',
  'DATASEC',
  'FLOAT',
  'DECL_TAG',
  'TYPE_TAG',
  'ENUM64',
] as const;

export function kindOfInfo(info: number): number {
  return (info >>> 24) & 0x1f;
}

export function vlenOfInfo(info: number): number {
  return info & 0xffff;
}

/** Word index of every record of a type section; refuses records that are cut off, and kinds that do not exist. */
export function indexRecords(words: Uint32Array, firstId: number): Uint32Array {
  const { length } = words;
  const at = new Uint32Array(Math.floor(length / 3));
  let count = 0;
  // Written out: this runs once over all types of a kernel, most of it before V8 has compiled it.
  for (let word = 0; word < length; ) {
    const info = words[word + 1] as number;
    const kind = (info >>> 24) & 0x1f;
    const next = word + (WORDS[kind] as number) + (ITEM_WORDS[kind] as number) * (info & 0xffff);
    if ((info & 0x60ff0000) !== 0 || kind === BTF_KIND.UNKN || !(next <= length)) {
      throw new InputError(`type [${firstId + count}]${recordError(words, word)}`);
    }
    at[count++] = word;
    word = next;
  }
  return at.slice(0, count);
}

/** What is wrong with the record at `word`, to be said behind its type id. */
function recordError(words: Uint32Array, word: number): string {
  if (word + 3 > words.length) return ': truncated';
  const info = words[word + 1] as number;
  const kind = kindOfInfo(info);
  const offset = `at offset ${word * 4}`;
  if (kind === BTF_KIND.UNKN || kind > BTF_KIND.ENUM64) return ` ${offset}: unknown kind ${kind}`;
  if ((info & 0x60ff0000) !== 0) return ` ${offset}: invalid btf_info 0x${info.toString(16)}`;
  return `: truncated, ${vlenOfInfo(info)} items in ${KIND_NAMES[kind]} ${offset}`;
}

/** One record as plain data. `name` decodes a string offset. Does not check type ids. */
export function decodeRecord(words: Uint32Array, word: number, id: number, name: (offset: number) => string): BtfType {
  const w = (i: number) => words[word + i] as number;
  const info = w(1);
  const kind = kindOfInfo(info) as BtfKind;
  const vlen = vlenOfInfo(info);
  const flag = info >>> 31 === 1;
  const items = <T>(size: number, read: (at: number) => T): T[] => {
    const out: T[] = new Array(vlen);
    for (let i = 0; i < vlen; i++) out[i] = read(3 + i * size);
    return out;
  };
  switch (kind) {
    case BTF_KIND.INT: {
      // | 0 (31..28) | encoding (27..24) | offset (23..16) | 0 | bits (7..0) |
      const encoding = (w(3) >>> 24) & 0xf;
      return {
        kind,
        id,
        name: name(w(0)),
        size: w(2),
        bits: w(3) & 0xff,
        bitOffset: (w(3) >>> 16) & 0xff,
        signed: (encoding & 1) !== 0,
        char: (encoding & 2) !== 0,
        bool: (encoding & 4) !== 0,
      };
    }
    case BTF_KIND.PTR:
      return { kind, id, name: '', type: w(2) };
    case BTF_KIND.ARRAY:
      return { kind, id, name: '', type: w(3), indexType: w(4), length: w(5) };
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
      return {
        kind,
        id,
        name: name(w(0)),
        size: w(2),
        members: items(3, (at) => ({
          name: name(w(at)),
          type: w(at + 1),
          bitOffset: flag ? w(at + 2) & 0xffffff : w(at + 2),
          bitSize: flag ? w(at + 2) >>> 24 : 0,
        })),
      };
    case BTF_KIND.ENUM:
      return {
        kind,
        id,
        name: name(w(0)),
        size: w(2),
        signed: flag,
        values: items(2, (at) => ({ name: name(w(at)), value: enumeratorValue(words, word, word + at) })),
      };
    case BTF_KIND.ENUM64:
      return {
        kind,
        id,
        name: name(w(0)),
        size: w(2),
        signed: flag,
        values: items(3, (at) => ({ name: name(w(at)), value: enumeratorValue(words, word, word + at) })),
      };
    case BTF_KIND.FWD:
      return { kind, id, name: name(w(0)), union: flag };
    case BTF_KIND.TYPEDEF:
    case BTF_KIND.VOLATILE:
    case BTF_KIND.CONST:
    case BTF_KIND.RESTRICT:
    case BTF_KIND.TYPE_TAG:
      return { kind, id, name: name(w(0)), type: w(2) };
    case BTF_KIND.FUNC:
      return { kind, id, name: name(w(0)), type: w(2), linkage: vlen };
    case BTF_KIND.FUNC_PROTO:
      return { kind, id, name: '', returns: w(2), params: items(2, (at) => ({ name: name(w(at)), type: w(at + 1) })) };
    case BTF_KIND.VAR:
      return { kind, id, name: name(w(0)), type: w(2), linkage: w(3) };
    case BTF_KIND.DATASEC:
      return {
        kind,
        id,
        name: name(w(0)),
        size: w(2),
        vars: items(3, (at) => ({ type: w(at), offset: w(at + 1), size: w(at + 2) })),
      };
    case BTF_KIND.FLOAT:
      return { kind, id, name: name(w(0)), size: w(2) };
    case BTF_KIND.DECL_TAG:
      return { kind, id, name: name(w(0)), type: w(2), component: w(3) | 0 };
    default:
      throw new InputError(`type [${id}]: unknown kind ${kind}`);
  }
}

/** Value of the enumerator at word `at` of the ENUM or ENUM64 whose record begins at `word`. */
export function enumeratorValue(words: Uint32Array, word: number, at: number): bigint {
  const info = words[word + 1] as number;
  const signed = info >>> 31 === 1;
  const low = words[at + 1] as number;
  if (kindOfInfo(info) === BTF_KIND.ENUM) return BigInt(signed ? low | 0 : low);
  const value = (BigInt(words[at + 2] as number) << 32n) | BigInt(low);
  return signed ? BigInt.asIntN(64, value) : value;
}
