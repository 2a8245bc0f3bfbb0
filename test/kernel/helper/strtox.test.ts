import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { runText } from '../run_text.js';

let k: Kernel;
let result: number;
beforeAll(async () => {
  k = await Kernel.create({ windowBytes: 4 << 20, cpus: 1 });
  result = k.alloc(8, 'result');
});
afterAll(() => k.dispose());

const { EINVAL, ERANGE } = ERRNO;

/** Bytes taken or -errno, and the number. */
function parse(helper: 'strtol' | 'strtoul', text: string, flags = 0): [taken: number, value: bigint] {
  const bytes = new TextEncoder().encode(text);
  const ptr = k.alloc(Math.max(bytes.length, 1), 'text');
  k.memory.bytes(ptr, bytes.length).set(bytes);
  k.memory.setU64(result, 99n);
  const at = (guest: number) => `0x${k.memory.address(guest).toString(16)} ll`;
  const source = `r1 = ${at(ptr)}\nr2 = ${bytes.length}\nr3 = ${flags}\nr4 = ${at(result)}\ncall ${helper}\nexit`;
  const taken = runText(k, source);
  k.memory.free(ptr);
  return [taken, BigInt.asIntN(64, k.memory.u64(result))];
}

test.each([
  ['42', 0, 2, 42n],
  ['  -42 ', 0, 5, -42n],
  ['0x1fz', 0, 4, 31n],
  ['0X1F', 16, 4, 31n],
  ['1f', 16, 2, 31n],
  ['017', 0, 3, 15n],
  ['017', 10, 3, 17n],
  ['19', 8, 1, 1n],
  ['0x', 0, 1, 0n],
  ['9223372036854775807', 0, 19, 2n ** 63n - 1n],
  ['-9223372036854775808', 0, 20, -(2n ** 63n)],
  ['9223372036854775808', 0, -ERANGE, 0n],
  ['-9223372036854775809', 0, -ERANGE, 0n],
  ['99999999999999999999', 0, -ERANGE, 0n],
  ['', 0, -EINVAL, 0n],
  ['   ', 0, -EINVAL, 0n],
  ['-', 0, -EINVAL, 0n],
  ['x', 0, -EINVAL, 0n],
  ['+1', 0, -EINVAL, 0n],
  ['0x', 16, -EINVAL, 0n],
  ['1', 2, -EINVAL, 0n],
  ['1', 32, -EINVAL, 0n],
])('bpf_strtol of %j, base %i', (text, flags, taken, value) => {
  expect(parse('strtol', text, flags)).toEqual([taken, value]);
});

test('bpf_strtoul goes up to 2^64 and takes no sign', () => {
  expect(parse('strtoul', '18446744073709551615')).toEqual([20, -1n]);
  expect(parse('strtoul', '18446744073709551616')).toEqual([-ERANGE, 0n]);
  expect(parse('strtoul', '-1')).toEqual([-EINVAL, 0n]);
});

test('numbers come back as they were written', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.constantFrom(8, 10, 16), (value, base) => {
      const text = value.toString(base);
      expect(parse('strtol', `${text} rest`, base)).toEqual([text.length, value]);
    }),
    { numRuns: 50 },
  );
});

test('user memory is not there: destinations are zeroed, results are EFAULT', () => {
  const ptr = k.alloc(8, 'destination');
  const at = `0x${k.memory.address(ptr).toString(16)} ll`;
  for (const call of ['probe_read_user', 'probe_read_user_str', 'copy_from_user']) {
    k.memory.setU64(ptr, 2n ** 64n - 1n);
    expect(runText(k, `r1 = ${at}\nr2 = 8\nr3 = 0x400000\ncall ${call}\nexit`)).toBe(-ERRNO.EFAULT);
    expect(k.memory.u64(ptr)).toBe(0n);
    expect(runText(k, `r1 = ${at}\nr2 = 0\nr3 = 0x400000\ncall ${call}\nexit`)).toBe(0);
  }
  const string = (flags: number) =>
    `r1 = ${at}\nr2 = 8\nr3 = 0x400000\nr4 = ${flags}\ncall bpf_copy_from_user_str\nexit`;
  expect([0, 1, 2].map((flags) => runText(k, string(flags)))).toEqual([-ERRNO.EFAULT, -ERRNO.EFAULT, -EINVAL]);
  expect(runText(k, 'r1 = 0x400000\nr2 = r10\nr2 += -8\nr3 = 8\ncall probe_write_user\nexit')).toBe(-ERRNO.EFAULT);
});
