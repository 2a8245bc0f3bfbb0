import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BtfBuilder } from '../../src/btf/builder.js';
import { makeNameOrder, parseNameOrder } from '../../src/btf/name_order.js';
import { BtfStrings } from '../../src/btf/strings.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { InputError } from '../../src/errors.js';
import { Btf } from './build.js';

const CRC = 0x12345678;

/** The same blob, its names found by order and by hash. */
function both(raw: Uint8Array): { ordered: Btf; hashed: Btf; sortedFrom: number } {
  const hashed = Btf.parse(raw);
  const order = parseNameOrder(makeNameOrder(hashed, CRC));
  return { ordered: Btf.parse(raw, undefined, order), hashed, sortedFrom: order.sortedFrom };
}

// Few letters, so that names repeat, begin alike and have flavours; é is two bytes that sort behind all letters.
const names = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', '_', 'é'), minLength: 1, maxLength: 6 }),
  fc.constantFrom('a___x', 'a___y', 'a___', 'a____x', 'a___x___y', 'ab___x', '___a'),
);
const types = fc.array(
  fc.record({ kind: fc.constantFrom('struct', 'func', 'fwd', 'ptr', 'enum'), name: names, items: fc.array(names) }),
  { maxLength: 30 },
);

function build(list: readonly { kind: string; name: string; items: readonly string[] }[]): Uint8Array {
  const b = new BtfBuilder();
  const proto = b.funcProto(0, []);
  for (const { kind, name, items } of list) {
    if (kind === 'struct') b.struct(name);
    else if (kind === 'func') b.func(name, proto);
    else if (kind === 'fwd') b.fwd(name);
    else if (kind === 'ptr') b.ptr(proto);
    else b.enum(name, Object.fromEntries(items.map((item, i) => [item, i])));
  }
  return b.build();
}

describe('names found by order and by hash', () => {
  it('are the same types and enumerators, whatever the blob', () => {
    fc.assert(
      fc.property(types, names, (list, absent) => {
        const { ordered, hashed } = both(build(list));
        const asked = new Set([absent, '', ...list.flatMap(({ name, items }) => [name, `${name}_`, ...items])]);
        for (const name of asked) {
          expect(ordered.findAll(name)).toEqual(hashed.findAll(name));
          for (const kinds of [[], [BTF_KIND.FUNC], [BTF_KIND.STRUCT, BTF_KIND.FWD], [BTF_KIND.ENUM, BTF_KIND.FUNC]]) {
            expect(ordered.find(name, ...kinds)).toBe(hashed.find(name, ...kinds));
          }
          expect(ordered.enumerator(name)).toBe(hashed.enumerator(name));
        }
      }),
    );
  });

  it('have the same flavours, as far as types have them', () => {
    fc.assert(
      fc.property(types, (list) => {
        const { ordered, hashed } = both(build(list));
        for (const name of new Set(['a', 'ab', 'a___x', '', ...list.map((type) => type.name)])) {
          // The hash side reads all strings: enumerators too.
          const ofTypes = hashed.flavours(name).filter((full) => hashed.find(full) !== 0);
          expect([...ordered.flavours(name)].sort()).toEqual([...new Set(ofTypes)].sort());
        }
      }),
    );
  });

  it('take no list where the types themselves are in order', () => {
    const b = new BtfBuilder();
    const proto = b.funcProto(0, []);
    const first = b.struct('alpha');
    b.func('beta', proto);
    b.struct('beta');
    b.struct('gamma___old');
    const { ordered, sortedFrom } = both(b.build());
    expect(sortedFrom).toBe(first);
    expect(ordered.findAll('beta')).toEqual([first + 1, first + 2]);
    expect(ordered.find('beta', BTF_KIND.STRUCT)).toBe(first + 2);
    expect(ordered.flavours('gamma')).toEqual(['gamma___old']);
    b.struct('');
    expect(both(b.build()).sortedFrom).toBe(0);
  });
});

describe('the file of an order', () => {
  const file = makeNameOrder(Btf.parse(build([{ kind: 'enum', name: 'e', items: ['A', 'B'] }])), CRC);

  it('says which blob it is of', () => {
    expect(parseNameOrder(file)).toMatchObject({ crc: CRC, bytes: 24 + 12 + 12 + 16 + 7 });
  });
  it.each([
    ['nothing', new Uint8Array()],
    ['half a word', file.subarray(0, file.length - 2)],
    ['a list cut off', file.subarray(0, file.length - 4)],
    ['another magic', Uint8Array.from(file, (byte, i) => (i === 0 ? byte ^ 1 : byte))],
  ])('is refused when it is %s', (_what, bytes) => {
    expect(() => parseNameOrder(bytes)).toThrow(InputError);
    expect(() => parseNameOrder(bytes)).toThrow(/^order of names: /);
  });
});

const FOLDER = new URL('../../profiles/', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, FOLDER));

describe.each(readdirSync(FOLDER).filter((file) => file.endsWith('.names.gz')))('the shipped order %s', (file) => {
  const packed = read(file.replace('.names.', '.btf.'));
  const raw = new Uint8Array(gunzipSync(packed));
  const bytes = new Uint8Array(gunzipSync(read(file)));

  it('is what its BTF gives', () => {
    expect(bytes).toEqual(makeNameOrder(Btf.parse(raw), packed.readUInt32LE(packed.length - 8)));
  });

  it('finds every name and flavour that a search by hash finds', () => {
    const ordered = Btf.parse(raw, undefined, parseNameOrder(bytes));
    const hashed = Btf.parse(raw);
    let wrong = 0;
    for (let id = 1; id < hashed.typeCount; id++) {
      const name = hashed.nameOf(id);
      if (ordered.find(name) !== hashed.find(name)) wrong++;
      if (ordered.find(name, BTF_KIND.FUNC) !== hashed.find(name, BTF_KIND.FUNC)) wrong++;
      const type = hashed.type(id);
      if (type.kind !== BTF_KIND.ENUM && type.kind !== BTF_KIND.ENUM64) continue;
      for (const { name } of type.values) if (ordered.enumerator(name) !== hashed.enumerator(name)) wrong++;
    }
    expect(wrong).toBe(0);
    for (const name of ['audit_context', 'task_struct', 'cgroup', 'no such type']) {
      const ofTypes = hashed.flavours(name).filter((full) => hashed.find(full) !== 0);
      expect([...ordered.flavours(name)].sort()).toEqual([...new Set(ofTypes)].sort());
    }
  });
});

describe('a string', () => {
  const section = (texts: readonly string[]) => {
    const encoded = texts.map((text) => new TextEncoder().encode(`${text}\0`));
    const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length, 1));
    const offsets: number[] = [];
    let at = 1;
    for (const one of encoded) {
      bytes.set(one, at);
      offsets.push(at);
      at += one.length;
    }
    return { strings: new BtfStrings(bytes, 0, undefined), offsets };
  };

  it.each(['', 'é'])('reads the same alone and out of the whole section (other text: "%s")', (other) => {
    const texts = [
      ...Array.from({ length: 300 }, (_, i) => `name ${i}`),
      'x'.repeat(5000),
      `ü${other}`,
      '\ufeffbom',
      other,
    ];
    const { strings, offsets } = section(texts.map((text) => text + other));
    // The section has room for some dozen strings to be decoded one by one; the later ones come out of the whole.
    for (let round = 0; round < 2; round++) {
      expect(offsets.map((offset) => strings.at(offset))).toEqual(
        texts.map((text) => text.replace('\ufeff', '') + other),
      );
    }
  });
});
