import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ACCESS_RO, ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import { hzOf, jiffies64 } from '../../../src/kernel/jiffies.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { FAIR_PATHS } from '../../../src/kernel/model/fair.js';
import type { KernelTask } from '../../../src/kernel/model/task.js';

describe.each(['7.3', '6.12'])('what the fair class knows of tasks, %s', (profile) => {
  let k: Kernel;
  beforeAll(async () => {
    k = await Kernel.create({ profile, windowBytes: 1 << 25 });
  });
  afterAll(() => k.dispose());

  const task = (comm: string, parent?: KernelTask) => k.tasks.create({ comm, ...(parent && { parent }) });
  const access = ({ ptr }: KernelTask, paths: readonly (typeof FAIR_PATHS)[number][] = FAIR_PATHS) =>
    new Set(paths.map((path) => k.memory.accessAt(ptr + k.tasks.layout.field(path).offset)));

  test('virtual time and averages are 0, and not modelled of a task that it has had', () => {
    const [ext, fair] = [task('ext'), task('fair')];
    k.tasks.fair.enqueued(fair);
    expect(access(ext)).toEqual(new Set([ACCESS_RO]));
    expect(access(fair)).toEqual(new Set([ACCESS_UNMODELLED]));
    k.tasks.declare([]);
    expect(access(fair)).toEqual(new Set([ACCESS_UNMODELLED]));
    expect(access(ext)).toEqual(new Set([ACCESS_RO]));
    for (const path of FAIR_PATHS) expect(k.tasks.layout.field(path).get(ext.ptr)).toBe(0);
    const weight = k.memory.accessAt(fair.ptr + k.tasks.fields.loadWeight.offset);
    expect(weight).toBe(ACCESS_RO);
  });

  test('another task in its place is one that it has not had', () => {
    const gone = task('gone');
    k.tasks.fair.enqueued(gone);
    k.tasks.remove(gone);
    const fresh = Array.from({ length: 50 }, (_, i) => task(`fresh-${i}`));
    k.tasks.declare([]);
    for (const each of fresh) expect(access(each)).toEqual(new Set([ACCESS_RO]));
  });

  test('wakers count when they wake another task than before, halved after a second', () => {
    const [waker, a, b] = [task('waker'), task('a'), task('b')];
    const at = (path: 'wakee_flips' | 'wakee_flip_decay_ts' | 'last_wakee') =>
      k.tasks.layout.field(path).get(waker.ptr);
    expect(['wakee_flips', 'wakee_flip_decay_ts', 'last_wakee'].map((path) => at(path as 'last_wakee'))).toEqual([
      0, 0, 0,
    ]);
    for (const wakee of [a, a, b, a, b, b]) k.tasks.fair.woken(wakee, waker);
    expect([at('wakee_flips'), at('last_wakee')]).toEqual([4, b.ptr]);
    const first = jiffies64(k);
    expect(at('wakee_flip_decay_ts')).toBe(first);
    k.clock.advanceTo(k.clock.now + 1e9);
    k.tasks.fair.woken(b, waker);
    expect(at('wakee_flips')).toBe(4);
    k.clock.advanceTo(k.clock.now + 1e9 / hzOf(k));
    k.tasks.fair.woken(a, waker);
    expect([at('wakee_flips'), at('wakee_flip_decay_ts')]).toEqual([3, first + hzOf(k) + 1]);
    // A child begins with what its parent has.
    const child = task('child', waker);
    expect(k.tasks.layout.field('wakee_flips').get(child.ptr)).toBe(3);
    expect(k.tasks.layout.field('last_wakee').get(child.ptr)).toBe(a.ptr);
  });
});
