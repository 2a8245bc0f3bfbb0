// Map helpers as programs call them: arguments in the register file, a fault code as the answer.
import { beforeEach, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { ERRNO } from '../../src/errno.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../src/uapi.js';
import type { Core } from '../../src/vm/core.js';
import type { CoreMap, ForeignMap, Maps } from '../../src/vm/map.js';
import type { CoreMemory } from '../../src/vm/memory.js';
import { keyOf, mapSpec, newCore } from './new_core.js';

const { ARRAY, HASH, PERCPU_ARRAY, PERCPU_HASH } = BPF_MAP_TYPE;
const G = 0xffff_8880_0000_0000n;
const ALL = [HASH, ARRAY, PERCPU_HASH, PERCPU_ARRAY];

let core: Core;
let memory: CoreMemory;
let maps: Maps;
/** The record of the program that calls. */
let prog: number;
beforeEach(async () => {
  ({ core, memory, maps } = await newCore({ cpus: 4 }));
  prog = core.exports.heapAllocZeroed(abi.PROG_BYTES);
  memory.setU32At(abi.CUR_PROG, prog);
});

type Helper = 'callMapLookup' | 'callMapUpdate' | 'callMapDelete' | 'callMapLookupPercpu';

interface Answer {
  fault: number;
  r0: bigint;
  address: bigint;
  size: number;
}

function call(
  helper: Helper,
  args: readonly bigint[],
  options: { object?: boolean; cpu?: number; writeClasses?: number } = {},
): Answer {
  const { object = true, cpu = 0, writeClasses = 0 } = options;
  for (const [i, arg] of args.entries()) memory.setU64At(abi.REG_R1 + 8 * i, BigInt.asUintN(64, arg));
  memory.setU32At(abi.CUR_CPU, cpu);
  memory.setU32At(prog + abi.PROG_WRITE_CLASSES, writeClasses);
  const fault = core.exports[helper](object);
  return {
    fault,
    r0: BigInt.asIntN(64, memory.u64At(abi.REG_R0)),
    address: memory.u64At(abi.ARG_ADDR),
    size: memory.u32At(abi.ARG_SIZE),
  };
}

/** Guest bytes as a program has them on its stack. */
function placed(bytes: Uint8Array): bigint {
  const ptr = memory.alloc(bytes.length, { name: 'stack' });
  memory.bytes(ptr, bytes.length).set(bytes);
  return memory.address(ptr);
}

const address = (map: CoreMap) => memory.address(map.ptr);
const pointer = (ptr: number) => BigInt.asIntN(64, memory.address(ptr));

test.each(ALL)('type %i: update, lookup and delete as the program sees them', (type) => {
  const map = maps.create(mapSpec({ type, valueSize: 12 }));
  const isArray = type === ARRAY || type === PERCPU_ARRAY;
  const perCpu = type === PERCPU_ARRAY || type === PERCPU_HASH;
  const key = placed(keyOf(3));
  const value = placed(new Uint8Array(12).fill(7));
  if (!isArray) expect(call('callMapLookup', [address(map), key]).r0).toBe(0n);
  for (const cpu of [1, 2]) {
    expect(call('callMapUpdate', [address(map), key, value, 0n], { cpu })).toMatchObject({ fault: 0, r0: 0n });
    const found = call('callMapLookup', [address(map), key], { cpu });
    expect(found).toMatchObject({ fault: 0, r0: pointer(map.lookup(keyOf(3), perCpu ? cpu : 0)) });
    expect(memory.u8(memory.fromAddress(BigInt.asUintN(64, found.r0)) + 11)).toBe(7);
  }
  if (perCpu) {
    for (const cpu of [0, 3]) {
      const found = call('callMapLookupPercpu', [address(map), key, BigInt(cpu)]);
      expect(found).toMatchObject({ fault: 0, r0: pointer(map.lookup(keyOf(3), cpu)) });
      expect(memory.u8(map.lookup(keyOf(3), cpu))).toBe(0);
    }
    for (const cpu of [4n, 0xffffffffn])
      expect(call('callMapLookupPercpu', [address(map), key, cpu])).toMatchObject({ fault: 0, r0: 0n });
  } else {
    expect(call('callMapLookupPercpu', [address(map), key, 0n]).fault).toBe(abi.FAULT_BAD_MAP);
  }
  const missing = placed(keyOf(8));
  expect(call('callMapLookup', [address(map), missing])).toMatchObject({ fault: 0, r0: 0n });
  const errnos = [1n, 2n, 3n, 4n, 1n << 32n, 1n << 63n].map(
    (flags) => call('callMapUpdate', [address(map), key, value, flags]).r0,
  );
  const { EEXIST, EINVAL, E2BIG, ENOENT } = ERRNO;
  expect(errnos).toEqual([EEXIST, 0, EINVAL, EINVAL, EINVAL, EINVAL].map((errno) => BigInt(-errno)));
  expect(call('callMapUpdate', [address(map), missing, value, 2n]).r0).toBe(BigInt(isArray ? -E2BIG : -ENOENT));
  expect(call('callMapDelete', [address(map), key])).toMatchObject({ fault: 0, r0: BigInt(isArray ? -EINVAL : 0) });
  if (!isArray) expect(call('callMapDelete', [address(map), key]).r0).toBe(BigInt(-ENOENT));
});

describe('forged map pointers are refused, never followed', () => {
  test.each([true, false])('object checks: %s', (object) => {
    const map = maps.create(mapSpec({ type: ARRAY }));
    const gone = maps.create(mapSpec({ type: HASH }));
    gone.free();
    const key = placed(keyOf(0));
    const low = BigInt(map.ptr);
    const forged = [
      0n,
      low,
      1n,
      address(map) + 1n,
      address(map) + 8n,
      address(map) - BigInt(abi.MAP_SLOT_BYTES),
      address(map) + BigInt(abi.MAP_SLOT_BYTES) * 3n,
      address(map) + (1n << 32n),
      address(map) ^ (1n << 63n),
      memory.address(gone.ptr),
      G,
      G + BigInt(abi.MAP_REGION) + (1n << 20n),
      key,
      -1n,
      1n << 63n,
    ];
    for (const helper of ['callMapLookup', 'callMapUpdate', 'callMapDelete', 'callMapLookupPercpu'] as const) {
      for (const bad of forged) {
        const answer = call(helper, [bad, key, key, 0n], { object });
        expect(answer).toMatchObject({ fault: abi.FAULT_BAD_MAP, address: BigInt.asUintN(64, bad) });
      }
    }
    for (const bad of forged) {
      expect(core.exports.mapIterCheck(bad)).toBe(abi.FAULT_BAD_MAP);
      expect(core.exports.mapIterNext(bad, 0n, map.ptr)).toBe(0n);
    }
    expect(core.exports.mapIterCheck(address(map))).toBe(0);
    expect(call('callMapLookup', [address(map), key], { object }).fault).toBe(0);
  });
});

describe('keys and values are checked as the program’s own accesses', () => {
  const bad = (value: bigint, size: number, fault: number) => ({ value, size, fault });
  test.each(ALL)('type %i', (type) => {
    const map = maps.create(mapSpec({ type, keySize: 4, valueSize: 20 }));
    const key = placed(keyOf(1));
    const value = placed(new Uint8Array(20));
    const freed = memory.alloc(64, { name: 'gone' });
    memory.free(freed);
    const hidden = memory.alloc(64, { name: 'hidden', access: abi.ACCESS_UNMODELLED });
    const top = G + BigInt(core.windowBytes);
    for (const { value: where, size, fault } of [
      bad(0n, 4, abi.FAULT_NULL),
      bad(4095n, 4, abi.FAULT_NULL),
      bad(G + 4n, 4, abi.FAULT_NULL),
      bad(4096n, 4, abi.FAULT_OUT_OF_WINDOW),
      bad(G - 2n, 4, abi.FAULT_OUT_OF_WINDOW),
      bad(top - 3n, 4, abi.FAULT_OUT_OF_WINDOW),
      bad(top, 4, abi.FAULT_OUT_OF_WINDOW),
      bad(BigInt.asUintN(64, -2n), 4, abi.FAULT_NULL),
      bad(BigInt.asUintN(64, -4097n), 4, abi.FAULT_OUT_OF_WINDOW),
      bad(top - 100n, 4, abi.FAULT_UNALLOCATED),
      bad(key + 1n, 4, abi.FAULT_OUT_OF_BOUNDS),
      bad(key - 1n, 4, abi.FAULT_OUT_OF_BOUNDS),
      bad(memory.address(freed), 4, abi.FAULT_FREED),
      bad(memory.address(hidden), 4, abi.FAULT_UNMODELLED),
    ]) {
      for (const helper of ['callMapLookup', 'callMapUpdate', 'callMapDelete'] as const) {
        expect(call(helper, [address(map), where, value, 0n])).toMatchObject({ fault, address: where, size });
      }
    }
    expect(call('callMapUpdate', [address(map), key, value + 1n, 0n])).toMatchObject({
      fault: abi.FAULT_OUT_OF_BOUNDS,
      address: value + 1n,
      size: 20,
    });
    // Read-only memory may be read, so it may be a key.
    const constant = memory.alloc(4, { name: 'rodata', access: abi.ACCESS_RO });
    expect(call('callMapLookup', [address(map), memory.address(constant)]).fault).toBe(0);
    // Under isolate only the window counts.
    expect(call('callMapLookup', [address(map), memory.address(freed)], { object: false }).fault).toBe(0);
    expect(call('callMapLookup', [address(map), top - 3n], { object: false }).fault).toBe(abi.FAULT_OUT_OF_WINDOW);
    expect(call('callMapLookup', [address(map), 0n], { object: false }).fault).toBe(abi.FAULT_NULL);
  });
});

test('a program that inserts never makes memory grow', () => {
  const map = maps.create(mapSpec({ maxEntries: 100_000, valueSize: 8, flags: BPF_MAP_FLAG.NO_PREALLOC }));
  const view = core.u8;
  const key = placed(keyOf(0));
  let inserted = 0;
  for (let i = 0; i < 100_000; i++) {
    memory.setU32(memory.fromAddress(key), i);
    if (call('callMapUpdate', [address(map), key, key, 0n]).r0 === 0n) inserted++;
  }
  expect(inserted).toBe(100_000);
  expect(core.u8 === view).toBe(true);
  core.exports.heapCheck();
}, 60_000);

test('when the heap has nothing left, a program gets -ENOMEM and the host grows it', () => {
  const map = maps.create(mapSpec({ maxEntries: 5000, valueSize: 8, flags: BPF_MAP_FLAG.NO_PREALLOC }));
  const key = placed(keyOf(0, 8));
  core.exports.heapFix(true);
  for (let size = 1 << 20; size >= 32; size >>= 1) while (core.exports.heapAlloc(size) !== 0);
  core.exports.heapFix(false);
  const view = core.u8;
  let insert = 0n;
  for (let i = 0; i < 5000 && insert === 0n; i++) {
    memory.setU32(memory.fromAddress(key), i);
    insert = call('callMapUpdate', [address(map), key, key, 0n]).r0;
  }
  expect(insert).toBe(BigInt(-ERRNO.ENOMEM));
  expect(core.u8 === view).toBe(true);
  expect(map.update(keyOf(4999), keyOf(1, 8), 0)).toBe(0);
  expect(core.u8 === view).toBe(false);
  expect(call('callMapUpdate', [address(map), key, key, 0n]).r0).toBe(0n);
});

describe('maps that the host keeps', () => {
  const handler = (calls: string[], result: number): ForeignMap => ({
    lookup: (key, cpu) => {
      calls.push(`lookup ${memory.u32(key)} ${cpu ?? ''}`);
      return result;
    },
    update: (key, value, flags) => {
      calls.push(`update ${memory.u32(key)} ${memory.u32(value)} ${flags}`);
      return result;
    },
    delete: (key) => {
      calls.push(`delete ${memory.u32(key)}`);
      return result;
    },
  });

  test('answer lookups, updates and deletions', () => {
    const calls: string[] = [];
    const target = memory.alloc(8, { name: 'value' });
    const found = maps.createForeign(mapSpec({ type: BPF_MAP_TYPE.LRU_HASH }), handler(calls, target));
    const refused = maps.createForeign(mapSpec({ type: BPF_MAP_TYPE.QUEUE, keySize: 0 }), handler(calls, -ERRNO.EBUSY));
    const key = placed(keyOf(5));
    expect(call('callMapLookup', [memory.address(found.ptr), key])).toMatchObject({ fault: 0, r0: pointer(target) });
    expect(call('callMapLookupPercpu', [memory.address(found.ptr), key, 2n]).r0).toBe(pointer(target));
    expect(call('callMapUpdate', [memory.address(refused.ptr), key, placed(keyOf(9, 8)), 1n]).r0).toBe(
      BigInt(-ERRNO.EBUSY),
    );
    expect(call('callMapDelete', [memory.address(refused.ptr), key]).r0).toBe(BigInt(-ERRNO.EBUSY));
    expect(calls).toEqual(['lookup 5 ', 'lookup 5 2', 'update 5 9 1', 'delete 5']);
    expect(call('callMapLookup', [memory.address(found.ptr), 0n]).fault).toBe(abi.FAULT_NULL);
    expect(core.exports.mapIterCheck(memory.address(found.ptr))).toBe(abi.FAULT_BAD_MAP);
    expect(memory.describe(found.ptr + 4)).toBe('4 bytes inside map "m" struct bpf_map (280 bytes)');
    found.free();
    expect(call('callMapLookup', [memory.address(found.ptr), key]).fault).toBe(abi.FAULT_BAD_MAP);
    expect(() => found.free()).toThrow('map "m" freed twice');
  });

  test('stop the program when they throw', () => {
    const error = new Error('not today');
    const map = maps.createForeign(mapSpec({}), {
      lookup: () => {
        throw error;
      },
      update: () => 0,
      delete: () => 0,
    });
    const errors: unknown[] = [];
    maps.onError = (thrown) => errors.push(thrown);
    expect(call('callMapLookup', [memory.address(map.ptr), placed(keyOf(1))]).fault).toBe(abi.FAULT_HOST);
    expect(errors).toEqual([error]);
  });
});

test('a value that goes while a program runs may stop it', () => {
  const map = maps.create(mapSpec({ valueSize: 16 }));
  map.setFields({
    ranges: [{ offset: 8, size: 8 }],
    lock: false,
    gone: () => {
      throw new Error('held');
    },
  });
  maps.onError = () => {};
  const key = placed(keyOf(1));
  const value = placed(new Uint8Array(16));
  expect(call('callMapUpdate', [address(map), key, value, 0n]).fault).toBe(0);
  expect(call('callMapUpdate', [address(map), key, value, 0n]).fault).toBe(abi.FAULT_HOST);
  expect(call('callMapDelete', [address(map), key]).fault).toBe(abi.FAULT_HOST);
  expect(call('callMapDelete', [address(map), key])).toMatchObject({ fault: 0, r0: BigInt(-ERRNO.ENOENT) });
});
