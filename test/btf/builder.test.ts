import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BTF_KIND } from '../../src/btf/types.js';
import { InputError } from '../../src/errors.js';
import { BtfBuilder } from './build.js';

describe('BtfBuilder', () => {
  it('writes every kind as it is read', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4, { signed: true });
    const proto = b.funcProto(int, [
      { name: 'a', type: int },
      { name: '', type: 0 },
    ]);
    const ids = [
      int,
      b.float('double', 8),
      b.ptr(int),
      b.array(int, 3, int),
      b.struct('s', [{ name: 'a', type: int }]),
      b.union('u', [{ name: 'a', type: int }]),
      b.enum('e', { A: 1, B: -2 }),
      b.enum64('e64', { C: -3n, D: 1n << 40n }),
      b.fwd('f', true),
      b.typedef('t', int),
      b.const(int),
      b.volatile(int),
      b.restrict(int),
      b.typeTag('tag', int),
      proto,
      b.func('fn', proto, 'extern'),
    ];
    const variable = b.var('v', int, 'static');
    ids.push(variable, b.datasec('.data', 8, [{ type: variable, offset: 4, size: 4 }]), b.declTag('decl', variable));
    const btf = b.parse();
    expect(ids.map((id) => btf.type(id))).toEqual([
      { kind: 1, id: 1, name: 'int', size: 4, bits: 32, bitOffset: 0, signed: true, bool: false, char: false },
      { kind: 16, id: 3, name: 'double', size: 8 },
      { kind: 2, id: 4, name: '', type: 1 },
      { kind: 3, id: 5, name: '', type: 1, indexType: 1, length: 3 },
      { kind: 4, id: 6, name: 's', size: 4, members: [{ name: 'a', type: 1, bitOffset: 0, bitSize: 0 }] },
      { kind: 5, id: 7, name: 'u', size: 4, members: [{ name: 'a', type: 1, bitOffset: 0, bitSize: 0 }] },
      {
        kind: 6,
        id: 8,
        name: 'e',
        size: 4,
        signed: true,
        values: [
          { name: 'A', value: 1n },
          { name: 'B', value: -2n },
        ],
      },
      {
        kind: 19,
        id: 9,
        name: 'e64',
        size: 8,
        signed: true,
        values: [
          { name: 'C', value: -3n },
          { name: 'D', value: 1n << 40n },
        ],
      },
      { kind: 7, id: 10, name: 'f', union: true },
      { kind: 8, id: 11, name: 't', type: 1 },
      { kind: 10, id: 12, name: '', type: 1 },
      { kind: 9, id: 13, name: '', type: 1 },
      { kind: 11, id: 14, name: '', type: 1 },
      { kind: 18, id: 15, name: 'tag', type: 1 },
      {
        kind: 13,
        id: 2,
        name: '',
        returns: 1,
        params: [
          { name: 'a', type: 1 },
          { name: '', type: 0 },
        ],
      },
      { kind: 12, id: 16, name: 'fn', type: 2, linkage: 2 },
      { kind: 14, id: 17, name: 'v', type: 1, linkage: 0 },
      { kind: 15, id: 18, name: '.data', size: 8, vars: [{ type: 17, offset: 4, size: 4 }] },
      { kind: 17, id: 19, name: 'decl', type: 17, component: -1 },
    ]);
  });

  it('lays structs out as C does', () => {
    const b = new BtfBuilder();
    const char = b.int('char', 1);
    const long = b.int('long', 8);
    const short = b.typedef('short_t', b.int('short', 2));
    const id = b.struct('mixed', [
      { name: 'a', type: char },
      { name: 'b', type: long },
      { name: 'c', type: b.array(short, 3, long) },
      { name: 'd', type: char },
    ]);
    const type = b.parse().type(id);
    if (type.kind !== BTF_KIND.STRUCT) throw new Error('no struct');
    expect(type.size).toBe(24);
    expect(type.members.map(({ bitOffset }) => bitOffset / 8)).toEqual([0, 8, 16, 22]);
  });

  it('names what is wrong', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    expect(() => b.struct('s', [{ name: 'v', type: 0 }])).toThrow(new InputError('type [0] has no size'));
    expect(() => b.members(int, [])).toThrow(new InputError('type [1] is no struct or union of this builder'));
    expect(() => b.struct('s', [{ name: 'bit', type: int, bitSize: 1 }])).toThrow(
      'member "bit": a bitfield needs bitOffset',
    );
    const self = b.typedef('self', 5);
    expect(self).toBe(5 - 1);
  });

  it('round-trips random structs', () => {
    const member = fc.record({ name: fc.stringMatching(/^[a-z_]\w{0,9}$/), size: fc.constantFrom(1, 2, 4, 8) });
    fc.assert(
      fc.property(fc.array(member, { maxLength: 40 }), (members) => {
        const b = new BtfBuilder();
        const ints = new Map([1, 2, 4, 8].map((size) => [size, b.int(`int${size}`, size)]));
        const id = b.struct(
          's',
          members.map(({ name, size }) => ({ name, type: ints.get(size) as number })),
        );
        const btf = b.parse();
        const type = btf.type(id);
        if (type.kind !== BTF_KIND.STRUCT) throw new Error('no struct');
        expect(type.members.map(({ name }) => name)).toEqual(members.map(({ name }) => name));
        let end = 0;
        type.members.forEach(({ bitOffset, type: of }) => {
          const size = btf.sizeOf(of);
          expect(bitOffset % (size * 8)).toBe(0);
          expect(bitOffset / 8 - end).toBeGreaterThanOrEqual(0);
          expect(bitOffset / 8 - end).toBeLessThan(size);
          end = bitOffset / 8 + size;
        });
      }),
    );
  });
});
