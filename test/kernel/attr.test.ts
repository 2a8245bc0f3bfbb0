import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ERRNO } from '../../src/errno.js';
import { InputError, UnsupportedError } from '../../src/errors.js';
import { Kernel } from '../../src/kernel/kernel.js';
import { BPF_CMD } from '../../src/uapi.js';

let kernel: Kernel;
let map: number;
beforeAll(async () => {
  kernel = await Kernel.create({ windowBytes: 2 << 20 });
  map = kernel.bpf('MAP_CREATE', ARRAY);
});
afterAll(() => kernel.dispose());

const ARRAY = { map_type: 2, key_size: 4, value_size: 8, max_entries: 1, map_name: 'a' };
const bpf = (cmd: string, attr: unknown) => kernel.bpf(cmd as 'MAP_CREATE', attr as never);

describe('attributes that no C program could give', () => {
  test.each([
    ['MAP_CREATE', { ...ARRAY, key_size: '4' }, 'bpf(MAP_CREATE): key_size is "4", not an integer of 32 bits'],
    ['MAP_CREATE', { ...ARRAY, key_size: NaN }, 'bpf(MAP_CREATE): key_size is NaN, not an integer of 32 bits'],
    ['MAP_CREATE', { ...ARRAY, map_flags: 0.5 }, 'bpf(MAP_CREATE): map_flags is 0.5, not an integer of 32 bits'],
    [
      'MAP_CREATE',
      { ...ARRAY, map_flags: 2 ** 32 },
      'bpf(MAP_CREATE): map_flags is 4294967296, not an integer of 32 bits',
    ],
    ['MAP_CREATE', { ...ARRAY, map_extra: 0 }, 'bpf(MAP_CREATE): map_extra is 0, not an integer of 64 bits (a bigint)'],
    ['MAP_CREATE', { ...ARRAY, map_name: 7 }, 'bpf(MAP_CREATE): map_name is 7, not a string'],
    ['MAP_CREATE', { ...ARRAY, mapflags: 1 }, 'bpf(MAP_CREATE): there is no attribute mapflags'],
    ['MAP_CREATE', null, 'bpf(MAP_CREATE): the attributes are null, not an object'],
    ['MAP_UPDATE_ELEM', { map_fd: 3, flags: 0n }, 'bpf(MAP_UPDATE_ELEM): flags is 0n, not an integer (a number)'],
    ['MAP_UPDATE_ELEM', { map_fd: 3, key: [0] }, 'bpf(MAP_UPDATE_ELEM): key is an array, not a Uint8Array'],
    ['MAP_UPDATE_ELEM', { map_fd: 3, value: null }, 'bpf(MAP_UPDATE_ELEM): value is null, not a Uint8Array'],
    ['PROG_LOAD', { prog_type: 27, log: 'x' }, 'bpf(PROG_LOAD): log is "x", not an object with a text'],
    ['PROG_LOAD', { fd_array: [3, '4'] }, 'bpf(PROG_LOAD): fd_array is an array, not an array of integers of 32 bits'],
    [
      'PROG_LOAD',
      { attach_btf_id: Symbol('id') },
      'bpf(PROG_LOAD): attach_btf_id is a symbol, not an integer of 32 bits',
    ],
    ['LINK_UPDATE', { link_fd: 3, old_fd: 4 }, 'bpf(LINK_UPDATE): there is no attribute old_fd'],
    ['LINK_UPDATE', { constructor: 1 }, 'bpf(LINK_UPDATE): there is no attribute constructor'],
  ])('%s %o', (cmd, attr, message) => {
    const call = () => bpf(cmd, attr);
    expect(call).toThrow(InputError);
    expect(call).toThrow(new InputError(message));
  });
});

test('what C can give has an errno: fds below 0, NULL buffers, sizes that wrap, commands that there are not', () => {
  expect(bpf('LINK_DETACH', { link_fd: -1 })).toBe(-ERRNO.EBADF);
  expect(bpf('MAP_CREATE', { ...ARRAY, map_flags: -1 })).toBe(-ERRNO.EINVAL);
  expect(bpf('MAP_LOOKUP_ELEM', { map_fd: map, key: undefined, value: new Uint8Array(8) })).toBe(-ERRNO.EFAULT);
  expect(bpf('MAP_LOOKUP_ELEM', { map_fd: map, key: new Uint8Array(4) })).toBe(-ERRNO.EFAULT);
  expect(bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: map })).toBe(-ERRNO.EFAULT);
  expect(bpf('NO_SUCH', {})).toBe(-ERRNO.EINVAL);
  expect(bpf('constructor', {})).toBe(-ERRNO.EINVAL);
});

test('attributes of the kernel that only C needs go unseen', () => {
  const fd = bpf('MAP_CREATE', { ...ARRAY, map_ifindex: 0, excl_prog_hash_size: 0 });
  expect(fd).toBeGreaterThan(0);
  expect(kernel.close(fd)).toBe(0);
});

test('no command answers wrong values with anything but an errno or an error of this package', () => {
  const values = [
    'x',
    '',
    -1,
    0.5,
    NaN,
    Infinity,
    2 ** 32,
    2 ** 53,
    null,
    true,
    {},
    [],
    0n,
    -1n,
    2n ** 64n,
    Symbol('s'),
    () => 1,
  ];
  const names = [
    'map_fd',
    'prog_fd',
    'link_fd',
    'bpf_fd',
    'key',
    'value',
    'flags',
    'info',
    'insns',
    'log',
    'map_extra',
    'name',
  ];
  for (const cmd of Object.keys(BPF_CMD)) {
    for (const attr of [{}, ...names.flatMap((name) => values.map((value) => ({ [name]: value })))]) {
      try {
        expect(bpf(cmd, attr)).toBeLessThan(map);
      } catch (error) {
        if (!(error instanceof InputError || error instanceof UnsupportedError)) throw error;
      }
    }
  }
});
