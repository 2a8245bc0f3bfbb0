import { describe, expect, it } from 'vitest';
import { ElfFile, STT } from '../../src/elf/elf.js';
import { parseObject } from '../../src/object/parse.js';
import { fixture } from '../object/fixture.js';

describe('ElfFile', () => {
  const elf = new ElfFile(fixture('globals'));

  it('reads sections with their contents', () => {
    const license = elf.section('license');
    expect(new TextDecoder().decode(license?.data)).toBe('GPL\0');
    expect(elf.section('tc')).toMatchObject({ type: 'progbits', executable: true });
    expect(elf.section('.data')).toMatchObject({ type: 'progbits', executable: false, size: 22 });
  });

  it('gives NOBITS sections a size and no bytes of the file', () => {
    expect(elf.section('.bss')).toMatchObject({ type: 'nobits', size: 33 });
    expect(elf.section('.bss')?.data.length).toBe(0);
  });

  it('reads symbols; section symbols have their section’s name', () => {
    const counter = elf.symbols.find((symbol) => symbol.name === 'weak_counter');
    expect(counter).toMatchObject({ value: 8, size: 8, type: STT.OBJECT, bind: 2 });
    const section = elf.symbols.find((symbol) => symbol.type === STT.SECTION);
    expect(section?.name).toBe(elf.sections[section?.section ?? 0]?.name);
  });

  it('reads relocations with their symbols', () => {
    const rel = elf.section('.reltc');
    if (rel === undefined) throw new Error('no .reltc');
    const relocations = elf.relocations(rel);
    expect(relocations.find((reloc) => reloc.symbol.name === 'the_kfunc')?.type).toBe(10);
    expect(elf.relocationTypes(rel)).toEqual(
      new Map([
        [1, 22],
        [10, 2],
      ]),
    );
  });
});

it('needs no global Buffer', () => {
  const file = fixture('maps');
  const { Buffer } = globalThis;
  try {
    Reflect.deleteProperty(globalThis, 'Buffer');
    expect(parseObject(file).maps.length).toBeGreaterThan(0);
  } finally {
    globalThis.Buffer = Buffer;
  }
});

it('reads an object at any offset of a larger buffer', () => {
  const file = fixture('maps');
  const larger = new Uint8Array(file.length + 13);
  larger.set(file, 7);
  const { btf: one, ...expected } = parseObject(file);
  const { btf: two, ...shifted } = parseObject(larger.subarray(7, 7 + file.length));
  expect(shifted).toEqual(expected);
  expect(two?.typeCount).toBe(one?.typeCount);
});
