import { describe, expect, it } from 'vitest';
import { BTF_KIND } from '../../src/btf/types.js';
import { InputError } from '../../src/errors.js';
import { Btf, BtfBuilder, info, rawBtf, sample } from './build.js';

const { btf, ids } = sample();

describe('Btf', () => {
  it('finds types by name and kind', () => {
    expect(btf.find('node')).toBe(ids.node);
    expect(btf.find('node', BTF_KIND.STRUCT)).toBe(ids.node);
    expect(btf.find('node', BTF_KIND.UNION, BTF_KIND.ENUM)).toBe(0);
    expect(btf.find('nod')).toBe(0);
    expect(btf.find('')).toBe(0);
    expect(btf.findAll('colour')).toEqual([ids.colour]);
  });

  it('finds the lowest of several types of one name, functions among them', () => {
    const b = new BtfBuilder();
    const proto = b.funcProto(0, []);
    const fn = b.func('twice', proto);
    const struct = b.struct('twice');
    const second = b.func('twice', proto, 'static');
    const parsed = b.parse();
    expect(parsed.find('twice')).toBe(fn);
    expect(parsed.find('twice', BTF_KIND.STRUCT)).toBe(struct);
    expect(parsed.find('twice', BTF_KIND.STRUCT, BTF_KIND.FUNC)).toBe(fn);
    expect(parsed.findAll('twice')).toEqual([fn, struct, second]);
  });

  it('decodes void, and refuses ids that do not exist', () => {
    expect(btf.type(0)).toEqual({ kind: BTF_KIND.UNKN, id: 0, name: '' });
    expect(() => btf.type(btf.typeCount)).toThrow(
      new InputError(`type ${btf.typeCount} does not exist (${btf.typeCount} types)`),
    );
    expect(() => btf.kindOf(-1)).toThrow(InputError);
  });

  it('knows sizes and alignments', () => {
    const sizes = Object.entries(ids).map(([name, id]) => [
      name,
      btf.kindOf(id) === BTF_KIND.PTR ? 'ptr' : btf.sizeOf(id),
    ]);
    expect(Object.fromEntries(sizes)).toMatchObject({ int: 4, name: 16, node: 64, anonymous: 8, colour: 4, flags: 4 });
    expect(btf.sizeOf(ids.nodePtr ?? 0)).toBe(8);
    expect(btf.alignOf(ids.node ?? 0)).toBe(8);
    expect(btf.alignOf(ids.name ?? 0)).toBe(1);
    expect(() => btf.sizeOf(0)).toThrow(new InputError('type [0]: void has no size'));
  });

  it('a struct with a member off its beat is packed', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    const packed = b.struct('packed', [{ name: 'a', type: int, bitOffset: 8 }], 5);
    expect(b.parse().alignOf(packed)).toBe(1);
  });

  it('finds members, also of anonymous ones, from the outer struct', () => {
    const node = ids.node ?? 0;
    expect(btf.member(node, 'count')).toMatchObject({ bitOffset: 96 });
    expect(btf.member(node, 'slots')).toMatchObject({ bitOffset: 128 });
    expect(btf.member(node, 'nothing')).toBeUndefined();
    expect(btf.path(node, 'slots[3]')).toEqual({ type: ids.u8, bitOffset: 128 + 24, bitSize: 0 });
    expect(btf.path(node, 'slots[4]')).toBeUndefined();
    expect(btf.path(node, 'next.on')).toBeUndefined();
    expect(btf.path(ids.flags ?? 0, 'high')).toEqual({ type: ids.int, bitOffset: 3, bitSize: 7 });
    expect(() => btf.path(node, 'slots[')).toThrow(new InputError('member path "slots[": cannot read "["'));
  });

  it('finds enumerators anywhere', () => {
    expect(btf.enumerator('GREEN')).toBe(2n);
    expect(btf.enumerator('NONE')).toBe(-1n);
    expect(btf.enumerator('HUGE')).toBe(1n << 63n);
    expect(btf.enumerator('colour')).toBeUndefined();
  });

  it('reads names that are not ASCII by byte offset', () => {
    const b = new BtfBuilder();
    const first = b.struct('größe');
    const second = b.struct('after');
    const parsed = b.parse();
    expect([parsed.nameOf(first), parsed.nameOf(second)]).toEqual(['größe', 'after']);
    expect([parsed.find('größe'), parsed.find('after')]).toEqual([first, second]);
  });

  it('finds a name that is the end of another string', () => {
    // String offset 4 is in the middle of "abcdef".
    const parsed = Btf.parse(rawBtf([[4, info(BTF_KIND.STRUCT), 0]], ['abcdef']));
    expect(parsed.nameOf(1)).toBe('def');
    expect(parsed.find('def')).toBe(1);
    expect(parsed.find('abcdef')).toBe(0);
  });

  it('reads any number of names from one endless string in bounded time', () => {
    const text = 'a'.repeat(2_000_000);
    const member = (offset: number) => [offset, 0, 0];
    const members = Array.from({ length: 60_000 }, (_, i) => member(i + 1)).flat();
    const structs = [1, 2, 3, 4].map((name) => [name, info(BTF_KIND.STRUCT, 60_000), 0, ...members]);
    const start = performance.now();
    const parsed = Btf.parse(rawBtf(structs, [text, 'last'])).validate();
    const [first, fourth] = [parsed.type(1), parsed.type(4)];
    // Without a bound it takes minutes.
    expect(performance.now() - start).toBeLessThan(20_000);
    if (first.kind !== BTF_KIND.STRUCT || fourth.kind !== BTF_KIND.STRUCT) throw new Error('no structs');
    expect(first.members[9]?.name.length).toBe(2_000_000 - 9);
    expect(fourth.name.length).toBe(2_000_000 - 3);
    expect(parsed.string(text.length + 2)).toBe('last');
  });

  it('refuses endless strings where each would have to be decoded', () => {
    const long = Btf.parse(rawBtf([], ['ä'.repeat(3000)]));
    expect(() => long.validate()).toThrow(new InputError('string at offset 1 has 6000 bytes'));
  });

  it('does not need an aligned buffer', () => {
    const shifted = new Uint8Array(btf.raw.length + 1);
    shifted.set(btf.raw, 1);
    expect(
      Btf.parse(shifted.subarray(1))
        .validate()
        .type(ids.node ?? 0),
    ).toEqual(btf.type(ids.node ?? 0));
  });
});

describe('split BTF', () => {
  it('continues the ids and strings of its base', () => {
    const base = new BtfBuilder();
    const int = base.int('int', 4);
    base.enum('base_enum', { FROM_BASE: 3 });
    const kernel = base.parse();
    const module = new BtfBuilder(kernel);
    const own = module.struct('own', [{ name: 'x', type: int }]);
    const again = module.int('int', 8);
    const split = module.parse();
    expect(own).toBe(kernel.typeCount);
    expect(split.nameOf(own)).toBe('own');
    expect(split.type(own)).toMatchObject({ size: 4, members: [{ name: 'x', type: int }] });
    expect(split.find('int')).toBe(int);
    expect(split.findAll('int')).toEqual([int, again]);
    expect(split.type(int)).toBe(kernel.type(int));
    expect(split.enumerator('FROM_BASE')).toBe(3n);
    expect(kernel.find('own')).toBe(0);
  });
});

describe('Btf.parse refuses', () => {
  const good = btf.raw;
  const patched = (at: number, word: number) => {
    const bytes = good.slice();
    new DataView(bytes.buffer).setUint32(at, word, true);
    return bytes;
  };
  const cases: [string, Uint8Array, string][] = [
    ['nothing', new Uint8Array(), 'BTF header: truncated at 0 bytes'],
    ['big-endian', patched(0, 0x19feb), 'BTF header: big-endian; only little-endian BTF is read'],
    ['another magic', patched(0, 0x11234), 'BTF header: magic 0x1234 is not 0xeb9f'],
    ['another version', patched(0, 0x2eb9f), 'BTF header: unsupported version 2'],
    ['a header past the end', patched(4, 0x7fffffff), `BTF header: length 2147483647 of ${good.length} bytes`],
    [
      'types past the end',
      patched(12, 0xfffffffc),
      `BTF type section: 4294967292 bytes at 24 are past the end (${good.length} bytes)`,
    ],
    ['strings past the end', patched(20, 0xffffffff), 'BTF string section: 4294967295 bytes'],
    [
      'strings without an end',
      patched(20, good.length - 24 - new DataView(good.buffer).getUint32(16, true) - 1),
      'BTF string section: not terminated',
    ],
  ];
  for (const [what, bytes, message] of cases) {
    it(`${what}: ${message}`, () => expect(() => Btf.parse(bytes)).toThrow(message));
  }

  const int = [1, info(BTF_KIND.INT), 4, 32];
  const records: [string, number[][], string][] = [
    ['an unknown kind', [[0, info(20), 0]], 'type [1] at offset 0: unknown kind 20'],
    ['kind 0', [int, [0, info(0), 0]], 'type [2] at offset 16: unknown kind 0'],
    ['bits that mean nothing', [[0, 0x01010000, 4, 32]], 'type [1] at offset 0: invalid btf_info 0x1010000'],
    ['a record cut off', [[0, info(BTF_KIND.PTR)]], 'type [1]: truncated'],
    [
      '65535 members that are not there',
      [[0, info(BTF_KIND.STRUCT, 0xffff), 0]],
      'type [1]: truncated, 65535 items in STRUCT at offset 0',
    ],
  ];
  for (const [what, words, message] of records) {
    it(`${what}: ${message}`, () => expect(() => Btf.parse(rawBtf(words, ['x']))).toThrow(message));
  }
});

describe('validation refuses', () => {
  const int = [1, info(BTF_KIND.INT), 4, 32];
  const cases: [string, number[][], string][] = [
    ['a type id past the end', [[0, info(BTF_KIND.PTR), 9]], 'type [1]: refers to type 9, which does not exist'],
    ['a name past the end', [[99, info(BTF_KIND.STRUCT), 0]], 'type [1]: string offset 99 is past the end (3)'],
    ['an int of 17 bytes', [[1, info(BTF_KIND.INT), 17, 8]], 'type [1]: int of 17 bytes with 8 bits at 0'],
    ['an int wider than it is', [[1, info(BTF_KIND.INT), 4, 33]], 'type [1]: int of 4 bytes with 33 bits at 0'],
    [
      'a member past the end',
      [int, [0, info(BTF_KIND.STRUCT, 1), 4, 1, 1, 64]],
      'type [2]: member #0 at bit 64 is past the end of 4 bytes',
    ],
    ['a typedef of itself', [[1, info(BTF_KIND.TYPEDEF), 1]], 'type [1]: contains itself'],
    [
      'qualifiers in a ring',
      [
        [0, info(BTF_KIND.CONST), 2],
        [0, info(BTF_KIND.VOLATILE), 1],
      ],
      'type [1]: contains itself',
    ],
    [
      'a struct that holds itself',
      [
        [1, info(BTF_KIND.STRUCT, 1), 8, 1, 2, 0],
        [0, info(BTF_KIND.ARRAY), 0, 1, 1, 1],
      ],
      'type [1]: contains itself',
    ],
    ['a function without a prototype', [int, [1, info(BTF_KIND.FUNC), 1]], 'type [2]: prototype is INT [1]'],
    [
      'a section of what is no variable',
      [int, [1, info(BTF_KIND.DATASEC, 1), 0, 1, 0, 0]],
      'type [2]: variable is INT [1]',
    ],
  ];
  for (const [what, words, message] of cases) {
    it(`${what}: ${message}`, () => {
      const validate = () => Btf.parse(rawBtf(words, ['x'])).validate();
      expect(validate).toThrow(InputError);
      expect(validate).toThrow(message);
    });
  }

  it('types that nest too deep', () => {
    const b = new BtfBuilder();
    let inner = b.int('int', 4);
    for (let i = 0; i < 300; i++) inner = b.struct('', [{ name: 'x', type: inner }], 4);
    expect(() => b.parse()).toThrow(/nested more than 256 deep/);
  });

  it('arrays of 2^32 bytes and more', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    const array = b.array(b.array(int, 0xffffffff, int), 0xffffffff, int);
    expect(() => b.parse().sizeOf(array)).toThrow(/are more than 2\^32/);
  });

  it('but takes a struct that points to itself, and what BTF has of it', () => {
    expect(btf.validate()).toBe(btf);
  });
});
