import { afterEach, describe, expect, it } from 'vitest';
import { ProgramFault } from '../../../src/kernel/fault.js';
import type { KernelOptions } from '../../../src/kernel/types.js';
import { PROFILES } from '../../sched_ext/harness.js';
import { type Fixture, key, load } from './harness.js';

// fixtures/fields.bpf.c: boxes (keys 0 to 99 in a hash, from 100 on in an array) with lists, a tree and kptrs.

const EINVAL = 22;
const EDEADLK = 35;
const ETIMEDOUT = 110;
const VALUE_BYTES = 96;
const SHAPE = { key: 8, value: 8, result: 8 } as const;

const open: Fixture[] = [];
afterEach(() => {
  for (const { kernel } of open.splice(0)) kernel.dispose();
});

async function fields(options?: KernelOptions): Promise<Fixture> {
  const fixture = await load('fields', SHAPE, options);
  open.push(fixture);
  return fixture;
}

/** A box with this key in the hash, all zero. */
function newBox({ object }: Fixture, at: number): void {
  object.map('hash').update(key(at), new Uint8Array(VALUE_BYTES));
}

describe.each(PROFILES)('objects on %s', (profile) => {
  it('stay in a list and a tree from run to run', async () => {
    const { kernel, run } = await fields({ profile });
    for (const value of [5, 3, 9]) expect(run('add', { key: 100, value }).ret).toBe(0);
    expect(kernel.fields.objects.count).toBe(3);
    expect(run('take_first', { key: 100 }).result).toBe(3);
    expect(run('pop', { key: 100 }).result).toBe(5);
    expect(run('pop', { key: 100, value: 1 }).result).toBe(9);
    expect(run('pop', { key: 100 }).result).toBe(3);
    // All have left the list; two are in the tree still.
    expect(kernel.fields.objects.count).toBe(2);
    expect([1, 2, 3].map(() => run('take_first', { key: 100 }).result)).toEqual([5, 9, -1]);
    expect(kernel.fields.objects.count).toBe(0);
  });

  it('change hands through a kptr', async () => {
    const { kernel, run } = await fields({ profile });
    expect([7, 8, 0, 0].map((value) => run('swap', { key: 101, value }).result)).toEqual([-1, 7, 8, -1]);
    expect(kernel.fields.objects.count).toBe(0);
  });

  it('go with the value that owns them', async () => {
    const fixture = await fields({ profile });
    const { kernel, object, run } = fixture;
    const fill = () => {
      for (const value of [1, 2, 3]) run('add', { key: 1, value });
      run('swap', { key: 1, value: 4 });
      run('count', { key: 1, value: 1 });
      expect(kernel.fields.objects.count).toBe(5);
    };
    newBox(fixture, 1);
    fill();
    expect(run('forget', { key: 1 }).ret).toBe(0);
    expect(kernel.fields.objects.count).toBe(0);
    newBox(fixture, 1);
    fill();
    object.map('hash').update(key(1), new Uint8Array(VALUE_BYTES));
    expect(kernel.fields.objects.count).toBe(0);
    expect(run('pop', { key: 1 }).result).toBe(-1);
    fill();
    object.close();
    expect(kernel.fields.objects.count).toBe(0);
  });

  it('go with an array element that user space writes over', async () => {
    const { kernel, object, run } = await fields({ profile });
    run('add', { key: 100, value: 1 });
    const value = new Uint8Array(VALUE_BYTES).fill(0xff);
    object.map('array').update(key(0), value);
    expect(kernel.fields.objects.count).toBe(0);
    const after = object.map('array').lookupBytes(key(0))!;
    // The bytes around the special fields are the new ones, and those the kernel's alone.
    expect(after.subarray(0, 8)).toEqual(value.subarray(0, 8));
    expect(after.subarray(VALUE_BYTES - 8)).toEqual(value.subarray(VALUE_BYTES - 8));
    expect(after.subarray(16, VALUE_BYTES - 8).every((byte) => byte === 0)).toBe(true);
  });

  it('have a copy on each CPU if they are per-CPU', async () => {
    const { run } = await fields({ profile });
    expect([2, 3].map((value) => run('count', { key: 100, value }).result)).toEqual([2, 5]);
  });

  it('are in one list at a time', async () => {
    const { kernel, run } = await fields({ profile });
    expect(run('push_twice', { key: 100 }).ret).toBe(-EINVAL);
    expect(kernel.fields.objects.count).toBe(1);
    run('pop', { key: 100 });
    expect(kernel.fields.objects.count).toBe(0);
  });

  it('may own objects of the kernel, which go back with them', async () => {
    const fixture = await fields({ profile });
    const { kernel, run } = fixture;
    const task = kernel.tasks.create({ comm: 'worker', pid: 300 });
    newBox(fixture, 1);
    expect(run('keep_task', { key: 1, value: 300 })).toEqual({ ret: 0, result: 0 });
    expect(run('keep_task', { key: 1, value: 300 })).toEqual({ ret: 0, result: 1 });
    expect(run('keep_task_in_item', { key: 1, value: 300 }).ret).toBe(0);
    const users = task.rcuUsers;
    run('forget', { key: 1 });
    expect(task.rcuUsers).toBe(users - 2);
    expect(kernel.fields.objects.count).toBe(0);
  });

  it('and those in a task’s storage with the task, or with the map', async () => {
    const { kernel, object, run } = await fields({ profile });
    const [a, b, c] = [300, 301, 302].map((pid) => kernel.tasks.create({ comm: 'worker', pid }));
    const users = c!.rcuUsers;
    expect([1, 2].map(() => run('note', { key: 300, value: 302 }).result)).toEqual([1, 2]);
    expect(run('note', { key: 301, value: 302 }).result).toBe(1);
    expect([c!.rcuUsers, kernel.fields.objects.count]).toEqual([users + 2, 2]);
    kernel.tasks.remove(a!);
    expect([c!.rcuUsers, kernel.fields.objects.count]).toEqual([users + 1, 1]);
    object.close();
    expect([c!.rcuUsers, kernel.fields.objects.count]).toEqual([users, 0]);
    expect(b!.rcuUsers).toBeGreaterThan(0);
  });
});

describe('locks', () => {
  it('answer a res lock that the CPU holds already', async () => {
    const { run } = await fields({ profile: '7.3' });
    expect(run('res_lock', { key: 3, value: 4 })).toEqual({ ret: 0, result: 0 });
    expect(run('res_lock', { key: 3, value: 3 })).toEqual({ ret: 0, result: -EDEADLK });
    expect(run('res_lock', { key: 3, value: 3 })).toEqual({ ret: 0, result: -EDEADLK });
  });

  it('find it out by the time that has passed when the table of held locks is full', async () => {
    const { run } = await fields({ profile: '7.3' });
    expect(run('res_lock_many', { key: 31 })).toEqual({ ret: 0, result: -EDEADLK });
    expect(run('res_lock_many', { key: 32 })).toEqual({ ret: 0, result: -ETIMEDOUT });
  });
});

describe('what a verifier would refuse stops the program, which gives everything back', () => {
  const CASES: readonly [program: string, message: RegExp][] = [
    [
      'bad_lock_twice',
      /deadlock: the bpf_spin_lock of map "array" value of key 0 was taken by prog "bad_lock_twice" at insn/,
    ],
    ['bad_lock_kept', /the bpf_spin_lock of map "array" value of key 0 is still held when the program ends/],
    ['bad_unlock', /bpf_spin_unlock: no lock is held/],
    ['bad_second_lock', /locking two bpf_spin_locks is not allowed/],
    ['bad_call', /bpf_ktime_get_ns: function calls are not allowed while holding a lock/],
    ['bad_core_call', /function calls are not allowed while holding a lock/],
    ['bad_leak', /struct plain of bpf_obj_new_impl is still held when the program ends/],
    [
      'bad_drop_twice',
      /bpf_obj_drop_impl: argument 1 is not an object of bpf_obj_new but 0 bytes inside freed struct plain/,
    ],
    ['bad_use_after_drop', /freed: 8-byte store at .* \(0 bytes inside freed struct plain\)/],
    ['bad_push_unlocked', /the lock beside the bpf_list_head of map "array" value of key 0 must be held/],
    ['bad_push_wrong', /expects the bpf_list_node at offset 8 of struct item, not at offset 8 of struct plain/],
    ['bad_store', /read_only: 4-byte store .*8 bytes inside map "array" value of key 0/],
    ['bad_xchg', /bpf_kptr_xchg: argument 2 is no struct plain but struct item/],
    ['bad_throw', /struct plain of bpf_obj_new_impl is still held when the program ends/],
  ];

  it.each(CASES)('%s', async (program, message) => {
    const { kernel, run } = await fields({ profile: '7.3' });
    const fault = (): unknown => {
      try {
        return run(program, { key: 100, value: 1 });
      } catch (error) {
        return error;
      }
    };
    for (let i = 0; i < 2; i++) {
      const error = fault();
      expect(error).toBeInstanceOf(ProgramFault);
      expect((error as ProgramFault).message).toMatch(message);
      expect((error as ProgramFault).message).toMatch(/\(fields\.bpf\.c:\d+\)/);
    }
    expect(kernel.held.count).toBe(0);
    expect(kernel.fields.objects.count).toBe(0);
    // The lock is free again.
    expect(run('add', { key: 100, value: 1 }).ret).toBe(0);
  });

  it('in the comparison of a tree, too', async () => {
    const { kernel, run } = await fields({ profile: '7.3' });
    expect(run('bad_compare', { key: 100 }).ret).toBe(0);
    expect(() => run('bad_compare', { key: 100 })).toThrow('function calls are not allowed while holding a lock');
    expect(kernel.fields.objects.count).toBe(1);
    expect(kernel.held.count).toBe(0);
  });
});

it('leaves dropped objects to readers until their section ends', async () => {
  const { kernel, run } = await fields({ profile: '7.3' });
  run('swap', { key: 100, value: 1 });
  const release = kernel.rcu.hold();
  run('swap', { key: 100, value: 0 });
  expect(kernel.fields.objects.count).toBe(1);
  release();
  expect(kernel.fields.objects.count).toBe(0);
});
