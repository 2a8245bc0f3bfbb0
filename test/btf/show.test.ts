import { describe, expect, test } from 'vitest';
import { BtfBuilder } from '../../src/btf/builder.js';
import { showValue } from '../../src/btf/show.js';

const b = new BtfBuilder();
const int = b.int('int', 4, { signed: true });
const index = b.int('__ARRAY_SIZE_TYPE__', 4);
const char = b.int('char', 1, { signed: true });
const array = (type: number, length: number) => b.array(type, length, index);
const q = b.struct('q', [{ name: 'v', type: int }]);
const s = b.struct('s', [
  { name: 'a', type: array(char, 3) },
  { name: 'b', type: array(int, 2) },
  { name: 'c', type: q },
  { name: 'd', type: array(char, 2) },
  { name: 'e', type: array(q, 2) },
]);
const unsignedInt = b.int('unsigned int', 4);
const bits = b.struct(
  '',
  [
    { name: 'a', type: unsignedInt, bitOffset: 0, bitSize: 3 },
    { name: 'b', type: int, bitOffset: 3, bitSize: 5 },
    { name: 'c', type: unsignedInt, bitOffset: 8, bitSize: 1 },
  ],
  4,
);
const bool = b.int('_Bool', 1, { bool: true });
const t = b.struct('t', [
  { name: 'first', type: int },
  { name: 'arr', type: array(s, 2) },
  { name: 'after', type: array(int, 2) },
  { name: 'z', type: array(array(char, 3), 2) },
  { name: 'last', type: char },
  { name: 'sh', type: array(b.int('short', 2, { signed: true }), 2) },
  { name: 'bl', type: array(bool, 2) },
  { name: 'u8', type: array(b.int('unsigned char', 1), 3) },
  { name: 's8', type: array(b.int('signed char', 1, { signed: true }), 3) },
  { name: 'en', type: b.enum('', { A: 0, B: 7 }) },
  { name: 'neg', type: b.enum('', { NEG: -1, M2: -2 }) },
  { name: 'ptrs', type: array(b.ptr(0), 2) },
  {
    name: 'un',
    type: array(
      b.union('', [
        { name: 'i', type: int },
        { name: 'c', type: char },
      ]),
      2,
    ),
  },
  { name: 'em', type: b.struct('', []) },
  { name: 'll', type: array(b.int('long long', 8, { signed: true }), 2) },
  { name: 'bits', type: array(unsignedInt, 1) },
  { name: 'bf', type: array(bits, 2) },
  { name: 'bb', type: bool, bitOffset: 1184, bitSize: 1 },
]);
const float = b.struct('', [
  { name: 'f', type: b.float('float', 4) },
  { name: 'n', type: int },
]);
const wide = b.int('__int128', 16, { signed: true });
const btf = b.parse();

/** Values of an array of struct t (clang's layout) and what reading the pinned map gave on Linux 6.18. */
const RECORDED = [
  {
    bytes:
      '0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',
    text: '{0,[],[0,0,],{0,},[],[0,},0,},],},],[0,0,],{0,},[],[0,},0,},],},],[0,0,],[],],],0,[0,0,],[],[],[],A,0,0x<pointer>,0x<pointer>,],[0,0,},0,0,},],{},[0,0,],[0,],[0x0,0x0,0x0,},0x0,0x0,0x0,},],0x0,}',
  },
  {
    bytes:
      '61c8a0007f41000100c87f41ffa000410041ff6101ff0100017f010100004141010161c841a0410141ff6100c8ff01016100c86100c80061c8617fc8017f7f01006100c8ff00a0ffc8ff007f00014100417fc8a0c8a0617f00c86100ff0041c8a0c801c861a00061c861010001617f010000a0ff0041c8617fff0100007fc8410101ff0001ffc80100ff61017f01a07f7fc87f61617fff01',
    text: "{10537057,[127,'A',],[1098893312,1090560255,],{1644118272,},[1,'\u00ff',],[16875265,},1094778880,},],},1,1,'a',],[21078081,6422337,],{16908232,},['a',],[1627441152,},-931175992,},],},],[25132801,-939499264,],['\u00ff',],'\u00ff',],],0,[256,65,],['A',127,],['\u00c8','\u00a0','\u00c8',],['\u00a0','a',127,],6408192,-935264001,0x<pointer>,0x<pointer>,],[-6291456,0,},1640513792,0,},],{},[4740178245784305535,128632969156821249,],[23199488,],[0x7,0xf,0x1,},0x7,0xf,0x0,},],0x1,}",
  },
  {
    bytes:
      '7f41610001ff007fa0a061417f00417f610161617f7fa00000016161a0c861a0007fc8c801000061a07f00a04100ffff7fff7fff41617f006100ff617f6101017fa07fc8a001ffa000004161000000c8ff00ff7f000000410001617f010101ff01004100a000ff00610000ff0100ff00c87f7fc8c800016101a061a0a0416100a0416161a00141c87fff010100c800000000a07f41ff7f7f',
    text: "{6373759,[1,'\u00ff',],[1096917152,2134966399,],{1633747297,},[127,127,],[1633747200,},-1604204384,},],},],[1627389953,-1610580064,],{-65471,},[127,'\u00ff',],[8347969,},1644101729,},],},],[16867711,-931159937,],['\u00a0',1,'\u00ff',],'\u00a0',1,'\u00ff',],],65,[0,-14336,],['\u00ff',],['\u00ff',127,],[],2137063680,-16711423,0x<pointer>,0x<pointer>,],[-931168312,-56,},1627455688,-56,},],{},[27375230882258945,-4016927604297612896,],[16908159,],[0x0,0x0,0x0,},0x0,0x0,0x0,},],0x1,}",
  },
];

describe('showValue', () => {
  test.each(RECORDED)('prints what the kernel printed: $text', ({ bytes, text }) => {
    const value = Uint8Array.from(Buffer.from(bytes, 'hex'));
    expect(showValue(btf, t, value).replaceAll(/0x[0-9a-f]{16}/g, '0x<pointer>')).toBe(text);
  });

  test('pointers are told apart, not shown; NULL is plain', () => {
    const pointers = b.ptr(0);
    const view = b.parse();
    const show = (value: bigint) => showValue(view, pointers, new Uint8Array(BigUint64Array.of(value).buffer));
    expect(show(0n)).toBe('0x0000000000000000');
    expect(show(0x1234n)).toMatch(/^0x00000000[0-9a-f]{8}$/);
    expect(show(0x1234n)).not.toBe(show(0x1235n));
    expect(show(0x1234n)).not.toContain('1234');
  });

  test('floats have no form and no comma, wide integers are hexadecimal', () => {
    expect(showValue(btf, float, new Uint8Array(8))).toBe('{<unsupported kind:16>0,}');
    expect(showValue(btf, wide, new Uint8Array(BigUint64Array.of(1n, 0n).buffer))).toBe('0x1');
    expect(showValue(btf, wide, new Uint8Array(BigUint64Array.of(1n, 2n).buffer))).toBe('0x20000000000000001');
  });
});
