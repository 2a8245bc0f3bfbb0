import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Kernel } from '../../src/kernel/index.js';
import { type BpfObject, dumpMap, loadMap, openObject } from '../../src/loader/index.js';
import { isDumpable } from '../../src/loader/snapshot.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../src/uapi.js';
import { fixtureBytes } from './fixtures.js';

// golden/bpftool_map_dump.json: what bpftool 7.1 on Linux 6.18 printed of the maps of fixtures/snapshot.bpf.o, by map.
const GOLDEN = JSON.parse(readFileSync(new URL('golden/bpftool_map_dump.json', import.meta.url), 'utf8')) as Record<
  string,
  string
>;

let kernel: Kernel;
let object: BpfObject;
beforeEach(async () => {
  kernel = await Kernel.create({ windowBytes: 16 << 20, cpus: 2 });
  object = load(kernel);
});
afterEach(() => {
  object.close();
  kernel.dispose();
});

const load = (into: Kernel) => openObject(fixtureBytes('snapshot'), { name: 'snapshot' }).load(into);
const mapOf = (name: string) => object.map(name.replace(/^snapshot(?=\.)/, ''));

/** Elements as text, in an order of their own: that of a hash depends on its seed. */
function sorted(dump: string): string[] {
  const inner = /^\[(.*)\]\n$/s.exec(dump)![1]!;
  return inner.split(/(?<=\}),(?=\{"key":\["0x)/).sort();
}

describe('bpftool', () => {
  test.each(Object.keys(GOLDEN))('%s is printed as bpftool prints it', (name) => {
    // json_writer.c prints a backslash as a newline.
    const golden = GOLDEN[name]!.replace('"a\\"b\\nc"', '"a\\"b\\\\c"');
    loadMap(kernel, mapOf(name), GOLDEN[name]!);
    expect(sorted(dumpMap(kernel, mapOf(name)))).toEqual(sorted(golden));
  });

  test('a map without elements is an empty array', () => {
    expect(dumpMap(kernel, object.map('plain'))).toBe('[]\n');
  });
});

describe('a snapshot of all maps', () => {
  test('says what they are, in the order of the object', () => {
    const snapshot = JSON.parse(object.snapshot()) as {
      type: string;
      name: string;
      flags: number;
      elements: unknown[];
    }[];
    expect(snapshot.map(({ type, name, elements }) => [type, name, elements.length])).toEqual([
      ['hash', 'hash', 0],
      ['percpu_array', 'percpu', 2],
      ['hash', 'plain', 0],
      ['array', 'snapshot.data', 1],
      ['array', 'snapshot.bss', 1],
    ]);
    expect(snapshot.at(-1)!.flags).toBe(1024);
  });

  test('brings global data and maps back, also under another name', async () => {
    object.variable('counter').set(41);
    object.map('plain').update(new Uint8Array([1, 2, 3]), new Uint8Array([4, 5, 6, 7, 8]));
    const snapshot = object.snapshot().replaceAll('"snapshot.', '"elsewhere.');
    const other = await Kernel.create({ windowBytes: 16 << 20, cpus: 2 });
    const copy = load(other);
    const { loaded, skipped } = copy.restore(snapshot);
    expect(skipped).toEqual({});
    expect(loaded).toEqual({ hash: 0, percpu: 2, plain: 1, 'elsewhere.data': 1, 'elsewhere.bss': 1 });
    expect(copy.variable('counter').get()).toBe(41);
    expect(copy.map('plain').lookupBytes(new Uint8Array([1, 2, 3]))).toEqual(new Uint8Array([4, 5, 6, 7, 8]));
    copy.close();
    other.dispose();
  });

  test('maps that the object lacks are named', () => {
    const dump =
      '[{"id":1,"type":"hash","name":"gone","flags":0,"elements":[]},{"type":"array","name":"hash","elements":[]}]';
    expect(object.restore(dump)).toEqual({
      loaded: {},
      skipped: { gone: 'the object has no such map', hash: 'the object has no such map' },
    });
  });

  test('round trip: whatever is in the maps', async () => {
    const other = await Kernel.create({ windowBytes: 16 << 20, cpus: 2 });
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const state = fc.record({
      hash: fc.array(fc.tuple(bytes(8), bytes(96)), { maxLength: 8 }),
      percpu: fc.array(bytes(16), { minLength: 2, maxLength: 2 }),
      plain: fc.array(fc.tuple(bytes(3), bytes(5)), { maxLength: 4 }),
      data: bytes(12),
    });
    fc.assert(
      fc.property(state, ({ hash, percpu, plain, data }) => {
        const original = load(kernel);
        const copy = load(other);
        const fill = (name: string, pairs: [Uint8Array, Uint8Array][]) => {
          for (const [key, value] of pairs) original.map(name).update(key, value);
        };
        fill('hash', hash);
        fill('plain', plain);
        percpu.forEach((value, i) => {
          original.map('percpu').update(i, value);
        });
        original.map('.data').update(0, data);
        const first = original.snapshot();
        copy.restore(first);
        const names = ['hash', 'percpu', 'plain', '.data', '.bss'];
        for (const name of names) {
          expect(sorted(dumpMap(other, copy.map(name)))).toEqual(sorted(dumpMap(kernel, original.map(name))));
        }
        original.close();
        copy.close();
      }),
      { numRuns: 25 },
    );
    other.dispose();
  });
});

describe('round trip of every type whose elements have keys', () => {
  const { ARRAY, PERCPU_ARRAY, HASH, PERCPU_HASH, LRU_HASH, LRU_PERCPU_HASH, LPM_TRIE } = BPF_MAP_TYPE;
  const ENTRIES = 6;
  const map = (type: number) => {
    const fd = kernel.bpf('MAP_CREATE', {
      map_type: type,
      key_size: type === LPM_TRIE ? 8 : 4,
      value_size: 5,
      max_entries: type === LRU_PERCPU_HASH || type === LRU_HASH ? 64 : ENTRIES,
      map_flags: type === LPM_TRIE ? BPF_MAP_FLAG.NO_PREALLOC : 0,
      map_name: 'any',
    });
    expect(fd).toBeGreaterThan(0);
    return fd;
  };

  test.each([
    ['ARRAY', ARRAY],
    ['PERCPU_ARRAY', PERCPU_ARRAY],
    ['HASH', HASH],
    ['PERCPU_HASH', PERCPU_HASH],
    ['LRU_HASH', LRU_HASH],
    ['LRU_PERCPU_HASH', LRU_PERCPU_HASH],
    ['LPM_TRIE', LPM_TRIE],
  ])('%s', (_name, type) => {
    const perCpu = [PERCPU_ARRAY, PERCPU_HASH, LRU_PERCPU_HASH].some((other) => other === type);
    const size = perCpu ? 8 * kernel.cpus : 5;
    const element = fc.tuple(fc.nat(ENTRIES - 1), fc.uint8Array({ minLength: size, maxLength: size }));
    fc.assert(
      fc.property(fc.array(element, { maxLength: ENTRIES }), (elements) => {
        const [from, to] = [map(type), map(type)];
        for (const [n, value] of elements) {
          const key = new Uint8Array((type === LPM_TRIE ? Uint32Array.of(8 + n, n) : Uint32Array.of(n)).buffer);
          expect(kernel.bpf('MAP_UPDATE_ELEM', { map_fd: from, key, value, flags: 0 })).toBe(0);
        }
        const dump = dumpMap(kernel, from);
        const count = (JSON.parse(dump) as unknown[]).length;
        expect(loadMap(kernel, to, dump)).toBe(count);
        expect(sorted(dumpMap(kernel, to))).toEqual(sorted(dump));
        for (const fd of [from, to]) kernel.close(fd);
      }),
      { numRuns: 20 },
    );
  });

  test.each([
    ['QUEUE', BPF_MAP_TYPE.QUEUE],
    ['STACK', BPF_MAP_TYPE.STACK],
    ['BLOOM_FILTER', BPF_MAP_TYPE.BLOOM_FILTER],
    ['RINGBUF', BPF_MAP_TYPE.RINGBUF],
  ])('%s has none', (_name, type) => {
    expect(isDumpable(type)).toBe(false);
  });
});

describe('what is no dump is refused by name', () => {
  test.each([
    ['{', /snapshot: /],
    ['{}', /a dump is an array/],
    ['[1]', /element 0: no object/],
    ['[{"key":["0x00"],"value":[]}]', /element 0: key: 3 bytes expected/],
    ['[{"key":["0x00","0x100","1"],"value":[]}]', /key: \[1\] is no byte: "0x100"/],
    ['[{"key":["0x00","0x01","0x02"],"value":["0x00"]}]', /value: 5 bytes expected/],
  ])('%s', (dump, message) => {
    expect(() => loadMap(kernel, object.map('plain'), dump)).toThrow(message);
  });

  test('and stores nothing', () => {
    const good = '{"key":["0x00","0x01","0x02"],"value":["0x00","0x00","0x00","0x00","0x00"]}';
    expect(() => loadMap(kernel, object.map('plain'), `[${good},{}]`)).toThrow(/element 1/);
    expect(dumpMap(kernel, object.map('plain'))).toBe('[]\n');
  });

  test('another number of CPUs', () => {
    const dump = '[{"key":["0x00","0x00","0x00","0x00"],"values":[{"cpu":0,"value":[]}]}]';
    expect(() => loadMap(kernel, object.map('percpu'), dump)).toThrow(/values of 1 CPUs; this machine has 2/);
  });

  test('elements that bpftool could not read are left out', () => {
    const dump = '[{"key":["0x00","0x01","0x02"],"value":{"error":"No such file or directory"}}]';
    expect(loadMap(kernel, object.map('plain'), dump)).toBe(0);
  });
});
