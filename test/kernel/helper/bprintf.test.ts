import { beforeAll, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { bprintf } from '../../../src/kernel/helper/bprintf.js';
import { Kernel } from '../../../src/kernel/kernel.js';

let kernel: Kernel;
beforeAll(async () => {
  kernel = await Kernel.create({ windowBytes: 4 << 20 });
});

const print = (format: string, ...args: bigint[]) => bprintf(kernel.memory, format, args);

function text(value: string): bigint {
  const ptr = kernel.alloc(value.length + 1, 'text');
  kernel.memory.bytes(ptr, value.length).set(new TextEncoder().encode(value));
  return kernel.memory.address(ptr);
}

test('integers have the width that l and ll give them', () => {
  const minus = 2n ** 64n - 1n;
  expect(print('%d %u %x %X', minus, minus, minus, minus)).toBe('-1 4294967295 ffffffff FFFFFFFF');
  expect(print('%ld %lu %llx %lld', minus, minus, minus, 5n)).toBe('-1 18446744073709551615 ffffffffffffffff 5');
  expect(print('%i|%c|%%', 0x1_0000_0007n, 0x41n)).toBe('7|A|%');
});

test('flags and widths', () => {
  expect(print('[%5d][%-5d][%05d][%+d][% d]', 42n, 42n, -42n, 7n, 7n)).toBe('[   42][42   ][-0042][+7][ 7]');
  expect(print('[%8s][%-8s]', text('abc'), text('abc'))).toBe('[     abc][abc     ]');
});

test('strings end at their NUL; what cannot be read prints as nothing', () => {
  expect(print('%s.', text('hello'))).toBe('hello.');
  expect(print('%s|%s', 0n, 0xdeadbeefn)).toBe('|');
});

test('pointers and addresses', () => {
  expect(print('%p %px', 0x1234n, 0xffff888000001000n)).toBe('0000000000001234 ffff888000001000');
  const ip = kernel.alloc(16, 'address');
  kernel.memory.bytes(ip, 16).set([192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
  const at = kernel.memory.address(ip);
  expect(print('%pI4 %pi4', at, at)).toBe('192.0.2.1 192.000.002.001');
  expect(print('%pI6', at)).toBe('c000:0201:0000:0000:0000:0000:0000:0005');
  expect(print('%pks', text('kernel'))).toBe('kernel');
});

test.each([
  ['an unknown conversion', '%f', [1n]],
  ['a precision', '%.3d', [1n]],
  ['too few arguments', '%d %d', [1n]],
  ['three l', '%llld', [1n]],
  ['a conversion at the end', '%', [1n]],
  ['text that runs into a string', '%sx', [0n]],
  ['a conversion that is not ASCII', '%ä', [1n]],
  ['a control character', '\x01', []],
  ['an unknown pointer format', '%pZ', [1n]],
])('%s is refused', (_what, format, args) => {
  expect(print(format, ...args)).toBe(-ERRNO.EINVAL);
});

test('text beyond ASCII is for kernels that let it through', () => {
  expect(bprintf(kernel.memory, 'größe %d', [1n], true)).toBe('größe 1');
  expect(bprintf(kernel.memory, 'größe %d', [1n], false)).toBe(-ERRNO.EINVAL);
});

test('arguments share a buffer of 512 bytes', () => {
  const long = text('x'.repeat(600));
  expect(print('%s', long)).toBe('x'.repeat(511));
  expect(print('%s%s', long, long)).toBe(-ERRNO.ENOSPC);
  expect(print('%s %d', text('y'.repeat(505)), 1n)).toBe(`${'y'.repeat(505)} 1`);
  expect(print('%s %d', text('y'.repeat(508)), 1n)).toBe(-ERRNO.ENOSPC);
  expect(print('%s %ld', text('y'.repeat(503)), 1n)).toBe(`${'y'.repeat(503)} 1`);
  expect(print('%s %ld', text('y'.repeat(504)), 1n)).toBe(-ERRNO.ENOSPC);
});
