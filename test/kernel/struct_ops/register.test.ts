import { beforeAll, expect, test } from 'vitest';
import type { Btf } from '../../../src/btf/btf.js';
import { BtfBuilder, type NewMember } from '../../../src/btf/builder.js';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ErrnoError } from '../../../src/errno.js';
import { InputError } from '../../../src/errors.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { StructOpsDef } from '../../../src/kernel/types.js';
import { toy, toyBtf } from '../toy.js';

let k: Kernel;
let old: Kernel;
beforeAll(async () => {
  k = await Kernel.create({ windowBytes: 1 << 20 });
  old = await Kernel.create({ windowBytes: 1 << 20, profile: '6.12' });
});

test('what is no definition is one clear error that names what is missing', () => {
  const give = (def: unknown) => () => k.registerStructOps(def as StructOpsDef);
  expect(give({})).toThrow(
    new InputError('registerStructOps: the definition lacks name, init_member(), reg(), unreg()'),
  );
  expect(give(undefined)).toThrow('registerStructOps: def is undefined, not an object');
  expect(give({ name: 'x_ops', init_member: () => 0 })).toThrow(
    'struct_ops "x_ops": the definition lacks reg(), unreg()',
  );
  const whole = { init_member: () => 0, reg: () => 0, unreg() {} };
  expect(give({ ...whole, name: 5 })).toThrow('registerStructOps: the name is no string');
  expect(give({ ...whole, name: 'x_ops', validate: 1 })).toThrow('struct_ops "x_ops": validate is no function');
  expect(give({ ...whole, name: 'x_ops', btf: {} })).toThrow('struct_ops "x_ops": btf is no BTF');
  expect(give({ ...whole, name: 'x_ops' })).toThrow('struct_ops "x_ops": no stubs (cfi_stubs): EINVAL');
});

interface Shape {
  members?: (b: BtfBuilder, ids: Ids) => NewMember[];
  value?: (b: BtfBuilder, ids: Ids, ops: number) => NewMember[] | null;
  name?: string;
}
interface Ids {
  s32: number;
  u64: number;
  task: number;
  common: number;
  /** Pointer to a function of this result and these parameters. */
  fn(returns: number, ...params: number[]): number;
}

/** A module's BTF with one struct_ops type `x_ops`, correct but for what the shape changes. */
function moduleBtf(kernel: Kernel, shape: Shape): Btf {
  const base = kernel.profile.btf as Btf;
  const b = new BtfBuilder(base);
  const ids: Ids = {
    s32: base.find('int', BTF_KIND.INT),
    u64: base.find('long long unsigned int', BTF_KIND.INT) || base.find('unsigned long long', BTF_KIND.INT),
    task: b.ptr(base.find('task_struct', BTF_KIND.STRUCT)),
    common: base.find('bpf_struct_ops_common_value', BTF_KIND.STRUCT),
    fn: (returns, ...params) =>
      b.ptr(
        b.funcProto(
          returns,
          params.map((type, i) => ({ name: `a${i}`, type })),
        ),
      ),
  };
  const name = shape.name ?? 'x_ops';
  const ops = b.struct(name, shape.members?.(b, ids) ?? [{ name: 'run', type: ids.fn(ids.s32, ids.task) }]);
  const value = shape.value
    ? shape.value(b, ids, ops)
    : [
        { name: 'common', type: ids.common },
        { name: 'data', type: ops, bitOffset: 512 },
      ];
  if (value) b.struct(`bpf_struct_ops_${name}`, value);
  return b.parse();
}

function register(shape: Shape, def: Partial<StructOpsDef> = {}, kernel = k): string {
  const full: StructOpsDef = {
    name: shape.name ?? 'x_ops',
    btf: moduleBtf(kernel, shape),
    init_member: () => 0,
    reg: () => 0,
    unreg: () => {},
    stubs: { run: {} },
    ...def,
  };
  try {
    kernel.registerStructOps(full);
    return 'registered';
  } catch (error) {
    if (!(error instanceof ErrnoError)) throw error;
    return error.message;
  }
}

test('a sound type is registered, once', () => {
  const btf = moduleBtf(k, {});
  const def: StructOpsDef = {
    name: 'x_ops',
    btf,
    init_member: () => 0,
    reg: () => 0,
    unreg: () => {},
    stubs: { run: {} },
  };
  k.registerStructOps(def);
  expect(() => k.registerStructOps(def)).toThrow('struct_ops "x_ops": registered already: EEXIST (-17)');
});

test.each<[string, Shape, Partial<StructOpsDef>, string]>([
  ['a name that does not fit', { name: 'x'.repeat(113) }, {}, 'name is too long: EINVAL'],
  ['no stubs', {}, { stubs: undefined as never }, 'no stubs (cfi_stubs): EINVAL'],
  ['no such struct', {}, { name: 'y_ops' }, 'cannot find struct y_ops in y_ops BTF: EINVAL'],
  [
    '65 members',
    { members: (_b, { u64 }) => Array.from({ length: 65 }, (_, i) => ({ name: `m${i}`, type: u64 })) },
    {},
    'cannot support more than 64 members: EINVAL',
  ],
  ['no value type', { value: () => null }, {}, 'cannot find struct bpf_struct_ops_x_ops in x_ops BTF: EINVAL'],
  [
    'a value type of one member',
    { value: (_b, { common }) => [{ name: 'common', type: common }] },
    {},
    'is not a common value followed by struct x_ops: EINVAL',
  ],
  [
    'a value type without the common part',
    {
      value: (_b, { u64 }, ops) => [
        { name: 'n', type: u64 },
        { name: 'data', type: ops },
      ],
    },
    {},
    'is not a common value',
  ],
  [
    'an anonymous member',
    { members: (_b, { u64 }) => [{ name: '', type: u64 }] },
    { stubs: {} },
    'anonymous members are not supported: EOPNOTSUPP',
  ],
  [
    'a bitfield',
    { members: (_b, { s32 }) => [{ name: 'bits', type: s32, bitOffset: 0, bitSize: 3 }] },
    { stubs: {} },
    'bit field member bits is not supported: EOPNOTSUPP',
  ],
  [
    '13 arguments',
    { members: (_b, { fn, s32 }) => [{ name: 'run', type: fn(s32, ...new Array<number>(13).fill(s32)) }] },
    {},
    'the function run has 13 arguments, too many: EINVAL',
  ],
  [
    'variable arguments',
    { members: (_b, { fn, s32 }) => [{ name: 'run', type: fn(s32, s32, 0) }] },
    {},
    'the function run with variable args is unsupported: EINVAL',
  ],
  [
    'a struct argument above 16 bytes',
    {
      members: (b, { fn, s32, u64 }) => [
        { name: 'run', type: fn(s32, b.struct('big', [{ name: 'a', type: b.array(u64, 3, s32) }])) },
      ],
    },
    {},
    'the function run arg0 type struct big is unsupported: EINVAL',
  ],
  [
    'a struct result',
    { members: (b, { fn, u64 }) => [{ name: 'run', type: fn(b.struct('one', [{ name: 'a', type: u64 }])) }] },
    {},
    'the function run return type struct one is unsupported: EINVAL',
  ],
  [
    'a result of 16 bytes',
    { members: (b, { fn }) => [{ name: 'run', type: fn(b.int('__int128', 16)) }] },
    {},
    'func ptr run returns more than 8 bytes: EOPNOTSUPP',
  ],
  [
    'a returned pointer to an int',
    { members: (b, { fn, s32 }) => [{ name: 'run', type: fn(b.ptr(s32)) }] },
    {},
    'func ptr run returns non-struct pointer, which is not supported: EOPNOTSUPP',
  ],
  [
    'a stub for more arguments',
    {},
    { stubs: { run: { args: { 1: 'nullable' } } } },
    'stub of run tags argument 1 of 1: EINVAL',
  ],
  [
    'a nullable int',
    { members: (_b, { fn, s32 }) => [{ name: 'run', type: fn(s32, s32) }] },
    { stubs: { run: { args: { 0: 'nullable' } } } },
    'stub of run has nullable tagging to an unsupported type: EINVAL',
  ],
  [
    'a stub of a member that is no function',
    { members: (_b, { u64 }) => [{ name: 'run', type: u64 }] },
    {},
    'stub run is no function member of struct x_ops: EINVAL',
  ],
  ['an init that refuses', {}, { init: () => -1 }, 'init answered -1: EINVAL'],
])('%s is refused', (_what, shape, def, text) => {
  expect(register(shape, def)).toContain(text);
});

test('what is refused for a supported op is fine for one without a stub', () => {
  const members: Shape['members'] = (_b, { fn, s32 }) => [
    { name: 'run', type: fn(s32, ...new Array<number>(13).fill(s32)) },
  ];
  expect(register({ members }, { stubs: {} })).toBe('registered');
});

test('6.12 lets ops return any pointer and knows no ref and arena tags', () => {
  const members: Shape['members'] = (b, { fn, s32 }) => [{ name: 'run', type: fn(b.ptr(s32), s32) }];
  const tags = { run: { args: { 0: 'ref' } } } as const;
  expect(register({ members }, { stubs: tags }, old)).toBe('registered');
  const noPointer: Shape['members'] = (_b, { fn, s32 }) => [{ name: 'run', type: fn(s32, s32) }];
  expect(register({ members: noPointer }, { stubs: tags })).toContain('ref tagging');
});

test('callbacks see the type only after it is complete, and init once', () => {
  const btf = toyBtf(k.profile.btf, 'once_ops');
  const { def } = toy(btf, 'once_ops');
  let calls = 0;
  k.registerStructOps({
    ...def,
    init: (view) => {
      calls++;
      expect(view).toBe(btf);
      expect(k.btfs.values().find((object) => object.view === btf)!.structOps).toEqual([]);
      return 0;
    },
  });
  expect(calls).toBe(1);
});
