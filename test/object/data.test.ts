import { describe, expect, it } from 'vitest';
import { parseObject } from '../../src/object/parse.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../src/uapi.js';
import { fixture, named, parseFixture } from './fixture.js';

const spec = parseFixture('globals');
const { RDONLY_PROG, MMAPABLE } = BPF_MAP_FLAG;

function variables(section: string): string[] {
  const { data } = named(spec.maps, section);
  return (data?.variables ?? []).map(({ name, offset, size, linkage }) => `${name} @${offset} +${size} ${linkage}`);
}

describe('global data', () => {
  it('is one array map a section, in file order, .kconfig last', () => {
    expect(spec.maps.map((map) => map.name)).toEqual([
      '.rodata',
      '.data',
      '.data.own',
      '.data.statics',
      '.rodata.own',
      '.bss',
      '.bss.own',
      '.kconfig',
    ]);
    for (const map of spec.maps) {
      expect(map).toMatchObject({ type: BPF_MAP_TYPE.ARRAY, keySize: 4, maxEntries: 1, section: map.name });
      expect(map.data?.bytes.length).toBe(map.valueSize);
      expect(spec.btf?.nameOf(map.valueType)).toBe(map.name);
    }
  });

  it('is read-only in .rodata and .kconfig, and mappable if a variable is not static', () => {
    const flags = Object.fromEntries(spec.maps.map((map) => [map.name, map.flags]));
    expect(flags).toEqual({
      '.rodata': RDONLY_PROG | MMAPABLE,
      '.data': MMAPABLE,
      '.data.own': MMAPABLE,
      '.data.statics': 0,
      '.rodata.own': RDONLY_PROG | MMAPABLE,
      '.bss': MMAPABLE,
      '.bss.own': MMAPABLE,
      '.kconfig': RDONLY_PROG | MMAPABLE,
    });
  });

  it('has variables where the symbol table says, though BTF of an unlinked object has 0', () => {
    expect(variables('.rodata')).toEqual(['limit @0 +4 global', 'tag @4 +8 global', 'hidden_constant @16 +8 static']);
    expect(variables('.data')).toEqual([
      'counter @0 +4 global',
      'weak_counter @8 +8 weak',
      'private_counter @16 +4 static',
      'local_counter @20 +2 static',
    ]);
    expect(variables('.bss')).toEqual(['zeroes @0 +32 global', 'local_zero @32 +1 static']);
  });

  it('has its initial values', () => {
    const bytes = named(spec.maps, '.data').data?.bytes ?? new Uint8Array();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    expect([
      view.getUint32(0, true),
      view.getBigUint64(8, true),
      view.getUint32(16, true),
      view.getUint16(20, true),
    ]).toEqual([3, 77n, 11, 9]);
    expect(named(spec.maps, '.bss').data?.bytes.every((byte) => byte === 0)).toBe(true);
  });

  it('is addressed by the symbol plus the insn', () => {
    const data = named(spec.programs, 'use').relocations.flatMap((reloc) => {
      return reloc.kind === 'data' ? [`${reloc.map}+${reloc.offset}`] : [];
    });
    // weak_counter, zeroes, in_own_section … as the compiler ordered them; 20 is local_counter, 32 local_zero.
    expect(new Set(data)).toEqual(
      new Set([
        '.data+0',
        '.data+8',
        '.data+16',
        '.data+20',
        '.bss+0',
        '.bss+32',
        '.rodata+0',
        '.rodata+4',
        '.rodata+16',
        '.data.own+0',
        '.data.statics+0',
        '.rodata.own+0',
        '.bss.own+0',
      ]),
    );
  });

  it('is a copy: changing it leaves the file as it was', () => {
    const file = fixture('globals');
    const before = file.slice();
    for (const map of parseObject(file).maps) map.data?.bytes.fill(0xff);
    expect(file).toEqual(before);
  });
});

describe('externs', () => {
  it('are kernel configuration by alignment, size and name, then kernel symbols by name', () => {
    const all = spec.externs.map(({ name, kind, weak, size }) => `${kind}${weak ? ' weak' : ''} ${name} ${size}`);
    expect(all).toEqual([
      'kconfig weak CONFIG_LONG 8',
      'kconfig CONFIG_HZ 4',
      'kconfig weak CONFIG_TCP_CONG_BIC 4',
      'kconfig LINUX_KERNEL_VERSION 4',
      'kconfig weak CONFIG_BPF_SYSCALL 1',
      'kconfig weak CONFIG_CC_VERSION_TEXT 32',
      'kfunc weak maybe_kfunc___v2 0',
      'ksym runqueues 0',
      'kfunc the_kfunc 0',
      'ksym weak untyped_symbol 0',
    ]);
    expect(variables('.kconfig')).toEqual([
      'CONFIG_LONG @0 +8 extern',
      'CONFIG_HZ @8 +4 extern',
      'CONFIG_TCP_CONG_BIC @12 +4 extern',
      'LINUX_KERNEL_VERSION @16 +4 extern',
      'CONFIG_BPF_SYSCALL @20 +1 extern',
      'CONFIG_CC_VERSION_TEXT @21 +32 extern',
    ]);
  });

  it('know their BTF: a FUNC, a VAR, and of what type', () => {
    for (const extern of spec.externs) expect(spec.btf?.nameOf(extern.btfId)).toBe(extern.name);
    expect(spec.btf?.nameOf(named(spec.externs, 'runqueues').type)).toBe('rq');
    expect(named(spec.externs, 'untyped_symbol').type).toBe(0);
  });

  it('are called or loaded', () => {
    const uses = named(spec.programs, 'use').relocations.flatMap((reloc) => {
      return reloc.kind === 'extern' ? [`${reloc.name}${reloc.call ? '()' : ''}`] : [];
    });
    expect(uses.filter((name) => name.startsWith('maybe'))).toEqual(['maybe_kfunc___v2', 'maybe_kfunc___v2()']);
    expect(uses).toContain('the_kfunc()');
    expect(uses).toContain('CONFIG_HZ');
  });
});

it('license, version and relocation counts are read', () => {
  expect(spec).toMatchObject({ license: 'GPL', kernelVersion: 0x060c75 });
  expect(spec.relocationCounts).toMatchObject({ R_BPF_64_64: 22, R_BPF_64_32: 2 });
});
