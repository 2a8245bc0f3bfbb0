import fc from 'fast-check';
import { ElfFile, type ElfSection } from '../../src/elf/elf.js';
import { type Change, fieldChange, type Mutant, mutants } from '../object/mutate.js';

// Changes that know what an object file means: each breaks one promise that a loader would like to rely on.

const SHT_REL = 9;
const SHDR_BYTES = 64;
const REL_BYTES = 16;
const HUGE = [0x7fffffff, 0x80000000, 0xffffffff, 0x10000000, 1 << 24] as const;

/** A BTF type: where its record is, its kind, and how many members, parameters or values it has. */
interface TypeRecord {
  id: number;
  at: number;
  kind: number;
  vlen: number;
}

const KIND = { INT: 1, PTR: 2, ARRAY: 3, STRUCT: 4, UNION: 5, ENUM: 6, FUNC_PROTO: 13, VAR: 14, DATASEC: 15 } as const;
/** Bytes behind the 12 of every type: fixed, and for each member. */
const EXTRA: Readonly<Record<number, readonly [number, number]>> = {
  1: [4, 0],
  3: [12, 0],
  4: [0, 12],
  5: [0, 12],
  6: [0, 8],
  13: [0, 8],
  14: [4, 0],
  15: [0, 12],
  17: [4, 0],
  19: [0, 12],
};
/** Kinds whose third word is a type and not a size. */
const REFERS = new Set([2, 8, 9, 10, 11, 12, 13, 14, 17, 18]);

/** What of an object file the changes aim at. */
class Target {
  readonly view: DataView;
  readonly sections: readonly ElfSection[];
  readonly table: number;

  constructor(readonly file: Uint8Array) {
    this.view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    this.sections = new ElfFile(file).sections.filter((section) => section.size > 0 && section.type !== 'nobits');
    this.table = Number(this.view.getBigUint64(40, true));
  }

  header(section: ElfSection): number {
    return this.table + section.index * SHDR_BYTES;
  }

  named(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name);
  }

  get code(): ElfSection[] {
    return this.sections.filter((section) => section.executable);
  }

  get relocations(): ElfSection[] {
    return this.sections.filter(
      ({ index }) => this.view.getUint32(this.table + index * SHDR_BYTES + 4, true) === SHT_REL,
    );
  }

  get types(): TypeRecord[] {
    const btf = this.named('.BTF');
    if (!btf) return [];
    const header = btf.offset;
    let at = header + this.view.getUint32(header + 4, true) + this.view.getUint32(header + 8, true);
    const end = at + this.view.getUint32(header + 12, true);
    const types: TypeRecord[] = [];
    while (at < end) {
      const info = this.view.getUint32(at + 4, true);
      const record = { id: types.length + 1, at, kind: (info >>> 24) & 31, vlen: info & 0xffff };
      types.push(record);
      const [fixed, each] = EXTRA[record.kind] ?? [0, 0];
      at += 12 + fixed + each * record.vlen;
    }
    return types;
  }
}

/** Kinds of change by name; undefined where the file has nothing of the sort. */
type Maker = (target: Target) => fc.Arbitrary<Change> | undefined;

function pick<T>(items: readonly T[]): fc.Arbitrary<T> | undefined {
  return items.length === 0 ? undefined : fc.constantFrom(...items);
}

function viewOf({ bytes }: Mutant): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function change(story: string, apply: (view: DataView) => void): Change {
  return (mutant) => {
    apply(viewOf(mutant));
    mutant.story.push(story);
  };
}

const MAKERS: Readonly<Record<string, Maker>> = {
  overlap: ({ view, sections, table }) =>
    fc.tuple(fc.constantFrom(...sections), fc.constantFrom(...sections)).map(([to, from]) =>
      change(`section ${to.name} lies where ${from.name} does`, (out) => {
        for (const field of [24, 32]) {
          const value = view.getBigUint64(table + from.index * SHDR_BYTES + field, true);
          out.setBigUint64(table + to.index * SHDR_BYTES + field, value, true);
        }
      }),
    ),

  shrink: (target) =>
    fc.tuple(fc.constantFrom(...target.sections), fc.nat(64)).map(([section, by]) =>
      change(`section ${section.name} without its last ${by} bytes`, (out) => {
        out.setBigUint64(target.header(section) + 32, BigInt(Math.max(0, section.size - by)), true);
      }),
    ),

  // Fixed words of an insn: opcode, registers, offset, immediate.
  insn: (target) =>
    pick(target.code)
      ?.chain((section) =>
        fc.record({
          section: fc.constant(section),
          insn: fc.nat(section.size / 8 - 1),
          field: fc.constantFrom('op', 'regs', 'off', 'imm'),
          value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 8, -1, -8, 0x7fff, ...HUGE), fc.integer()),
        }),
      )
      .map(({ section, insn, field, value }) =>
        change(`${section.name}: insn ${insn}: ${field} = ${value}`, (out) => {
          const at = section.offset + insn * 8;
          if (field === 'op') out.setUint8(at, value);
          if (field === 'regs') out.setUint8(at + 1, value);
          if (field === 'off') out.setInt16(at + 2, value, true);
          if (field === 'imm') out.setInt32(at + 4, value, true);
        }),
      ),

  'copied insns': (target) =>
    pick(target.code)
      ?.chain((section) =>
        fc.record({
          section: fc.constant(section),
          to: fc.nat(section.size / 8 - 1),
          from: fc.nat(section.size / 8 - 1),
          count: fc.integer({ min: 1, max: 6 }),
        }),
      )
      .map(({ section, to, from, count }) =>
        change(`${section.name}: insns ${from}.. over ${to}.., ${count} of them`, (out) => {
          for (let i = 0; i < count * 8; i++) {
            const [at, source] = [to * 8 + i, from * 8 + i];
            if (at < section.size && source < section.size) {
              out.setUint8(section.offset + at, target.file[section.offset + source] as number);
            }
          }
        }),
      ),

  // Members of a .struct_ops value and pointers in data are relocations: two that change places are two wrong functions.
  'swapped relocations': (target) =>
    pick(target.relocations)
      ?.chain((section) => {
        const index = fc.nat(section.size / REL_BYTES - 1);
        return fc.record({ section: fc.constant(section), a: index, b: index, field: fc.constantFrom(0, 8) });
      })
      .map(({ section, a, b, field }) =>
        change(`${section.name}: ${field === 0 ? 'offsets' : 'symbols'} of ${a} and ${b} swapped`, (out) => {
          const [atA, atB] = [a, b].map((i) => section.offset + i * REL_BYTES + field) as [number, number];
          const kept = out.getBigUint64(atA, true);
          out.setBigUint64(atA, out.getBigUint64(atB, true), true);
          out.setBigUint64(atB, kept, true);
        }),
      ),

  'relocation of itself': (target) =>
    pick(target.relocations)?.map((section) =>
      change(`${section.name} relocates itself`, (out) =>
        out.setUint32(target.header(section) + 44, section.index, true),
      ),
    ),

  'relocation beside': (target) =>
    pick(target.relocations)
      ?.chain((section) =>
        fc.tuple(fc.constant(section), fc.nat(section.size / REL_BYTES - 1), fc.constantFrom(-8, -1, 1, 4, 8, 2 ** 31)),
      )
      .map(([section, i, by]) =>
        change(`${section.name}[${i}].offset += ${by}`, (out) => {
          const at = section.offset + i * REL_BYTES;
          out.setBigUint64(at, BigInt.asUintN(64, out.getBigUint64(at, true) + BigInt(by)), true);
        }),
      ),

  'cyclic types': ({ types }) =>
    pick(types.filter(({ kind, vlen }) => REFERS.has(kind) || kind === KIND.ARRAY || vlen > 0))
      ?.chain((type) => fc.tuple(fc.constant(type), fc.oneof(fc.constant(type), fc.constantFrom(...types)), fc.nat()))
      .map(([type, to, which]) =>
        change(`type ${type.id} refers to ${to.id}`, (out) => {
          if (REFERS.has(type.kind) && type.kind !== KIND.FUNC_PROTO) out.setUint32(type.at + 8, to.id, true);
          else if (type.kind === KIND.ARRAY) out.setUint32(type.at + 12, to.id, true);
          else if (type.kind === KIND.FUNC_PROTO || type.kind === KIND.ENUM) out.setUint32(type.at + 8, to.id, true);
          else if (type.kind === KIND.DATASEC) out.setUint32(type.at + 12 + 12 * (which % type.vlen), to.id, true);
          else out.setUint32(type.at + 12 + 12 * (which % type.vlen) + 4, to.id, true);
        }),
      ),

  // __uint(max_entries, N) of a map is an array of N elements; sizes of types are counts of bytes.
  'giant arrays': ({ types }) =>
    pick(types.filter(({ kind }) => kind === KIND.ARRAY))
      ?.chain((type) => fc.tuple(fc.constant(type), fc.constantFrom(...HUGE, 0, 1, 1 << 20, 40_000_000)))
      .map(([type, count]) =>
        change(`array ${type.id} has ${count} elements`, (out) => out.setUint32(type.at + 20, count, true)),
      ),

  'giant types': ({ types }) =>
    pick(types.filter(({ kind }) => kind === KIND.STRUCT || kind === KIND.INT || kind === KIND.DATASEC))
      ?.chain((type) => fc.tuple(fc.constant(type), fc.constantFrom(...HUGE, 0, 1)))
      .map(([type, size]) =>
        change(`type ${type.id} has ${size} bytes`, (out) => out.setUint32(type.at + 8, size, true)),
      ),

  'members without end': ({ types }) =>
    pick(types)
      ?.chain((type) => fc.tuple(fc.constant(type), fc.constantFrom(0, 1, 2, 0xfffe, 0xffff)))
      .map(([type, vlen]) =>
        change(`type ${type.id} has ${vlen} members`, (out) => out.setUint16(type.at + 4, vlen, true)),
      ),

  'names past the end': ({ types }) =>
    pick(types)
      ?.chain((type) => fc.tuple(fc.constant(type), fc.constantFrom(0, 1, 2, ...HUGE)))
      .map(([type, name]) => change(`name of type ${type.id} at ${name}`, (out) => out.setUint32(type.at, name, true))),

  'swapped members': ({ types }) =>
    pick(types.filter(({ kind, vlen }) => vlen > 1 && (kind === KIND.STRUCT || kind === KIND.DATASEC)))
      ?.chain((type) => fc.tuple(fc.constant(type), fc.nat(type.vlen - 1), fc.nat(type.vlen - 1)))
      .map(([type, a, b]) =>
        change(`type ${type.id}: members ${a} and ${b} swapped`, (out) => {
          for (let i = 0; i < 12; i++) {
            const [atA, atB] = [a, b].map((member) => type.at + 12 + member * 12 + i) as [number, number];
            const kept = out.getUint8(atA);
            out.setUint8(atA, out.getUint8(atB));
            out.setUint8(atB, kept);
          }
        }),
      ),

  // Header of .BTF.ext: offsets and lengths of func_info, line_info and core_relo.
  'broken line info': (target) => {
    const ext = target.named('.BTF.ext');
    if (!ext) return undefined;
    return fc
      .tuple(fc.constantFrom(8, 12, 16, 20, 24, 28), fc.constantFrom(-16, -8, -4, -1, 1, 4, 8, 0x7fffffff))
      .map(([field, by]) =>
        change(`.BTF.ext header + ${field} += ${by}`, (out) => {
          if (field + 4 > ext.size) return;
          out.setUint32(ext.offset + field, out.getUint32(ext.offset + field, true) + by, true);
        }),
      );
  },

  'counts of info': (target) => {
    const ext = target.named('.BTF.ext');
    if (!ext) return undefined;
    const header = target.view.getUint32(ext.offset + 4, true);
    // Each of the three begins with its record size, then the first section's name and count.
    return fc
      .tuple(fc.constantFrom(8, 16, 24), fc.constantFrom(0, 4, 8), fc.constantFrom(0, 1, 4, 7, ...HUGE))
      .map(([which, field, value]) =>
        change(`.BTF.ext info ${which}: word ${field / 4} = ${value}`, (out) => {
          const at = ext.offset + header + target.view.getUint32(ext.offset + which, true) + field;
          if (at + 4 <= ext.offset + ext.size) out.setUint32(at, value, true);
        }),
      );
  },
};

/** Names of the kinds of change. */
export const MUTATIONS: readonly string[] = Object.keys(MAKERS);

/** Changes of one kind; undefined where the file has nothing of the sort. */
export function mutation(file: Uint8Array, name: string): fc.Arbitrary<Change> | undefined {
  return MAKERS[name]?.(new Target(file));
}

/** Changes that a parser has nothing against; most others end there. */
const DEEP: ReadonlySet<string> = new Set([
  'insn',
  'copied insns',
  'swapped relocations',
  'giant arrays',
  'giant types',
]);

/** Copies of an object with one to three changes, most of them of the kinds above. */
export function hostileObjects(file: Uint8Array): fc.Arbitrary<Mutant> {
  const makers = MUTATIONS.flatMap((name) => {
    const arbitrary = mutation(file, name);
    return arbitrary ? [{ weight: DEEP.has(name) ? 6 : 1, arbitrary }] : [];
  });
  return mutants(file, fc.oneof({ weight: 2, arbitrary: fieldChange(file) }, ...makers), 3);
}
