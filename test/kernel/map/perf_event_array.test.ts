import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runOnce } from '../../../src/cli/run_once.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/index.js';
import { type BpfObject, openObject, PerfBuffer } from '../../../src/loader/index.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';

const OBJECT = readFileSync(new URL('../fixtures/perf.bpf.o', import.meta.url));
const CURRENT_CPU = 0xffffffffn;

let kernel: Kernel;
let object: BpfObject;
beforeEach(async () => {
  kernel = await Kernel.create({ windowBytes: 8 << 20, cpus: 2 });
  object = openObject(OBJECT, { name: 'perf' }).load(kernel);
});
afterEach(() => {
  object.close();
  kernel.dispose();
});

function run(prog: string, flags = CURRENT_CPU, size = 8, value = 0): number {
  const ctx = new Uint8Array(BigUint64Array.of(flags, BigInt(size), BigInt(value)).buffer);
  const { r0, fault } = runOnce(kernel, object.program(prog).fd, ctx, {});
  if (fault) throw fault;
  return Number(BigInt.asIntN(64, r0));
}

interface Seen {
  cpu: number;
  bytes: number;
  first?: number;
  lost?: number;
}
function consumer(pages = 1): { buffer: PerfBuffer; seen: Seen[] } {
  const seen: Seen[] = [];
  const buffer = new PerfBuffer(kernel, object.map('samples'), pages, {
    sample: (cpu, data) => seen.push({ cpu, bytes: data.length, first: data[0] ?? -1 }),
    lost: (cpu, lost) => seen.push({ cpu, bytes: 0, lost }),
  });
  return { buffer, seen };
}

test('libbpf makes the map as large as there are CPUs', () => {
  expect(object.map('samples').definition.maxEntries).toBe(2);
});

describe('samples', () => {
  test('come in by CPU, padded as the kernel pads them', () => {
    const { buffer, seen } = consumer();
    expect(run('output', CURRENT_CPU, 8, 1)).toBe(0);
    kernel.currentCpu = 1;
    expect(run('output', CURRENT_CPU, 13, 2)).toBe(0);
    expect(run('output', 1n, 12, 3)).toBe(0);
    expect(buffer.poll()).toBe(3);
    expect(seen).toEqual([
      { cpu: 0, bytes: 12, first: 1 },
      { cpu: 1, bytes: 20, first: 2 },
      { cpu: 1, bytes: 12, first: 3 },
    ]);
    expect(buffer.poll()).toBe(0);
    buffer.free();
  });

  test('of packets bring as many of their bytes as the flags say', () => {
    const { buffer, seen } = consumer();
    const packet = Uint8Array.from({ length: 20 }, (_, i) => i + 1);
    expect(runOnce(kernel, object.program('packet').fd, packet, {}).r0).toBe(0n);
    expect(runOnce(kernel, object.program('packet').fd, packet.subarray(0, 3), {}).r0).toBe(BigInt.asUintN(64, -14n));
    const whole: number[][] = [];
    buffer.free();
    const again = new PerfBuffer(kernel, object.map('samples'), 1, { sample: (_, data) => whole.push([...data]) });
    runOnce(kernel, object.program('packet').fd, packet, {});
    again.consume();
    expect(whole.map((data) => data.slice(2, 6))).toEqual([[1, 2, 3, 4]]);
    expect(seen).toEqual([]);
    again.free();
  });

  test('that find no room are counted, and told before the next one', () => {
    const { buffer, seen } = consumer();
    const results = Array.from({ length: 40 }, () => run('output', CURRENT_CPU, 116));
    // 128 bytes each in 4096, of which one stays free.
    expect(results.filter((result) => result === 0).length).toBe(31);
    expect(results.at(-1)).toBe(-ERRNO.ENOSPC);
    buffer.consume();
    expect(seen.length).toBe(31);
    run('output', CURRENT_CPU, 8, 5);
    buffer.consume();
    expect(seen.slice(31)).toEqual([
      { cpu: 0, bytes: 0, lost: 9 },
      { cpu: 0, bytes: 12, first: 5 },
    ]);
    buffer.free();
  });

  test('wrap', () => {
    const { buffer, seen } = consumer();
    for (let i = 0; i < 300; i++) {
      run('output', CURRENT_CPU, 100, i);
      buffer.consume();
      expect(seen.at(-1)).toEqual({ cpu: 0, bytes: 100, first: i & 255 });
    }
    buffer.free();
  });

  test('wake who waits', () => {
    const { buffer } = consumer();
    let woken = 0;
    const end = buffer.onReady(() => woken++);
    run('output');
    run('output');
    expect(woken).toBe(2);
    end();
    buffer.free();
  });
});

describe('errno', () => {
  test('of bpf_perf_event_output', () => {
    expect(run('output')).toBe(-ERRNO.ENOENT);
    expect(run('output', 2n)).toBe(-ERRNO.E2BIG);
    expect(run('output', 1n << 32n)).toBe(-ERRNO.EINVAL);
    const { buffer } = consumer();
    expect(run('output', 1n)).toBe(-ERRNO.EOPNOTSUPP);
    buffer.free();
    expect(run('output')).toBe(-ERRNO.ENOENT);
  });

  test('of reading counters, which are not modelled where there are some', () => {
    expect(run('read', 0n)).toBe(-ERRNO.ENOENT);
    expect(run('read', 5n)).toBe(-ERRNO.E2BIG);
    expect(run('read_value', 0n, 24)).toBe(-ERRNO.ENOENT);
    expect(run('read_value', 0n, 16)).toBe(-ERRNO.EINVAL);
    const { buffer } = consumer();
    expect(() => run('read', 0n)).toThrow(/perf counters are not modelled/);
    buffer.free();
  });

  test('of the map', () => {
    const word = (value: number) => new Uint8Array(Int32Array.of(value).buffer);
    const map_fd = object.map('samples').fd;
    const event = kernel.perfEventOpen(0, 1);
    const update = (key: number, value: number, flags = 0) =>
      kernel.bpf('MAP_UPDATE_ELEM', { map_fd, key: word(key), value: word(value), flags });
    expect([update(0, event), update(2, event), update(0, map_fd), update(0, 99), update(0, event, 1)]).toEqual([
      0,
      -ERRNO.E2BIG,
      -ERRNO.EBADF,
      -ERRNO.EBADF,
      -ERRNO.EINVAL,
    ]);
    expect(kernel.bpf('MAP_LOOKUP_ELEM', { map_fd, key: word(0), value: word(0) })).toBe(-ERRNO.ENOTSUPP);
    expect(kernel.bpf('MAP_DELETE_ELEM', { map_fd, key: word(0) })).toBe(0);
    expect(kernel.bpf('MAP_DELETE_ELEM', { map_fd, key: word(0) })).toBe(-ERRNO.ENOENT);
    const attr = { map_type: BPF_MAP_TYPE.PERF_EVENT_ARRAY, key_size: 4, value_size: 4, max_entries: 2 };
    expect(kernel.bpf('MAP_CREATE', { ...attr, map_flags: BPF_MAP_FLAG.PRESERVE_ELEMS })).toBeGreaterThan(0);
    expect(kernel.bpf('MAP_CREATE', { ...attr, value_size: 8 })).toBe(-ERRNO.EINVAL);
    expect([kernel.perfEventOpen(2, 1), kernel.perfEventOpen(0, 3)]).toEqual([-ERRNO.ENODEV, -ERRNO.EINVAL]);
    expect(() => new PerfBuffer(kernel, map_fd, 3, { sample: () => {} })).toThrow(/power of two/);
  });
});
