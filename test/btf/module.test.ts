import { expect, test } from 'vitest';
import { BtfBuilder } from '../../src/btf/builder.js';
import { moduleBtf } from '../../src/btf/module.js';
import { BTF_KIND } from '../../src/btf/types.js';

const vmlinux = (() => {
  const b = new BtfBuilder();
  const int = b.int('int', 4, { signed: true });
  const list = b.struct('list');
  b.members(list, [{ name: 'next', type: b.ptr(list) }]);
  b.struct('task', [
    { name: 'pid', type: int },
    { name: 'list', type: list },
  ]);
  b.typedef('pid_t', int);
  b.enum('state', { RUNNING: 0 });
  return b.parse();
})();

/** What a compiler makes of a module: with copies of the kernel's types, only declared ones, and types of its own. */
const own = (() => {
  const b = new BtfBuilder();
  const int = b.int('int', 4, { signed: true });
  const u64 = b.int('own_u64', 8);
  const task = b.fwd('task');
  const pid = b.typedef('pid_t', int);
  const state = b.struct('own_state');
  const op = b.funcProto(int, [
    { name: 'task', type: b.ptr(task) },
    { name: 'state__nullable', type: b.ptr(b.const(state)) },
  ]);
  b.members(state, [
    { name: 'self', type: b.ptr(state) },
    { name: 'pids', type: b.array(pid, 3, int) },
    { name: 'low', type: int, bitOffset: 160, bitSize: 5 },
    { name: '', type: b.union('', [{ name: 'wide', type: u64 }]), bitOffset: 192 },
    { name: 'op', type: b.ptr(op), bitOffset: 256 },
  ]);
  b.func('own_kfunc', b.funcProto(0, [{ name: 'state', type: b.ptr(state) }]));
  b.enum('state', { RUNNING: 0 });
  b.datasec('.bss', 4, [{ type: b.var('left_out', state), offset: 0, size: 4 }]);
  return b.parse();
})();

test("what the kernel has by name is the kernel's, the rest is the module's", () => {
  const btf = moduleBtf(vmlinux, own);
  for (const name of ['int', 'pid_t', 'task', 'state']) expect(btf.findAll(name)).toEqual(vmlinux.findAll(name));
  for (const [name, kind] of [
    ['own_state', BTF_KIND.STRUCT],
    ['own_u64', BTF_KIND.INT],
    ['own_kfunc', BTF_KIND.FUNC],
  ] as const)
    expect(btf.find(name, kind)).toBeGreaterThanOrEqual(vmlinux.typeCount);
  expect(btf.find('left_out', BTF_KIND.VAR)).toBe(0);
});

test('layouts, bitfields, types that point to themselves and prototypes stay', () => {
  const btf = moduleBtf(vmlinux, own);
  const id = btf.find('own_state', BTF_KIND.STRUCT);
  expect(btf.sizeOf(id)).toBe(own.sizeOf(own.find('own_state', BTF_KIND.STRUCT)));
  expect(btf.member(id, 'low')).toMatchObject({ bitOffset: 160, bitSize: 5 });
  expect(btf.member(id, 'wide')?.bitOffset).toBe(192);
  const target = (member: string) => {
    const pointer = btf.type(btf.member(id, member)!.type);
    return pointer.kind === BTF_KIND.PTR ? pointer.type : 0;
  };
  expect(target('self')).toBe(id);
  const proto = btf.type(target('op'));
  if (proto.kind !== BTF_KIND.FUNC_PROTO) throw new Error('no prototype');
  expect(proto.params.map(({ name }) => name)).toEqual(['task', 'state__nullable']);
  const task = btf.type(proto.params[0]!.type);
  expect(task).toMatchObject({ kind: BTF_KIND.PTR, type: vmlinux.find('task', BTF_KIND.STRUCT) });
});
