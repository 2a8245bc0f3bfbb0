import { InputError } from '../errors.js';
import type { Btf } from './btf.js';
import { vlenOfInfo } from './records.js';
import { BTF_KIND } from './types.js';

// Finding a name in a kernel's BTF takes an index of some 100,000 names; making it takes longer than loading a program. The
// profiles of this package bring it along, as the order of their names:
//
//   +0   magic        +4   CRC-32 of the BTF      +8   length of the BTF in bytes
//   +12  S: types from this id on are all named and stand in the order below (Linux 7.0 sorts its types); 0 if they do not
//   +16  number of types in the list              +20  number of enumerators
//   +24  ids of the named types, by name, then id; none if S is not 0
//        word indices of the enumerators, by name, then index
//
// All are little-endian 32-bit words; names are ordered by their bytes.

const MAGIC = 0x4e465442; // BTFN
const HEADER_WORDS = 6;

const encoder = new TextEncoder();

export interface NameOrder {
  /** CRC-32 and length of the BTF that this is the order of, as a gzip stream ends with them (RFC 1952). */
  crc: number;
  bytes: number;
  /** S, or 0: the types are listed. */
  sortedFrom: number;
  /** Type ids. */
  types: Uint32Array;
  /** Word indices of enumerators in the type section. */
  enumerators: Uint32Array;
}

/** Throws InputError for what is no such file. */
export function parseNameOrder(file: Uint8Array): NameOrder {
  if (file.length < HEADER_WORDS * 4 || file.length % 4 !== 0) {
    throw new InputError(`order of names: ${file.length} bytes`);
  }
  const words = new Uint32Array(file.slice().buffer);
  const at = (i: number) => words[i] as number;
  if (at(0) !== MAGIC) throw new InputError(`order of names: magic 0x${at(0).toString(16)}`);
  if (words.length !== HEADER_WORDS + at(4) + at(5)) {
    throw new InputError(`order of names: ${at(4)} types and ${at(5)} enumerators in ${file.length} bytes`);
  }
  const listed = HEADER_WORDS + at(4);
  return {
    crc: at(1),
    bytes: at(2),
    sortedFrom: at(3),
    types: words.subarray(HEADER_WORDS, listed),
    enumerators: words.subarray(listed),
  };
}

/** Works out the order of the names of a valid blob without a base, whose CRC-32 is `crc`. */
export function makeNameOrder(btf: Btf, crc: number): Uint8Array {
  const { words } = btf;
  const types: number[] = [];
  const enumerators: number[] = [];
  for (let id = 1; id < btf.typeCount; id++) {
    const word = (btf.recordOffset(id) - btf.typesOffset) / 4;
    if (words[word] !== 0) types.push(id);
    const kind = btf.kindOf(id);
    if (kind !== BTF_KIND.ENUM && kind !== BTF_KIND.ENUM64) continue;
    const step = kind === BTF_KIND.ENUM ? 2 : 3;
    const count = vlenOfInfo(words[word + 1] as number);
    for (let item = 0; item < count; item++) enumerators.push(word + 3 + item * step);
  }
  const typesByName = byName(types, (id) => btf.nameOf(id));
  const first = types[0] ?? 0;
  const sorted = first + types.length === btf.typeCount && typesByName.every((id, i) => id === types[i]);
  const listed = sorted ? [] : typesByName;
  const file = Uint32Array.from([
    ...[MAGIC, crc, btf.raw.length, sorted ? first : 0, listed.length, enumerators.length],
    ...listed,
    ...byName(enumerators, (word) => btf.string(words[word] as number)),
  ]);
  return new Uint8Array(file.buffer);
}

/** The items by the bytes of their names, then ascending. */
function byName(items: readonly number[], nameOf: (item: number) => string): number[] {
  const named = items.map((item) => ({ item, name: encoder.encode(nameOf(item)) }));
  return named.sort((a, b) => compareBytes(a.name, b.name) || a.item - b.item).map(({ item }) => item);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number);
  return a.length - b.length;
}
