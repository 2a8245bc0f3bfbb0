import { describe, expect, it } from 'vitest';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../src/uapi.js';
import { named, parseFixture } from './fixture.js';

const spec = parseFixture('maps');

describe('maps of .maps', () => {
  it('have every attribute', () => {
    expect(named(spec.maps, 'typed')).toEqual({
      name: 'typed',
      section: '.maps',
      type: BPF_MAP_TYPE.HASH,
      keySize: 8,
      valueSize: 24,
      maxEntries: 100,
      flags: BPF_MAP_FLAG.NO_PREALLOC,
      mapExtra: 0n,
      numaNode: 3,
      pinning: 1,
      keyType: spec.btf?.find('key'),
      valueType: spec.btf?.find('value'),
    });
  });

  it('may give sizes without types', () => {
    expect(named(spec.maps, 'sized')).toMatchObject({
      keySize: 4,
      valueSize: 12,
      maxEntries: 7,
      keyType: 0,
      valueType: 0,
    });
  });

  it('round a ring buffer up to a power of two of pages', () => {
    expect(named(spec.maps, 'ring').maxEntries).toBe(8192);
    expect(named(spec.maps, 'whole_ring').maxEntries).toBe(4 * 4096);
  });

  it('of maps describe the inner map and its initial values', () => {
    const outer = named(spec.maps, 'outer');
    expect(outer.inner).toMatchObject({ name: 'outer.inner', type: BPF_MAP_TYPE.ARRAY, maxEntries: 2, keySize: 4 });
    expect(outer.values).toEqual([
      { index: 0, name: 'inner_b' },
      { index: 3, name: 'inner_a' },
    ]);
    expect(outer.valueSize).toBe(4);
  });

  it('of programs name them', () => {
    const jumps = named(spec.maps, 'jumps');
    expect(jumps.inner).toBeUndefined();
    expect(jumps.values).toEqual([{ index: 1, name: 'callee' }]);
  });

  it('of type ARENA have a 64-bit map_extra and the data of .addr_space.1', () => {
    const arena = named(spec.maps, 'arena');
    expect(arena.mapExtra).toBe(1n << 44n);
    expect(arena.data?.variables.map(({ name, offset, size }) => [name, offset, size])).toEqual([
      ['counter', 0, 8],
      ['table', 8, 1200],
    ]);
    expect(arena.data?.bytes[0]).toBe(5);
    const data = named(spec.programs, 'use').relocations.filter((reloc) => reloc.kind === 'data');
    expect(data).toEqual([
      { kind: 'data', insn: 17, map: 'arena', offset: 0 },
      { kind: 'data', insn: 23, map: 'arena', offset: 8 },
    ]);
  });

  it('are referred to by ld_imm64', () => {
    const maps = named(spec.programs, 'use').relocations.filter((reloc) => reloc.kind === 'map');
    expect(maps.map((reloc) => reloc.map)).toEqual(['sized', 'typed', 'inner_b']);
  });
});
