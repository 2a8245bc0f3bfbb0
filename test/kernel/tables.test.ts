import { expect, test } from 'vitest';
import { ERRNO } from '../../src/errno.js';
import { Clock } from '../../src/kernel/clock.js';
import { IdTable } from '../../src/kernel/ids.js';
import { objName, objNameCopy } from '../../src/kernel/name.js';
import { Random } from '../../src/kernel/random.js';
import { RefCount } from '../../src/kernel/refcount.js';

test('ids ascend from 1 and are not reused', () => {
  const ids = new IdTable<string>();
  expect([ids.alloc('a'), ids.alloc('b'), ids.alloc('c')]).toEqual([1, 2, 3]);
  ids.free(2);
  expect(ids.alloc('d')).toBe(4);
  expect(ids.get(2)).toBeUndefined();
  expect([0, 1, 3, 4].map((id) => ids.after(id))).toEqual([1, 3, 4, 0]);
  expect(ids.values()).toEqual(['a', 'c', 'd']);
});

test('names are those of bpf_obj_name_cpy; what follows a NUL does not count', () => {
  for (const name of ['', 'a', 'Aa_0.z', 'x'.repeat(15)]) expect(objName(name)).toBe(name);
  for (const name of ['x'.repeat(16), 'a b', 'a-b', 'ä', 'ab c\0']) expect(objName(name)).toBe(-ERRNO.EINVAL);
  expect(objName('a\0b c')).toBe('a');
});

test('a reference count never comes back from 0', () => {
  const refs = new RefCount();
  expect(refs.incNotZero()).toBe(true);
  expect([refs.dec(), refs.dec()]).toEqual([false, true]);
  expect(refs.incNotZero()).toBe(false);
  expect(() => refs.inc()).toThrow('use after free');
  expect(() => refs.dec()).toThrow('underflow');
});

test('the clock stands still until it is moved, and never goes back', () => {
  const clock = new Clock();
  clock.advance(5);
  clock.advanceTo(7);
  expect(clock.now).toBe(7);
  expect(() => clock.advanceTo(6)).toThrow(RangeError);
  expect(() => clock.advance(0.5)).toThrow(RangeError);
});

test('the random numbers of a seed are always the same, and spread', () => {
  const take = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 1000 }, () => random.u32());
  };
  expect(take(1)).toEqual(take(1));
  expect(take(1)).not.toEqual(take(2));
  const numbers = take(42);
  expect(new Set(numbers).size).toBe(1000);
  const mean = numbers.reduce((sum, n) => sum + n, 0) / 1000 / 2 ** 32;
  expect(mean).toBeGreaterThan(0.45);
  expect(mean).toBeLessThan(0.55);
  expect(numbers.every((n) => Number.isInteger(n) && n >= 0 && n < 2 ** 32)).toBe(true);
});

test('names in struct_ops values are copied up to their NUL, Latin-1 letters too', () => {
  const bytes = (text: string, length = 8) => Uint8Array.from({ length }, (_, i) => text.charCodeAt(i) || 0);
  expect(objNameCopy(bytes('a.b_9'))).toEqual(bytes('a.b_9'));
  expect(objNameCopy(bytes('ab\0cd'))).toEqual(bytes('ab'));
  expect(objNameCopy(bytes('a\xe4b'))).toEqual(bytes('a\xe4b'));
  for (const name of ['', '\0a', 'a b', 'a-b', 'a\xd7b', '12345678']) expect(objNameCopy(bytes(name))).toBeUndefined();
});
