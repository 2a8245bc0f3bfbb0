import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { VmtableError } from '../../src/errors.js';
import { FAULT_KINDS } from '../../src/vm/fault.js';
import type { Vm } from '../../src/vm/vm.js';
import { RUNS } from '../engines.js';
import { core, load, newVm, type ProgOptions } from './programs.js';

const BASE = 0xffff888000000000n;

describe.each(RUNS)('$engine, $checks checks', (run) => {
  let vm: Vm;
  let object: number;
  beforeAll(async () => {
    vm = await newVm();
    object = vm.memory.alloc(20, { name: 'map "stats" value' });
  });
  afterAll(() => vm.dispose());
  const prog = (text: string, options: ProgOptions = {}) => load(vm, text, { ...run, ...options });
  const faultOf = (text: string, args: bigint[] = [], options: ProgOptions = {}) =>
    vm.run(prog(text, options), { args }).fault;

  test('a fault has place, access and registers', () => {
    const fault = faultOf('r6 = 7; call sub; exit; sub: r2 = 0; *(u16 *)(r2 + 8) = r6; exit');
    expect(fault).toMatchObject({ kind: 'null', insn: 4, frames: [1], address: 8n, size: 2, write: true });
    expect(fault?.registers[6]).toBe(7n);
    expect(fault?.registers[10]).toBeGreaterThan(BASE);
    expect(fault?.message).toBe('null: 2-byte store at 0x0000000000000008 (NULL + 8)');
  });

  test.each([
    ['below the window', BASE - 1n, 1],
    ['across its start', BASE - 1n, 8],
    ['behind it', BASE + (1n << 20n), 1],
    ['across its end', BASE + (1n << 20n) - 7n, 8],
    ['across its end', BASE + (1n << 20n) - 3n, 4],
    ['across its end', BASE + (1n << 20n) - 1n, 2],
    ['4 GiB too high', BASE + (1n << 32n) + 4096n, 4],
    ['a user address', 0x7f00_0000_1000n, 4],
    ['not canonical', 0x8000_0000_0000_1000n, 8],
  ])('stores outside the window fault: %s', (_, address, size) => {
    const fault = faultOf(`*(u${size * 8} *)(r1 + 0) = r1; exit`, [address]);
    expect(fault).toMatchObject({ kind: 'out_of_window', insn: 0, address, size, write: true });
    expect(fault?.near).toMatch(/(outside|across the end of) the guest window/);
  });

  test.each([
    ['below the window', BASE - 16n],
    ['behind it', BASE + (1n << 20n)],
    ['NULL', 0n],
    ['NULL with a negative offset', 2n ** 64n - 8n],
    ['a user address', 0x7f00_0000_1000n],
  ])('loads that a kernel would make 0 read 0 and are counted: %s', (_, address) => {
    const text = 'r0 = 1; r0 = *(u64 *)(r1 + 0); r2 = *(s8 *)(r1 + 1); r0 += r2; exit';
    const p = prog(text);
    expect(vm.run(p, { args: [address] })).toEqual({ r0: 0n, insns: 0 });
    vm.run(p, { args: [address] });
    const counted = vm.missedAccesses().filter((each) => each.prog === p);
    expect(counted.map(({ insn, count }) => [insn, count])).toEqual([
      [1, 2],
      [2, 2],
    ]);
    p.free();
    expect(vm.missedAccesses().filter((each) => each.prog === p)).toEqual([]);
    expect(faultOf(text, [address], { faults: 'strict' })).toMatchObject({ insn: 1, address, write: false });
  });

  test('atomics on a bad address fault, a load_acquire reads 0', () => {
    expect(faultOf('r2 = 1; lock *(u64 *)(r1 + 0) += r2; exit', [8n])).toMatchObject({ kind: 'null', write: true });
    expect(vm.run(prog('r0 = load_acquire((u64 *)(r1 + 0)); exit'), { args: [8n] })).toMatchObject({ r0: 0n });
  });

  test('a fault inside a fused group has the exact insn and registers', () => {
    // Array access as clang writes it; the load is the fourth insn of one group.
    const group = 'r3 = r1; r4 = r2; r4 <<= 2; r5 = r3; r5 += r4; r6 = *(u32 *)(r5 + 0)';
    const fault = faultOf(`${group}; r0 = r3; r0 += r4; exit`, [8n, 5n], { faults: 'strict' });
    expect(fault).toMatchObject({ kind: 'null', insn: 5, address: 28n });
    expect(fault?.registers.slice(3, 7)).toEqual([8n, 20n, 28n, 0n]);
  });

  test('registers that nothing reads any more are shown as 0', () => {
    const fault = faultOf('r6 = 5; r7 = 6; r1 = 8; *(u64 *)(r1 + 0) = r6; r0 = r7; exit');
    expect(fault?.registers.slice(0, 10)).toEqual([0n, 8n, 0n, 0n, 0n, 0n, 5n, 6n, 0n, 0n]);
    const used = faultOf('r6 = 5; r1 = 8; *(u64 *)(r1 + 0) = r1; r0 = 0; exit');
    expect(used?.registers.slice(0, 10)).toEqual([0n, 8n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
  });

  test('a missing function faults by name when it is called, not before', () => {
    const calls = { 7: { kind: 'missing', name: 'kfunc bpf_nowhere' } } as const;
    expect(vm.run(prog('r0 = 1; if r1 == 0 goto out; call 7; out: exit', { calls })).r0).toBe(1n);
    const fault = faultOf('r0 = 1; if r1 == 0 goto out; call 7; out: exit', [1n], { calls });
    expect(fault).toMatchObject({ kind: 'missing_function', insn: 2 });
    expect(fault?.message).toContain('bpf_nowhere');
  });

  test('a cast that only dead code may hold faults when it is reached', () => {
    const insns = new Uint8Array([0xbf, 0x11, 1, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    const spec = { name: 'cast', insns, calls: new Map(), faults: 'kernel', ...run } as const;
    expect(vm.run(vm.loadProg(spec)).fault).toMatchObject({ kind: 'illegal_insn', insn: 0 });
  });

  test('a map helper’s bad arguments fault at its call', () => {
    const calls = { 1: core(abi.FN_MAP_LOOKUP_ELEM) };
    expect(faultOf('r2 = r10; r2 += -4; call 1; exit', [5n], { calls })).toMatchObject({ kind: 'bad_map', insn: 2 });
    const map = vm.createMap({
      type: 2,
      name: 'a',
      keySize: 4,
      valueSize: 8,
      maxEntries: 1,
      flags: 0,
      mapStructBytes: 64,
    });
    const fault = faultOf('r2 = 8; call 1; exit', [vm.memory.address(map.ptr)], { calls });
    expect(fault).toMatchObject({ kind: 'null', insn: 1, address: 8n, size: 4, write: false });
    map.free();
  });

  test('the stack of a frame ends at both sides', () => {
    const overflow = prog('r1 = r10; r1 += -513; *(u8 *)(r1 + 0) = r1; exit');
    const above = prog('*(u8 *)(r10 + 0) = r1; exit');
    if (run.checks === 'isolate') {
      expect(vm.run(overflow).fault).toBeUndefined();
      return;
    }
    expect(vm.run(overflow).fault?.message).toContain('1 bytes below the stack of frame 0');
    expect(vm.run(above).fault?.message).toContain('r10 + 0 of frame 0, past its stack');
    const nested = prog('call sub; exit; sub: r1 = r10; r1 += -513; *(u8 *)(r1 + 0) = r1; exit');
    expect(vm.run(nested).fault?.near).toBe('1 bytes below the stack of frame 1');
    // Statically behind the frame: no load of the frame's own kind.
    expect(vm.run(prog('r0 = *(u64 *)(r10 - 4); exit')).fault?.kind).toBe('out_of_bounds');
  });

  if (run.checks === 'isolate') return;

  describe('object checks', () => {
    test('an access behind the end of an object names it', () => {
      const fault = faultOf('r0 = *(u32 *)(r1 + 20); exit', [vm.memory.address(object)]);
      expect(fault?.message).toBe(
        `out_of_bounds: 4-byte load at 0x${(BASE + BigInt(object) + 20n).toString(16)} (0 bytes past the end of map "stats" value (20 bytes))`,
      );
    });

    test.each([1, 2, 4, 8])('every place of a %i-byte access is judged by its bytes', (size) => {
      const p = prog(`*(u${size * 8} *)(r1 + 0) = r2; exit`);
      for (let at = -8; at < 28; at++) {
        const { fault } = vm.run(p, { args: [vm.memory.address(object) + BigInt(at)] });
        expect(fault?.kind, `at ${at}`).toBe(at >= 0 && at + size <= 20 ? undefined : 'out_of_bounds');
      }
    });

    test('classes are kept apart', () => {
      const ptr = vm.memory.alloc(64, { name: 'task_struct' });
      vm.memory.setAccess(ptr, 8, abi.ACCESS_RO);
      vm.memory.setAccess(ptr + 8, 8, abi.ACCESS_UNMODELLED);
      vm.memory.setAccess(ptr + 16, 4, abi.FIRST_OWN_CLASS);
      const at = (offset: number) => [vm.memory.address(ptr + offset)];
      const store = '*(u32 *)(r1 + 0) = r1; exit';
      expect(faultOf('r0 = *(u32 *)(r1 + 0); exit', at(0))).toBeUndefined();
      expect(faultOf(store, at(0))?.kind).toBe('read_only');
      expect(faultOf('r0 = *(u32 *)(r1 + 0); exit', at(8))?.kind).toBe('unmodelled');
      expect(faultOf('r0 = *(u32 *)(r1 + 0); exit', at(16))).toBeUndefined();
      expect(faultOf(store, at(16))?.kind).toBe('protected');
      expect(faultOf(store, at(16), { writeClasses: 1 << abi.FIRST_OWN_CLASS })).toBeUndefined();
      vm.memory.free(ptr);
      expect(faultOf('r0 = *(u32 *)(r1 + 0); exit', at(0))).toMatchObject({ kind: 'freed' });
      expect(faultOf(store, at(0))?.near).toContain('freed task_struct');
    });

    test('memory that never was an object reads 0', () => {
      expect(vm.run(prog('r0 = *(u64 *)(r1 + 0); exit'), { args: [BASE + 0xffff0n] })).toMatchObject({ r0: 0n });
      expect(faultOf('*(u64 *)(r1 + 0) = r1; exit', [BASE + 0xffff0n])?.kind).toBe('unallocated');
    });
  });
});

test('a host function that throws stops the program with its error', async () => {
  const vm = await newVm();
  const thrown = new VmtableError('the table is full');
  const index = vm.registerHost('bpf_fill', (call) => call.fail(thrown));
  const { fault } = vm.run(load(vm, 'r0 = 0; call 3; exit', { calls: { 3: { kind: 'host', index } } }));
  expect(fault).toMatchObject({ kind: 'host', insn: 1, message: 'host: bpf_fill: the table is full' });
  expect(fault?.error).toBe(thrown);
  vm.dispose();
});

test('every fault code has a kind of its own', () => {
  expect(FAULT_KINDS.size).toBe(new Set(FAULT_KINDS.values()).size);
  expect(FAULT_KINDS.get(abi.FAULT_OUT_OF_BOUNDS)).toBe('out_of_bounds');
  expect(FAULT_KINDS.get(abi.FAULT_ILLEGAL_INSN)).toBe('illegal_insn');
});
