import { describe, expect, test } from 'vitest';
import { assemble } from '../../../src/asm/index.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { reachableInsns } from '../../../src/kernel/prog/reachable.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';

const RODATA = 0xffff888000001000n;
/** Two words that never change: 7 and 0. */
const read = (address: bigint, bytes: number) =>
  bytes === 4 && address === RODATA ? 7n : bytes === 4 && address === RODATA + 4n ? 0n : undefined;

/** Insns that are not reached. */
function dead(text: string): number[] {
  const insns = assemble(text);
  const reached = reachableInsns(insns, read);
  return Array.from({ length: insns.length / 8 }, (_, i) => i).filter((i) => !reached(i));
}

describe('constants decide', () => {
  test.each([
    ['an address that is 0', 'r1 = 0 ll\nif r1 == 0 goto +1\ncall 1\nexit\n', [1, 3]],
    ['the other branch', 'r1 = 0\nif r1 != 0 goto +1\nexit\ncall 1\nexit\n', [3, 4]],
    ['arithmetic', 'r1 = 6\nr1 <<= 1\nr1 += -2\nif r1 s> 9 goto +1\ncall 1\nexit\n', [4]],
    ['32 bits', 'w1 = -1\nif w1 s< 0 goto +1\ncall 1\nr2 = -1\nif r1 == r2 goto +1\nexit\ncall 1\nexit\n', [2, 6, 7]],
    [
      'read-only data',
      `r1 = 0x${RODATA.toString(16)} ll\nr2 = *(u32 *)(r1 + 4)\nif r2 == 0 goto +1\ncall 1\nexit\n`,
      [1, 4],
    ],
    ['a subprogram only called from there', 'r1 = 0\nif r1 == 0 goto +1\ncall +1\nexit\nr0 = 0\nexit\n', [2, 4, 5]],
    [
      'a value that was spilled, over a call that is passed another place of the frame',
      'r1 = 0\n*(u64 *)(r10 - 16) = r1\nr2 = r10\nr2 += -8\ncall 1\nr1 = *(u64 *)(r10 - 16)\nif r1 == 0 goto +1\ncall 1\nexit\n',
      [7],
    ],
    ['what follows an exit', 'exit\nr0 = 0\nexit\n', [1, 2]],
  ])('%s', (_what, text, expected) => {
    expect(dead(text)).toEqual(expected);
  });
});

const SPILL = 'r2 = 0\n*(u64 *)(r10 - 8) = r2\n';
const FILL = 'r2 = *(u64 *)(r10 - 8)\nif r2 == 0 goto +1\ncall 1\nexit\n';

describe('what is not known goes both ways', () => {
  test.each([
    ['an argument', 'if r1 == 0 goto +1\ncall 1\nexit\n'],
    [
      'memory that may change',
      `r1 = 0x${(RODATA + 8n).toString(16)} ll\nr2 = *(u32 *)(r1 + 0)\nif r2 == 0 goto +1\ncall 1\nexit\n`,
    ],
    ['another width', `r1 = 0x${RODATA.toString(16)} ll\nr2 = *(u16 *)(r1 + 0)\nif r2 == 0 goto +1\ncall 1\nexit\n`],
    ['two ways that differ', 'r2 = 0\nif r1 == 0 goto +1\nr2 = 1\nif r2 == 0 goto +1\ncall 1\nexit\n'],
    ['what a call leaves', 'r1 = 0\ncall 5\nif r1 == 0 goto +1\ncall 1\nexit\n'],
    ['a loop', 'r1 = 0\nr1 += 1\nif r1 == 5 goto +1\ngoto -3\nexit\n'],
    [
      'a spill that another way stores differently',
      `${SPILL}if r1 == 0 goto +2\nr2 = 1\n*(u64 *)(r10 - 8) = r2\n${FILL}`,
    ],
    ['a spill that a call may write', `${SPILL}r2 = r10\nr2 += -8\ncall 1\n${FILL}`],
    ['a spill above a place that a call may write', `${SPILL}r2 = r10\nr2 += -16\ncall 1\n${FILL}`],
    ['a spill written in part', `${SPILL}*(u32 *)(r10 - 4) = r3\n${FILL}`],
    ['a spill written through a copy of r10', `${SPILL}r2 = r10\nr2 += -8\n*(u64 *)(r2 + 0) = r3\n${FILL}`],
    [
      'a spill below a pointer that is no longer followed',
      `${SPILL}r2 = r10\nr2 += -8\nr4 = r10\nr4 += -16\nif r1 == 0 goto +1\nr4 = r2\n*(u64 *)(r4 + 0) = r3\n${FILL}`,
    ],
    [
      'a spill that a call reaches through the frame',
      `${SPILL}r2 = r10\nr2 += -8\n*(u64 *)(r10 - 64) = r2\nr2 = r10\nr2 += -64\ncall 1\n${FILL}`,
    ],
    ['may_goto', 'r1 = 0\nmay_goto +1\ncall 1\nexit\n'],
  ])('%s', (_what, text) => {
    expect(dead(text).filter((insn) => insn !== 1 || !text.includes(' ll'))).toEqual([]);
  });
});

test('a helper that does not exist is refused where constants do not rule the call out', async () => {
  const kernel = await Kernel.create({ windowBytes: 4 << 20 });
  const map_fd = kernel.bpf('MAP_CREATE', {
    ...{ map_type: BPF_MAP_TYPE.ARRAY, key_size: 4, value_size: 8, max_entries: 1 },
    map_flags: BPF_MAP_FLAG.RDONLY_PROG,
  });
  const load = () => {
    const log = { text: '' };
    const text = `r1 = map_value(${map_fd}, 4) ll\nr1 = *(u32 *)(r1 + 0)\nif r1 == 0 goto +1\ncall 999\nr0 = 0\nexit\n`;
    return [
      kernel.bpf('PROG_LOAD', { prog_type: 31, prog_flags: 16, insns: assemble(text), license: 'GPL', log }),
      log.text,
    ];
  };
  expect(load()).toEqual([-ERRNO.EINVAL, expect.stringContaining('invalid func unknown#999')]);
  expect(kernel.bpf('MAP_FREEZE', { map_fd })).toBe(0);
  const [fd] = load();
  expect(fd).toBeGreaterThan(0);
  expect(kernel.bpf('PROG_TEST_RUN', { prog_fd: fd as number })).toBe(0);
  kernel.dispose();
});
