import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CO_RE, CoReResolver, coReKindName } from '../../src/btf/core.js';
import { ErrnoError } from '../../src/errno.js';
import { InputError } from '../../src/errors.js';
import { resolve, side, type Types } from './core_types.js';

const { FIELD_BYTE_OFFSET, FIELD_BYTE_SIZE, FIELD_EXISTS, FIELD_SIGNED, FIELD_LSHIFT_U64, FIELD_RSHIFT_U64 } = CO_RE;

describe('field offsets', () => {
  const local = side((t) => {
    const inner = t.struct('inner', [
      { name: 'x', type: t.s32 },
      { name: 'y', type: t.s32 },
    ]);
    const anonymous = t.union('', [
      { name: 'word', type: t.u32 },
      { name: 'half', type: t.u8 },
    ]);
    return t.struct('thing', [
      { name: 'a', type: t.s32 },
      { name: 'in', type: inner },
      { name: 'arr', type: t.array(t.u32, 4, t.u32) },
      { name: '', type: anonymous },
      { name: 'inners', type: t.array(inner, 2, t.u32) },
      { name: 'tail', type: t.array(t.u64, 0, t.u32) },
    ]);
  });
  // Everything 16 bytes later, in another order, `word` at the top level, `inner` longer, `arr` within an anonymous struct.
  const kernel = side((t) => {
    const inner = t.struct('inner', [
      { name: 'new', type: t.u64 },
      { name: 'y', type: t.s32 },
      { name: 'x', type: t.s32 },
    ]);
    const anonymous = t.struct('', [
      { name: 'pad', type: t.u32 },
      { name: 'arr', type: t.array(t.u32, 8, t.u32) },
    ]);
    return t.struct('thing', [
      { name: 'head', type: t.array(t.u64, 2, t.u32) },
      { name: 'a', type: t.s32 },
      { name: 'word', type: t.u32 },
      { name: 'in', type: t.typedef('inner_t', t.const(inner)) },
      { name: '', type: anonymous },
      { name: 'inners', type: t.array(inner, 5, t.u32) },
      { name: 'tail', type: t.array(t.u64, 0, t.u32) },
    ]);
  });

  it.each([
    ['0:0', 'thing.a', 0n, 16n],
    ['0:1', 'thing.in', 4n, 24n],
    ['0:1:1', 'thing.in.y', 8n, 32n],
    ['0:2', 'thing.arr', 12n, 44n],
    ['0:2:3', 'thing.arr[3]', 24n, 56n],
    ['0:3:0', 'thing.word', 28n, 20n],
    ['0:4:1:0', 'thing.inners[1].x', 40n, 108n],
    ['0:5:7', 'thing.tail[7]', 104n, 216n],
    ['2:0', 'thing[2].a', 96n, 336n],
    ['0', 'thing', 0n, 0n],
  ])('%s is %s: %d becomes %d', (accessor, subject, originalValue, value) => {
    const result = resolve(local, kernel, FIELD_BYTE_OFFSET, accessor);
    expect(result).toMatchObject({ subject, originalValue, value, poison: false, found: true, validate: true });
  });

  it('poisons a field that the kernel lacks', () => {
    const result = resolve(local, kernel, FIELD_BYTE_OFFSET, '0:3:1');
    expect(result).toMatchObject({ subject: 'thing.half', originalValue: 28n, poison: true, found: false });
  });

  it('poisons an array index that the kernel lacks, and a field of a type that is incompatible', () => {
    const short = side((t) =>
      t.struct('thing', [
        { name: 'arr', type: t.array(t.u32, 3, t.u32) },
        { name: 'a', type: t.voidPtr },
      ]),
    );
    expect(resolve(local, short, FIELD_BYTE_OFFSET, '0:2:2').poison).toBe(false);
    expect(resolve(local, short, FIELD_BYTE_OFFSET, '0:2:3').poison).toBe(true);
    expect(resolve(local, short, FIELD_BYTE_OFFSET, '0:0').poison).toBe(true);
  });

  it('takes a flexible array only where it ends its struct', () => {
    const middle = side((t) =>
      t.struct('thing', [
        { name: 'tail', type: t.array(t.u64, 0, t.u32) },
        { name: 'a', type: t.s32 },
      ]),
    );
    expect(resolve(local, middle, FIELD_BYTE_OFFSET, '0:5:1').poison).toBe(true);
  });

  it('finds each member of a shuffled struct where the kernel has it', () => {
    const names = fc.uniqueArray(fc.constantFrom(...'abcdefghij'), { minLength: 1 });
    const padding = fc.array(fc.nat(5), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(names, fc.nat(), padding, (members, seed, gaps) => {
        const make = (order: string[], pads: number[]) =>
          side((t) =>
            t.struct(
              's',
              order.flatMap((name, i) => [
                { name: `pad${i}`, type: t.array(t.u8, pads[i] ?? 0, t.u32) },
                { name, type: name < 'e' ? t.u32 : t.u64 },
              ]),
            ),
          );
        const turned = [...members.slice(seed % members.length), ...members.slice(0, seed % members.length)].reverse();
        const [a, b] = [make(members, []), make(turned, gaps)];
        for (const [i, name] of members.entries()) {
          const expected = b.btf.member(b.root, name);
          const result = resolve(a, b, FIELD_BYTE_OFFSET, `0:${i * 2 + 1}`);
          expect(result.value).toBe(BigInt(expected?.bitOffset ?? -8) / 8n);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('field properties', () => {
  const local = side((t) =>
    t.struct('s', [
      { name: 'n', type: t.s32 },
      { name: 'u', type: t.u32 },
      { name: 'e', type: t.enum('e', { A: -1 }) },
      { name: 'p', type: t.voidPtr },
      { name: 'c', type: t.array(t.char, 16, t.u32) },
    ]),
  );
  const kernel = side((t) =>
    t.struct('s', [
      { name: 'p', type: t.voidPtr },
      { name: 'n', type: t.u8 },
      { name: 'u', type: t.s64 },
      { name: 'e', type: t.enum('e', { A: 1 }) },
      { name: 'c', type: t.array(t.char, 32, t.u32) },
    ]),
  );
  it.each([
    [FIELD_BYTE_SIZE, 0, 4n, 1n],
    [FIELD_BYTE_SIZE, 3, 8n, 8n],
    [FIELD_BYTE_SIZE, 4, 16n, 32n],
    [FIELD_SIGNED, 0, 1n, 0n],
    [FIELD_SIGNED, 1, 0n, 1n],
    [FIELD_SIGNED, 2, 1n, 0n],
    [FIELD_SIGNED, 3, 0n, 0n],
    [FIELD_LSHIFT_U64, 0, 32n, 56n],
    [FIELD_RSHIFT_U64, 1, 32n, 0n],
    [FIELD_EXISTS, 0, 1n, 1n],
  ])('kind %d of member %d: %d becomes %d', (kind, member, originalValue, value) => {
    expect(resolve(local, kernel, kind, `0:${member}`)).toMatchObject({ originalValue, value, poison: false });
  });

  it('answers 0 for a field, or a struct, that is not there', () => {
    const empty = side((t) => t.struct('s'));
    const other = side((t) => t.struct('z'));
    for (const target of [empty, other]) {
      const result = resolve(local, target, FIELD_EXISTS, '0:0');
      expect(result).toMatchObject({ originalValue: 1n, value: 0n, poison: false, found: false });
      expect(resolve(local, target, FIELD_BYTE_SIZE, '0:0').poison).toBe(true);
      expect(resolve(local, target, FIELD_SIGNED, '0:0').poison).toBe(true);
    }
  });

  it('takes the size of an array element, and no sign of one', () => {
    expect(resolve(local, kernel, FIELD_BYTE_SIZE, '0:4:2')).toMatchObject({ originalValue: 1n, value: 1n });
    expect(() => resolve(local, kernel, FIELD_SIGNED, '0:4:2')).toThrow("can't be applied to array access");
  });

  it('remembers sizes for loads, which only pointers and unsigned integers may change', () => {
    const sizes = (member: number) => resolve(local, kernel, FIELD_BYTE_OFFSET, `0:${member}`);
    expect(sizes(0)).toMatchObject({ originalSize: 4, size: 1, refuseResize: true });
    expect(sizes(1)).toMatchObject({ originalSize: 4, size: 8, refuseResize: true });
    expect(sizes(3)).toMatchObject({ originalSize: 8, size: 8, refuseResize: false });
    const unsigned = side((t) => t.struct('s', [{ name: 'u', type: t.u64 }]));
    expect(resolve(local, unsigned, FIELD_BYTE_OFFSET, '0:1')).toMatchObject({ size: 8, refuseResize: false });
  });
});

describe('bitfields', () => {
  const bits = (...members: [name: string, bitOffset: number, bitSize: number][]) =>
    side((t) =>
      t.struct(
        's',
        members.map(([name, bitOffset, bitSize]) => ({ name, type: name === 'n' ? t.s32 : t.u32, bitOffset, bitSize })),
        16,
      ),
    );
  const local = bits(['u', 3, 5], ['n', 8, 7]);

  it.each([
    // Within the first word, within the second, and across the border of two words: the load grows to 8 bytes.
    ['in place', 3, 5, { offset: 0n, size: 4n, left: 56n, right: 59n }],
    ['in the second word', 40, 5, { offset: 4n, size: 4n, left: 51n, right: 59n }],
    ['across words', 30, 5, { offset: 0n, size: 8n, left: 29n, right: 59n }],
    ['across words further on', 92, 8, { offset: 8n, size: 8n, left: 28n, right: 56n }],
    ['as a plain field', 64, 0, { offset: 8n, size: 4n, left: 32n, right: 32n }],
  ])('%s', (_where, bitOffset, bitSize, expected) => {
    const kernel = bits(['u', bitOffset, bitSize]);
    const value = (kind: number) => resolve(local, kernel, kind, '0:0').value;
    expect({
      offset: value(FIELD_BYTE_OFFSET),
      size: value(FIELD_BYTE_SIZE),
      left: value(FIELD_LSHIFT_U64),
      right: value(FIELD_RSHIFT_U64),
    }).toEqual(expected);
  });

  it('validates what the compiler wrote only where that is not its choice', () => {
    const kernel = bits(['u', 40, 5], ['n', 8, 7]);
    const validate = (kind: number) => resolve(local, kernel, kind, '0:1').validate;
    expect([FIELD_BYTE_OFFSET, FIELD_BYTE_SIZE, FIELD_LSHIFT_U64].map(validate)).toEqual([false, false, false]);
    expect([FIELD_RSHIFT_U64, FIELD_SIGNED, FIELD_EXISTS].map(validate)).toEqual([true, true, true]);
    expect(resolve(local, kernel, FIELD_SIGNED, '0:1').value).toBe(1n);
  });

  it('refuses a bitfield that no load of 8 bytes covers', () => {
    const wide = side((t) => t.struct('s', [{ name: 'u', type: t.u64, bitOffset: 60, bitSize: 8 }], 16));
    expect(() => resolve(local, wide, FIELD_BYTE_OFFSET, '0:0')).toThrow("s.u: can't be satisfied for bitfield: E2BIG");
  });

  it('rounds down where a plain field starts within a byte', () => {
    const odd = side((t) => t.struct('s', [{ name: 'u', type: t.u32, bitOffset: 97 }], 32));
    expect(resolve(local, odd, FIELD_BYTE_OFFSET, '0:0').value).toBe(12n);
  });

  it('marks a size change between bitfield and plain field for the sake of loads', () => {
    const plain = side((t) => t.struct('s', [{ name: 'u', type: t.u32 }]));
    expect(resolve(local, plain, FIELD_BYTE_OFFSET, '0:0')).toMatchObject({
      originalSize: 0,
      size: 4,
      refuseResize: true,
    });
  });
});

describe('types', () => {
  const one = (t: Types) => t.struct('rq', [{ name: 'x', type: t.u32 }]);
  const local = side(one);
  const kernel = side((t) => {
    t.struct('before');
    return t.struct('rq', [
      { name: 'y', type: t.u64 },
      { name: 'x', type: t.u32 },
    ]);
  });
  it.each([
    ['local id', CO_RE.TYPE_ID_LOCAL, BigInt(local.root), false],
    ['target id', CO_RE.TYPE_ID_TARGET, BigInt(kernel.root), false],
    ['exists', CO_RE.TYPE_EXISTS, 1n, true],
    ['size', CO_RE.TYPE_SIZE, 16n, true],
    ['matches', CO_RE.TYPE_MATCHES, 1n, true],
  ])('%s', (_kind, kind, value, validate) => {
    expect(resolve(local, kernel, kind, '0')).toMatchObject({ value, validate, poison: false, subject: 'struct rq' });
  });

  it('answers 0 for a type that is not there, and the local id anyway', () => {
    const none = side((t) => t.struct('other'));
    for (const kind of [CO_RE.TYPE_ID_TARGET, CO_RE.TYPE_EXISTS, CO_RE.TYPE_SIZE, CO_RE.TYPE_MATCHES]) {
      expect(resolve(local, none, kind, '0')).toMatchObject({ value: 0n, poison: false, found: false });
    }
    expect(resolve(local, none, CO_RE.TYPE_ID_LOCAL, '0')).toMatchObject({ value: BigInt(local.root), found: true });
  });

  it('exists without matching', () => {
    const other = side((t) => t.struct('rq', [{ name: 'z', type: t.u32 }]));
    expect(resolve(local, other, CO_RE.TYPE_EXISTS, '0').value).toBe(1n);
    expect(resolve(local, other, CO_RE.TYPE_MATCHES, '0').value).toBe(0n);
  });

  it('keeps kinds apart: a union is no struct, a typedef no struct', () => {
    const target = side((t) => t.typedef('rq', t.union('rq')));
    expect(resolve(local, target, CO_RE.TYPE_EXISTS, '0').value).toBe(0n);
    const alias = side((t) => t.typedef('rq', one(t)));
    expect(resolve(alias, target, CO_RE.TYPE_EXISTS, '0').value).toBe(0n);
    expect(resolve(alias, alias, CO_RE.TYPE_EXISTS, '0').value).toBe(1n);
  });
});

describe('enumerators', () => {
  const local = side((t) => t.enum('flags___v1', { A: 1, B: 2, C___old: 3, D: -1 }));
  it.each([
    ['another value', (t: Types) => t.enum('flags', { X: 0, A: 40 }), 0, 1n, 40n],
    ['an enum64', (t: Types) => t.enum64('flags', { A: 1n << 40n }), 0, 1n, 1n << 40n],
    ['a flavoured enumerator', (t: Types) => t.enum('flags', { C: 9 }), 2, 3n, 9n],
    ['a negative value', (t: Types) => t.enum('flags', { D: -7 }), 3, (1n << 64n) - 1n, (1n << 64n) - 7n],
    [
      'a high bit, sign-extended as in libbpf',
      (t: Types) => t.enum('flags', { A: 0x8000_0000 }),
      0,
      1n,
      0xffff_ffff_8000_0000n,
    ],
  ])('%s', (_what, build, index, originalValue, value) => {
    const result = resolve(local, side(build), CO_RE.ENUMVAL_VALUE, String(index));
    expect(result).toMatchObject({ originalValue, value, poison: false, validate: true });
    expect(resolve(local, side(build), CO_RE.ENUMVAL_EXISTS, String(index)).value).toBe(1n);
  });

  it('poisons the value of one that is not there; asking for it answers 0', () => {
    const kernel = side((t) => t.enum('flags', { Z: 1 }));
    const value = resolve(local, kernel, CO_RE.ENUMVAL_VALUE, '1');
    expect(value).toMatchObject({ poison: true, subject: 'flags___v1::B' });
    expect(resolve(local, kernel, CO_RE.ENUMVAL_EXISTS, '1')).toMatchObject({ value: 0n, poison: false });
  });

  it('looks through a typedef', () => {
    const alias = side((t) => t.typedef('flags_t', t.enum('', { A: 1 })));
    const kernel = side((t) => t.typedef('flags_t', t.enum('', { A: 5 })));
    expect(resolve(alias, kernel, CO_RE.ENUMVAL_VALUE, '0').value).toBe(5n);
  });
});

describe('candidates', () => {
  const field = (name: string, pad: number) => (t: Types) =>
    t.struct(name, [
      { name: `pad_${name}`, type: t.array(t.u32, pad, t.u32) },
      { name: 'x', type: t.u32 },
    ]);

  it('matches flavours on both sides', () => {
    const kernel = side((t) => {
      t.struct('unrelated___x');
      field('thing', 3)(t);
      return field('thing___2', 3)(t);
    });
    for (const name of ['thing', 'thing___mine']) {
      const local = side((t) => t.struct(name, [{ name: 'x', type: t.u32 }]));
      expect(resolve(local, kernel, FIELD_BYTE_OFFSET, '0:0').value).toBe(12n);
    }
  });

  it('refuses two that disagree about the offset', () => {
    const local = side(field('thing', 0));
    const kernel = side((t) => {
      field('thing', 1)(t);
      return field('thing___2', 2)(t);
    });
    const run = () => resolve(local, kernel, FIELD_BYTE_OFFSET, '0:1');
    expect(run).toThrow(ErrnoError);
    expect(run).toThrow('CO-RE thing.x: field offset ambiguity: 64 != 32: EINVAL (-22)');
  });

  it('refuses two that disagree about the value', () => {
    const local = side((t) => t.enum('e', { A: 1 }));
    const kernel = side((t) => {
      t.enum('e', { A: 2 });
      return t.enum('e___2', { A: 3 });
    });
    expect(() => resolve(local, kernel, CO_RE.ENUMVAL_VALUE, '0')).toThrow(
      'CO-RE e::A: relocation decision ambiguity: success 3 != success 2',
    );
  });

  it('forgets those that did not fit an earlier relocation of the type', () => {
    const local = side((t) =>
      t.struct('thing', [
        { name: 'only', type: t.u32 },
        { name: 'x', type: t.u32 },
      ]),
    );
    const kernel = side((t) => {
      field('thing', 1)(t);
      return t.struct('thing___2', [
        { name: 'x', type: t.u32 },
        { name: 'only', type: t.u32 },
      ]);
    });
    const resolver = new CoReResolver(local.btf, kernel.btf);
    const offset = (member: number) =>
      resolver.resolve({ type: local.root, accessor: `0:${member}`, kind: FIELD_BYTE_OFFSET }).value;
    expect(() => offset(1)).toThrow('ambiguity');
    expect(offset(0)).toBe(4n);
    expect(offset(1)).toBe(0n);
  });

  it('asks modules only for types that the kernel lacks', () => {
    const kernel = side((t) => field('here', 1)(t));
    const module = side((t) => {
      field('here', 2)(t);
      return field('there', 3)(t);
    }, kernel.btf);
    const offsetOf = (name: string) => {
      const local = side(field(name, 0));
      const resolver = new CoReResolver(local.btf, kernel.btf, () => [module.btf]);
      return resolver.resolve({ type: local.root, accessor: '0:1', kind: FIELD_BYTE_OFFSET }).value;
    };
    expect(offsetOf('here')).toBe(4n);
    expect(offsetOf('there')).toBe(12n);
  });
});

describe('malformed relocations', () => {
  const local = side((t) =>
    t.struct('s', [
      { name: 'x', type: t.u32 },
      { name: 'a', type: t.array(t.u32, 2, t.u32) },
      { name: 'tail', type: t.array(t.u32, 0, t.u32) },
      { name: 'z', type: t.u32 },
    ]),
  );
  const enumeration = side((t) => t.enum('e', { A: 1 }));
  it.each([
    ['an empty path', FIELD_BYTE_OFFSET, ''],
    ['a path that is no path', FIELD_BYTE_OFFSET, '0:x'],
    ['a negative step', FIELD_BYTE_OFFSET, '0:-1'],
    ['a trailing colon', FIELD_BYTE_OFFSET, '0:1:'],
    ['a member that does not exist', FIELD_BYTE_OFFSET, '0:4'],
    ['an index past the end', FIELD_BYTE_OFFSET, '0:1:2'],
    ['an index into an empty array that ends nothing', FIELD_BYTE_OFFSET, '0:2:0'],
    ['a step into an integer', FIELD_BYTE_OFFSET, '0:0:0'],
    ['a path of a type', CO_RE.TYPE_SIZE, '0:0'],
    ['an enumerator of a struct', CO_RE.ENUMVAL_VALUE, '0'],
    ['a path of 65 steps', FIELD_BYTE_OFFSET, Array.from({ length: 65 }, () => '0').join(':')],
  ])('%s', (_what, kind, accessor) => {
    expect(() => resolve(local, local, kind, accessor)).toThrow(InputError);
  });

  it('names kind, type and path', () => {
    expect(() => resolve(local, local, FIELD_BYTE_OFFSET, '0:4')).toThrow(
      `CO-RE byte_off of type [${local.root}] s + "0:4": no member 4 in s`,
    );
    expect(() => resolve(enumeration, local, CO_RE.ENUMVAL_VALUE, '1')).toThrow('no such enumerator');
    expect(() => resolve({ ...local, root: 99 }, local, FIELD_BYTE_OFFSET, '0')).toThrow('type id 99');
  });

  it('refuses kinds that do not exist and types without a name', () => {
    expect(() => resolve(local, local, 13, '0')).toThrow('unrecognized CO-RE relocation kind 13: EOPNOTSUPP');
    const anonymous = side((t) => t.struct('', [{ name: 'x', type: t.u32 }]));
    expect(() => resolve(anonymous, local, FIELD_BYTE_OFFSET, '0:0')).toThrow('anonymous type');
    expect(coReKindName(13)).toBe('unknown(13)');
  });
});
