import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { assemble } from '../../../src/asm/index.js';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { BPF_PROG_TYPE } from '../../../src/uapi.js';
import { runText } from '../run_text.js';

let k: Kernel;
beforeAll(async () => {
  k = await Kernel.create({ windowBytes: 4 << 20, cpus: 1 });
});
afterAll(() => k.dispose());

const { EINVAL, E2BIG, ERANGE } = ERRNO;

/** Memory for the program, as an operand. */
function memory(bytes: number[] | number, name = 'memory') {
  const content = typeof bytes === 'number' ? new Array<number>(bytes).fill(0) : bytes;
  const ptr = k.alloc(content.length, name);
  k.memory.bytes(ptr, content.length).set(content);
  return { at: `0x${k.memory.address(ptr).toString(16)}`, read: () => [...k.memory.bytes(ptr, content.length)] };
}

/** A call with constant arguments. */
const call = (name: string, ...args: (string | number)[]) =>
  [...args.map((arg, i) => `r${i + 1} = ${arg} ll`), `call ${name}`].join('\n');
const run = (...lines: string[]) => runText(k, [...lines, 'exit'].join('\n'));

/** A dynptr over 8 bytes 0 to 7. */
function dynptr() {
  const data = memory([0, 1, 2, 3, 4, 5, 6, 7], 'data');
  const ptr = memory(16, 'dynptr');
  expect(run(call('dynptr_from_mem', data.at, 8, 0, ptr.at))).toBe(0);
  return { data, ptr: ptr.at, struct: ptr };
}

describe('helpers', () => {
  test('bpf_dynptr_from_mem: size and flags; a failed one is null', () => {
    const { ptr, data } = dynptr();
    expect(run(call('dynptr_from_mem', data.at, 2 ** 24, 0, ptr))).toBe(-E2BIG);
    expect(run(call('bpf_dynptr_is_null', ptr))).toBe(1);
    expect(run(call('dynptr_from_mem', data.at, 8, 1, ptr))).toBe(-EINVAL);
    expect(run(call('bpf_dynptr_size', ptr))).toBe(-EINVAL);
  });

  test.each([
    [0, 4, 0, 0],
    [4, 4, 0, 0],
    [4, 5, 0, -E2BIG],
    [9, 0, 0, -E2BIG],
    [8, 0, 0, 0],
    ['0xffffffffffffffff', 2, 0, -E2BIG],
    [0, 4, 1, -EINVAL],
  ])('bpf_dynptr_read of %s, %s bytes, flags %s is %s', (offset, bytes, flags, expected) => {
    const { ptr } = dynptr();
    const to = memory(8, 'destination');
    expect(run(call('dynptr_read', to.at, bytes, ptr, offset, flags))).toBe(expected);
    const taken = expected === 0 ? Number(bytes) : 0;
    expect(to.read()).toEqual(Array.from({ length: 8 }, (_, i) => (i < taken ? Number(offset) + i : 0)));
  });

  test('bpf_dynptr_write changes what it points to; ranges may overlap', () => {
    const { ptr, data } = dynptr();
    expect(run(call('dynptr_write', ptr, 2, data.at, 4, 0))).toBe(0);
    expect(data.read()).toEqual([0, 1, 0, 1, 2, 3, 6, 7]);
    expect(run(call('dynptr_write', ptr, 5, data.at, 4, 0))).toBe(-E2BIG);
    expect(run(call('dynptr_write', ptr, 0, data.at, 4, 1))).toBe(-EINVAL);
  });

  test('bpf_dynptr_data gives a pointer or NULL', () => {
    const { ptr } = dynptr();
    expect(run(call('dynptr_data', ptr, 3, 5), 'r0 = *(u8 *)(r0 + 0)')).toBe(3);
    expect(run(call('dynptr_data', ptr, 4, 5))).toBe(0);
  });
});

describe('kfuncs', () => {
  test('bpf_dynptr_adjust narrows, and only that', () => {
    const { ptr, data } = dynptr();
    expect(run(call('bpf_dynptr_adjust', ptr, 2, 6))).toBe(0);
    expect(run(call('bpf_dynptr_size', ptr))).toBe(4);
    expect(run(call('bpf_dynptr_slice', ptr, 1, 0, 3), 'r0 = *(u8 *)(r0 + 0)')).toBe(3);
    expect(run(call('bpf_dynptr_slice', ptr, 2, 0, 3))).toBe(0);
    expect(run(call('bpf_dynptr_adjust', ptr, 0, 5))).toBe(-ERANGE);
    expect(run(call('bpf_dynptr_adjust', ptr, 3, 2))).toBe(-EINVAL);
    expect(run(call('bpf_dynptr_memset', ptr, 1, 2, 255))).toBe(0);
    expect(data.read()).toEqual([0, 1, 2, 255, 255, 5, 6, 7]);
    expect(run(call('bpf_dynptr_memset', ptr, 3, 2, 255))).toBe(-E2BIG);
  });

  test('bpf_dynptr_clone has a view of its own on the same bytes', () => {
    const { ptr } = dynptr();
    const clone = memory(16, 'clone').at;
    expect(run(call('bpf_dynptr_clone', ptr, clone))).toBe(0);
    run(call('bpf_dynptr_adjust', clone, 4, 8));
    expect(run(call('bpf_dynptr_size', ptr))).toBe(8);
    expect(run(call('bpf_dynptr_slice_rdwr', clone, 0, 0, 1), 'r1 = 9', '*(u8 *)(r0 + 0) = r1', 'r0 = 0')).toBe(0);
    expect(run(call('bpf_dynptr_slice', ptr, 4, 0, 1), 'r0 = *(u8 *)(r0 + 0)')).toBe(9);
    const empty = memory(16, 'null dynptr').at;
    expect(run(call('bpf_dynptr_clone', empty, clone))).toBe(-EINVAL);
    expect(run(call('bpf_dynptr_is_null', clone))).toBe(1);
  });

  test('a read-only one gives slices to read and takes nothing', () => {
    const { ptr, struct, data } = dynptr();
    const word = k.memory.fromAddress(BigInt(struct.at)) + 8;
    k.memory.setU32(word, (k.memory.u32(word) | 0x80000000) >>> 0);
    expect(run(call('bpf_dynptr_is_rdonly', ptr))).toBe(1);
    expect(run(call('bpf_dynptr_slice_rdwr', ptr, 0, 0, 1))).toBe(0);
    expect(run(call('dynptr_data', ptr, 0, 1))).toBe(0);
    expect(run(call('dynptr_write', ptr, 0, data.at, 1, 0))).toBe(-EINVAL);
    expect(run(call('bpf_dynptr_memset', ptr, 0, 1, 0))).toBe(-EINVAL);
    expect(run(call('bpf_dynptr_slice', ptr, 1, 0, 1), 'r0 = *(u8 *)(r0 + 0)')).toBe(1);
  });

  test.each([
    ['within both', 0, 4, 4, 0, [4, 5, 6, 7, 4, 5, 6, 7]],
    ['beyond the source', 0, 6, 4, -E2BIG, undefined],
    ['beyond the destination', 6, 0, 4, -E2BIG, undefined],
    ['beyond both', 6, 6, 4, -E2BIG, undefined],
  ])('bpf_dynptr_copy %s', (_what, to, from, size, expected, bytes) => {
    const [destination, source] = [dynptr(), dynptr()];
    expect(run(call('bpf_dynptr_copy', destination.ptr, to, source.ptr, from, size))).toBe(expected);
    expect(destination.data.read()).toEqual(bytes ?? [0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe('copies from memory that need not be there', () => {
  test('of the kernel', () => {
    const { ptr, data } = dynptr();
    const text = memory([0x68, 0x69, 0, 9], 'text').at;
    expect(run(call('bpf_probe_read_kernel_dynptr', ptr, 1, 4, text))).toBe(0);
    expect(data.read()).toEqual([0, 0x68, 0x69, 0, 9, 5, 6, 7]);
    expect(run(call('bpf_probe_read_kernel_str_dynptr', ptr, 3, 5, text))).toBe(3);
    expect(data.read()).toEqual([0, 0x68, 0x69, 0x68, 0x69, 0, 6, 7]);
    expect(run(call('bpf_probe_read_kernel_str_dynptr', ptr, 6, 2, text))).toBe(2);
    expect(data.read().slice(6)).toEqual([0x68, 0]);
    expect(run(call('bpf_probe_read_kernel_dynptr', ptr, 0, 4, '0xffffc90000000000'))).toBe(-ERRNO.EFAULT);
    expect(run(call('bpf_probe_read_kernel_dynptr', ptr, 0, 4, 0))).toBe(-ERANGE);
    expect(run(call('bpf_probe_read_kernel_dynptr', ptr, 6, 4, text))).toBe(-E2BIG);
  });

  test('of user space, where there is none', () => {
    const { ptr } = dynptr();
    for (const name of ['bpf_probe_read_user_dynptr', 'bpf_copy_from_user_dynptr', 'bpf_copy_from_user_str_dynptr']) {
      expect(run(call(name, ptr, 0, 4, 0x400000))).toBe(-ERRNO.EFAULT);
      expect(run(call(name, ptr, 0, 0, 0x400000))).toBe(0);
      expect(run(call(name, ptr, 0, 9, 0x400000))).toBe(-E2BIG);
    }
  });
});

describe('what a verifier would refuse', () => {
  test('a forged dynptr reaches no further than the program itself', () => {
    const { struct } = dynptr();
    const at = k.memory.fromAddress(BigInt(struct.at));
    k.memory.setU64(at, 0x1234_5678n);
    // Out of the window there is nothing: it counts as null.
    expect(run(call('bpf_dynptr_size', struct.at))).toBe(-EINVAL);
    const hidden = k.newObject('task_struct', { name: 'hidden', modelled: [] });
    k.memory.setPtr(at, hidden);
    expect(() => run(call('dynptr_write', struct.at, 0, memory(4).at, 4, 0))).toThrow(/hidden|task_struct/);
    k.memory.setU32(at + 8, (8 | (7 << 28)) >>> 0);
    expect(run(call('dynptr_read', memory(4).at, 4, struct.at, 0, 0))).toBe(-ERRNO.EFAULT);
  });

  test('bpf_dynptr_from_skb of something else', () => {
    expect(() => run(call('bpf_dynptr_from_skb', memory(8).at, 0, memory(16).at))).toThrow(/argument 1 is no packet/);
  });
});

test('before 6.19 offsets and sizes have 32 bits', async () => {
  const old = await Kernel.create({ profile: '6.18', windowBytes: 4 << 20 });
  const ptr = old.alloc(16, 'dynptr');
  const at = `0x${old.memory.address(ptr).toString(16)}`;
  expect(runText(old, `r1 = ${at} ll\ncall bpf_dynptr_size\nr0 >>= 32\nexit`)).toBe(0);
  old.dispose();
});

describe('packets', () => {
  /** Runs a program on a packet; kfuncs by their place among the calls. */
  function onPacket(prog_type: number, text: string, kfuncs: string[]): { r0: number; data: number[] } {
    const insns = assemble(text);
    const view = new DataView(insns.buffer, insns.byteOffset);
    for (let i = 0, next = 0; i < insns.length / 8; i++) {
      if (insns[i * 8] !== 0x85) continue;
      insns[i * 8 + 1] = 0x20;
      view.setInt32(i * 8 + 4, k.profile.btf.find(kfuncs[next++]!, BTF_KIND.FUNC), true);
    }
    const prog_fd = k.bpf('PROG_LOAD', { prog_type, insns, license: 'GPL' });
    expect(prog_fd).toBeGreaterThan(0);
    const data_in = Uint8Array.from({ length: 20 }, (_, i) => 100 + i);
    const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd, data_in, data_out: new Uint8Array(20) };
    expect(k.bpf('PROG_TEST_RUN', attr)).toBe(0);
    return { r0: attr.retval! | 0, data: [...attr.data_out!] };
  }
  const FROM = 'r2 = 0\nr3 = r10\nr3 += -16\ncall 0\nif r0 != 0 goto +9\nr1 = r10\nr1 += -16\n';
  const SLICE = 'r2 = 18\nr3 = 0\nr4 = 2\ncall 0\nif r0 == 0 goto +2\nr1 = 7\n*(u8 *)(r0 + 1) = r1\nexit\n';

  test('of XDP and tc are read and written in place', () => {
    for (const [type, from] of [
      [BPF_PROG_TYPE.XDP, 'bpf_dynptr_from_xdp'],
      [BPF_PROG_TYPE.SCHED_CLS, 'bpf_dynptr_from_skb'],
    ] as const) {
      const { data } = onPacket(type, FROM + SLICE, [from, 'bpf_dynptr_slice_rdwr']);
      expect(data.slice(17)).toEqual([117, 118, 7]);
    }
  });

  test('of socket filters are read-only and without the link-layer header', () => {
    const from = ['bpf_dynptr_from_skb', 'bpf_dynptr_is_rdonly'];
    const asks = FROM.replace('+9', '+1');
    expect(onPacket(BPF_PROG_TYPE.SOCKET_FILTER, `${asks}call 0\nexit\n`, from).r0).toBe(1);
    const size = ['bpf_dynptr_from_skb', 'bpf_dynptr_size'];
    expect(onPacket(BPF_PROG_TYPE.SOCKET_FILTER, `${asks}call 0\nexit\n`, size).r0).toBe(6);
  });
});
