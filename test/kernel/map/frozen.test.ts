import { afterEach, beforeEach, expect, test } from 'vitest';
import { ACCESS_RO } from '../../../assembly/abi.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';
import { assembleText } from '../run_text.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ windowBytes: 4 << 20, engine: 'jit' });
});
afterEach(() => k.dispose());

/** An array of one value that programs may only read: 7, -2, 3 as u32, s16, s8. */
function rodata(): number {
  const attr = { map_type: BPF_MAP_TYPE.ARRAY, key_size: 4, value_size: 8, max_entries: 1 };
  const map_fd = k.bpf('MAP_CREATE', { ...attr, map_flags: BPF_MAP_FLAG.RDONLY_PROG });
  const value = Uint8Array.of(7, 0, 0, 0, 0xfe, 0xff, 3, 0);
  expect(k.bpf('MAP_UPDATE_ELEM', { map_fd, key: new Uint8Array(4), value })).toBe(0);
  return map_fd;
}

function load(text: string): number {
  const insns = assembleText(k, text);
  const fd = k.bpf('PROG_LOAD', { prog_type: 31, prog_flags: 16, insns, license: 'GPL' });
  expect(fd).toBeGreaterThan(0);
  return fd;
}

function run(prog_fd: number): number {
  const attr = { prog_fd, retval: 0 };
  expect(k.bpf('PROG_TEST_RUN', attr)).toBe(0);
  return attr.retval | 0;
}

/** Every width, the two 16-bit halves of the second word, and a branch that depends on them. */
const TEXT = (fd: number) => `
  r1 = map_value(${fd}, 0) ll
  r0 = *(u32 *)(r1 + 0)
  r2 = *(s16 *)(r1 + 4)
  r0 += r2
  r2 = *(u8 *)(r1 + 6)
  if r2 == 3 goto +1
  r0 = 1000
  r1 += 4
  r2 = *(u16 *)(r1 + 0)
  r0 += r2
  exit
`;
const RESULT = 7 - 2 + 0xfffe;

/** Writes past everything that keeps the value as it is. */
function force(fd: number): void {
  const map = k.fds.map(fd);
  if (typeof map === 'number') throw new Error('no map');
  const value = (map as unknown as { vm: { lookup(key: Uint8Array): number } }).vm.lookup(new Uint8Array(4));
  expect(k.memory.accessAt(value)).toBe(ACCESS_RO);
  k.memory.setU32(value, 100);
}

test('loads of frozen read-only data are constants of compiled code', () => {
  const fd = rodata();
  expect(k.bpf('MAP_FREEZE', { map_fd: fd })).toBe(0);
  const prog = load(TEXT(fd));
  expect(run(prog)).toBe(RESULT);
  force(fd);
  expect(run(prog)).toBe(RESULT);
});

test('and those of data that may still change are not', () => {
  const fd = rodata();
  const prog = load(TEXT(fd));
  expect(run(prog)).toBe(RESULT);
  force(fd);
  expect(run(prog)).toBe(RESULT + 93);
});

test('nor are those across the end of it', () => {
  const fd = rodata();
  k.bpf('MAP_FREEZE', { map_fd: fd });
  const prog = load(`r1 = map_value(${fd}, 0) ll\nr0 = *(u64 *)(r1 + 4)\nexit\n`);
  expect(() => run(prog)).toThrow(/8-byte load .*past|out_of_bounds/);
});
