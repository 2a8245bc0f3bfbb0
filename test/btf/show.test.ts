import { describe, expect, test } from 'vitest';
import { BtfBuilder } from '../../src/btf/builder.js';
import { BTF_SHOW, showMemory, showValue } from '../../src/btf/show.js';

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

describe('showMemory', () => {
  const k = new BtfBuilder();
  const u8 = k.int('unsigned char', 1);
  const s32 = k.int('int', 4, { signed: true });
  const u32 = k.int('unsigned int', 4);
  const size = k.int('__ARRAY_SIZE_TYPE__', 4);
  const named = k.typedef('__u32', u32);
  const counter = k.struct('', [{ name: 'counter', type: s32 }]);
  const atomic = k.typedef('atomic_t', counter);
  const head = k.struct('list_head');
  k.members(head, [
    { name: 'next', type: k.ptr(head) },
    { name: 'prev', type: k.ptr(head) },
  ]);
  const command = k.enum('command', { CREATE: 0, LOOKUP: 1 });
  const both = k.union('both', [
    { name: 'one', type: s32 },
    { name: 'other', type: k.union('', [{ name: 'x', type: u32 }]) },
  ]);
  const info = k.struct('info', [
    { name: 'name', type: k.array(k.int('char', 1, { signed: true }), 8, size) },
    { name: 'cb', type: k.array(named, 3, size) },
    { name: 'users', type: atomic },
    { name: 'lists', type: k.array(head, 2, size) },
    { name: 'last', type: named },
  ]);
  const insn = k.struct('insn', [
    { name: 'code', type: u8 },
    { name: 'dst', type: u8, bitOffset: 8, bitSize: 4 },
    { name: 'src', type: u8, bitOffset: 12, bitSize: 4 },
    { name: 'imm', type: s32 },
  ]);
  const view = k.parse();
  const { COMPACT, NONAME, PTR_RAW, ZERO } = BTF_SHOW;
  const show = (type: number, bytes: readonly number[], flags: number) => {
    const value = new Uint8Array(view.sizeOf(type));
    value.set(bytes);
    return showMemory(view, type, (at, length) => value.subarray(at, at + length), flags);
  };
  const compact = (type: number, bytes: readonly number[], flags = 0) => show(type, bytes, COMPACT | flags);

  // The forms that tools/testing/selftests/bpf/progs/netif_receive_skb.c (7.3) expects of the kernel, on types of our own.
  test('scalars: 0 is shown at the top, with its type but for NONAME', () => {
    expect(compact(s32, [0xd2, 4])).toBe('(int)1234');
    expect(compact(s32, [0xd2, 4], NONAME)).toBe('1234');
    expect(compact(s32, [])).toBe('(int)0');
    expect(compact(named, [1])).toBe('(__u32)1');
    expect(compact(command, [1])).toBe('(enum command)LOOKUP');
    expect(compact(command, [0], NONAME)).toBe('CREATE');
    expect(compact(command, [9])).toBe('(enum command)9');
  });

  test('structs: what is 0 is left out, unless asked for', () => {
    expect(compact(atomic, [1])).toBe('(atomic_t){.counter = (int)1,}');
    expect(compact(atomic, [])).toBe('(atomic_t){}');
    expect(compact(atomic, [], NONAME)).toBe('{}');
    expect(compact(atomic, [], ZERO)).toBe('(atomic_t){.counter = (int)0,}');
    expect(compact(atomic, [], NONAME | ZERO)).toBe('{0,}');
    expect(compact(head, [1], PTR_RAW)).toBe('(struct list_head){.next = (struct list_head *)0x0000000000000001,}');
    expect(compact(head, [0, 0, 0, 0, 0, 0, 0, 0, 7])).toMatch(
      /\{\.prev = \(struct list_head \*\)0x00000000[0-9a-f]{8},\}/,
    );
    expect(compact(insn, [1, 0x32])).toBe(
      '(struct insn){.code = (unsigned char)1,.dst = (unsigned char)0x2,.src = (unsigned char)0x3,}',
    );
  });

  test('arrays: characters up to a NUL, elements that are not 0; inside of elements names are missing', () => {
    const name = [...new TextEncoder().encode('foo')];
    expect(compact(info, name)).toBe("(struct info){.name = (char[])['f','o','o',],}");
    expect(compact(info, name, NONAME)).toBe("{['f','o','o',],}");
    expect(compact(info, [0, ...name])).toBe('(struct info){}');
    expect(compact(info, [1, 2, 3])).toBe('(struct info){.name = (char[])[1,2,3,],}');
    expect(compact(info, [...new Array(12).fill(0), 5])).toBe('(struct info){.cb = (__u32[])[5,],}');
    const nested = [...new Array(40).fill(0), 1];
    expect(compact(info, nested, PTR_RAW)).toBe('(struct info){.lists = (struct list_head[])[0x0000000000000001,},],}');
  });

  test('without COMPACT each stands on a line of its own', () => {
    expect(show(info, [...new Array(20).fill(0), 3, 0, 0, 0, ...new Array(32).fill(0), 7], 0)).toBe(
      '(struct info){\n .users = (atomic_t){\n  .counter = (int)3,\n },\n .last = (__u32)7,\n}\n',
    );
  });

  test('members of unions are told apart by | if they are unions themselves', () => {
    expect(compact(both, [3])).toBe('(union both){.one = (int)3,.other = (union){.x = (unsigned int)3,},}');
  });
});
