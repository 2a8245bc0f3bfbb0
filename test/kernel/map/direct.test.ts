import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Kernel } from '../../../src/kernel/kernel.js';
import { BPF_MAP_TYPE } from '../../../src/uapi.js';
import { RUNS } from '../../engines.js';
import { bothWays, hostOnly, shownBy } from '../both_ways.js';

// Look-ups in maps of the core as compiled code does them, in place or by a function of the core alone, against the helpers, which a
// kernel whose calls are wrapped runs: keys anywhere, maps that are known when a program is compiled and others, forged ones.

const CPUS = 3;
const ENTRIES = 4;
const TYPES = ['ARRAY', 'PERCPU_ARRAY', 'HASH', 'PERCPU_HASH', 'LRU_HASH', 'ARRAY_OF_MAPS', 'HASH_OF_MAPS'] as const;
const OF_MAPS = 5;

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

class Subject {
  readonly fds: number[] = [];

  private constructor(readonly k: Kernel) {}

  static async create(run: (typeof RUNS)[number], wrapped: boolean): Promise<Subject> {
    const k = await Kernel.create({
      ...run,
      cpus: CPUS,
      windowBytes: 16 * 2 ** 20,
      ...(wrapped && hostOnly),
    });
    k.currentCpu = 1;
    const subject = new Subject(k);
    for (const [i, type] of TYPES.entries()) subject.fds.push(subject.map(BPF_MAP_TYPE[type], i >= OF_MAPS));
    return subject;
  }

  private map(map_type: number, ofMaps: boolean): number {
    const { k } = this;
    const attr = { map_type, key_size: 4, value_size: ofMaps ? 4 : 8, max_entries: ENTRIES, map_flags: 0 };
    const fd = k.bpf('MAP_CREATE', { ...attr, ...(ofMaps && { inner_map_fd: this.fds[0]! }) });
    const perCpu = map_type === BPF_MAP_TYPE.PERCPU_ARRAY || map_type === BPF_MAP_TYPE.PERCPU_HASH;
    // A hash lacks key 0, of an array of maps element 0 is empty.
    for (let key = 1; key < ENTRIES; key++) {
      const words = Array.from({ length: perCpu ? CPUS : 1 }, (_, cpu) => BigInt(10 * key + cpu));
      const value = ofMaps ? u32(this.fds[0]!) : new Uint8Array(BigUint64Array.from(words).buffer);
      expect(k.bpf('MAP_UPDATE_ELEM', { map_fd: fd, key: u32(key), value })).toBe(0);
    }
    return fd;
  }

  run(text: string): string {
    return shownBy(this.k, text, { args: [], fuel: 100 });
  }
}

const subjects = bothWays(Subject.create);

const NOTE = 'r9 *= 31\nr9 += r0';
/** r7: memory of a map. r6: a map that is not known when the program is compiled. */
const BEGIN = `
  r9 = 0
  *(u32 *)(r10 - 16) = 1
  r1 = MAP0 ll
  r2 = r10
  r2 += -16
  call map_lookup_elem
  r7 = r0
  r1 = MAP5 ll
  r2 = r10
  r2 += -16
  call map_lookup_elem
  r6 = r0
`;

const key = fc.integer({ min: 0, max: ENTRIES }).chain((value) =>
  fc.oneof(
    { arbitrary: fc.constant(`*(u32 *)(r10 - 8) = ${value}\nr2 = r10\nr2 += -8`), weight: 6 },
    { arbitrary: fc.constant(`*(u32 *)(r10 - 23) = ${value}\nr2 = r10\nr2 += -23`), weight: 1 },
    { arbitrary: fc.constant(`*(u32 *)(r7 + 0) = ${value}\nr2 = r7`), weight: 2 },
    {
      arbitrary: fc.constantFrom(
        ...['r2 = 0', 'r2 = -2', 'r2 = r7\nr2 += 6', 'r2 = r10\nr2 += -2', 'r2 = 0xffff888000fffffe ll'],
        ...['r2 = 0x123456789 ll', 'r2 = MAP0 ll', 'r2 = 0xffff888000000010 ll'],
      ),
      weight: 1,
    },
  ),
);
const known = fc.nat(TYPES.length - 1).map((i) => `r1 = MAP${i} ll`);
const map = fc.oneof(
  { arbitrary: known, weight: 10 },
  { arbitrary: fc.constant('r1 = r6'), weight: 4 },
  { arbitrary: fc.constantFrom('r1 = r7', 'r1 = 0', 'r1 = r6\nr1 += 8', 'r1 = r6\nr1 += 1024'), weight: 1 },
);
const cpu = fc.constantFrom('r3 = 0', 'r3 = 1', 'r3 = 2', 'r3 = 3', 'r3 = -1', 'r3 = 0x100000002 ll');
const perCpu = fc.constantFrom('r1 = MAP1 ll', 'r1 = MAP3 ll');
const step = fc.oneof(
  { arbitrary: fc.tuple(key, map).map((set) => [...set, 'call map_lookup_elem']), weight: 4 },
  {
    arbitrary: fc.tuple(key, perCpu, cpu).map((set) => [...set, 'call map_lookup_percpu_elem']),
    weight: 2,
  },
  { arbitrary: fc.tuple(key, map, cpu).map((set) => [...set, 'call map_lookup_percpu_elem']), weight: 1 },
);

/** Each result and what is there; r0 of a map that holds maps is one. */
function body(steps: readonly string[][]): string {
  return steps
    .map((lines, i) =>
      [...lines, NOTE, `if r0 == 0 goto end${i}`, 'r0 = *(u64 *)(r0 + 0)', NOTE, `end${i}:`].join('\n'),
    )
    .join('\n');
}

it.each(RUNS)('find what the helpers find: $engine, $checks', ({ engine, checks }) => {
  const { direct, host } = subjects.get(`${engine}, ${checks}`)!;
  let ended = 0;
  let runs = 0;
  const property = fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
    const text = `${BEGIN}${body(steps)}\nr0 = r9\nexit`.replace(
      /MAP(\d) ll/g,
      (_all, i) => `map_fd(${direct.fds[i]}) ll`,
    );
    const wanted = host.run(text);
    expect(direct.run(text)).toBe(wanted);
    runs++;
    if (wanted.startsWith('0x')) ended++;
  });
  fc.assert(property, { numRuns: 200, seed: 3 });
  // Otherwise nothing much was compared.
  expect(ended / runs).toBeGreaterThan(0.15);
  expect(ended / runs).toBeLessThan(0.9);
});
