import { afterEach, describe, expect, it } from 'vitest';
import { ProgramFault } from '../../../src/kernel/fault.js';
import type { KernelOptions } from '../../../src/kernel/types.js';
import { PROFILES } from '../../sched_ext/harness.js';
import { type Fixture, key, load } from './harness.js';

// fixtures/timers.bpf.c: elements with a timer and a workqueue, in an array (0), a hash (1) and one without preallocation (2).

const EPERM = 1;
const EBUSY = 16;
const EINVAL = 22;
const EDEADLK = 35;
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;
const ABS = 1;
const CPU_PIN = 2;
const MAPS = ['array', 'hash', 'list'] as const;
const MODES = { once: 0, again: 1, cancelItself: 2, deleteItself: 3, fault: 4, keep: 5, async: 6 };
const VALUE_BYTES = 80;
const SHAPE = { map: 4, key: 4, ns: 8, flags: 8, result: 8 } as const;

const open: Fixture[] = [];
afterEach(() => {
  for (const { kernel } of open.splice(0)) kernel.dispose();
});

async function timers(options?: KernelOptions): Promise<Fixture> {
  const fixture = await load('timers', SHAPE, options);
  open.push(fixture);
  return fixture;
}

interface Where {
  map: number;
  key: number;
}

/** An element whose callback does this, with its timer initialised and its callback set. */
function prepare(fixture: Fixture, where: Where, mode: keyof typeof MODES = 'once', period = 0): void {
  element(fixture, where, mode, period);
  expect(fixture.run('init', { ...where, flags: CLOCK_MONOTONIC }).result).toBe(0);
  expect(fixture.run('set_callback', { ...where }).result).toBe(0);
}

function element({ object }: Fixture, where: Where, mode: keyof typeof MODES, period = 0): void {
  const value = new Uint8Array(VALUE_BYTES);
  new DataView(value.buffer).setUint32(32, MODES[mode], true);
  new DataView(value.buffer).setUint32(36, period, true);
  object.map(MAPS[where.map]!).update(key(where.key), value);
}

function state({ object }: Fixture, where: Where) {
  const value = object.map(MAPS[where.map]!).lookupBytes(key(where.key));
  if (!value) return undefined;
  const view = new DataView(value.buffer, value.byteOffset);
  const [runs, at, ofKey, cpu, result] = [40, 48, 56, 64, 72].map((offset) => Number(view.getBigInt64(offset, true)));
  return { runs, at, key: ofKey, cpu, result };
}

describe.each(PROFILES)('timers on %s', (profile) => {
  it.each([0, 1, 2])('run at their time with map, key and value: map %i', async (map) => {
    const fixture = await timers({ profile });
    const where = { map, key: 3 };
    prepare(fixture, where);
    const { kernel, run } = fixture;
    kernel.clock.advance(100);
    expect(run('start', { ...where, ns: 50 }).result).toBe(0);
    kernel.clock.advance(49);
    expect(state(fixture, where)!.runs).toBe(0);
    kernel.clock.advance(1000);
    expect(state(fixture, where)).toMatchObject({ runs: 1, at: 150, key: 3 });
  });

  it('go on for as long as they start themselves', async () => {
    const fixture = await timers({ profile });
    const where = { map: 1, key: 0 };
    prepare(fixture, where, 'again', 10_000);
    fixture.run('start', { ...where, ns: 5 });
    fixture.kernel.clock.advance(40_000);
    expect(state(fixture, where)).toMatchObject({ runs: 4, at: 30_005, result: 0 });
    expect(fixture.run('cancel', where).result).toBe(1);
    fixture.kernel.clock.advance(40_000);
    expect(state(fixture, where)!.runs).toBe(4);
    // Its callback went with it.
    expect(fixture.run('start', { ...where, ns: 5 }).result).toBe(-EINVAL);
    expect(fixture.run('cancel', where).result).toBe(0);
  });

  it.each([0, 1, 999])('let time pass, if their callback starts them for at once or nearly so: %d ns', async (ns) => {
    const fixture = await timers({ profile });
    const where = { map: 1, key: 0 };
    prepare(fixture, where, 'again', ns);
    fixture.run('start', { ...where, ns: 5 });
    fixture.kernel.clock.advance(3005);
    expect(state(fixture, where)).toMatchObject({ runs: 4, at: 3005 });
  });

  it('run on the CPU that started them, at absolute times, and once if started twice', async () => {
    const fixture = await timers({ profile });
    const { kernel, run } = fixture;
    const where = { map: 0, key: 1 };
    prepare(fixture, where);
    kernel.clock.advance(1000);
    kernel.currentCpu = 2;
    run('start', { ...where, ns: 10 });
    run('start', { ...where, ns: 1200, flags: ABS | CPU_PIN });
    kernel.currentCpu = 0;
    kernel.clock.advance(500);
    expect(state(fixture, where)).toMatchObject({ runs: 1, at: 1200, cpu: 2 });
    expect(kernel.currentCpu).toBe(0);
    // The past is now.
    run('start', { ...where, ns: 1, flags: ABS });
    kernel.clock.advance(0);
    expect(state(fixture, where)).toMatchObject({ runs: 2, at: 1500 });
  });

  it('answer as the kernel does', async () => {
    const fixture = await timers({ profile });
    const { run } = fixture;
    const where = { map: 0, key: 0 };
    expect(run('set_callback', where).result).toBe(-EINVAL);
    expect(run('start', where).result).toBe(-EINVAL);
    expect(run('cancel', where).result).toBe(-EINVAL);
    for (const flags of [2, 3, 16, 17]) expect(run('init', { ...where, flags }).result).toBe(-EINVAL);
    expect(run('init', { ...where, flags: CLOCK_BOOTTIME }).result).toBe(0);
    expect(run('init', { ...where, flags: CLOCK_MONOTONIC }).result).toBe(-EBUSY);
    expect(run('start', where).result).toBe(-EINVAL);
    expect(run('set_callback', where).result).toBe(0);
    expect(run('start', { ...where, flags: 4 }).result).toBe(-EINVAL);
    expect(() => run('init_other', { map: 0, key: 1 })).toThrow('the field lies in map "array", not in map "hash"');
  });

  it('may not cancel themselves, and may delete their element', async () => {
    const fixture = await timers({ profile });
    const { kernel, run } = fixture;
    const where = { map: 0, key: 0 };
    prepare(fixture, where, 'cancelItself');
    run('start', where);
    kernel.clock.advance(1);
    expect(state(fixture, where)).toMatchObject({ runs: 1, result: -EDEADLK });
    for (const map of [1, 2]) {
      prepare(fixture, { map, key: 5 }, 'deleteItself', 10);
      run('start', { map, key: 5 });
      kernel.clock.advance(100);
      expect(state(fixture, { map, key: 5 })).toBeUndefined();
    }
    expect(kernel.fields.asyncs.count).toBe(1);
    expect(kernel.clock.pending).toBe(0);
  });

  it('go with their element, their map and the last fd of user space', async () => {
    const fixture = await timers({ profile });
    const { kernel, object, run } = fixture;
    for (const map of [0, 1, 2]) {
      prepare(fixture, { map, key: 1 });
      run('start', { map, key: 1, ns: 100 });
    }
    expect(kernel.clock.pending).toBe(3);
    object.map('list').delete(key(1));
    object.map('hash').update(key(1), new Uint8Array(VALUE_BYTES));
    expect(kernel.clock.pending).toBe(1);
    // A link or another program may keep the map itself.
    const map = kernel.maps.values().find(({ name }) => name === 'array')!;
    map.inc();
    object.close();
    expect(kernel.clock.pending).toBe(0);
    expect(kernel.fields.asyncs.count).toBe(0);
    map.put();
    expect(kernel.progs.values()).toEqual([]);
  });

  it('keep their program alive until they are gone', async () => {
    const fixture = await timers({ profile });
    const { kernel, object, run } = fixture;
    prepare(fixture, { map: 1, key: 1 }, 'again', 10);
    run('start', { map: 1, key: 1, ns: 10 });
    kernel.bpf('OBJ_PIN', { pathname: '/sys/fs/bpf/timers', bpf_fd: object.map('hash').fd });
    object.close();
    expect(kernel.progs.values().map(({ fullName }) => fullName)).toEqual(['set_callback']);
    kernel.clock.advance(35);
    kernel.unlink('/sys/fs/bpf/timers');
    expect(kernel.progs.values()).toEqual([]);
    expect(kernel.clock.pending).toBe(0);
  });

  it('fault by the name of their map, and the clock goes on', async () => {
    const fixture = await timers({ profile });
    const { kernel, run } = fixture;
    prepare(fixture, { map: 1, key: 0 }, 'fault');
    prepare(fixture, { map: 1, key: 1 }, 'keep');
    run('start', { map: 1, key: 0, ns: 10 });
    run('start', { map: 1, key: 1, ns: 20 });
    expect(() => kernel.clock.advance(15)).toThrow(
      /timer of map "hash": prog "set_callback": insn \d+ \(timers\.bpf\.c:\d+\): out_of_bounds/,
    );
    expect(() => kernel.clock.advance(15)).toThrow(/timer of map "hash": .*bpf_rcu_read_lock is still held/);
    expect(kernel.held.count).toBe(0);
    kernel.clock.advance(100);
  });

  it('work in a workqueue at the next step, once for many starts', async () => {
    const fixture = await timers({ profile });
    const { kernel, run } = fixture;
    const where = { map: 2, key: 4 };
    element(fixture, where, 'again');
    expect(run('wq_start', where).result).toBe(-EINVAL);
    expect(run('wq_init', { ...where, flags: 1 }).result).toBe(-EINVAL);
    expect(run('wq_init', where).result).toBe(0);
    expect(run('wq_init', where).result).toBe(-EBUSY);
    expect(run('wq_start', where).result).toBe(-EINVAL);
    expect(run('wq_set', { ...where, flags: 1 }).result).toBe(-EINVAL);
    expect(run('wq_set', where).result).toBe(0);
    expect([1, 2].map(() => run('wq_start', where).result)).toEqual([0, 0]);
    expect(state(fixture, where)!.runs).toBe(0);
    kernel.clock.advance(0);
    expect(state(fixture, where)).toMatchObject({ runs: 3, key: 4, result: 0 });
    run('wq_start', where);
    fixture.object.map('list').delete(key(4));
    kernel.clock.advance(0);
    expect(kernel.fields.asyncs.count).toBe(0);
  });
});

it('cancels without waiting since 7.0', async () => {
  const fixture = await timers({ profile: '7.3' });
  const { kernel, run } = fixture;
  const where = { map: 1, key: 0 };
  expect(run('cancel_async', { map: 0, key: 0 }).result).toBe(-EINVAL);
  prepare(fixture, where, 'async');
  expect(run('cancel_async', where).result).toBe(0);
  run('start', { ...where, ns: 10 });
  expect(run('cancel_async', where).result).toBe(1);
  // The callback stays.
  expect(run('start', { ...where, ns: 10 }).result).toBe(0);
  kernel.clock.advance(10);
  expect(state(fixture, where)).toMatchObject({ runs: 1, result: -1 });
});

it('runs task work as the task at the next step, and not for elements that go', async () => {
  const { kernel, object, run } = await timers({ profile: '7.3' });
  const task = kernel.tasks.create({ comm: 'worker', pid: 300 });
  const users = task.rcuUsers;
  const errands = object.map('errands');
  for (const at of [1, 2]) errands.update(key(at), new Uint8Array(32));
  const words = (at: number) => [...new BigUint64Array(errands.lookupBytes(key(at))!.slice().buffer)].slice(1);
  expect(run('send', { key: 1, ns: 300 }).result).toBe(0);
  expect(run('send', { key: 1, ns: 300 }).result).toBe(-EBUSY);
  expect(run('send', { key: 2, ns: 300 }).result).toBe(0);
  expect(task.rcuUsers).toBe(users + 2);
  errands.delete(key(2));
  expect(task.rcuUsers).toBe(users + 1);
  kernel.clock.advance(0);
  expect(words(1)).toEqual([1n, 300n, 1n]);
  expect(task.rcuUsers).toBe(users);
  expect(run('send', { key: 1, ns: 300 }).result).toBe(0);
  kernel.clock.advance(0);
  expect(words(1)).toEqual([2n, 300n, 1n]);
  expect(kernel.currentTask).not.toBe(task.ptr);
});

it('does not know wall-clock time', async () => {
  const fixture = await timers();
  const where = { map: 0, key: 0 };
  element(fixture, where, 'once');
  fixture.run('init', { ...where, flags: CLOCK_REALTIME });
  fixture.run('set_callback', where);
  expect(() => fixture.run('start', { ...where, ns: 10, flags: ABS })).toThrow(ProgramFault);
  expect(fixture.run('start', { ...where, ns: 10 }).result).toBe(0);
});

it.each([
  ['6.18', -EPERM],
  ['7.3', 0],
])('asks for a reference of user space when a callback is set on %s', async (profile, answer) => {
  const fixture = await timers({ profile });
  const { kernel, object, run } = fixture;
  prepare(fixture, { map: 0, key: 0 });
  const map = kernel.maps.values().find(({ name }) => name === 'array')!;
  Object.defineProperty(map, 'usercnt', { value: 0 });
  expect(run('set_callback', { map: 0, key: 0 }).result).toBe(answer);
  expect(run('init', { map: 0, key: 1, flags: CLOCK_MONOTONIC }).result).toBe(-EPERM);
  expect(object.state).toBe('loaded');
});
