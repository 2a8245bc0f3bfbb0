import { afterEach, describe, expect, test } from 'vitest';
import { assemble } from '../../src/asm/index.js';
import { BtfBuilder } from '../../src/btf/builder.js';
import { ERRNO } from '../../src/errno.js';
import { InputError, UnsupportedError, VmtableError } from '../../src/errors.js';
import { Kernel } from '../../src/kernel/kernel.js';
import { POLLERR, POLLIN, POLLOUT } from '../../src/kernel/link.js';
import type { KernelOptions } from '../../src/kernel/types.js';
import { ToyKernel } from './toy.js';

const kernels: Kernel[] = [];
async function create(options: KernelOptions = {}): Promise<Kernel> {
  const kernel = await Kernel.create({ windowBytes: 2 << 20, ...options });
  kernels.push(kernel);
  return kernel;
}
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

const array = (k: Kernel, map_name = '') =>
  k.bpf('MAP_CREATE', { map_type: 2, key_size: 4, value_size: 8, max_entries: 1, map_name });

test.each([
  [{ engine: 'gpu' }, 'engine "gpu": not one of interp, jit, auto'],
  [{ checks: 'none' }, 'checks "none": not one of isolate, object'],
  [{ faults: 'loud' }, 'faults "loud": not one of kernel, strict'],
  [{ seed: Number.NaN }, 'Kernel.create: seed is NaN, not a number'],
])('%j is no option', async (options, text) => {
  await expect(create(options as unknown as KernelOptions)).rejects.toThrow(new InputError(text));
});

describe('files', () => {
  test('fds start at 3, the lowest free one is next, and a dup shares its file', async () => {
    const k = await create();
    const [a, b] = [array(k), array(k)];
    expect([a, b]).toEqual([3, 4]);
    expect(k.dup(a)).toBe(5);
    expect(k.close(a)).toBe(0);
    expect(k.maps.size).toBe(2);
    expect(array(k)).toBe(3);
    expect(k.close(5)).toBe(0);
    expect(k.maps.values().map((map) => map.id)).toEqual([2, 3]);
    expect([k.close(5), k.dup(99), k.close(-1), k.close(0.5)]).toEqual(new Array(4).fill(-ERRNO.EBADF));
  });

  test('the console is no bpf object', async () => {
    const k = await create();
    expect(k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: 0, info: {} })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: 9, info: {} })).toBe(-ERRNO.EBADF);
    expect(k.poll(1)).toBe(POLLIN | POLLOUT);
    expect(k.poll(array(k))).toBe(POLLERR);
    expect(k.poll(99)).toBe(-ERRNO.EBADF);
  });

  test('pins hold objects by name', async () => {
    const k = await create();
    const fd = array(k);
    const pin = (bpf_fd: number, pathname: string) => k.bpf('OBJ_PIN', { bpf_fd, pathname });
    expect([pin(fd, 'm'), pin(fd, 'm'), pin(99, 'x'), pin(0, 'x'), pin(fd, '')]).toEqual([
      0,
      -ERRNO.EEXIST,
      -ERRNO.EBADF,
      -ERRNO.EINVAL,
      -ERRNO.ENOENT,
    ]);
    k.close(fd);
    const again = k.bpf('OBJ_GET', { pathname: 'm' });
    expect(k.bpf('OBJ_GET', { pathname: 'x' })).toBe(-ERRNO.ENOENT);
    k.close(again);
    expect([k.unlink('m'), k.unlink('m'), k.maps.size]).toEqual([0, -ERRNO.ENOENT, 0]);
  });
});

describe('ids', () => {
  test('are walked in order', async () => {
    const k = await create();
    array(k, 'a');
    array(k, 'b');
    const ids: number[] = [];
    const attr: { start_id: number; next_id?: number } = { start_id: 0 };
    while (k.bpf('MAP_GET_NEXT_ID', attr) === 0) {
      ids.push(attr.next_id!);
      attr.start_id = attr.next_id!;
    }
    expect(ids).toEqual([1, 2]);
    expect(k.bpf('MAP_GET_NEXT_ID', { start_id: 2 })).toBe(-ERRNO.ENOENT);
    expect(k.bpf('PROG_GET_NEXT_ID', { start_id: 0x7fffffff })).toBe(-ERRNO.EINVAL);
    expect(k.bpf('LINK_GET_FD_BY_ID', { link_id: 1 })).toBe(-ERRNO.ENOENT);
  });
});

describe('BTF', () => {
  test('vmlinux has id 1, and its blob can be read back', async () => {
    const k = await create();
    const fd = k.bpf('BTF_GET_FD_BY_ID', { btf_id: 1 });
    const info: Record<string, unknown> = {};
    k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info });
    expect(info).toMatchObject({ id: 1, name: 'vmlinux', kernel_btf: 1, btf_size: k.profile.btf.raw.length });
    expect(info.btf).toBe(k.profile.btf.raw);
  });

  test('user BTF is checked, kept by whoever uses it, and gone with the last fd', async () => {
    const k = await create();
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    const { raw } = b.parse();
    const btf_fd = k.bpf('BTF_LOAD', { btf: raw });
    const map = k.bpf('MAP_CREATE', {
      map_type: 2,
      key_size: 4,
      value_size: 4,
      max_entries: 1,
      btf_fd,
      btf_key_type_id: int,
      btf_value_type_id: int,
    });
    k.close(btf_fd);
    expect(k.btfs.size).toBe(2);
    k.close(map);
    expect(k.btfs.size).toBe(1);
    const log = { text: '' };
    expect(k.bpf('BTF_LOAD', { btf: raw.subarray(0, 10), log })).toBe(-ERRNO.EINVAL);
    expect(log.text).toBe('BTF header: truncated at 10 bytes\n');
    expect(k.bpf('BTF_LOAD', { btf: new Uint8Array((16 << 20) + 1) })).toBe(-ERRNO.E2BIG);
    expect(k.bpf('BTF_LOAD', {} as never)).toBe(-ERRNO.EFAULT);
  });

  test('a type that refers to itself is refused', async () => {
    const k = await create();
    const b = new BtfBuilder();
    const struct = b.struct('loop');
    b.members(struct, [{ name: 'again', type: struct, bitOffset: 0 }], 8);
    const log = { text: '' };
    expect(k.bpf('BTF_LOAD', { btf: b.build(), log })).toBe(-ERRNO.EINVAL);
    expect(log.text).toBe('type [1]: contains itself\n');
  });
});

describe('commands', () => {
  test('that no kernel has answer EINVAL, those that are not modelled are named', async () => {
    const k = await create();
    expect(k.bpf('NO_SUCH' as never, {} as never)).toBe(-ERRNO.EINVAL);
    expect(k.bpf('constructor' as never, {} as never)).toBe(-ERRNO.EINVAL);
    expect(() => k.bpf('TASK_FD_QUERY' as never, {} as never)).toThrow(UnsupportedError);
    expect(() => k.bpf('TASK_FD_QUERY' as never, {} as never)).toThrow('bpf(TASK_FD_QUERY)');
  });

  test('for programs and links that struct_ops has none of', async () => {
    const t = await ToyKernel.create();
    kernels.push(t.kernel);
    const map = t.map('m');
    t.update(map, {});
    const link_fd = t.link(map);
    const sum = t.prog('sum', 'r0 = 0\nexit\n');
    expect(t.kernel.bpf('ITER_CREATE', { link_fd })).toBe(-ERRNO.EINVAL);
    expect(t.kernel.bpf('ITER_CREATE', { link_fd: 99 })).toBe(-ERRNO.EBADF);
    expect(t.kernel.bpf('PROG_ATTACH', { attach_bpf_fd: sum, attach_type: 44 })).toBe(-ERRNO.EINVAL);
    expect(t.kernel.bpf('PROG_ATTACH', { attach_bpf_fd: 99, attach_type: 0 })).toBe(-ERRNO.EBADF);
    expect(() => t.kernel.bpf('PROG_ATTACH', { attach_bpf_fd: sum, attach_type: 0 })).toThrow(UnsupportedError);
  });

  test('by id give fds of the mode that is asked for', async () => {
    const k = await create();
    array(k);
    const open = (open_flags: number) => k.bpf('MAP_GET_FD_BY_ID', { map_id: 1, open_flags });
    const [readOnly, writeOnly] = [open(8), open(16)];
    const attr = { key: new Uint8Array(4), value: new Uint8Array(8) };
    expect(k.bpf('MAP_UPDATE_ELEM', { map_fd: readOnly, ...attr })).toBe(-ERRNO.EPERM);
    expect(k.bpf('MAP_LOOKUP_ELEM', { map_fd: readOnly, ...attr })).toBe(0);
    expect(k.bpf('MAP_LOOKUP_ELEM', { map_fd: writeOnly, ...attr })).toBe(-ERRNO.EPERM);
    expect([open(1), open(24)]).toEqual([-ERRNO.EINVAL, -ERRNO.EINVAL]);
  });

  test('tokens are files that nobody can make here', async () => {
    const k = await create();
    const attr = { map_type: 2, key_size: 4, value_size: 8, max_entries: 1, map_flags: 1 << 16 };
    expect(k.bpf('MAP_CREATE', { ...attr, map_token_fd: 99 })).toBe(-ERRNO.EBADF);
    expect(k.bpf('MAP_CREATE', attr)).toBe(-ERRNO.EINVAL);
  });

  test('info stops where the buffer stops', async () => {
    const k = await create();
    const fd = array(k, 'short');
    const attr = { bpf_fd: fd, info: {} as Record<string, unknown>, info_len: 16 };
    expect(k.bpf('OBJ_GET_INFO_BY_FD', attr)).toBe(0);
    expect(attr.info).toMatchObject({ type: 2, value_size: 8, max_entries: 0, name: '', map_extra: 0n });
    expect(attr.info_len).toBe(16);
    const whole: { bpf_fd: number; info: Record<string, unknown>; info_len?: number } = { bpf_fd: fd, info: {} };
    k.bpf('OBJ_GET_INFO_BY_FD', whole);
    expect([whole.info.name, whole.info_len]).toEqual(['short', 104]);
  });

  test('statistics are counted while someone wants them', async () => {
    const k = await create();
    const prog_fd = k.bpf('PROG_LOAD', {
      prog_type: 31,
      prog_flags: 16,
      insns: assemble('r0 = 0\nexit\n'),
      license: 'GPL',
    });
    const runs = () => {
      const info: Record<string, unknown> = {};
      k.bpf('PROG_TEST_RUN', { prog_fd });
      k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: prog_fd, info });
      return info.run_cnt;
    };
    expect(runs()).toBe(0n);
    const stats = k.bpf('ENABLE_STATS', { type: 0 });
    expect(runs()).toBe(1n);
    expect(k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: stats, info: {} })).toBe(-ERRNO.EINVAL);
    k.close(stats);
    expect(runs()).toBe(1n);
    expect(k.bpf('ENABLE_STATS', { type: 1 })).toBe(-ERRNO.EINVAL);
  });
});

describe('a kernel', () => {
  test('stands beside others', async () => {
    const [a, b] = [await create({ seed: 1 }), await create({ seed: 2, cpus: 8, profile: '6.18' })];
    array(a);
    expect([a.maps.size, b.maps.size]).toEqual([1, 0]);
    expect([a.cpus, b.cpus, b.profile.name]).toEqual([4, 8, '6.18']);
    expect(a.random.u32()).not.toBe(b.random.u32());
  });

  test('unregisters what is attached when it is disposed of, and can be disposed of twice', async () => {
    const t = await ToyKernel.create();
    const map = t.map('m');
    t.update(map, { sum: t.prog('sum', 'r0 = 0\nexit\n') });
    t.link(map);
    expect(t.toy.registered).toHaveLength(1);
    t.kernel.dispose();
    t.kernel.dispose();
    expect(t.toy.registered).toEqual([]);
    expect(() => array(t.kernel)).toThrow(VmtableError);
  });

  test('refuses a profile that does not exist', async () => {
    await expect(Kernel.create({ profile: '4.9' })).rejects.toThrow('there is no such profile');
  });

  test('gives back all memory of what was loaded, a hundred times over', async () => {
    const t = await ToyKernel.create();
    kernels.push(t.kernel);
    const round = () => {
      const sum = t.prog('sum', 'r0 = *(u64 *)(r1 + 0)\nexit\n');
      const map = t.map('m');
      t.update(map, { sum });
      const link = t.link(map);
      expect(t.toy.registered[0]!.ops.sum!(4, 0)).toBe(4);
      const other = array(t.kernel);
      for (const fd of [link, map, sum, other]) t.kernel.close(fd);
      t.toy.events.length = 0;
    };
    for (let i = 0; i < 50; i++) round();
    const { liveBytes, liveObjects, heapBytes, maps } = t.kernel.vm.memory.usage;
    for (let i = 0; i < 100; i++) round();
    expect(t.kernel.vm.memory.usage).toMatchObject({ liveBytes, liveObjects, maps });
    expect(t.kernel.vm.memory.usage.heapBytes).toBeLessThanOrEqual(heapBytes + 4096);
    expect([t.kernel.progs.size, t.kernel.maps.size, t.kernel.links.size, t.kernel.rcu.pending]).toEqual([0, 0, 0, 0]);
  });
});
