import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import type { HostFn, VmProg } from '../../src/vm/types.js';
import type { Vm } from '../../src/vm/vm.js';
import { RUNS } from '../engines.js';
import { core, load, newVm, type ProgOptions } from './programs.js';

describe.each(RUNS)('$engine, $checks checks', (run) => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await newVm();
  });
  afterAll(() => vm.dispose());
  const prog = (text: string, options: ProgOptions = {}) => load(vm, text, { ...run, ...options });
  /** A program whose `call 1` goes to fn. */
  const calling = (text: string, fn: HostFn) =>
    prog(text, { calls: { 1: { kind: 'host', index: vm.registerHost('host_fn', fn) }, 2: core(abi.FN_LOOP) } });

  test('arguments and results in every form', () => {
    const seen: unknown[] = [];
    const p = calling('r1 = 0xfffffffeffffffff ll; r2 = -1; r3 = r10; r4 = 0; r5 = 7; r0 = 1; call 1; exit', (call) => {
      seen.push(call.lo(0), call.hi(0), call.u64(0), call.s32(1), call.u32(1), call.u64n(4), call.cpu, call.insn);
      expect(call.ptr(2)).toBeGreaterThan(4096);
      expect(call.ptr(3)).toBe(0);
      expect([call.tryPtr(0), call.tryPtr(2), call.tryPtr(3)]).toEqual([-1, call.ptr(2), 0]);
      expect(call.prog).toBe(p);
    });
    expect(vm.run(p).r0).toBe(0n);
    expect(seen).toEqual([0xffffffff, 0xfffffffe, 0xfffffffeffffffffn, -1, 0xffffffff, 7, 0, 7]);
    expect(vm.run(calling('call 1; exit', (call) => call.ret(-5))).r0).toBe(2n ** 64n - 5n);
    expect(vm.run(calling('call 1; exit', (call) => call.ret(2 ** 40 + 1))).r0).toBe(2n ** 40n + 1n);
    expect(vm.run(calling('call 1; exit', (call) => call.retU64(-2n))).r0).toBe(2n ** 64n - 2n);
    expect(vm.run(calling('call 1; exit', (call) => call.retHalves(7, -2))).r0).toBe(0xfffffffe00000007n);
    expect(vm.run(calling('call 1; exit', (call) => call.retHalves(2 ** 32 - 1, 2 ** 31))).r0).toBe(
      0x80000000ffffffffn,
    );
    expect(vm.run(calling('call 1; exit', (call) => call.retPtr(0))).r0).toBe(0n);
    expect(vm.run(calling('call 1; exit', (call) => call.retPtr(8192))).r0).toBe(vm.memory.address(8192));
  });

  test('calls go on when memory has grown', () => {
    const p = calling('r1 = 7; call 1; exit', (call) => call.ret(call.u32(0) + 1));
    const enter = vm.invoker(p);
    for (let i = 0; i < 2; i++) {
      expect([enter(0, 0), vm.r0lo]).toEqual([0, 8]);
      const { u32 } = vm.core;
      vm.exports.heapFree(vm.exports.heapAlloc(u32.byteLength) >>> 0);
      expect(vm.core.u32 === u32).toBe(false);
    }
  });

  test('r6 to r9 and the stack survive a call', () => {
    const p = calling(
      'r6 = 6; r9 = 9; *(u64 *)(r10 - 8) = 8; call 1; r0 = r6; r0 += r9; r1 = *(u64 *)(r10 - 8); r0 += r1; exit',
      () => {},
    );
    expect(vm.run(p).r0).toBe(23n);
  });

  test('one that walks the stack sees every frame, and the run goes on behind it', () => {
    const seen: number[][] = [];
    const look: HostFn = (call) => {
      seen.push(call.chain.map(({ insn }) => insn));
      call.ret(3);
    };
    const calls = { 1: { kind: 'host', index: vm.registerHost('walker', look, { walksStack: true }) } } as const;
    const p = prog(
      `r6 = 60; call outer; r0 += r6; exit
      outer: r6 = 500; r1 = 7; call inner; r0 += r6; exit
      inner: r6 = r1; *(u64 *)(r10 - 8) = 4000; call 1; r0 += r6; r1 = *(u64 *)(r10 - 8); r0 += r1; exit`,
      { calls },
    );
    for (let i = 0; i < 2; i++) expect(vm.run(p).r0).toBe(4570n);
    expect(seen).toEqual([
      [11, 6, 1],
      [11, 6, 1],
    ]);
    const unmarked = calling('call 1; exit', (call) => void call.chain);
    expect(vm.run(unmarked).fault?.message).toContain(
      'host_fn: a call chain is only for functions that walk the stack',
    );
  });

  test('memory arguments are checked as the program’s own accesses', () => {
    const read = (bytes: number) => (call: Parameters<HostFn>[0]) => call.ret(call.memory.u8(call.mem(0, bytes, true)));
    expect(vm.run(calling('r1 = r10; r1 += -8; *(u8 *)(r10 - 8) = 77; call 1; exit', read(8))).r0).toBe(77n);
    expect(vm.run(calling('r1 = 0; call 1; exit', read(8))).fault).toMatchObject({
      kind: 'null',
      insn: 1,
      size: 8,
      write: true,
    });
    expect(vm.run(calling('r1 = 5 ll; r1 <<= 40; call 1; exit', read(1))).fault?.kind).toBe('out_of_window');
    if (run.checks === 'object') {
      expect(vm.run(calling('r1 = r10; r1 += -8; call 1; exit', read(9))).fault).toMatchObject({
        kind: 'out_of_bounds',
        size: 9,
      });
    }
    const { fault } = vm.run(calling('r1 = 12345; call 1; exit', (call) => call.ptr(0)));
    expect(fault).toMatchObject({ kind: 'bad_pointer', address: 12345n });
    expect(fault?.message).toContain('host_fn');
  });

  test('strings end at their NUL', () => {
    const ptr = vm.memory.alloc(6, { name: 'string' });
    vm.memory.bytes(ptr, 6).set(new TextEncoder().encode('abcdef'));
    const seen: string[] = [];
    const p = calling('call 1; exit', (call) => seen.push(call.cstring(0, 6)));
    vm.run(p, { args: [vm.memory.address(ptr)] });
    vm.memory.setU8(ptr + 3, 0);
    vm.run(p, { args: [vm.memory.address(ptr)] });
    expect(seen).toEqual(['abcdef', 'abc']);
    vm.memory.setU8(ptr + 3, 65);
    const unending = calling('call 1; exit', (call) => call.cstring(0, 100));
    const { fault } = vm.run(unending, { args: [vm.memory.address(ptr)] });
    expect(fault?.kind).toBe(run.checks === 'object' ? 'out_of_bounds' : undefined);
    vm.memory.free(ptr);
  });

  test('a host function runs other programs, and the same one', () => {
    const inner = prog('r0 = r1; r0 += 1; r6 = 66; exit');
    const outer: VmProg = calling(
      'r6 = r1; if r1 == 0 goto out; call 1; r0 += r6; exit; out: r0 = 100; exit',
      (call) => {
        const n = call.u64(0);
        const { r0 } = vm.run(outer, { args: [n - 1n] });
        call.retU64(vm.run(inner, { args: [r0] }).r0);
        expect(call.prog).toBe(outer);
        expect(call.u64(0)).toBe(n);
      },
    );
    expect(vm.run(outer, { args: [5n] }).r0).toBe(100n + 5n + 15n);
  });

  test('runs nest so deep and no deeper', () => {
    let depth = 0;
    const p: VmProg = calling('call 1; exit', (call) => {
      depth++;
      const { fault, r0 } = vm.run(p);
      call.ret(fault?.kind === 'nesting' ? 1 : Number(r0) + 1);
    });
    expect(vm.run(p).r0).toBe(BigInt(abi.MAX_NESTING));
    expect(depth).toBe(abi.MAX_NESTING);
  });

  test('a fault of a nested run is that run’s own', () => {
    const bad = prog('r0 = 0; *(u64 *)(r0 + 0) = r0; exit');
    const p = calling('r6 = 5; call 1; r0 += r6; exit', (call) => call.ret(vm.run(bad).fault?.kind === 'null' ? 1 : 0));
    expect(vm.run(p).r0).toBe(6n);
  });

  describe('callbacks', () => {
    const text = (body: string) => `r6 = 6; r1 = func(cb) ll; r2 = 5; call 1; r0 += r6; exit; cb: ${body}`;

    test('run below the host function', () => {
      const p = calling(text('r6 = 1; r0 = r1; r0 *= r2; exit'), (call) => {
        call.retU64(call.callback(call.u64(0), [6n, call.u64(1)]));
      });
      expect(vm.run(p).r0).toBe(36n);
    });

    test('that fault stop the program where they stand', () => {
      const p = calling(text('r0 = 0; *(u64 *)(r0 + 0) = r0; exit'), (call) => {
        call.callback(call.u64(0), []);
      });
      const { fault } = vm.run(p);
      expect(fault).toMatchObject({ kind: 'null', insn: 8, frames: [4] });
      expect(fault?.error).toBeUndefined();
    });

    test('that throw an exception unwind the program too', () => {
      const index = vm.registerHost('runner', (call) => {
        call.callback(call.u64(0), []);
      });
      const calls = { 1: { kind: 'host', index }, 2: core(abi.FN_THROW) } as const;
      expect(vm.run(prog(text('r1 = 44; call 2; exit'), { calls })).r0).toBe(44n);
    });

    test('of other numbers are an error', () => {
      const p = calling(text('r0 = 0; exit'), (call) => {
        call.callback(4711n, []);
      });
      expect(vm.run(p).fault).toMatchObject({
        kind: 'host',
        message: expect.stringContaining('0x1267 is no function'),
      });
    });

    test('do not take fuel by the slice', () => {
      const p = calling(text('r0 = 0; top: r0 += 1; if r0 != 50 goto top; exit'), (call) => {
        call.retU64(call.callback(call.u64(0), []));
      });
      const context = vm.createContext();
      context.start(p, []);
      while (context.resume(1) === 'paused');
      expect(context.r0).toBe(56n);
      context.free();
    });
  });

  describe('tail calls', () => {
    const chain = (progs: VmProg[]) => (call: Parameters<HostFn>[0]) => {
      const next = progs[call.u32(2)];
      if (next) call.tailCall(next);
    };

    test('take the place of their caller, with its context', () => {
      const second = prog('r0 = r1; r0 *= 2; exit');
      const p = calling('r3 = 0; call 1; r0 = 1; exit', chain([second]));
      expect(vm.run(p, { args: [21n] }).r0).toBe(42n);
      const missing = calling('r3 = 9; call 1; r0 = 1; exit', chain([second]));
      expect(vm.run(missing).r0).toBe(1n);
    });

    test('of a subprogram return to its caller', () => {
      const other = load(vm, 'r0 = 5; r6 = 1; exit', {
        ...run,
        checks: run.checks === 'object' ? 'isolate' : 'object',
      });
      const p = calling(
        'r6 = 30; call sub; r0 += r6; r1 = func(sub) ll; exit; sub: r3 = 0; call 1; r0 = 1; exit',
        chain([other]),
      );
      expect(vm.run(p, { countInsns: true })).toMatchObject({ r0: 35n, insns: 2 + 2 + 3 + 3 });
    });

    test('end after 33', () => {
      const progs: VmProg[] = [];
      const p = calling('r6 = r1; r6 += 1; r1 = r6; r3 = 0; call 1; r0 = r6; exit', chain(progs));
      progs.push(p);
      expect(vm.run(p).r0).toBe(34n);
      for (let i = 0; i < 3; i++) expect([vm.invoke(p, 0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 34]);
    });
  });

  test('a host function that overflows the host’s stack leaves a VM that works', () => {
    const p: VmProg = calling('r6 = 3; call 1; r0 = r6; exit', () => {
      const deeper = (): number => deeper() + 1;
      deeper();
    });
    expect(vm.run(p).fault).toMatchObject({ kind: 'host', error: expect.any(RangeError) });
    expect(vm.run(prog('r0 = 9; exit')).r0).toBe(9n);
  });

  test('a host that has no stack left for the call leaves a VM that works', async () => {
    const own = await newVm();
    const index = own.registerHost('deeper', () => deeper());
    const p = load(own, 'call 1; exit', { ...run, calls: { 1: { kind: 'host', index } } });
    const plain = load(own, 'r0 = 9; exit', run);
    const deeper = (): void => {
      own.invoke(plain, 0, 0);
      own.run(plain);
      deeper();
    };
    expect(deeper).toThrow(RangeError);
    expect(own.invoke(p, 0, 0)).toBe(abi.RUN_FAULT);
    expect(own.lastFault).toMatchObject({ kind: 'host', error: expect.any(RangeError) });
    expect([own.invoke(plain, 0, 0), own.r0lo]).toEqual([abi.RUN_DONE, 9]);
    own.dispose();
  });

  test('no program of the runs below the running one is freed', () => {
    const messages: string[] = [];
    const free = calling('call 1; exit', () => {
      for (const below of [free, outer]) {
        try {
          below.free();
        } catch (error) {
          messages.push((error as Error).message);
        }
      }
    });
    const outer: VmProg = calling('r6 = 3; call 1; r0 = r6; exit', () => {
      vm.invoke(free, 0, 0);
      vm.run(free);
    });
    expect([vm.invoke(outer, 0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 3]);
    expect(messages).toEqual([free, outer, free, outer].map((p) => `program "${p.name}" freed while it runs`));
    outer.free();
  });

  test('an exception after a nested run still ends on the first frame’s stack', () => {
    const nested = vm.registerHost('nested', () => {
      vm.invoke(inner, 0, 0);
    });
    const inner = prog('r0 = 0; exit');
    const calls = { 1: { kind: 'host', index: nested }, 2: core(abi.FN_THROW) } as const;
    const text =
      '*(u64 *)(r10 - 8) = 7; call sub; exit; sub: call 1; r1 = 5; call 2; exit; r0 = *(u64 *)(r10 - 8); r0 += r1; exit';
    const p = prog(text, { calls, exceptionCallback: 7 });
    for (let i = 0; i < 2; i++) expect([vm.invoke(p, 0, 0), vm.r0lo]).toEqual([abi.RUN_DONE, 12]);
    expect(vm.run(p).r0).toBe(12n);
  });
});

test('callbacks see each element of a map once', async () => {
  const vm = await newVm();
  const map = vm.createMap({
    type: 2,
    name: 'a',
    keySize: 4,
    valueSize: 8,
    maxEntries: 5,
    flags: 0,
    mapStructBytes: 64,
  });
  const view = new DataView(new ArrayBuffer(12));
  for (let i = 0; i < 5; i++) {
    view.setUint32(0, i, true);
    view.setUint32(4, i * 10, true);
    map.update(new Uint8Array(view.buffer, 0, 4), new Uint8Array(view.buffer, 4, 8), 0);
  }
  const text = (stop: number) => `*(u64 *)(r10 - 8) = 0; r2 = func(cb) ll; r3 = r10; r3 += -8; r4 = 0; call 1
    r1 = *(u64 *)(r10 - 8); r1 *= 100; r0 += r1; exit
    cb: r5 = *(u32 *)(r2 + 0); r3 = *(u64 *)(r3 + 0); r3 += r5; r1 = *(u64 *)(r4 + 0); r1 += r3
    *(u64 *)(r4 + 0) = r1; r0 = 0; if r5 != ${stop} goto out; r0 = 1; out: exit`;
  const run = (stop: number, fuel = 1000) =>
    vm.run(load(vm, text(stop), { calls: { 1: core(abi.FN_FOR_EACH_MAP_ELEM) } }), {
      args: [vm.memory.address(map.ptr)],
      fuel,
    });
  expect(run(99).r0).toBe(11_005n);
  expect(run(2).r0).toBe(3303n);
  expect(run(99, 4).fault?.kind).toBe('out_of_fuel');
  vm.dispose();
});
