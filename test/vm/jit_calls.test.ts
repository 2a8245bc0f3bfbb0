import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { H_ILLEGAL } from '../../assembly/ops.js';
import { ownCopy } from '../../src/vm/own_copy.js';
import type { LoadedProg } from '../../src/vm/prog.js';
import type { VmProg } from '../../src/vm/types.js';
import type { Vm } from '../../src/vm/vm.js';
import { core, load, newVm, type ProgOptions } from './programs.js';

let vm: Vm;
beforeEach(async () => {
  vm = await newVm({ cpus: 2 });
});
afterEach(() => {
  vi.restoreAllMocks();
  vm.dispose();
});

const jit = (text: string, options: ProgOptions = {}) => load(vm, text, { engine: 'jit', ...options });

/** A compiled program that the interpreter cannot run: whatever leaves compiled code faults. */
function onlyCompiled(text: string, options: ProgOptions = {}): VmProg {
  const prog = jit(text, options);
  expect(prog.notCompiled).toBeUndefined();
  const { handle } = prog as LoadedProg;
  const slots = vm.memory.u32At(handle + abi.PROG_SLOTS);
  for (let i = 0; i < vm.memory.u32At(handle + abi.PROG_SLOT_COUNT); i++) {
    vm.core.u8[slots + i * abi.SLOT_BYTES + abi.SLOT_OP] = H_ILLEGAL;
    vm.core.u8[slots + i * abi.SLOT_BYTES + abi.SLOT_BASE] = H_ILLEGAL;
  }
  return prog;
}

describe('what stays in compiled code', () => {
  const loop = { calls: { 1: core(abi.FN_LOOP) } };
  const LOOP = `r6 = 1000; *(u64 *)(r10 - 8) = 0; r2 = func(cb) ll; r3 = r10; r3 += -8; r4 = 0; call 1
    r1 = *(u64 *)(r10 - 8); r0 *= 100; r0 += r1; r0 += r6; exit
    cb: r6 = 7; r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3; r0 = 0; if r1 != 5 goto out; r0 = 1; out: exit`;

  test('bpf_loop, to its end and until a callback wants no more', () => {
    const prog = onlyCompiled(LOOP, loop);
    const run = (n: bigint) => vm.run(prog, { args: [n] });
    expect(run(0n).r0).toBe(1000n);
    expect(run(3n).r0).toBe(1000n + 300n + 3n);
    expect(run(50n).r0).toBe(1000n + 600n + 15n);
  });

  test('bpf_for_each_map_elem', () => {
    const map = vm.createMap({
      type: 2,
      name: 'array',
      keySize: 4,
      valueSize: 8,
      maxEntries: 5,
      flags: 0,
      mapStructBytes: 64,
    });
    for (let i = 0; i < 5; i++) vm.memory.setU64(map.lookup(Uint8Array.of(i, 0, 0, 0)), BigInt(i * 10));
    const prog = onlyCompiled(
      `r6 = r2; *(u64 *)(r10 - 8) = 0; r2 = func(cb) ll; r3 = r10; r3 += -8; r4 = 0; call 1
      r1 = *(u64 *)(r10 - 8); r1 *= 100; r0 += r1; exit
      cb: r5 = *(u32 *)(r2 + 0); r3 = *(u64 *)(r3 + 0); r3 += r5; r1 = *(u64 *)(r4 + 0); r1 += r3
      *(u64 *)(r4 + 0) = r1; r0 = 0; if r5 != r6 goto out; r0 = 1; out: exit`,
      { calls: { 1: core(abi.FN_FOR_EACH_MAP_ELEM) } },
    );
    const run = (stop: bigint) => vm.run(prog, { args: [vm.memory.address(map.ptr), stop] }).r0;
    expect(run(99n)).toBe(11_005n);
    expect(run(2n)).toBe(3303n);
  });

  test('callx of functions of the program', () => {
    const prog = onlyCompiled(
      `r6 = 5; r3 = func(one) ll; if r1 == 0 goto over; r3 = func(two) ll; over: callx r3; r0 += r6; exit
      one: r6 = 0; r0 = 10; exit
      two: r0 = r6; r0 += 20; exit`,
    );
    expect(vm.run(prog, { args: [0n] }).r0).toBe(15n);
    expect(vm.run(prog, { args: [1n] }).r0).toBe(30n);
  });

  test('lookups in arrays that the program names', () => {
    const spec = { name: 'map', keySize: 4, valueSize: 8, maxEntries: 3, flags: 0, mapStructBytes: 64 };
    const array = vm.createMap({ ...spec, type: 2 });
    const percpu = vm.createMap({ ...spec, type: 6 });
    const key = (i: number) => Uint8Array.of(i, 0, 0, 0);
    for (const cpu of [0, 1]) vm.memory.setU64(percpu.lookup(key(2), cpu), BigInt(70 + cpu));
    vm.memory.setU64(array.lookup(key(1)), 44n);
    const text = (map: bigint) => `*(u32 *)(r10 - 4) = r1; r2 = r10; r2 += -4; r1 = ${map} ll; call 1
      if r0 == 0 goto out; r0 = *(u64 *)(r0 + 0); out: exit`;
    const calls = { 1: core(abi.FN_MAP_LOOKUP_ELEM) };
    const prog = onlyCompiled(text(vm.memory.address(array.ptr)), { calls });
    expect([0n, 1n, 2n, 3n, 2n ** 32n + 1n].map((arg) => vm.run(prog, { args: [arg] }).r0)).toEqual([
      0n,
      44n,
      0n,
      0n,
      44n,
    ]);
    const other = onlyCompiled(text(vm.memory.address(percpu.ptr)), { calls });
    expect([0, 1].map((cpu) => vm.run(other, { args: [2n], cpu }).r0)).toEqual([70n, 71n]);
  });

  test('a lookup in a map that is gone faults as the interpreter does', () => {
    const map = vm.createMap({
      type: 2,
      name: 'm',
      keySize: 4,
      valueSize: 8,
      maxEntries: 1,
      flags: 0,
      mapStructBytes: 64,
    });
    const text = `*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = ${vm.memory.address(map.ptr)} ll; call 1; exit`;
    const prog = jit(text, { calls: { 1: core(abi.FN_MAP_LOOKUP_ELEM) } });
    expect(vm.run(prog).fault).toBeUndefined();
    map.free();
    expect(vm.run(prog).fault).toMatchObject({ kind: 'bad_map', insn: 5 });
  });

  test('callbacks that run out of fuel go on where they stood', () => {
    const prog = jit(LOOP, loop);
    const context = vm.createContext();
    context.start(prog, [50n]);
    let slices = 1;
    while (context.resume(1) === 'paused') slices++;
    expect([context.r0, slices > 3]).toEqual([1615n, true]);
    context.free();
  });

  test('a callback that faults says where it and its caller stand', () => {
    const text =
      'r6 = 9; r1 = 4; r2 = func(cb) ll; r3 = 0; r4 = 0; call 1; exit; cb: r0 = 0; *(u64 *)(r0 + 0) = r1; exit';
    const faults = (['interp', 'jit'] as const).map((engine) => vm.run(load(vm, text, { engine, ...loop })).fault);
    expect(faults[1]).toMatchObject({ kind: 'null', insn: 9, frames: [6] });
    expect(faults[1]).toEqual({ ...faults[0], prog: faults[1]?.prog });
  });
});

describe.each(['interp', 'jit'] as const)('code pointers, %s', (engine) => {
  /** r6 is the code pointer of `f` and so many insns on. */
  const called = (insns: number) =>
    `r6 = func(f) ll; r6 += ${insns << abi.CODE_INSN_SHIFT}; r0 = 1; callx r6; r0 += 10; exit
    f: r0 = 2; exit; g: r0 = 3; exit; thrown: call g; exit`;

  test('lead to the functions whose address the program takes, however they came about', () => {
    const run = (insns: number) => vm.run(load(vm, called(insns), { engine }));
    expect(run(0).r0).toBe(12n);
    for (const insns of [-7, -1, 1, 2, 3, 4]) expect(run(insns).fault?.kind).toBe('bad_code_pointer');
  });

  test('lead to the exception callback', () => {
    expect(vm.run(load(vm, called(4), { engine, exceptionCallback: 11 })).r0).toBe(13n);
  });
});

describe('invoker', () => {
  test.each(['interp', 'jit', 'auto'] as const)('runs a program as invoke does, engine %s', (engine) => {
    const at = vm.memory.alloc(8, { name: 'argument' });
    vm.memory.setU64(at, 41n);
    const prog = load(vm, 'if r1 == 0 goto null; r0 = *(u64 *)(r1 + 0); null: r0 += 1; exit', { engine });
    const call = vm.invoker(prog);
    for (let i = 0; i < abi.HOT_RUNS + 10; i++) {
      expect([call(at, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 42]);
      expect([call(0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 1]);
    }
    expect(prog.engine).toBe(engine === 'interp' ? 'interp' : 'jit');
  });

  test('gives faults and goes on behind checks that fail', () => {
    const bad = vm.invoker(jit('r0 = 0; *(u64 *)(r0 + 0) = r0; exit'));
    const zeroed = vm.invoker(jit('r0 = *(u64 *)(r1 + 0); r0 += 7; exit'));
    for (let i = 0; i < 3; i++) {
      expect(bad(0, 0)).toBe(abi.RUN_FAULT);
      expect(vm.lastFault).toMatchObject({ kind: 'null', insn: 1 });
      expect([zeroed(0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 7]);
    }
    expect(vm.pooled).toBe(1);
  });

  test('runs inside of host functions, and takes fuel', () => {
    const inner = vm.invoker(jit('r0 = r1; r0 <<= 32; r0 >>= 32; r0 += 5; exit'));
    const index = vm.registerHost('nested', (call) => {
      const status = inner(call.u32(0), 1);
      call.ret(status === abi.RUN_DONE ? vm.r0lo : -1);
    });
    const outer = vm.invoker(
      jit('r6 = 100; r1 = 8; call 1; r0 += r6; exit', { calls: { 1: { kind: 'host', index } } }),
    );
    for (let i = 0; i < 3; i++) expect([outer(0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 113]);
    const endless = vm.invoker(jit('here: goto here; exit'));
    expect([endless(0, 0), vm.lastFault?.kind]).toEqual([abi.RUN_FAULT, 'out_of_fuel']);
    expect([outer(0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 113]);
  });

  test('of a program larger than main is emitted twice for', () => {
    const call = vm.invoker(
      jit(`r0 = 0; ${'r0 += 1\n'.repeat(400)} if r1 == 0 goto out; r0 = *(u64 *)(r1 - 8); out: exit`),
    );
    expect([call(0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 400]);
    expect([call(1, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 0]);
  });

  test('works where no code may be made of text', () => {
    vi.spyOn(globalThis, 'Function').mockImplementation(() => {
      throw new EvalError('blocked by the content security policy');
    });
    const call = vm.invoker(jit('r0 = 3; exit'));
    expect([call(0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 3]);
    const make = () => 1;
    expect(ownCopy(make)).toBe(make);
  });
});

test('a host function gets only the arguments that it takes', () => {
  const seen: number[] = [];
  const index = vm.registerHost('two', (call) => seen.push(call.u32(0), call.u32(1)), { args: 2 });
  const prog = jit('r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call 1; exit', { calls: { 1: { kind: 'host', index } } });
  vm.run(prog);
  expect(seen).toEqual([1, 2]);
});
