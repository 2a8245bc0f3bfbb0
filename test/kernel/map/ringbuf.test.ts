import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { Kernel, POLLIN, POLLOUT } from '../../../src/kernel/index.js';
import { type BpfObject, openObject, RingBuffer, UserRingBuffer } from '../../../src/loader/index.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';

const OBJECT = readFileSync(new URL('../fixtures/ringbuf.bpf.o', import.meta.url));

let kernel: Kernel;
let object: BpfObject;
beforeEach(async () => {
  kernel = await Kernel.create({ windowBytes: 8 << 20, cpus: 2 });
  object = openObject(OBJECT, { name: 'ringbuf' }).load(kernel);
});
afterEach(() => {
  object.close();
  kernel.dispose();
});

const args = (a: number, b = 0, c = 0) => new Uint8Array(BigUint64Array.of(BigInt(a), BigInt(b), BigInt(c)).buffer);
const run = (prog: string, a = 0, b = 0, c = 0) => object.program(prog).testRun({ ctx: args(a, b, c) }).retval | 0;
const query = (what: number) => {
  const { ctx } = object.program('query').testRun({ ctx: args(what) });
  return new DataView(ctx!.buffer).getBigUint64(8, true);
};
const events = () => object.map('events');
const create = (type: number, max_entries: number, map_flags = 0, sizes: [number, number] = [0, 0]) =>
  kernel.bpf('MAP_CREATE', { map_type: type, key_size: sizes[0], value_size: sizes[1], max_entries, map_flags });
const { RINGBUF, USER_RINGBUF } = BPF_MAP_TYPE;

/** What a consumer of `events` gets. */
function collect(): { buffer: RingBuffer; records: number[][] } {
  const records: number[][] = [];
  const buffer = new RingBuffer(kernel, events(), (data) => records.push([...data]));
  return { buffer, records };
}

describe('creation', () => {
  test.each([
    ['a power of two of whole pages', 8192, 0, [0, 0], 0],
    ['no power of two', 12288, 0, [0, 0], -ERRNO.EINVAL],
    ['less than a page', 2048, 0, [0, 0], -ERRNO.EINVAL],
    ['nothing', 0, 0, [0, 0], -ERRNO.EINVAL],
    ['a key', 4096, 0, [4, 0], -ERRNO.EINVAL],
    ['a value', 4096, 0, [0, 8], -ERRNO.EINVAL],
    ['a flag of other maps', 4096, BPF_MAP_FLAG.NO_PREALLOC, [0, 0], -ERRNO.EINVAL],
    ['more than the window', 2 ** 31, 0, [0, 0], -ERRNO.ENOMEM],
  ] as const)('of %s', (_what, entries, flags, sizes, expected) => {
    const fd = create(RINGBUF, entries, flags, [...sizes]);
    expect(fd < 0 ? fd : 0).toBe(expected);
  });

  test('overwriting is for kernels that know it, and for programs as producers', async () => {
    expect(create(RINGBUF, 4096, BPF_MAP_FLAG.RB_OVERWRITE)).toBeGreaterThan(0);
    expect(create(USER_RINGBUF, 4096, BPF_MAP_FLAG.RB_OVERWRITE)).toBe(-ERRNO.EINVAL);
    const old = await Kernel.create({ profile: '6.12', windowBytes: 4 << 20 });
    const attr = { map_type: RINGBUF, key_size: 0, value_size: 0, max_entries: 4096 };
    expect(old.bpf('MAP_CREATE', attr)).toBeGreaterThan(0);
    expect(old.bpf('MAP_CREATE', { ...attr, map_flags: BPF_MAP_FLAG.RB_OVERWRITE })).toBe(-ERRNO.EINVAL);
    old.dispose();
  });

  test('there are no elements', () => {
    const key = new Uint8Array(4);
    const attr = { map_fd: events().fd, value: key, next_key: key };
    expect(kernel.bpf('MAP_LOOKUP_ELEM', attr)).toBe(-ERRNO.ENOTSUPP);
    expect(kernel.bpf('MAP_UPDATE_ELEM', attr)).toBe(-ERRNO.ENOTSUPP);
    expect(kernel.bpf('MAP_DELETE_ELEM', attr)).toBe(-ERRNO.ENOTSUPP);
    expect(kernel.bpf('MAP_GET_NEXT_KEY', attr)).toBe(-ERRNO.ENOTSUPP);
  });
});

describe('records', () => {
  test('come out in order, without those that were discarded', () => {
    const { buffer, records } = collect();
    expect([run('reserve', 1), run('reserve', 2, 1), run('reserve', 3)]).toEqual([0, 0, 0]);
    expect(buffer.poll()).toBe(2);
    expect(records.map((bytes) => [bytes.length, bytes[0], bytes[16]])).toEqual([
      [20, 1, 1],
      [20, 3, 3],
    ]);
    expect(buffer.poll()).toBe(0);
    buffer.free();
  });

  test('of bpf_ringbuf_output hold a copy; unknown flags are EINVAL, no room EAGAIN', () => {
    object.variable('payload[0]').set(65);
    expect(run('output', 5)).toBe(0);
    expect(run('output', 5, 4)).toBe(-ERRNO.EINVAL);
    expect(run('output', 4000)).toBe(0);
    expect(run('output', 100)).toBe(-ERRNO.EAGAIN);
    const { buffer, records } = collect();
    expect(buffer.consumeN(1)).toBe(1);
    expect(records).toEqual([[65, 0, 0, 0, 0]]);
    buffer.free();
  });

  test('one byte less than the buffer is the most that waits', () => {
    expect(run('reserve_flags', 4096)).toBe(-1);
    // 4088 + 8 is the whole buffer: new_prod_pos - cons_pos > mask.
    expect(run('reserve_flags', 4088)).toBe(-1);
    expect(run('reserve_flags', 4080)).toBe(0);
    expect(run('reserve_flags', 8, 1)).toBe(-1);
  });

  test('that wrap are whole, for programs and for both copies of the mapping', () => {
    const { buffer, records } = collect();
    for (let i = 0; i < 300; i++) {
      expect(run('reserve', i)).toBe(0);
      expect(buffer.consume()).toBe(1);
      const view = new DataView(Uint8Array.from(records.at(-1)!).buffer);
      expect([view.getUint32(0, true), view.getUint32(16, true)]).toEqual([i, i]);
    }
    const page = kernel.mmap(events().fd, 4096 + 2 * 4096, { offset: 4096 });
    expect(page.read(4096, 4096)).toEqual(page.read(8192, 4096));
    page.unmap();
    buffer.free();
  });

  test('a negative result of the callback ends the call, and the record is gone', () => {
    run('reserve', 1);
    run('reserve', 2);
    const buffer = new RingBuffer(kernel, events(), () => -7);
    expect(buffer.consume()).toBe(-7);
    expect(buffer.rings[0]!.availDataSize).toBe(32);
    buffer.free();
  });

  test('bpf_ringbuf_query tells sizes and positions', () => {
    run('reserve', 1);
    run('reserve', 1);
    const { buffer } = collect();
    buffer.consumeN(1);
    expect([0, 1, 2, 3, 4, 5].map(query)).toEqual([32n, 4096n, 32n, 64n, 0n, 0n]);
    buffer.free();
  });

  test('a consumer position out of nowhere fills the buffer and harms nobody', () => {
    const page = kernel.mmap(events().fd, 4096, { write: true });
    page.write(0, new Uint8Array(8).fill(0xff));
    expect(run('reserve', 1)).toBe(-1);
    expect(query(0)).toBe(1n);
    expect(query(2)).toBe(2n ** 64n - 1n);
    page.unmap();
  });
});

describe('programs that misbehave stop by name', () => {
  const fault = (b: number) => {
    try {
      run('reserve', 1, b);
    } catch (error) {
      return (error as Error).message;
    }
    return 'no fault';
  };

  test('a record that is given back twice', () => {
    expect(fault(2)).toMatch(/bpf_ringbuf_submit: argument 1 is no record that the program reserved/);
  });
  test('a record that is kept, which is then discarded', () => {
    expect(fault(3)).toMatch(/record of bpf_ringbuf_reserve/);
    const { buffer, records } = collect();
    run('reserve', 2);
    buffer.consume();
    expect(records.map((bytes) => bytes[0])).toEqual([2]);
    buffer.free();
  });
  test('a write behind a record', () => {
    expect(fault(4)).toMatch(/ring buffer "events"/);
  });
  test('a look at a record after it was submitted', () => {
    expect(fault(5)).toMatch(/ring buffer "events"/);
  });
});

describe('wake-ups', () => {
  /** How often programs woke a consumer. */
  const wakeUps = (body: () => void) => {
    let count = 0;
    const end = kernel.onReady(events().fd, () => count++);
    body();
    end();
    return count;
  };

  test('come when the consumer has caught up, never or always as the flags say', () => {
    expect(wakeUps(() => run('reserve', 1))).toBe(1);
    // The consumer has not taken the first one yet.
    expect(wakeUps(() => run('reserve', 1))).toBe(0);
    expect(wakeUps(() => run('reserve', 1, 0, 2))).toBe(1);
    const { buffer } = collect();
    buffer.consume();
    expect(wakeUps(() => run('reserve', 1, 0, 1))).toBe(0);
    buffer.free();
  });

  test('poll(2) sees data in any case', () => {
    expect(kernel.poll(events().fd)).toBe(0);
    run('reserve', 1, 0, 1);
    expect(kernel.poll(events().fd) & POLLIN).toBe(POLLIN);
  });
});

describe('mmap(2)', () => {
  test.each([
    ['the consumer page, writable', 0, 4096, true, ''],
    ['producer page and data, read-only', 4096, 4096 + 8192, false, ''],
    ['two pages, writable', 0, 8192, true, 'EPERM'],
    ['the producer page, writable', 4096, 4096, true, 'EPERM'],
    ['beyond the end', 4096, 4 * 4096, false, 'EINVAL'],
    ['an odd offset', 100, 4096, false, 'EINVAL'],
  ])('%s', (_what, offset, length, write, error) => {
    const map = () => kernel.mmap(events().fd, length, { offset, write });
    if (error) expect(map).toThrow(error);
    else expect(map().writable).toBe(write);
  });
});

test('overwrite mode gives up the oldest records', async () => {
  const overwriting = openObject(OBJECT, { name: 'ringbuf' });
  overwriting.map('events').define({ flags: BPF_MAP_FLAG.RB_OVERWRITE });
  object.close();
  object = overwriting.load(kernel);
  for (let i = 0; i < 200; i++) expect(run('reserve', i)).toBe(0);
  const { buffer, records } = collect();
  expect(query(4)).toBe(BigInt((200 - 127) * 32));
  expect(buffer.consume()).toBe(127);
  expect(records[0]![0]).toBe(200 - 127);
  expect(records.at(-1)![0]).toBe(199);
  buffer.free();
});

describe('dynptrs', () => {
  test('a record as a dynptr', () => {
    const { buffer, records } = collect();
    expect(run('reserve_dynptr', 16, 0x55)).toBe(0);
    expect(run('reserve_dynptr', 16, 0x55, 2)).toBe(0);
    expect(buffer.consume()).toBe(1);
    expect(records[0]!.slice(8, 9)).toEqual([0x55]);
    expect(run('reserve_dynptr', 12, 0x55)).toBe(-ERRNO.E2BIG);
    buffer.free();
  });

  test('a failed reservation must be given back, too', () => {
    expect(run('reserve_dynptr', 5000)).toBe(-ERRNO.EINVAL);
    expect(run('reserve_dynptr', 2 ** 24)).toBe(-ERRNO.E2BIG);
    expect(() => run('reserve_dynptr', 5000, 0, 1)).toThrow(/record of bpf_ringbuf_reserve_dynptr/);
    expect(() => run('reserve_dynptr', 16, 0, 1)).toThrow(/record of bpf_ringbuf_reserve_dynptr/);
  });
});

describe('user ring buffers', () => {
  const produce = (...values: number[]) => {
    const buffer = new UserRingBuffer(kernel, object.map('orders'));
    for (const value of values) {
      const sample = buffer.reserve(12)!;
      new DataView(sample.data.buffer).setUint32(0, value, true);
      buffer.submit(sample);
    }
    buffer.free();
  };
  const seen = () => {
    const values = object.variable('seen').get() as number[];
    return values.slice(0, object.variable('seen_count').get() as number);
  };

  test('programs drain samples in order', () => {
    produce(7, 8, 9);
    expect(run('drain')).toBe(3);
    expect(seen()).toEqual([7, 8, 9]);
    expect(run('drain')).toBe(0);
  });

  test('a callback that returns 1 leaves the rest', () => {
    produce(7, 8, 9);
    expect(run('drain', 8)).toBe(2);
    expect(run('drain')).toBe(1);
    expect(seen()).toEqual([7, 8, 9]);
  });

  test('samples may wrap; discarded ones are skipped, unfinished ones end the drain', () => {
    for (let i = 0; i < 400; i++) {
      produce(i);
      expect(run('drain', 2 ** 31)).toBe(1);
    }
    const buffer = new UserRingBuffer(kernel, object.map('orders'));
    const samples = [1, 2, 3].map((value) => {
      const sample = buffer.reserve(8)!;
      sample.data[0] = value;
      return sample;
    });
    expect(run('drain', 99)).toBe(0);
    buffer.discard(samples[0]!);
    buffer.submit(samples[1]!);
    expect(run('drain', 99)).toBe(1);
    buffer.submit(samples[2]!);
    expect(run('drain', 99)).toBe(1);
    buffer.free();
  });

  test('no room is null, a sample that never fits E2BIG', () => {
    const buffer = new UserRingBuffer(kernel, object.map('orders'));
    expect(buffer.reserve(4088)!.data.length).toBe(4088);
    expect(buffer.reserve(1)).toBeNull();
    expect(kernel.poll(object.map('orders').fd)).toBe(0);
    expect(() => buffer.reserve(4089)).toThrow('E2BIG');
    buffer.free();
    expect(kernel.poll(events().fd) & POLLOUT).toBe(0);
  });

  test('what user space writes is checked', () => {
    const page = kernel.mmap(object.map('orders').fd, 4096 + 8192, { offset: 4096, write: true });
    const produced = (bytes: number) => page.write(0, new Uint8Array(BigUint64Array.of(BigInt(bytes)).buffer));
    produced(12);
    expect(run('drain')).toBe(-ERRNO.EINVAL);
    page.write(4096, new Uint8Array(Uint32Array.of(100).buffer));
    produced(16);
    expect(run('drain')).toBe(-ERRNO.EINVAL);
    page.write(4096, new Uint8Array(Uint32Array.of(8192).buffer));
    produced(16384);
    expect(run('drain')).toBe(-ERRNO.E2BIG);
    page.unmap();
  });

  test('a drain within a drain is EBUSY, unknown flags EINVAL', () => {
    produce(1);
    object.variable('drain_again').set(1n);
    expect(run('drain', 99)).toBe(1);
    expect(BigInt.asIntN(64, object.variable('drain_again').get() as bigint)).toBe(BigInt(-ERRNO.EBUSY));
    expect(run('drain', 0, 4)).toBe(-ERRNO.EINVAL);
  });

  test('producers are woken as the flags say', () => {
    let count = 0;
    const end = kernel.onReady(object.map('orders').fd, () => count++);
    const woken = (flags: number, ...values: number[]) => {
      count = 0;
      produce(...values);
      run('drain', 99, flags);
      return count;
    };
    expect([woken(0, 1), woken(0), woken(1, 1), woken(2)]).toEqual([1, 0, 0, 1]);
    end();
  });
});

test('records come out as they went in, whatever their sizes and whenever they are taken', () => {
  const { buffer, records } = collect();
  const lengths: number[] = [];
  const payload = object.variable('payload');
  payload.set(Array.from({ length: 4096 }, (_, i) => ((i * 7) & 0x7f) as number));
  const step = fc.record({ bytes: fc.integer({ min: 0, max: 1500 }), take: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      records.length = 0;
      lengths.length = 0;
      for (const { bytes, take } of steps) {
        if (run('output', bytes) === 0) lengths.push(bytes);
        if (take) buffer.consume();
      }
      buffer.consume();
      expect(records.map((record) => record.length)).toEqual(lengths);
      for (const record of records) expect(record.every((byte, i) => byte === ((i * 7) & 0x7f))).toBe(true);
    }),
    { numRuns: 30 },
  );
  buffer.free();
});
