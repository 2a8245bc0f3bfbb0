import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Kernel } from '../../../src/kernel/kernel.js';
import { BPF_MAP_TYPE } from '../../../src/uapi.js';
import { RUNS } from '../../engines.js';
import { assembleText } from '../run_text.js';

// Look-ups of programs, which the core answers from nodes that the host keeps, against a list of prefixes that is searched.

const kernels = new Map<string, Kernel>();
beforeAll(async () => {
  for (const run of RUNS) kernels.set(`${run.engine}, ${run.checks}`, await Kernel.create({ ...run, cpus: 1 }));
});
afterAll(() => {
  for (const k of kernels.values()) k.dispose();
});

interface Prefix {
  readonly length: number;
  readonly data: readonly number[];
}

const bits = ({ data }: Prefix, length: number) =>
  data
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('')
    .slice(0, length);

function keyOf({ length, data }: Prefix): Uint8Array {
  return Uint8Array.from([length & 255, length >> 8, 0, 0, ...data]);
}

/** Writes a key to the frame and looks it up: what is there, or 0. */
function lookup(map: number, key: Uint8Array, i: number): string {
  const stores = [...key].map((byte, at) => `*(u8 *)(r10 - ${24 - at}) = ${byte}`);
  return `
    ${stores.join('\n')}
    r1 = map_fd(${map}) ll
    r2 = r10
    r2 += -24
    call map_lookup_elem
    if r0 == 0 goto none${i}
    r0 = *(u32 *)(r0 + 0)
    none${i}:
    r9 *= 1000
    r9 += r0`;
}

/** Few different bytes, so that prefixes have much in common. */
const prefixes = (bytes: number) =>
  fc.record({
    length: fc.integer({ min: 0, max: bytes * 8 }),
    data: fc.array(fc.constantFrom(0, 1, 3, 128, 255), { minLength: bytes, maxLength: bytes }),
  });
const work = fc.constantFrom(1, 4, 7, 8, 9, 16).chain((bytes) =>
  fc.record({
    bytes: fc.constant(bytes),
    steps: fc.array(fc.tuple(prefixes(bytes), fc.nat(3)), { maxLength: 24 }),
    asked: fc.array(prefixes(bytes), { minLength: 5, maxLength: 5 }),
    over: fc.boolean(),
  }),
);

it.each(RUNS)('give the longest prefix: $engine, $checks', ({ engine, checks }) => {
  const k = kernels.get(`${engine}, ${checks}`)!;
  let before: typeof k.vm.memory.usage | undefined;
  let hits = 0;
  const property = fc.property(work, ({ bytes, steps, asked, over }) => {
    const attr = { map_type: BPF_MAP_TYPE.LPM_TRIE, key_size: 4 + bytes, value_size: 4, max_entries: 30, map_flags: 1 };
    const map_fd = k.bpf('MAP_CREATE', attr);
    const model = new Map<string, number>();
    for (const [i, [prefix, what]] of steps.entries()) {
      const key = keyOf(prefix);
      const name = bits(prefix, prefix.length);
      if (what === 0) {
        expect(k.bpf('MAP_DELETE_ELEM', { map_fd, key })).toBe(model.delete(name) ? 0 : -2);
      } else {
        const value = new Uint8Array(Uint32Array.of(i + 1).buffer);
        expect(k.bpf('MAP_UPDATE_ELEM', { map_fd, key, value })).toBe(0);
        model.set(name, i + 1);
      }
    }
    const answers = asked.map((prefix) => {
      for (let length = prefix.length; length >= 0; length--) {
        const found = model.get(bits(prefix, length));
        if (found !== undefined) return found;
      }
      return 0;
    });
    const keys = asked.map(keyOf);
    // One bit more than there are.
    if (over) {
      keys[0] = keyOf({ ...asked[0]!, length: bytes * 8 + 1 });
      answers[0] = 0;
    }
    hits += answers.filter((answer) => answer !== 0).length;
    const text = ['r9 = 0', ...keys.map((key, i) => lookup(map_fd, key, i)), 'r0 = r9', 'exit'].join('\n');
    const prog_fd = k.bpf('PROG_LOAD', { prog_type: 31, prog_flags: 16, insns: assembleText(k, text), license: 'GPL' });
    const prog = k.fds.prog(prog_fd);
    if (typeof prog === 'number') throw new Error(`PROG_LOAD: ${prog_fd}`);
    expect(k.runProg(prog, [])).toBe(answers.reduce((sum, answer) => sum * 1000n + BigInt(answer), 0n));
    for (const [i, key] of keys.entries()) {
      const value = new Uint8Array(4);
      const found = k.bpf('MAP_LOOKUP_ELEM', { map_fd, key, value }) === 0 ? new Uint32Array(value.buffer)[0] : 0;
      expect(found).toBe(answers[i]);
    }
    k.close(prog_fd);
    k.close(map_fd);
    // What the first run makes stays.
    before ??= k.vm.memory.usage;
  });
  fc.assert(property, { numRuns: 60, seed: 11 });
  expect(hits).toBeGreaterThan(50);
  const after = k.vm.memory.usage;
  expect([after.liveObjects, after.maps]).toEqual([before!.liveObjects, before!.maps]);
  expect(after.heapBytes - before!.heapBytes).toBeLessThan(64 * 2 ** 10);
});
