import type { Btf } from '../../src/btf/btf.js';
import { BtfBuilder } from '../../src/btf/builder.js';

/** BTF of a small kernel that has what fixtures/data.bpf.c asks for. */
export function dataKernel(): Btf {
  const b = new BtfBuilder();
  const s32 = b.int('int', 4, { signed: true });
  const u64 = b.int('unsigned long long', 8);
  const point = b.struct('point', [
    { name: 'x', type: s32 },
    { name: 'y', type: s32 },
  ]);
  const proto = (returns: number, ...types: number[]) =>
    b.funcProto(
      returns,
      types.map((type, i) => ({ name: `p${i}`, type })),
    );
  b.func('kernel_strong', proto(s32, b.ptr(point), u64));
  // `___v2` of the object: returns a value and takes one int.
  b.func('kernel_versioned', proto(s32, s32));
  b.var('kernel_variable', b.const(s32));
  b.func('kernel_typeless', proto(0));
  return b.parse();
}

export const CONFIG = {
  CONFIG_HZ: '250',
  CONFIG_BPF: 'y',
  CONFIG_DUMMY: 'm',
  CONFIG_VETH: 'n',
  CONFIG_DEFAULT_HOSTNAME: '"(none) or other"',
};
