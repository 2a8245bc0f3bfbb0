// Programs against guest memory: maps, arenas, and what a fault says of the place.
import { beforeEach, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { assemble } from '../../src/asm/index.js';
import { BPF_MAP_TYPE } from '../../src/uapi.js';
import type { CallTarget, CheckStrength, RunResult, VmProgSpec } from '../../src/vm/types.js';
import { Vm } from '../../src/vm/vm.js';
import { keyOf, mapSpec } from './new_core.js';

let vm: Vm;
beforeEach(async () => {
  vm = await Vm.create({ windowBytes: 2 ** 24, cpus: 2 });
});

const FN: Record<string, number> = {
  lookup: abi.FN_MAP_LOOKUP_ELEM,
  update: abi.FN_MAP_UPDATE_ELEM,
  for_each: abi.FN_FOR_EACH_MAP_ELEM,
};

function run(source: string, args: readonly bigint[], options: Partial<VmProgSpec> & { cpu?: number } = {}): RunResult {
  const insns = assemble(source);
  const calls = new Map<number, CallTarget>();
  for (let i = 0; i < insns.length / 8; i++) {
    if (insns[i * 8] !== 0x85 || (insns[i * 8 + 1] as number) >> 4 !== 0) continue;
    calls.set(i, { kind: 'core', fn: new DataView(insns.buffer, insns.byteOffset).getInt32(i * 8 + 4, true) });
  }
  const { cpu = 0, ...spec } = options;
  const prog = vm.loadProg({ name: 'p', insns, calls, checks: 'object', faults: 'kernel', engine: 'interp', ...spec });
  try {
    return vm.run(prog, { args, cpu });
  } finally {
    prog.free();
  }
}

const INCREMENT = `
  *(u32 *)(r10 - 4) = r2
  r2 = r10
  r2 += -4
  call ${FN.lookup}
  if r0 == 0 goto out
  r1 = *(u64 *)(r0 + 0)
  r1 += 1
  *(u64 *)(r0 + 0) = r1
  r0 = r1
out:
  exit
`;

describe.each<CheckStrength>(['object', 'isolate'])('under %s checks', (checks) => {
  test.each([BPF_MAP_TYPE.ARRAY, BPF_MAP_TYPE.PERCPU_ARRAY, BPF_MAP_TYPE.HASH, BPF_MAP_TYPE.PERCPU_HASH])(
    'a program counts in a map of type %i',
    (type) => {
      const map = vm.createMap(mapSpec({ type }));
      map.update(keyOf(3), keyOf(0, 8), 0);
      const address = vm.memory.address(map.ptr);
      for (let i = 1n; i <= 3n; i++) expect(run(INCREMENT, [address, 3n], { checks })).toMatchObject({ r0: i });
      expect(run(INCREMENT, [address, 9n], { checks })).toMatchObject({ r0: 0n });
      expect(vm.memory.u32(map.lookup(keyOf(3)))).toBe(3);
      const perCpu = type === BPF_MAP_TYPE.PERCPU_ARRAY || type === BPF_MAP_TYPE.PERCPU_HASH;
      expect(run(INCREMENT, [address, 3n], { checks, cpu: 1 }).r0).toBe(perCpu ? 1n : 4n);
    },
  );

  test('a map pointer that is none stops the program', () => {
    for (const forged of [0n, 8n, vm.memory.address(65536 + 1024 * 7), 1n << 63n]) {
      const { fault } = run(INCREMENT, [forged, 0n], { checks });
      expect(fault).toMatchObject({ kind: 'bad_map', insn: 3, address: forged });
    }
  });
});

test('an access next to a value faults and says where it was', () => {
  const map = vm.createMap(mapSpec({ type: BPF_MAP_TYPE.ARRAY, name: 'stats', valueSize: 20, maxEntries: 1 }));
  const value = vm.memory.address(map.lookup(keyOf(0)));
  const load = (offset: number, faults: 'kernel' | 'strict' = 'kernel') =>
    run(`r0 = *(u32 *)(r1 + ${offset})\nexit`, [value], { faults });
  expect(load(16).fault).toBeUndefined();
  expect(load(17).fault).toMatchObject({
    kind: 'out_of_bounds',
    insn: 0,
    size: 4,
    write: false,
    near: '17 bytes inside map "stats" value (20 bytes)',
  });
  expect(load(32).fault).toMatchObject({ near: '12 bytes past the end of map "stats" value (20 bytes)' });
  expect(load(-4).fault).toMatchObject({ near: '4 bytes before map "stats" value (20 bytes)' });
});

/** Adds up key * value over a map, and the number of visits above. The code pointer is a PSEUDO_FUNC. */
const SUM = `
  r2 = 0 ll
  r3 = r10
  r3 += -8
  r4 = 0
  *(u64 *)(r10 - 8) = r4
  call ${FN.for_each}
  r0 <<= 32
  r1 = *(u64 *)(r10 - 8)
  r0 |= r1
  exit
  r1 = *(u32 *)(r2 + 0)
  r5 = *(u32 *)(r3 + 0)
  r1 *= r5
  r2 = *(u64 *)(r4 + 0)
  r2 += r1
  *(u64 *)(r4 + 0) = r2
  r0 = 0
  exit
`;

describe('bpf_for_each_map_elem', () => {
  function sum(map: bigint): RunResult {
    const insns = assemble(SUM);
    insns[1] = (insns[1] as number) | 0x40;
    // Insn 11, counted from the one behind the first half.
    new DataView(insns.buffer, insns.byteOffset).setInt32(4, 10, true);
    const calls = new Map<number, CallTarget>([[6, { kind: 'core', fn: abi.FN_FOR_EACH_MAP_ELEM }]]);
    const prog = vm.loadProg({ name: 'p', insns, calls, checks: 'object', faults: 'strict', engine: 'interp' });
    return vm.run(prog, { args: [map], cpu: 1 });
  }

  test.each([BPF_MAP_TYPE.ARRAY, BPF_MAP_TYPE.PERCPU_ARRAY, BPF_MAP_TYPE.HASH, BPF_MAP_TYPE.PERCPU_HASH])(
    'visits keys and values of a map of type %i',
    (type) => {
      const map = vm.createMap(mapSpec({ type, maxEntries: 5 }));
      for (let key = 0; key < 5; key++) {
        expect(map.update(keyOf(key), keyOf(key + 10, 8), 0, 1)).toBe(0);
      }
      const total = [0, 1, 2, 3, 4].reduce((all, key) => all + key * (key + 10), 0);
      expect(sum(vm.memory.address(map.ptr))).toMatchObject({ r0: (5n << 32n) | BigInt(total) });
    },
  );

  test('stops at what is no map', () => {
    expect(sum(0n).fault).toMatchObject({ kind: 'bad_map', insn: 6 });
  });
});

describe('arenas', () => {
  const USER = 1n << 44n;
  const GIB4 = 1 << 20;
  const POKE = `
    r3 = r1
    r3 = addr_space_cast(r3, 0, 1)
    *(u64 *)(r3 + 0) = r2
    r0 = *(u64 *)(r3 + 0)
    r3 = addr_space_cast(r3, 1, 0)
    if r3 == r1 goto out
    r0 = -1
  out:
    exit
  `;

  test.each([
    ['a small one', 100],
    ['one of 4 GiB', GIB4],
  ])('%s: a program reads and writes allocated pages through casts', (_, pages) => {
    const arena = vm.createArena({ name: 'a', userVmStart: USER, pages });
    const options = { arena: arena.handle };
    arena.alloc(0n, 2);
    arena.alloc(arena.userAddress(pages - 2), 2);
    const last = arena.userAddress(pages) - 8n;
    for (const pointer of [USER + 8n, USER + 8184n, arena.userAddress(pages - 2), last]) {
      expect(run(POKE, [pointer, 0x1234_5678_9abcn], options)).toMatchObject({ r0: 0x1234_5678_9abcn });
      expect(vm.memory.u64(arena.ptr(pointer))).toBe(0x1234_5678_9abcn);
      // The low half says it all.
      const low = run('r1 = addr_space_cast(r1, 0, 1)\nr0 = *(u64 *)(r1 + 0)\nexit', [pointer & 0xffffffffn], options);
      expect(low.r0).toBe(0x1234_5678_9abcn);
    }
    // The very first byte of the arena has a low half of 0.
    expect(
      run('r1 = addr_space_cast(r1, 0, 1)\n*(u8 *)(r1 + 0) = 5\nr0 = 0\nexit', [USER], options).fault,
    ).toBeUndefined();
    expect(vm.memory.u8(arena.ptr(USER))).toBe(5);
  });

  test('pages that are not allocated read 0 and drop stores; under the strict policy both fault', () => {
    const arena = vm.createArena({ name: 'a', userVmStart: USER, pages: GIB4 });
    const options = { arena: arena.handle };
    const load = 'r1 = addr_space_cast(r1, 0, 1)\nr0 = *(u64 *)(r1 + 0)\nexit';
    const store = 'r1 = addr_space_cast(r1, 0, 1)\n*(u64 *)(r1 + 0) = r1\nr0 = 0\nexit';
    for (const [pointer, kind] of [
      [USER + 4096n, 'unallocated'],
      [USER + (1n << 31n), 'out_of_window'],
      [USER + (3n << 30n), 'out_of_window'],
      [USER + (1n << 32n) - 4096n, 'unallocated'],
    ] as const) {
      expect(run(load, [pointer], options)).toEqual({ r0: 0n, insns: 0 });
      expect(run(load, [pointer], { ...options, faults: 'strict' }).fault).toMatchObject({ kind, write: false });
      const offset = (pointer - USER).toString(16);
      const near =
        kind === 'unallocated'
          ? `0 bytes inside unallocated page ${(pointer - USER) / 4096n} of arena "a" (4096 bytes)`
          : `arena offset 0x${offset}, which the window does not map`;
      expect(run(store, [pointer], options)).toEqual({ r0: 0n, insns: 0 });
      const strict = { ...options, faults: 'strict' } as const;
      expect(run(store, [pointer], strict).fault).toMatchObject({ kind, near, write: true, insn: 1 });
    }
  });

  test('an arena outlives its programs', () => {
    const arena = vm.createArena({ name: 'a', userVmStart: USER, pages: 4 });
    const prog = vm.loadProg({
      name: 'p',
      insns: assemble('r0 = 0\nexit'),
      calls: new Map(),
      checks: 'object',
      faults: 'kernel',
      engine: 'interp',
      arena: arena.handle,
    });
    expect(() => arena.free()).toThrow('arena "a" freed before program "p"');
    prog.free();
    arena.free();
    expect(() => run('r0 = 0\nexit', [], { arena: arena.handle })).toThrow(/no arena/);
  });
});
