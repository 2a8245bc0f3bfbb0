import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { VmtableError } from '../../src/errors.js';
import type { Core } from '../../src/vm/core.js';
import { newCore } from './new_core.js';

const AREA = 96;
const OWN = abi.FIRST_OWN_CLASS + 3;
const CLASSES = [0, 1, 2, 3, 4, 5, OWN, 31];

/** The rules, byte by byte: the fault of the first byte that may not be accessed. */
function model(classes: readonly number[], at: number, n: number, write: boolean, writeClasses: number): number {
  for (let i = at; i < at + n; i++) {
    const access = classes[i] as number;
    const own = access >= abi.FIRST_OWN_CLASS;
    if (access === abi.ACCESS_RW || (!write && (own || access === abi.ACCESS_RO))) continue;
    if (own && ((writeClasses >>> access) & 1) === 1) continue;
    const faults: Record<number, number> = {
      [abi.ACCESS_NONE]: abi.FAULT_UNALLOCATED,
      [abi.ACCESS_RO]: abi.FAULT_READ_ONLY,
      [abi.ACCESS_FREED]: abi.FAULT_FREED,
      [abi.ACCESS_REDZONE]: abi.FAULT_OUT_OF_BOUNDS,
      [abi.ACCESS_UNMODELLED]: abi.FAULT_UNMODELLED,
    };
    return faults[access] ?? abi.FAULT_PROTECTED;
  }
  return abi.FAULT_NONE;
}

const change = fc.record({
  at: fc.nat(AREA - 1),
  n: fc.integer({ min: 0, max: 40 }),
  access: fc.constantFrom(...CLASSES),
});

test('checks agree with a byte-by-byte model, at every place, width and right', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 25 }), async (changes) => {
      const { core, memory } = await newCore({ windowBytes: 2 ** 20 });
      const start = memory.alloc(AREA, { name: 'area' });
      const classes = new Array<number>(AREA).fill(abi.ACCESS_RW);
      for (const { at, n, access } of changes) {
        const count = Math.min(n, AREA - at);
        memory.setAccess(start + at, count, access);
        classes.fill(access, at, at + count);
      }
      const wrong: string[] = [];
      for (let at = 0; at < AREA; at++) {
        if (core.exports.accessAt(start + at) !== classes[at]) wrong.push(`class of byte ${at}`);
        for (const n of [1, 2, 4, 8, 3, 21, AREA - at]) {
          if (at + n > AREA) continue;
          for (const write of [false, true]) {
            for (const writeClasses of [0, 1 << OWN, (1 << 31) | (1 << abi.ACCESS_RO)]) {
              const fault = core.exports.checkSlow(start + at, n, write, writeClasses);
              const expected = model(classes, at, n, write, writeClasses);
              if (fault !== expected)
                wrong.push(`${at}+${n} write ${write} ${writeClasses}: ${fault}, not ${expected}`);
              const can = memory.canAccess(start + at, n, write, writeClasses);
              if (can !== (expected === abi.FAULT_NONE)) wrong.push(`canAccess ${at}+${n} write ${write}: ${can}`);
            }
          }
        }
      }
      expect(wrong).toEqual([]);
    }),
    { numRuns: 40 },
  );
});

test('long ranges are checked to their last byte', async () => {
  const { core, memory } = await newCore();
  const bytes = 100_003;
  const start = memory.alloc(bytes, { name: 'long' });
  expect(core.exports.checkSlow(start, bytes, true, 0)).toBe(abi.FAULT_NONE);
  expect(core.exports.checkSlow(start, bytes + 1, true, 0)).toBe(abi.FAULT_OUT_OF_BOUNDS);
  for (let n = 1; n < 300; n++) {
    for (let at = 0; at < 9; at++) expect(core.exports.checkSlow(start + at, n, true, 0)).toBe(abi.FAULT_NONE);
  }
  for (const at of [0, 7, 64, 4095, 65_536, 99_999, bytes - 1]) {
    memory.setAccess(start + at, 1, abi.ACCESS_RO);
    expect(core.exports.checkSlow(start, bytes, false, 0)).toBe(abi.FAULT_NONE);
    expect(core.exports.checkSlow(start, bytes, true, 0)).toBe(abi.FAULT_READ_ONLY);
    expect(core.exports.checkSlow(start, at, true, 0)).toBe(abi.FAULT_NONE);
    expect(core.exports.checkSlow(start + at + 1, bytes - at - 1, true, 0)).toBe(abi.FAULT_NONE);
    memory.setAccess(start + at, 1, abi.ACCESS_RW);
  }
});

test('the NULL page and what reaches beyond the window have faults of their own', async () => {
  const { core } = await newCore({ windowBytes: 2 ** 20 });
  const { checkSlow } = core.exports;
  expect(checkSlow(0, 1, false, 0)).toBe(abi.FAULT_NULL);
  expect(checkSlow(abi.NULL_PAGE - 1, 8, false, 0)).toBe(abi.FAULT_NULL);
  expect(checkSlow(abi.NULL_PAGE, 8, false, 0)).toBe(abi.FAULT_UNALLOCATED);
  expect(checkSlow(2 ** 20 - 8, 8, false, 0)).toBe(abi.FAULT_UNALLOCATED);
  expect(checkSlow(2 ** 20 - 8, 9, false, 0)).toBe(abi.FAULT_OUT_OF_WINDOW);
  expect(checkSlow(0xffffffff, 0xffffffff, false, 0)).toBe(abi.FAULT_OUT_OF_WINDOW);
  expect(checkSlow(2 ** 20, 0, true, 0)).toBe(abi.FAULT_NONE);
  expect(checkSlow(2 ** 20 + 1, 0, true, 0)).toBe(abi.FAULT_OUT_OF_WINDOW);
});

/** Gives granules of an area one different mix of classes after the other until the core refuses. */
function exhaust(core: Core, start: number): number {
  let count = 0;
  for (let mix = 0; mix < 400; mix++) {
    for (let byte = 0; byte < 4; byte++) {
      const access = CLASSES[(mix >> (3 * byte)) & 7] as number;
      if (!core.exports.setAccess(start + mix * 8 + byte, 1, access)) return count;
    }
    count++;
  }
  return count;
}

test('the 257th pattern is refused loudly, and the others go on working', async () => {
  const { core, memory } = await newCore();
  const start = memory.alloc(8 * 400, { name: 'mixes' });
  const count = exhaust(core, start);
  expect(memory.usage.shadowPatterns).toBe(256);
  expect(count).toBeLessThan(256);
  expect(() => memory.setAccess(start + 8 * 399 + 5, 1, 30)).toThrow(VmtableError);
  expect(() => memory.alloc(13, { name: 'x', access: 29 })).toThrow(/out of shadow patterns/);
  const fine = memory.alloc(16, { name: 'whole' });
  expect(memory.canAccess(fine, 16, true)).toBe(true);
  expect(memory.canAccess(fine, 17, true)).toBe(false);
  memory.free(fine);
  expect(memory.canAccess(fine, 1, false)).toBe(false);
});

test('only classes that exist can be given', async () => {
  const { memory } = await newCore();
  const start = memory.alloc(16, { name: 'x' });
  for (const access of [6, 7, 32, -1, 1.5, Number.NaN]) {
    expect(() => memory.setAccess(start, 8, access)).toThrow(VmtableError);
    expect(() => memory.alloc(8, { name: 'y', access })).toThrow(VmtableError);
  }
  expect(() => memory.setAccess(start, 17, 1)).toThrow(/no live object holds/);
  expect(() => memory.setAccess(start - 1, 2, 1)).toThrow(/no live object holds/);
});
