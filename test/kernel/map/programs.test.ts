// What programs see of maps: a compiled object with every type whose elements programs reach in a way of their own.
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { STAT_LIVE_OBJECTS } from '../../../assembly/abi.js';
import { assemble } from '../../../src/asm/index.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/index.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { type BpfObject, openObject } from '../../../src/loader/index.js';
import { BPF_EXIST, BPF_MAP_TYPE, BPF_NOEXIST, BPF_PROG_TYPE } from '../../../src/uapi.js';

const OBJECT = readFileSync(new URL('../fixtures/maps.bpf.o', import.meta.url));
const PACKET = new Uint8Array(14);

let kernel: Kernel;
let object: BpfObject;
beforeEach(async () => {
  kernel = await Kernel.create({ windowBytes: 8 << 20, cpus: 2 });
  object = openObject(OBJECT, { name: 'maps' }).load(kernel);
});
afterEach(() => {
  object.close();
  expect(kernel.maps.size).toBe(0);
  kernel.dispose();
});

/** Runs a program over { op, a, b, result }. */
function call(prog: string, op = 0, a: number | bigint = 0, b = 0): { ret: number; result: bigint } {
  const words = BigUint64Array.of(BigInt(op), BigInt(a), BigInt(b), 0n);
  const { retval, ctx } = object.program(prog).testRun({ ctx: new Uint8Array(words.buffer) });
  return { ret: retval | 0, result: new DataView(ctx!.buffer).getBigUint64(24, true) };
}
const ret = (prog: string, op = 0, a: number | bigint = 0, b = 0) => call(prog, op, a, b).ret;
const map = (name: string) => object.map(name);
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const kernelMap = (name: string) => {
  const found = kernel.fds.map(map(name).fd);
  if (typeof found === 'number') throw new Error(`no map ${name}`);
  return found;
};

/** Is there still a `struct bpf_map`? */
const readable = (guest: number) =>
  kernel.memory.canAccess(guest + kernel.types.struct('bpf_map').field('map_type').offset, 4, false);

describe('queues and stacks', () => {
  test('push, peek and pop in their order', () => {
    for (const op of [0, 1]) {
      expect([1, 2, 3].map((value) => ret('push', op, value))).toEqual([0, 0, 0]);
      expect(ret('push', op, 4)).toBe(-ERRNO.E2BIG);
      expect(ret('push', op, 4, BPF_NOEXIST)).toBe(-ERRNO.EINVAL);
      expect(ret('push', op, 4, 3)).toBe(-ERRNO.EINVAL);
    }
    expect(call('peek', 0)).toEqual({ ret: 0, result: 1n });
    expect(call('peek', 1)).toEqual({ ret: 0, result: 3n });
    const popped = (op: number) => [0, 1, 2].map(() => call('pop', op).result);
    expect([popped(0), popped(1)]).toEqual([
      [1n, 2n, 3n],
      [3n, 2n, 1n],
    ]);
    expect(call('pop', 0)).toEqual({ ret: -ERRNO.ENOENT, result: 0n });
    expect(call('peek', 1)).toEqual({ ret: -ERRNO.ENOENT, result: 0n });
  });

  test('BPF_EXIST drops the oldest value of a full map', () => {
    for (const op of [0, 1]) {
      for (const value of [1, 2, 3, 4]) expect(ret('push', op, value, BPF_EXIST)).toBe(0);
      expect([0, 1, 2, 3].map(() => call('pop', op).result)).toEqual(op ? [4n, 3n, 2n, 0n] : [2n, 3n, 4n, 0n]);
    }
  });

  test('are shared with user space', () => {
    ret('push', 0, 5);
    map('queue').push(6n);
    expect([map('queue').pop(), map('queue').pop(), map('queue').pop()]).toEqual([5n, 6n, undefined]);
  });
});

test('a bloom filter knows what was pushed, and little else', () => {
  const run = (prog: string, value: number, flags = 0) => {
    object.variable('word').set(value);
    object.variable('word_flags').set(flags);
    return object.program(prog).testRun({ data: PACKET }).retval | 0;
  };
  for (let value = 0; value < 100; value++) expect(run('bloom_add', value * 7)).toBe(0);
  const known = (value: number) => run('bloom_has', value) === 0;
  expect(Array.from({ length: 100 }, (_, i) => known(i * 7))).not.toContain(false);
  const wrong = Array.from({ length: 1000 }, (_, i) => known(1_000_000 + i)).filter(Boolean).length;
  expect(wrong).toBeLessThan(150);
  expect(run('bloom_has', 1_000_000)).toBe(-ERRNO.ENOENT);
  expect(run('bloom_add', 1, 1)).toBe(-ERRNO.EINVAL);
});

describe('LRU hashes', () => {
  const keys = () =>
    map('lru')
      .keyBytes()
      .map((key) => new DataView(key.buffer).getUint32(0, true));

  test('keep what programs look up; user space does not count', () => {
    const held = (use: (key: number) => void) => {
      for (let key = 1; key <= 4; key++) map('lru').update(key, key);
      use(1);
      for (let key = 10; key < 13; key++) map('lru').update(key, key);
      const has = keys().includes(1);
      for (const key of keys()) map('lru').delete(key);
      return has;
    };
    expect(held((key) => ret('look', 0, key))).toBe(true);
    expect(held((key) => map('lru').lookup(key))).toBe(false);
    expect(held(() => {})).toBe(false);
  });

  test('never refuse a key and never hold more than they may', () => {
    for (let key = 0; key < 50; key++) {
      kernel.currentCpu = key % 2;
      expect(ret('store', 0, key, key)).toBe(0);
      expect(ret('look', 0, key)).toBe(0);
      expect(keys().length).toBeLessThanOrEqual(4);
    }
    kernel.currentCpu = 0;
    expect(call('count').result).toBe(BigInt(keys().length));
  });

  test('per CPU: each CPU has its own value', () => {
    kernel.currentCpu = 1;
    expect(ret('store', 1, 7, 41)).toBe(0);
    expect(call('look', 1, 7)).toEqual({ ret: 0, result: 41n });
    kernel.currentCpu = 0;
    expect(call('look', 1, 7)).toEqual({ ret: 0, result: 0n });
    expect(call('look', 2, 7, 1)).toEqual({ ret: 0, result: 41n });
    expect(ret('look', 2, 7, 2)).toBe(-1);
    expect(map('lru_percpu').lookup(7)).toEqual([0n, 41n]);
  });
});

test('bpf_map_sum_elem_count counts the elements of hashes', () => {
  expect(call('count')).toEqual({ ret: 0, result: 0n });
  map('hash').update(1, 1);
  map('hash').update(2, 1);
  map('hash').update(2, 2);
  map('lru').update(2, 2);
  expect(call('count')).toEqual({ ret: 2, result: 1n });
});

describe('deleted elements', () => {
  test('of a hash without preallocation stay readable until the kernel would hand them out again', () => {
    expect(ret('read_deleted', 0)).toBe(42);
    map('loose').delete(1);
    expect(() => ret('read_deleted', 1)).toThrow(/freed: 8-byte load .* inside freed map "loose" value/);
  });

  test('during a walk: every element is met once', () => {
    for (const [op, name] of [
      [0, 'loose'],
      [1, 'lru'],
    ] as const) {
      for (let key = 0; key < 4; key++) map(name).update(key, 10 + key);
      expect(call('drop_all', op)).toEqual({ ret: 4, result: 46n });
      expect(map(name).keyBytes()).toEqual([]);
    }
  });

  test('of a trie stay what they are until the program ends', () => {
    const prefix = (length: number, ...data: number[]) =>
      Uint8Array.of(length, 0, 0, 0, ...data, ...[0, 0, 0, 0].slice(data.length));
    map('trie').update(prefix(8, 10), 8);
    map('trie').update(prefix(24, 10, 1, 2), 24);
    const run = () => object.program('longest').testRun({ data: PACKET }).retval;
    const live = kernel.vm.memory.u32At(STAT_LIVE_OBJECTS);
    expect(run()).toBe(24);
    expect(kernel.vm.memory.u32At(STAT_LIVE_OBJECTS)).toBe(live - 1);
    expect(run()).toBe(8);
    map('trie').delete(prefix(8, 10));
    expect(run()).toBe(0);
  });
});

describe('maps of maps', () => {
  test('start with the maps that the object puts into them', () => {
    const ids = ['inner_a', 'inner_b'].map((name) => kernelMap(name).id);
    expect([...map('outer').entries()]).toEqual([
      [0, ids[0]],
      [2, ids[1]],
    ]);
    expect([...map('outer_hash').entries()]).toEqual([[1, ids[1]]]);
  });

  test('give programs the inner map', () => {
    expect(ret('inner_count', 0, 0, 1)).toBe(1);
    expect(ret('inner_count', 0, 2, 1)).toBe(1);
    expect(ret('inner_count', 1, 1, 1)).toBe(2);
    expect(map('inner_b').lookup(1)).toBe(2n);
    expect(call('inner_count', 0, 0).result).toBe(kernel.memory.address(kernelMap('inner_a').guest));
    expect([ret('inner_count', 0, 1), ret('inner_count', 0, 4), ret('inner_count', 1, 0)]).toEqual([-1, -1, -1]);
    expect(ret('inner_count', 0, 0, 2)).toBe(-2);
  });

  test('take maps that are like their example only', () => {
    const array = { map_type: BPF_MAP_TYPE.ARRAY, key_size: 4, value_size: 8, max_entries: 2 };
    const update = (name: string, attr: object, flags = 0) => {
      const fd = kernel.bpf('MAP_CREATE', { ...array, ...attr });
      const result = kernel.bpf('MAP_UPDATE_ELEM', { map_fd: map(name).fd, key: u32(1), value: u32(fd), flags });
      kernel.close(fd);
      return result;
    };
    for (const name of ['outer', 'outer_hash']) {
      expect(update(name, {})).toBe(0);
      expect(update(name, { max_entries: 3 })).toBe(-ERRNO.EINVAL);
      expect(update(name, { value_size: 4 })).toBe(-ERRNO.EINVAL);
      expect(update(name, { map_type: BPF_MAP_TYPE.HASH })).toBe(-ERRNO.EINVAL);
    }
    expect(update('outer', {}, BPF_EXIST)).toBe(-ERRNO.EINVAL);
    expect(update('outer_hash', {}, BPF_NOEXIST)).toBe(-ERRNO.EEXIST);
    expect(update('outer_hash', {}, BPF_EXIST)).toBe(0);
    const outer = { map_type: BPF_MAP_TYPE.ARRAY_OF_MAPS, key_size: 4, value_size: 4, max_entries: 1 };
    const nested = (inner_map_fd: number) => kernel.bpf('MAP_CREATE', { ...outer, inner_map_fd });
    expect(nested(map('outer').fd)).toBe(-ERRNO.EINVAL);
    expect(nested(map('jumps').fd)).toBe(-ERRNO.ENOTSUPP);
    expect(nested(99)).toBe(-ERRNO.EBADF);
  });

  test('keep an inner map that is replaced until those who looked it up are done', () => {
    const inner = kernel.bpf('MAP_CREATE', { map_type: 2, key_size: 4, value_size: 8, max_entries: 2 });
    expect(kernel.bpf('MAP_UPDATE_ELEM', { map_fd: map('outer').fd, key: u32(1), value: u32(inner) })).toBe(0);
    const { guest } = kernel.fds.map(inner) as { guest: number };
    kernel.close(inner);
    const maps = kernel.maps.size;
    const reader = kernel.rcu.hold('rcu');
    map('outer').delete(1);
    expect(kernel.maps.size).toBe(maps - 1);
    expect(readable(guest)).toBe(true);
    expect(ret('forged', 0, kernel.memory.address(guest))).toBe(1);
    reader();
    expect(readable(guest)).toBe(false);
    expect(() => ret('forged', 0, kernel.memory.address(guest))).toThrow('is no map (0 bytes inside freed map');
  });

  test('wait for programs that may sleep, if such use the outer map', () => {
    const inner = kernel.bpf('MAP_CREATE', { map_type: 2, key_size: 4, value_size: 8, max_entries: 2 });
    kernel.bpf('MAP_UPDATE_ELEM', { map_fd: map('outer').fd, key: u32(1), value: u32(inner) });
    const { guest } = kernel.fds.map(inner) as { guest: number };
    kernel.close(inner);
    const sleeper = kernel.rcu.hold('tasksTrace');
    map('outer').delete(1);
    expect(readable(guest)).toBe(true);
    sleeper();
    expect(readable(guest)).toBe(false);
  });

  test('give their references back', () => {
    const { refs } = kernelMap('inner_b');
    const before = refs.count;
    map('outer').delete(2);
    map('outer_hash').delete(1);
    expect(refs.count).toBe(before - 2);
    map('outer').update(3, map('inner_b').fd);
    expect(refs.count).toBe(before - 1);
    const { fd } = map('outer');
    expect(kernel.bpf('MAP_UPDATE_ELEM', { map_fd: fd, key: u32(3), value: u32(map('inner_a').fd) })).toBe(0);
    expect(refs.count).toBe(before - 2);
  });
});

test('addresses in a map of maps that a program has written over change no reference', async () => {
  const isolated = await Kernel.create({ windowBytes: 8 << 20, cpus: 2, checks: 'isolate' });
  const own = openObject(OBJECT, { name: 'maps' }).load(isolated);
  const fdOf = (name: string) => own.map(name).fd;
  const at = (name: string) => isolated.fds.map(fdOf(name)) as Exclude<ReturnType<typeof isolated.fds.map>, number>;
  for (const [name, key] of [
    ['outer', 2],
    ['outer_hash', 1],
  ] as const) {
    const slot = isolated.vm.maps.at(at(name).guest)!.lookup(u32(key));
    for (const address of [
      0n,
      1n,
      isolated.memory.address(at('hash').guest),
      isolated.memory.address(at('hash').guest + 8),
    ]) {
      isolated.memory.setU64(slot, address);
      const words = BigUint64Array.of(name === 'outer' ? 0n : 1n, BigInt(key), 0n, 0n);
      const run = () => own.program('inner_count').testRun({ ctx: new Uint8Array(words.buffer) }).retval | 0;
      if (address === 0n) expect(run()).toBe(-1);
      else if (address === isolated.memory.address(at('hash').guest)) expect(run()).toBe(-2);
      else expect(run).toThrow('is no map');
    }
    expect(own.map(name).lookup(key)).toBe(at('inner_b').id);
    expect(isolated.bpf('MAP_DELETE_ELEM', { map_fd: fdOf(name), key: u32(key) })).toBe(0);
  }
  expect(at('inner_b').refs.count).toBe(1);
  own.close();
  expect(isolated.maps.size).toBe(0);
  isolated.dispose();
});

describe('bpf_tail_call', () => {
  const run = (name: string, target = 0) => {
    object.variable('calls').set(0);
    object.variable('target').set(target);
    return object.program(name).testRun({ data: PACKET }).retval;
  };

  test('goes to the program at the index, which the object put there', () => {
    expect(run('jump', 3)).toBe(7);
    expect(run('jump', 1)).toBe(100);
    expect(run('jump', 4)).toBe(100);
    map('jumps').delete(3);
    expect(run('jump', 3)).toBe(100);
    map('jumps').update(1, object.program('seven').fd);
    expect(run('jump', 1)).toBe(7);
    expect(map('jumps').lookup(1)).toBe(kernel.progs.values().find((prog) => prog.name === 'seven')!.id);
  });

  test('ends after 33', () => {
    expect(run('jump', 0)).toBe(33);
    expect(run('again')).toBe(34);
  });

  test('takes programs of one kind', () => {
    const key = u32(2);
    const update = (fd: number) => kernel.bpf('MAP_UPDATE_ELEM', { map_fd: map('jumps').fd, key, value: u32(fd) });
    expect(update(object.program('push').fd)).toBe(-ERRNO.EINVAL);
    expect(update(map('queue').fd)).toBe(-ERRNO.EINVAL);
    expect(update(99)).toBe(-ERRNO.EBADF);
    // A program of another kind may not use the map either.
    const insns = assemble(`r1 = map_fd(${map('jumps').fd}) ll\nr0 = 0\nexit\n`);
    const kinds = [BPF_PROG_TYPE.SOCKET_FILTER, BPF_PROG_TYPE.XDP].map((prog_type) =>
      kernel.bpf('PROG_LOAD', { prog_type, insns, license: 'GPL' }),
    );
    expect(kinds[0]).toBeGreaterThan(0);
    expect(kinds[1]).toBe(-ERRNO.EINVAL);
    kernel.close(kinds[0]!);
  });

  test("user space's last reference empties the map, though its programs use it", () => {
    const jumps = kernelMap('jumps');
    const seven = kernel.progs.values().find((prog) => prog.name === 'seven')!;
    expect(seven.refs.count).toBe(2);
    kernel.close(map('jumps').fd);
    expect(seven.refs.count).toBe(1);
    expect(jumps.refs.count).toBeGreaterThan(0);
    expect(run('jump', 3)).toBe(100);
  });
});

describe('what a verifier would refuse stops by name', () => {
  const OPS = ['lookup', 'push', 'pop', 'update', 'delete', 'for_each', 'tail_call', 'sum_elem_count'];
  const addresses: [string, () => bigint][] = [
    ['NULL', () => 0n],
    ['a map plus 8', () => kernel.memory.address(kernelMap('hash').guest) + 8n],
    ['a value', () => kernel.memory.address(kernelMap('inner_a').directValue(0) ?? 4096)],
    ['outside the window', () => 0xffff_ffff_8000_0000n],
  ];
  test.each(addresses)('%s', (_name, address) => {
    OPS.forEach((op, i) => {
      if (op === 'sum_elem_count' && address() === 0n) expect(ret('forged', i, 0)).toBe(0);
      else expect(() => ret('forged', i, address()), op).toThrow(/no map|bad_pointer|bad_map|map of programs/);
    });
  });

  test('a helper on a type that has not got it', () => {
    const at = (name: string) => kernel.memory.address(kernelMap(name).guest);
    const op = (name: string) => OPS.indexOf(name);
    const wrong: [string, string][] = [
      ['lookup', 'queue'],
      ['lookup', 'bloom'],
      ['lookup', 'jumps'],
      ['update', 'stack'],
      ['update', 'outer'],
      ['update', 'jumps'],
      ['delete', 'bloom'],
      ['delete', 'outer_hash'],
      ['push', 'hash'],
      ['pop', 'bloom'],
      ['pop', 'lru'],
      ['for_each', 'queue'],
      ['for_each', 'trie'],
      ['for_each', 'outer'],
      ['tail_call', 'hash'],
    ];
    for (const [helper, name] of wrong) {
      expect(() => ret('forged', op(helper), at(name)), `${helper} of ${name}`).toThrow(new RegExp(`map "${name}"`));
    }
  });
});

describe('entries() of the loader', () => {
  test.each([
    ['hash', 16],
    ['loose', 16],
    ['lru', 4],
  ])('of %s: all of them, and those that were yielded may be deleted', (name, count) => {
    for (let key = 0; key < count; key++) map(name).update(key, key * 2);
    const pairs = [...map(name).entries()] as [number, bigint][];
    expect(pairs.map(([key]) => key).sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
    expect(pairs.every(([key, value]) => value === BigInt(key * 2))).toBe(true);
    for (const [key] of map(name).entries()) map(name).delete(key as number);
    expect([...map(name).entries()]).toEqual([]);
  });

  test('asks for a few elements at a time', () => {
    const asked: string[] = [];
    const spy = Object.create(kernel, {
      bpf: {
        value: (cmd: keyof BpfAttr, attr: never) => {
          asked.push(cmd);
          return kernel.bpf(cmd, attr);
        },
      },
    }) as Kernel;
    const big = openObject(OBJECT, { name: 'big' });
    big.map('hash').define({ maxEntries: 1000 });
    big.load(spy);
    for (let key = 0; key < 1000; key++) big.map('hash').update(key, key);
    asked.length = 0;
    const [first] = big.map('hash').entries();
    expect(first).toHaveLength(2);
    expect(asked).toEqual(['MAP_LOOKUP_BATCH']);
    expect([...big.map('hash').entries()].length).toBe(1000);
    big.close();
  });
});
