import { beforeAll, describe, expect, test } from 'vitest';
import { assemble } from '../../../src/asm/index.js';
import { BtfBuilder } from '../../../src/btf/builder.js';
import { ERRNO } from '../../../src/errno.js';
import { UnsupportedError } from '../../../src/errors.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { BPF_MAP_TYPE, BPF_PROG_TYPE } from '../../../src/uapi.js';

/** An int and a u64, the types of a storage's key and value. */
function u64Btf(): Uint8Array {
  const b = new BtfBuilder();
  b.int('int', 4, { signed: true });
  b.int('long long', 8);
  return b.build();
}

let k: Kernel;
beforeAll(async () => {
  k = await Kernel.create({ windowBytes: 16 << 20 });
});

function load(prog_type: number, source: string): number {
  const log = { text: '' };
  const prog_flags = prog_type === BPF_PROG_TYPE.SYSCALL ? 16 : 0;
  const fd = k.bpf('PROG_LOAD', {
    prog_type,
    prog_flags,
    insns: assemble(source),
    license: 'GPL',
    prog_name: 'p',
    log,
  });
  if (fd < 0) throw new Error(log.text);
  return fd;
}
const run = (attr: BpfAttr['PROG_TEST_RUN']) => k.bpf('PROG_TEST_RUN', attr);

describe('SYSCALL', () => {
  test('gets its context and gives it back in place', () => {
    const prog_fd = load(
      BPF_PROG_TYPE.SYSCALL,
      'r2 = *(u32 *)(r1 + 0)\nr2 += 1\n*(u32 *)(r1 + 4) = r2\nr0 = -19\nexit\n',
    );
    const ctx_in = Uint8Array.of(41, 0, 0, 0, 0, 0, 0, 0);
    const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd, ctx_in };
    expect(run(attr)).toBe(0);
    expect([...ctx_in]).toEqual([41, 0, 0, 0, 42, 0, 0, 0]);
    expect(attr.retval).toBe(2 ** 32 - 19);
  });

  test('takes no data, no second context, no repetition', () => {
    const prog_fd = load(BPF_PROG_TYPE.SYSCALL, 'r0 = 0\nexit\n');
    for (const more of [{ data_in: new Uint8Array(64) }, { ctx_out: new Uint8Array(8) }, { repeat: 2 }, { flags: 1 }]) {
      expect(run({ prog_fd, ...more })).toBe(-ERRNO.EINVAL);
    }
    expect(run({ prog_fd, ctx_in: new Uint8Array(65536) })).toBe(-ERRNO.EINVAL);
    expect(run({ prog_fd: 99 })).toBe(-ERRNO.EBADF);
    expect(run({ prog_fd: 0 })).toBe(-ERRNO.EINVAL);
  });

  test('a context ends where its bytes end', () => {
    const prog_fd = load(BPF_PROG_TYPE.SYSCALL, 'r0 = *(u32 *)(r1 + 8)\nexit\n');
    expect(() => run({ prog_fd, ctx_in: new Uint8Array(8) })).toThrow('context of prog "p"');
  });
});

describe('packets', () => {
  const packet = Uint8Array.from({ length: 60 }, (_, i) => i);
  /** Bounds check as compilers emit it, then the body with r2 = data. */
  const bounded = (data: number, end: number, body: string) =>
    `r0 = 1\nr2 = *(u32 *)(r1 + ${data})\nr3 = *(u32 *)(r1 + ${end})\nr4 = r2\nr4 += 14\nif r4 > r3 goto +${body.split('\n').length - 1}\n${body}exit\n`;

  test('XDP reads and writes the packet', () => {
    const prog_fd = load(BPF_PROG_TYPE.XDP, bounded(0, 4, 'r0 = *(u8 *)(r2 + 13)\nr5 = 99\n*(u8 *)(r2 + 0) = r5\n'));
    const data_out = new Uint8Array(60);
    const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd, data_in: packet, data_out };
    expect(run(attr)).toBe(0);
    expect([attr.retval, attr.data_size_out, data_out[0], data_out[59]]).toEqual([13, 60, 99, 59]);
    expect(packet[0]).toBe(0);
    expect(run({ prog_fd, data_in: packet, data_out: new Uint8Array(8) })).toBe(-ERRNO.ENOSPC);
    expect(run({ prog_fd, data_in: packet.subarray(0, 13) })).toBe(-ERRNO.EINVAL);
  });

  test('an skb has a socket, of which nothing is modelled but that it owns storages', () => {
    const btf = k.bpf('BTF_LOAD', { btf: u64Btf() });
    const map = k.bpf('MAP_CREATE', {
      ...{ map_type: BPF_MAP_TYPE.SK_STORAGE, key_size: 4, value_size: 8, max_entries: 0, map_flags: 1 },
      ...{ btf_fd: btf, btf_key_type_id: 1, btf_value_type_id: 2 },
    });
    expect(map).toBeGreaterThan(0);
    const get = `r2 = *(u64 *)(r1 + 168)\nr1 = map_fd(${map}) ll\nr3 = 0\nr4 = 1\ncall 107\n`;
    const twice = 'r1 = *(u64 *)(r0 + 0)\nr2 = r1\nr2 += 1\n*(u64 *)(r0 + 0) = r2\nr0 = r1\nexit\n';
    const prog_fd = load(BPF_PROG_TYPE.SCHED_CLS, `${get}${twice}`);
    const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd, data_in: packet, repeat: 3 };
    expect([run(attr), attr.retval]).toEqual([0, 2]);
    // Another run has another socket.
    expect([run(attr), attr.retval]).toEqual([0, 2]);
    const look = load(BPF_PROG_TYPE.SCHED_CLS, 'r1 = *(u64 *)(r1 + 168)\nr0 = *(u32 *)(r1 + 4)\nexit\n');
    expect(() => run({ prog_fd: look, data_in: packet })).toThrow('bpf_sock.family');
  });

  test('a packet ends where its bytes end', () => {
    const prog_fd = load(BPF_PROG_TYPE.XDP, 'r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 60)\nexit\n');
    expect(() => run({ prog_fd, data_in: packet })).toThrow(/past the end of packet/);
  });

  test('SCHED_CLS sees the whole frame and may set fields; SOCKET_FILTER sees what follows the link layer', () => {
    const cls = load(
      BPF_PROG_TYPE.SCHED_CLS,
      bounded(
        76,
        80,
        'r0 = *(u8 *)(r2 + 0)\nr5 = *(u32 *)(r1 + 0)\nr0 += r5\n*(u32 *)(r1 + 8) = r5\nr5 = *(u32 *)(r1 + 8)\nr0 += r5\n',
      ),
    );
    const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd: cls, data_in: packet };
    expect(run(attr)).toBe(0);
    expect(attr.retval).toBe(60 + 60);
    const filter: BpfAttr['PROG_TEST_RUN'] = {
      prog_fd: load(BPF_PROG_TYPE.SOCKET_FILTER, 'r0 = *(u32 *)(r1 + 0)\nexit\n'),
      data_in: packet,
      repeat: 3,
    };
    expect(run(filter)).toBe(0);
    expect(filter.retval).toBe(46);
  });

  test('the context is followed through moves, spills and calls', () => {
    const source = [
      'r6 = r1',
      '*(u64 *)(r10 - 8) = r1',
      'r1 = r6',
      'call +5', // insn 9
      'r1 = *(u64 *)(r10 - 8)',
      'r2 = *(u32 *)(r1 + 4)',
      'r2 -= r0',
      'r0 = r2',
      'exit',
      'r0 = *(u32 *)(r1 + 0)',
      'exit',
      '',
    ].join('\n');
    const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd: load(BPF_PROG_TYPE.XDP, source), data_in: packet };
    expect(run(attr)).toBe(0);
    expect(attr.retval).toBe(60);
  });

  test('what takes the place of the context pointer is not taken for it', () => {
    // r0 was the context before the call, the spill slot before the store: then both are the packet.
    const called = 'r0 = r1\ncall +2\nr0 = *(u8 *)(r0 + 4)\nexit\nr0 = *(u32 *)(r1 + 0)\nexit\n';
    const spilled =
      'r2 = *(u32 *)(r1 + 0)\n*(u64 *)(r10 - 8) = r1\n*(u64 *)(r10 - 8) = r2\nr3 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r3 + 4)\nr0 &= 255\nexit\n';
    const wide = called.replace('*(u8 *)(r0 + 4)', '*(u32 *)(r0 + 4)\nr0 &= 255').replace('call +2', 'call +3');
    for (const source of [called, spilled, wide]) {
      const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd: load(BPF_PROG_TYPE.XDP, source), data_in: packet };
      expect(run(attr)).toBe(0);
      expect(attr.retval).toBe(4);
    }
  });

  test('where it cannot be followed, the load faults instead of giving half a pointer', () => {
    const source = 'r2 = r1\nr2 += 4\nr2 -= 4\nr0 = *(u32 *)(r2 + 0)\nexit\n';
    expect(() => run({ prog_fd: load(BPF_PROG_TYPE.XDP, source), data_in: packet })).toThrow(
      'xdp_md.data of context of prog "p" is not modelled',
    );
  });

  test('fields that are not modelled are named, and read-only ones too', () => {
    const read = load(BPF_PROG_TYPE.SCHED_CLS, 'r0 = *(u32 *)(r1 + 68)\nexit\n');
    expect(() => run({ prog_fd: read, data_in: packet })).toThrow(
      '__sk_buff.hash of context of prog "p" is not modelled',
    );
    const write = load(BPF_PROG_TYPE.SCHED_CLS, 'r0 = 0\n*(u32 *)(r1 + 0) = r0\nexit\n');
    expect(() => run({ prog_fd: write, data_in: packet })).toThrow(
      '__sk_buff.len of context of prog "p" may not be written by this program',
    );
  });

  test('what is not modelled of the call is named', () => {
    const prog_fd = load(BPF_PROG_TYPE.XDP, 'r0 = 0\nexit\n');
    expect(() => run({ prog_fd, data_in: packet, ctx_in: new Uint8Array(24) })).toThrow(UnsupportedError);
    expect(() => run({ prog_fd, data_in: packet, flags: 2 })).toThrow('flags 0x2 are not modelled');
  });
});

test('types that the kernel cannot test-run, and types that are not modelled', () => {
  expect(run({ prog_fd: load(BPF_PROG_TYPE.KPROBE, 'r0 = 0\nexit\n') })).toBe(-ERRNO.ENOTSUPP);
  expect(() => run({ prog_fd: load(BPF_PROG_TYPE.FLOW_DISSECTOR, 'r0 = 0\nexit\n') })).toThrow('flow_dissector');
});
