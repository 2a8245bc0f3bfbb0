import { describe, expect, it } from 'vitest';
import { findObjects } from '../../src/elf/embedded.js';
import { parseObject } from '../../src/object/parse.js';
import { fixture } from '../object/fixture.js';

/** Parts one after another, each at an odd offset, as byte arrays in .rodata are. */
function executable(...objects: Uint8Array[]): Uint8Array {
  const parts = [
    new TextEncoder().encode('\x7fELF\x02\x01\x01 not really'),
    ...objects.flatMap((o) => [new Uint8Array(5), o]),
  ];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

describe('findObjects', () => {
  it('finds every object whole, named by its source file', () => {
    const [a, b] = [fixture('progs'), fixture('struct_ops_debug')];
    const found = findObjects(executable(a, b));
    expect(found.map(({ name }) => name)).toEqual(['progs', 'struct_ops']);
    expect(found.map(({ bytes }) => bytes.length)).toEqual([a.length, b.length]);
    expect(found[1]?.bytes).toEqual(b);
    expect(found.map(({ bytes }) => parseObject(bytes).programs.length)).toEqual([8, 3]);
  });

  it('finds none in a BPF object itself, in text, in nothing', () => {
    expect(findObjects(fixture('progs'))).toEqual([]);
    expect(findObjects(new TextEncoder().encode('hello'))).toEqual([]);
    expect(findObjects(new Uint8Array())).toEqual([]);
  });

  it('leaves out an object that is cut off', () => {
    const file = executable(fixture('progs'), fixture('core'));
    expect(findObjects(file.subarray(0, file.length - 1)).map(({ name }) => name)).toEqual(['progs']);
  });
});
