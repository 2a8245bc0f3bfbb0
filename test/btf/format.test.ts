import { describe, expect, it } from 'vitest';
import { formatDeclaration, formatType, formatTypeName } from '../../src/btf/format.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { parseFixture } from '../object/fixture.js';
import { Btf, BtfBuilder, info, rawBtf, sample } from './build.js';

const { btf, ids } = sample();

describe('formatType', () => {
  it('writes a struct as C', () => {
    expect(formatType(btf, ids.node ?? 0)).toBe(
      [
        'struct node {',
        '\tstruct node *next;',
        '\t_Bool on;',
        '\tcount_t count;',
        '\tunion {',
        '\t\tu64 weight;',
        '\t\tu8 slots[4];',
        '\t};',
        '\tchar name[16];',
        '\tenum colour colour;',
        '\tenum big big;',
        '\tint (*run)(struct node *self, u64 n);',
        '};',
      ].join('\n'),
    );
  });

  it('writes bitfields, enums and typedefs', () => {
    expect(formatType(btf, ids.flags ?? 0)).toBe('struct flags {\n\tint low: 3;\n\tint high: 7;\n};');
    expect(formatType(btf, ids.colour ?? 0)).toBe('enum colour {\n\tRED = 1,\n\tGREEN = 2,\n\tNONE = -1,\n};');
    expect(formatType(btf, btf.find('count_t'))).toBe('typedef const int count_t;');
  });

  it('writes functions and variables of an object', () => {
    const own = parseFixture('globals').btf;
    if (own === undefined) throw new Error('no BTF');
    expect(formatType(own, own.find('the_kfunc'))).toBe('extern int the_kfunc(__u64);');
    expect(formatType(own, own.find('maybe_kfunc___v2'))).toBe('extern void maybe_kfunc___v2(__u32);');
    expect(formatType(own, own.find('hidden_constant'))).toBe('static const volatile __u64 hidden_constant;');
    expect(formatType(own, own.find('CONFIG_CC_VERSION_TEXT'))).toBe('extern char CONFIG_CC_VERSION_TEXT[32];');
  });
});

describe('formatDeclaration', () => {
  it('reads declarators from the name outwards', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    const table = b.array(b.ptr(b.funcProto(b.ptr(b.const(int)), [{ name: '', type: 0 }])), 3, int);
    const cases: [number, string][] = [
      [b.ptr(b.array(int, 4, int)), 'int (*x)[4]'],
      [b.array(b.ptr(int), 4, int), 'int *x[4]'],
      [table, 'const int *(*x[3])(...)'],
      [b.ptr(b.typeTag('rcu', b.struct('task'))), '__attribute__((btf_type_tag("rcu"))) struct task *x'],
      [b.const(b.ptr(b.volatile(int))), 'volatile int *const x'],
      [b.array(b.array(int, 2, int), 3, int), 'int x[3][2]'],
      [b.ptr(b.funcProto(0, [])), 'void (*x)(void)'],
      [b.ptr(0), 'void *x'],
      [b.fwd('later'), 'struct later x'],
    ];
    const parsed = b.parse();
    expect(cases.map(([id]) => formatDeclaration(parsed, id, 'x'))).toEqual(cases.map(([, text]) => text));
  });

  it('without a name gives the type’s', () => {
    expect(formatTypeName(btf, ids.nodePtr ?? 0)).toBe('struct node *');
    expect(formatTypeName(btf, ids.fn ?? 0)).toBe('int (*)(struct node *self, u64 n)');
    expect(formatTypeName(btf, ids.name ?? 0)).toBe('char[16]');
    expect(formatTypeName(btf, 0)).toBe('void');
  });
});

it('types that are their own pointers end in an error', () => {
  const ring = Btf.parse(rawBtf([[0, info(BTF_KIND.PTR), 1]]));
  expect(() => formatTypeName(ring, 1)).toThrow(/nested more than 256 deep/);
});

it('anonymous types that double at each level end in an error', () => {
  const b = new BtfBuilder();
  let inner = b.int('int', 4);
  for (let i = 0; i < 40; i++) {
    inner = b.union('', [
      { name: 'a', type: inner },
      { name: 'b', type: inner },
    ]);
  }
  expect(() => formatType(b.parse(), inner)).toThrow(/more than 200000 parts/);
});
