import { afterEach, beforeEach, expect, test } from 'vitest';
import { assemble } from '../../../src/asm/index.js';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ windowBytes: 4 << 20, cpus: 1 });
});
afterEach(() => k.dispose());

const hex = (text: string) => {
  const bytes = new TextEncoder().encode(`${text}\0`);
  const ptr = k.alloc(bytes.length, 'format');
  k.memory.bytes(ptr, bytes.length).set(bytes);
  return `0x${k.memory.address(ptr).toString(16)}`;
};

/** A program that prints its context's word to a stream. */
function printer(format: string, stream = 1, args = 8): number {
  const source = `r3 = r1\nr1 = ${stream}\nr2 = ${hex(format)} ll\nr4 = ${args}\nr5 = 0\ncall 0\nexit\n`;
  const insns = assemble(source);
  const at = 5 * 8 + 8;
  insns[at + 1] = 0x20;
  new DataView(insns.buffer, insns.byteOffset).setInt32(
    at + 4,
    k.profile.btf.find('bpf_stream_vprintk', BTF_KIND.FUNC),
    true,
  );
  const fd = k.bpf('PROG_LOAD', { prog_type: 31, prog_flags: 16, insns, license: 'GPL' });
  expect(fd).toBeGreaterThan(0);
  return fd;
}

function run(prog_fd: number, word = 7n): number {
  const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd, ctx_in: new Uint8Array(BigUint64Array.of(word).buffer) };
  expect(k.bpf('PROG_TEST_RUN', attr)).toBe(0);
  return attr.retval! | 0;
}

function read(prog_fd: number, stream_id = 1, bytes = 4096): string | number {
  const stream_buf = new Uint8Array(bytes);
  const length = k.bpf('PROG_STREAM_READ_BY_FD', { prog_fd, stream_id, stream_buf });
  return length < 0 ? length : new TextDecoder().decode(stream_buf.subarray(0, length));
}

test('each program has its own, which are read once', () => {
  const [out, err] = [printer('out %d\n'), printer('err %x\n', 2)];
  expect([run(out, 1n), run(out, 2n), run(err, 255n)]).toEqual([0, 0, 0]);
  expect(read(out)).toBe('out 1\nout 2\n');
  expect(read(out)).toBe('');
  expect(read(out, 2)).toBe('');
  expect(read(err, 2)).toBe('err ff\n');
});

test('a reader may take a few bytes at a time', () => {
  const fd = printer('value %d;');
  run(fd);
  run(fd, 8n);
  expect([read(fd, 1, 5), read(fd, 1, 7), read(fd, 1, 100)]).toEqual(['value', ' 7;valu', 'e 8;']);
});

test('other streams are ENOENT, argument bytes that are no words EINVAL', () => {
  const fd = printer('x');
  expect(read(fd, 0)).toBe(-ERRNO.ENOENT);
  expect(read(fd, 3)).toBe(-ERRNO.ENOENT);
  expect(read(99)).toBe(-ERRNO.EBADF);
  expect(run(printer('x', 3))).toBe(-ERRNO.ENOENT);
  expect(run(printer('%d', 1, 7))).toBe(-ERRNO.EINVAL);
  expect(run(printer('%d %d'))).toBe(-ERRNO.EINVAL);
});

test('a stream that nobody reads is full after 100,000 bytes', () => {
  const fd = printer('x'.repeat(1000));
  const results = Array.from({ length: 101 }, () => run(fd));
  expect(results.filter((result) => result === 0).length).toBe(99);
  expect(results.at(-1)).toBe(-ERRNO.ENOSPC);
  read(fd, 1, 1000);
  expect(run(fd)).toBe(0);
});
