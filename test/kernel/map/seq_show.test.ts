import { beforeEach, expect, test } from 'vitest';
import { BtfBuilder } from '../../../src/btf/builder.js';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';

// Texts of pinned maps as Linux 6.18 gave them for the same maps.

const HEADER = '# WARNING!! The output is for debug purpose only\n# WARNING!! The output format will change\n';

const b = new BtfBuilder();
const int = b.int('int', 4, { signed: true });
const unsigned = b.int('unsigned int', 4);
const text = b.array(b.int('char', 1, { signed: true }), 4, unsigned);
const pair = b.struct('pair', [
  { name: 'n', type: int },
  { name: 'text', type: text },
]);
const data = b.datasec('.data', 8, [
  { type: b.var('g', int), offset: 0, size: 4 },
  { type: b.var('name', text), offset: 4, size: 4 },
]);
const blob = b.build();

let k: Kernel;
let btf: number;
beforeEach(async () => {
  k = await Kernel.create({ windowBytes: 8 << 20, cpus: 2 });
  btf = k.bpf('BTF_LOAD', { btf: blob });
});

function pinned(type: number, key: number, value: number, valueSize: number, max = 2, flags = 0): number {
  const fd = k.bpf('MAP_CREATE', {
    map_type: type,
    key_size: 4,
    value_size: valueSize,
    max_entries: max,
    map_flags: flags,
    btf_fd: btf,
    btf_key_type_id: key,
    btf_value_type_id: value,
  });
  expect(k.bpf('OBJ_PIN', { pathname: '/m', bpf_fd: fd })).toBe(0);
  return fd;
}
const set = (fd: number, key: number, value: Uint8Array) =>
  expect(k.bpf('MAP_UPDATE_ELEM', { map_fd: fd, key: new Uint8Array(Int32Array.of(key).buffer), value })).toBe(0);

test('arrays by index, per-CPU values by CPU', () => {
  const fd = pinned(BPF_MAP_TYPE.ARRAY, int, pair, 8);
  set(fd, 1, Uint8Array.of(7, 0, 0, 0, 97, 98, 0, 99));
  expect(k.readPinned('/m')).toBe(`${HEADER}0: {0,[],}\n1: {7,['a','b',],}\n`);
  k.unlink('/m');
  pinned(BPF_MAP_TYPE.PERCPU_ARRAY, int, int, 4, 1);
  expect(k.readPinned('/m')).toBe(`${HEADER}0: {\n\tcpu0: 0\n\tcpu1: 0\n}\n`);
});

test('hashes by key, in its type', () => {
  const fd = pinned(BPF_MAP_TYPE.HASH, int, text, 4);
  set(fd, -7, Uint8Array.of(97, 98, 0, 99));
  expect(k.readPinned('/m')).toBe(`${HEADER}-7: ['a','b',]\n`);
  k.unlink('/m');
  const unsignedKeys = pinned(BPF_MAP_TYPE.HASH, unsigned, text, 4);
  set(unsignedKeys, -7, Uint8Array.of(97, 98, 99, 100));
  expect(k.readPinned('/m')).toBe(`${HEADER}4294967289: ['a','b','c','d',]\n`);
});

test('global data without a key', () => {
  const fd = pinned(BPF_MAP_TYPE.ARRAY, 0, data, 8, 1);
  set(fd, 0, Uint8Array.of(3, 0, 0, 0, 104, 105, 0, 0));
  expect(k.readPinned('/m')).toBe(`${HEADER}section (".data") = {3,['h','i',]\n`);
});

test('struct_ops maps by the value type of the kernel, with program ids behind hashed pointers', async () => {
  k.registerStructOps({ name: 'tcp_congestion_ops', init_member: () => 0, reg: () => 0, unreg: () => {}, stubs: {} });
  const view = k.profile.btf;
  const id = view.find('bpf_struct_ops_tcp_congestion_ops', BTF_KIND.STRUCT);
  const size = view.sizeOf(id);
  const fd = k.bpf('MAP_CREATE', {
    map_type: BPF_MAP_TYPE.STRUCT_OPS,
    key_size: 4,
    value_size: size,
    max_entries: 1,
    map_flags: BPF_MAP_FLAG.LINK,
    btf_vmlinux_value_type_id: id,
    btf_fd: btf,
  });
  expect(k.bpf('OBJ_PIN', { pathname: '/ops', bpf_fd: fd })).toBe(0);
  expect(k.readPinned('/ops')).toMatch(/^# WARNING.*\n# WARNING.*\n\{\{.*BPF_STRUCT_OPS_STATE_INIT,\},\{.*\},\}\n$/);
  set(fd, 0, new Uint8Array(size));
  expect(k.readPinned('/ops')).toContain('BPF_STRUCT_OPS_STATE_READY');
});

test('maps without BTF and programs cannot be read, absent paths are absent', () => {
  const fd = k.bpf('MAP_CREATE', { map_type: BPF_MAP_TYPE.ARRAY, key_size: 4, value_size: 4, max_entries: 1 });
  expect(k.bpf('OBJ_PIN', { pathname: '/plain', bpf_fd: fd })).toBe(0);
  expect(k.readPinned('/plain')).toBe(-ERRNO.EIO);
  expect(k.readPinned('/none')).toBe(-ERRNO.ENOENT);
});
