import { expect, test } from 'vitest';
import { ToyKernel } from './toy.js';

test('a program answers an op', async () => {
  const t = await ToyKernel.create();
  const sum = t.prog('sum', 'r2 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r1 + 8)\nr0 += r2\nexit\n');
  expect(sum).toBeGreaterThan(0);
  const map = t.map('m');
  expect(map).toBeGreaterThan(0);
  expect(t.update(map, { sum })).toBe(0);
  expect(t.state(map)).toEqual({ refcnt: 0, state: 3 });
  const link = t.link(map);
  expect(link).toBeGreaterThan(0);
  const [kdata] = t.toy.registered;
  expect(kdata!.ops.sum!(-5, 3)).toBe(-2);
});
