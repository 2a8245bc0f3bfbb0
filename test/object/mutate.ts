import fc from 'fast-check';
import { ElfFile, type ElfSection } from '../../src/elf/elf.js';

// Changes of an object file that look like sound ones: fields of the structures that a parser follows.

/** A field of an object file: where it is, how wide, and what it is called when a test fails. */
interface Field {
  at: number;
  bytes: 1 | 2 | 4 | 8;
  name: string;
}

/** Every field of the ELF header, section headers, symbols and relocations, and every word of BTF. */
function fieldsOf(file: Uint8Array): Field[] {
  const elf = new ElfFile(file);
  const fields: Field[] = [];
  const add = (at: number, name: string, ...layout: [string, 1 | 2 | 4 | 8][]) => {
    let offset = at;
    for (const [field, bytes] of layout) {
      fields.push({ at: offset, bytes, name: `${name}.${field}` });
      offset += bytes;
    }
  };
  const tables = (section: ElfSection, stride: number, name: string, ...layout: [string, 1 | 2 | 4 | 8][]) => {
    for (let at = 0; at < section.size; at += stride) add(section.offset + at, `${name}[${at / stride}]`, ...layout);
  };
  add(16, 'ehdr', ['type', 2], ['machine', 2], ['version', 4], ['entry', 8], ['phoff', 8], ['shoff', 8], ['flags', 4]);
  add(52, 'ehdr', ['ehsize', 2], ['phentsize', 2], ['phnum', 2], ['shentsize', 2], ['shnum', 2], ['shstrndx', 2]);
  const table = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(40, true));
  elf.sections.forEach((section, i) => {
    const header = table + i * 64;
    add(header, `shdr ${section.name}`, ['name', 4], ['type', 4], ['flags', 8], ['addr', 8], ['offset', 8]);
    add(header + 32, `shdr ${section.name}`, ['size', 8], ['link', 4], ['info', 4], ['addralign', 8], ['entsize', 8]);
    if (section.type === 'symtab') {
      tables(section, 24, 'sym', ['name', 4], ['info', 1], ['other', 1], ['shndx', 2], ['value', 8], ['size', 8]);
    } else if (section.type === 'rel') {
      tables(section, 16, section.name, ['offset', 8], ['type', 4], ['symbol', 4]);
    } else if (section.name.startsWith('.BTF')) {
      tables({ ...section, size: section.size & ~3 }, 4, section.name, ['word', 4]);
    }
  });
  return fields;
}

export type Change = (mutant: Mutant) => void;

const INTERESTING = [
  0n,
  1n,
  2n,
  7n,
  8n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 53n,
  (1n << 64n) - 1n,
];

function set(file: Uint8Array, { at, bytes }: Field, value: bigint): void {
  for (let i = 0; i < bytes; i++) file[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

function get(file: Uint8Array, { at, bytes }: Field): bigint {
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(file[at + i] as number);
  return value;
}

export class Mutant {
  /** What was changed, in words. */
  readonly story: string[] = [];

  constructor(public bytes: Uint8Array) {}

  /** What a failed property shows of it. */
  toString(): string {
    return this.story.join(', ');
  }

  [fc.toStringMethod](): string {
    return this.toString();
  }
}

/** One of: a field set, moved or copied from another; a byte flipped. */
export function fieldChange(file: Uint8Array): fc.Arbitrary<Change> {
  const fields = fieldsOf(file);
  const field = fc.constantFrom(...fields);
  return fc.oneof(
    fc.record({ to: field, value: fc.constantFrom(...INTERESTING) }).map(
      ({ to, value }): Change =>
        (mutant) => {
          set(mutant.bytes, to, value);
          mutant.story.push(`${to.name} = ${value}`);
        },
    ),
    fc.record({ to: field, by: fc.constantFrom(-16n, -8n, -1n, 1n, 8n, 16n, 64n) }).map(
      ({ to, by }): Change =>
        (mutant) => {
          set(mutant.bytes, to, get(mutant.bytes, to) + by);
          mutant.story.push(`${to.name} += ${by}`);
        },
    ),
    fc.record({ to: field, from: field }).map(
      ({ to, from }): Change =>
        (mutant) => {
          set(mutant.bytes, to, get(mutant.bytes, from));
          mutant.story.push(`${to.name} = ${from.name}`);
        },
    ),
    fc.record({ at: fc.nat(file.length - 1), mask: fc.integer({ min: 1, max: 255 }) }).map(
      ({ at, mask }): Change =>
        (mutant) => {
          mutant.bytes[at] = (mutant.bytes[at] as number) ^ mask;
          mutant.story.push(`byte ${at} ^= ${mask}`);
        },
    ),
  );
}

/** Copies of `file` with one to `most` of these changes, and sometimes the end cut off. */
export function mutants(file: Uint8Array, change = fieldChange(file), most = 4): fc.Arbitrary<Mutant> {
  const cut = fc.oneof({ weight: 19, arbitrary: fc.constant(null) }, fc.integer({ min: 1, max: 200 }));
  return fc.tuple(fc.array(change, { minLength: 1, maxLength: most }), cut).map(([changes, bytes]) => {
    const mutant = new Mutant(file.slice());
    for (const apply of changes) apply(mutant);
    if (bytes !== null) {
      mutant.bytes = mutant.bytes.slice(0, Math.max(0, file.length - bytes));
      mutant.story.push(`cut to ${mutant.bytes.length}`);
    }
    return mutant;
  });
}
