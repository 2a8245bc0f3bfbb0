import { describe, expect, it } from 'vitest';
import { Btf } from '../../src/btf/btf.js';
import { BtfBuilder } from '../../src/btf/builder.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { btfForKernel } from '../../src/loader/btf_upload.js';
import type { ObjectSpec } from '../../src/object/spec.js';
import { fixture } from './fixtures.js';

const empty = { ...fixture('link'), maps: [], subprograms: [] } satisfies ObjectSpec;
const upload = (btf: Btf, ...resized: { section: string; bytes: number }[]) =>
  Btf.parse(btfForKernel(empty, btf, resized)).validate();

function section(btf: Btf, name: string) {
  const type = btf.type(btf.find(name, BTF_KIND.DATASEC));
  if (type.kind !== BTF_KIND.DATASEC) throw new Error(`no section ${name}`);
  return type;
}

describe('BTF for the kernel', () => {
  it('gets an int for ksyms if it has none', () => {
    const b = new BtfBuilder();
    const fn = b.func('kfunc', b.funcProto(0, [{ name: '', type: b.ptr(0) }]), 'extern');
    const variable = b.var('ksym', b.ptr(0), 'extern');
    b.datasec('.ksyms', 0, [
      { type: fn, offset: 0, size: 0 },
      { type: variable, offset: 0, size: 0 },
    ]);
    const btf = upload(b.parse());
    const { vars, size } = section(btf, '.ksyms');
    expect(size).toBe(8);
    expect(vars.map(({ type, offset, size: bytes }) => [btf.nameOf(type), offset, bytes])).toEqual([
      ['dummy_ksym', 0, 4],
      ['ksym', 4, 4],
    ]);
    for (const { type } of vars) {
      const entry = btf.type(type);
      expect(entry.kind === BTF_KIND.VAR && btf.type(entry.type)).toMatchObject({
        kind: BTF_KIND.INT,
        name: 'int',
        size: 4,
        signed: true,
      });
    }
    const proto = btf.type(btf.find('kfunc', BTF_KIND.FUNC));
    const params = proto.kind === BTF_KIND.FUNC ? btf.type(proto.type) : proto;
    expect(params).toMatchObject({ params: [{ name: 'dummy_ksym' }] });
  });

  it('keeps sizes and offsets that a linker filled in', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    b.datasec('.maps', 40, [{ type: b.var('m', int), offset: 32, size: 4 }]);
    const { vars, size } = section(upload(b.parse()), '.maps');
    expect([size, vars[0]?.offset]).toEqual([40, 32]);
  });

  it('lays out by size and alignment what nobody reads by offset', () => {
    const b = new BtfBuilder();
    const [byte, wide] = [b.int('char', 1), b.int('long', 8)];
    b.datasec('license', 0, [
      { type: b.var('a', byte), offset: 0, size: 1 },
      { type: b.var('b', wide), offset: 0, size: 8 },
      { type: b.var('c', byte), offset: 0, size: 1 },
    ]);
    const { vars, size } = section(upload(b.parse()), 'license');
    expect(vars.map(({ offset }) => offset)).toEqual([0, 8, 16]);
    expect(size).toBe(17);
  });

  it('lengthens only whole arrays at the end of a section', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    b.datasec('.data.a', 8, [
      { type: b.var('n', int), offset: 0, size: 4 },
      { type: b.var('list', b.array(int, 1, int)), offset: 4, size: 4 },
    ]);
    const grown = upload(b.parse(), { section: '.data.a', bytes: 24 });
    const { vars, size } = section(grown, '.data.a');
    expect([size, vars[1]?.size]).toEqual([24, 20]);
    const list = grown.type(vars[1]?.type ?? 0);
    expect(list.kind === BTF_KIND.VAR && grown.type(list.type)).toMatchObject({ kind: BTF_KIND.ARRAY, length: 5 });
    // Half an element, and a section that does not end in an array, stay as they were.
    expect(section(upload(b.parse(), { section: '.data.a', bytes: 22 }), '.data.a').size).toBe(8);
    const plain = new BtfBuilder();
    plain.datasec('.data.a', 4, [{ type: plain.var('n', plain.int('int', 4)), offset: 0, size: 4 }]);
    expect(section(upload(plain.parse(), { section: '.data.a', bytes: 8 }), '.data.a').size).toBe(4);
  });
});
