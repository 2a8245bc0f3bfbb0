import { describe, expect, it } from 'vitest';
import { named, parseFixture } from './fixture.js';

const spec = parseFixture('struct_ops');

describe('struct_ops variables', () => {
  it('are the variables of the four sections', () => {
    expect(spec.structOps.map(({ name, section, link, structName }) => ({ name, section, link, structName }))).toEqual([
      { name: 'plain', section: '.struct_ops', link: false, structName: 'toy_ops' },
      { name: 'linked_one', section: '.struct_ops.link', link: true, structName: 'toy_ops' },
      { name: 'linked_two', section: '.struct_ops.link', link: true, structName: 'toy_ops___old' },
      { name: 'optional_one', section: '?.struct_ops.link', link: true, structName: 'toy_ops' },
      { name: 'optional_two', section: '?.struct_ops.link', link: true, structName: 'toy_ops' },
    ]);
  });

  it('of a `?` section are off by default, but only the first: libbpf forgets the mark after it', () => {
    expect(spec.structOps.filter(({ autocreate }) => !autocreate).map(({ name }) => name)).toEqual(['optional_one']);
  });

  it('have programs from relocations alone, in member order', () => {
    expect(named(spec.structOps, 'linked_one').programs).toEqual([
      { member: 'first', memberIndex: 0, byteOffset: 0, program: 'first_op' },
      { member: 'second', memberIndex: 1, byteOffset: 8, program: 'second_op' },
      { member: 'third', memberIndex: 4, byteOffset: 32, program: 'third_op' },
    ]);
    expect(named(spec.structOps, 'optional_two').programs).toEqual([]);
  });

  it('share programs with each other', () => {
    const users = spec.structOps.filter(({ programs }) => programs.some(({ program }) => program === 'first_op'));
    expect(users.map(({ name }) => name)).toEqual(['plain', 'linked_one', 'linked_two', 'optional_one']);
  });

  it('have their initial bytes in the layout of the object', () => {
    const { data, structType } = named(spec.structOps, 'plain');
    const view = new DataView(data.buffer, data.byteOffset);
    const at = (path: string) => (spec.btf?.path(structType, path)?.bitOffset ?? Number.NaN) / 8;
    expect(data.length).toBe(spec.btf?.sizeOf(structType));
    expect(view.getBigUint64(at('flags'), true)).toBe(0x8000000000000001n);
    expect([view.getUint16(at('inner.a'), true), view.getUint16(at('inner.b'), true)]).toEqual([7, 8]);
    expect(new TextDecoder().decode(data.subarray(at('name'), at('name') + 5))).toBe('plain');
    expect(view.getBigUint64(at('first'), true)).toBe(0n);
  });
});

it('debug information changes nothing', () => {
  const debug = parseFixture('struct_ops_debug');
  expect(debug.structOps).toEqual(spec.structOps);
  expect(debug.programs.map(({ lines, lineWords, ...program }) => program)).toEqual(
    spec.programs.map(({ lines, lineWords, ...program }) => program),
  );
  expect(debug.relocationCounts).toEqual(spec.relocationCounts);
});
