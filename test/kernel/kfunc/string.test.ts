import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { runText } from '../run_text.js';

let k: Kernel;
beforeAll(async () => {
  k = await Kernel.create({ windowBytes: 4 << 20, cpus: 1 });
});
afterAll(() => k.dispose());

const at = new Map<string, string>();
/** Address of a string as an operand; its memory ends with its NUL. */
function text(value: string): string {
  let address = at.get(value);
  if (address === undefined) {
    const bytes = new TextEncoder().encode(`${value}\0`);
    const ptr = k.alloc(bytes.length, 'text');
    k.memory.bytes(ptr, bytes.length).set(bytes);
    address = `0x${k.memory.address(ptr).toString(16)}`;
    at.set(value, address);
  }
  return address;
}

/** Calls a kfunc with strings by their text and numbers as they are. */
function call(kfunc: string, ...args: (string | number)[]): number {
  const loads = args.map((arg, i) => `r${i + 1} = ${typeof arg === 'string' ? text(arg) : arg} ll`);
  return runText(k, [...loads, `call ${kfunc}`, 'exit'].join('\n'));
}

/** The same over addresses. */
const raw = (kfunc: string, ...args: string[]) =>
  runText(k, [...args.map((arg, i) => `r${i + 1} = ${arg} ll`), `call ${kfunc}`, 'exit'].join('\n'));

const { ENOENT, EFAULT, ERANGE, E2BIG } = ERRNO;

test.each<[string, (string | number)[], number]>([
  ['bpf_strcmp', ['abc', 'abc'], 0],
  ['bpf_strcmp', ['abb', 'abc'], -1],
  ['bpf_strcmp', ['abc', 'ab'], 1],
  ['bpf_strcmp', ['a', 'é'], -1],
  ['bpf_strcasecmp', ['Abc', 'aBC'], 0],
  ['bpf_strncasecmp', ['ABx', 'aby', 2], 0],
  ['bpf_strncasecmp', ['ABx', 'aby', 3], -1],
  ['bpf_strchr', ['hello', 0x6c], 2],
  ['bpf_strchr', ['hello', 0x78], -ENOENT],
  ['bpf_strchr', ['hello', 0], 5],
  ['bpf_strnchr', ['hello', 2, 0x6c], -ENOENT],
  ['bpf_strnchr', ['hello', 3, 0x6c], 2],
  ['bpf_strchrnul', ['hello', 0x78], 5],
  ['bpf_strrchr', ['hello', 0x6c], 3],
  ['bpf_strrchr', ['hello', 0x16c], -ENOENT],
  ['bpf_strlen', ['hello'], 5],
  ['bpf_strlen', [''], 0],
  ['bpf_strnlen', ['hello', 3], 3],
  ['bpf_strspn', ['aabbc', 'ab'], 4],
  ['bpf_strspn', ['ab', 'ab'], 2],
  ['bpf_strcspn', ['aabbc', 'cb'], 2],
  ['bpf_strcspn', ['aa', 'xy'], 2],
  ['bpf_strstr', ['hello world', 'o w'], 4],
  ['bpf_strstr', ['hello', ''], 0],
  ['bpf_strstr', ['hello', 'lol'], -ENOENT],
  ['bpf_strcasestr', ['Hello', 'LL'], 2],
  ['bpf_strnstr', ['hello', 'lo', 4], -ENOENT],
  ['bpf_strnstr', ['hello', 'lo', 5], 3],
  ['bpf_strncasestr', ['HELLO', 'lo', 5], 3],
])('%s %j is %i', (kfunc, args, expected) => {
  expect(call(kfunc, ...args)).toBe(expected);
});

describe('what is no string', () => {
  test('addresses of user space and NULL are ERANGE, kernel ones that cannot be read EFAULT', () => {
    expect(raw('bpf_strlen', '0')).toBe(-ERANGE);
    expect(raw('bpf_strlen', '0x7fffffffe000')).toBe(-ERANGE);
    expect(raw('bpf_strcmp', text('a'), '0x1000')).toBe(-ERANGE);
    expect(raw('bpf_strlen', '0xffffc90000000000')).toBe(-EFAULT);
  });

  test('a string that runs out of its memory is EFAULT, but only where it is looked at', () => {
    const ptr = k.alloc(3, 'text without an end');
    k.memory.bytes(ptr, 3).set([0x61, 0x62, 0x63]);
    const address = `0x${k.memory.address(ptr).toString(16)}`;
    expect(raw('bpf_strlen', address)).toBe(-EFAULT);
    expect(raw('bpf_strnlen', address, '3')).toBe(3);
    expect(raw('bpf_strchr', address, '0x62')).toBe(1);
    expect(raw('bpf_strcmp', address, text('ax'))).toBe(-1);
  });

  test('64 KiB and more is E2BIG', () => {
    const long = 'x'.repeat(65536);
    expect(call('bpf_strlen', long)).toBe(-E2BIG);
    expect(call('bpf_strlen', long.slice(1))).toBe(65535);
    expect(call('bpf_strchr', long, 0x79)).toBe(-E2BIG);
  });
});

test('they agree with the strings of JavaScript', () => {
  const short = fc.string({ unit: fc.constantFrom('a', 'b', 'A'), maxLength: 5 });
  fc.assert(
    fc.property(short, short, (a, b) => {
      const index = (found: number) => (found < 0 ? -ENOENT : found);
      expect(call('bpf_strcmp', a, b)).toBe(a < b ? -1 : a > b ? 1 : 0);
      expect(call('bpf_strstr', a, b)).toBe(index(a.indexOf(b)));
      expect(call('bpf_strcasestr', a, b)).toBe(index(a.toLowerCase().indexOf(b.toLowerCase())));
      expect(call('bpf_strrchr', a, 0x61)).toBe(index(a.lastIndexOf('a')));
      const span = [...a].findIndex((c) => !b.includes(c));
      expect(call('bpf_strspn', a, b)).toBe(span < 0 ? a.length : span);
    }),
    { numRuns: 40 },
  );
});

test('kernels that lack them say so', async () => {
  const old = await Kernel.create({ profile: '6.12', windowBytes: 4 << 20 });
  expect(() => runText(old, 'r1 = 0\ncall bpf_strlen\nexit')).toThrow('no such helper or kfunc');
  old.dispose();
});
