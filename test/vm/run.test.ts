import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { InputError } from '../../src/errors.js';
import type { LoadedProg } from '../../src/vm/prog.js';
import { INVOKE_FAULT, type Vm } from '../../src/vm/vm.js';
import { ENGINES, RUNS } from '../engines.js';
import { core, load, newVm, type ProgOptions } from './programs.js';

const fibonacci = `
  call fib; exit
  fib: r6 = r1; if r6 > 1 goto recurse; r0 = r6; exit
  recurse: r1 = r6; r1 += -1; call fib; r7 = r0; r1 = r6; r1 += -2; call fib; r0 += r7; exit`;

const loop = 'r0 = 0; top: r0 += r1; r1 += -1; if r1 != 0 goto top; exit';

describe.each(RUNS)('$engine, $checks checks', (run) => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await newVm({ cpus: 4 });
  });
  afterAll(() => vm.dispose());
  const prog = (text: string, options: ProgOptions = {}) => load(vm, text, { ...run, ...options });

  describe('calls of subprograms', () => {
    test('nest, and keep r6 to r9 of their callers', () => {
      expect(vm.run(prog(fibonacci), { args: [6n] }).r0).toBe(8n);
    });

    test('have a stack of their own', () => {
      const text = `*(u64 *)(r10 - 8) = r1; r1 = 5; call sub; r1 = *(u64 *)(r10 - 8); r0 += r1; exit
        sub: *(u64 *)(r10 - 8) = r1; r0 = *(u64 *)(r10 - 8); exit`;
      expect(vm.run(prog(text), { args: [37n] }).r0).toBe(42n);
    });

    test('reach a caller’s stack by pointer', () => {
      const text = `*(u64 *)(r10 - 512) = 1; r1 = r10; r1 += -512; call sub; r0 = *(u64 *)(r10 - 512); exit
        sub: *(u64 *)(r1 + 0) = 7; r0 = 0; exit`;
      expect(vm.run(prog(text)).r0).toBe(7n);
    });

    test('go eight frames deep, not nine', () => {
      const deep = prog('call down; exit; down: r0 += 1; if r1 == 0 goto out; r1 += -1; call down; out: exit');
      expect(vm.run(deep, { args: [6n] })).toMatchObject({ r0: 7n });
      expect(vm.run(deep, { args: [7n] }).fault).toMatchObject({
        kind: 'call_depth',
        insn: 5,
        frames: [5, 5, 5, 5, 5, 5, 0],
      });
    });

    test('go through code pointers', () => {
      const text = 'r1 = 20; r2 = func(sub) ll; callx r2; exit; sub: r0 = r1; r0 += r1; exit';
      expect(vm.run(prog(text)).r0).toBe(40n);
    });

    test.each([
      ['a number', 'r2 = 16'],
      ['a guest address', 'r2 = r10'],
      ['the middle of a function', 'r2 = func(sub) ll; r2 += 16'],
      ['between insns', 'r2 = func(sub) ll; r2 += 1'],
      ['the next program’s', 'r2 = func(sub) ll; r3 = 1; r3 <<= 24; r2 += r3'],
    ])('do not go to %s', (_, make) => {
      const { fault } = vm.run(prog(`r1 = 1; ${make}; callx r2; exit; sub: r0 = r1; r0 += 1; exit`));
      expect(fault?.kind).toBe('bad_code_pointer');
    });
  });

  describe('fuel', () => {
    test('pays exactly for back-edges and calls', () => {
      const p = prog(loop);
      expect(vm.run(p, { args: [1000n], fuel: 999 }).r0).toBe(500500n);
      expect(vm.run(p, { args: [1000n], fuel: 998 }).fault?.kind).toBe('out_of_fuel');
      const calls = prog('r0 = 0; call sub; call sub; exit; sub: r0 += 1; exit');
      expect(vm.run(calls, { fuel: 2 }).r0).toBe(2n);
      expect(vm.run(calls, { fuel: 1 }).fault?.kind).toBe('out_of_fuel');
    });

    test('ends an insn that jumps to itself', () => {
      expect(vm.run(prog('here: goto here; exit'), { fuel: 10 }).fault?.kind).toBe('out_of_fuel');
    });

    test('run in slices of any size gives the same', () => {
      const p = prog(
        `${fibonacci.replace('call fib; exit', 'r9 = 30; r8 = 0; again: r1 = 5; call fib; r8 += r0; r9 += -1; if r9 != 0 goto again; r0 = r8; exit')}`,
      );
      const whole = vm.run(p, { countInsns: true });
      expect(whole.r0).toBe(150n);
      const context = vm.createContext();
      for (const fuel of [1, 2, 3, 7, 50, 1000]) {
        context.start(p, [], { countInsns: true });
        let slices = 1;
        while (context.resume(fuel) === 'paused') slices++;
        expect([context.r0, context.insns]).toEqual([whole.r0, whole.insns]);
        expect(slices).toBe(Math.ceil(479 / fuel));
      }
      context.free();
    });
  });

  describe('insns', () => {
    test.each([
      ['straight', 'r0 = 1; r0 += 1; exit', [], 3],
      ['a wide load is one', 'r0 = 1 ll; exit', [], 2],
      ['a loop', loop, [10n], 1 + 30 + 1],
      ['jumps taken and not', 'r0 = 0; if r1 == 1 goto a; r0 = 5; a: if r1 != 1 goto b; r0 = 6; b: exit', [1n], 5],
      ['calls', 'call sub; exit; sub: r0 = 0; exit', [], 4],
    ])('are counted exactly: %s', (_, text, args, insns) => {
      expect(vm.run(prog(text), { args, countInsns: true }).insns).toBe(insns);
    });

    test('are counted by code that stops and begins to count', () => {
      const p = prog(loop);
      for (let i = 0; i < 2; i++) {
        expect(vm.run(p, { args: [10n], countInsns: true })).toMatchObject({ insns: 32 });
        vm.count(p, false);
        expect((p as LoadedProg).counts).toBe(false);
        expect(vm.run(p, { args: [10n] })).toEqual({ r0: vm.run(prog(loop), { args: [10n] }).r0, insns: 0 });
      }
    });

    test('of a callback count, those of the core do not', () => {
      const text = 'r1 = 10; r2 = func(sub) ll; r3 = 0; r4 = 0; call 1; exit; sub: r0 = 0; exit';
      expect(vm.run(prog(text, { calls: { 1: core(abi.FN_LOOP) } }), { countInsns: true }).insns).toBe(6 + 20);
    });

    test('up to a fault leave it out', () => {
      const p = prog('r1 = 0; r2 = 1; *(u64 *)(r1 + 0) = r2; exit');
      expect(vm.run(p, { countInsns: true })).toMatchObject({ insns: 2, fault: { kind: 'null', insn: 2 } });
    });
  });

  describe('bpf_loop', () => {
    const options = { calls: { 1: core(abi.FN_LOOP) } };
    const body = (n: string, callback: string) =>
      prog(
        `*(u64 *)(r10 - 8) = 0; r6 = 99; r1 = ${n} ll; r2 = func(cb) ll; r3 = r10; r3 += -8; r4 = 0; call 1
         r1 = *(u64 *)(r10 - 8); r1 *= 1000; r0 += r1; exit
         cb: ${callback}`,
        options,
      );
    const sum = 'r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3; r0 = 0; r6 = 1; exit';

    test('calls back with index and context, and gives the number of calls', () => {
      expect(vm.run(body('10', sum)).r0).toBe(45_010n);
    });

    test('stops when told', () => {
      expect(vm.run(body('10', 'r0 = 0; if r1 != 3 goto out; r0 = 1; out: exit')).r0).toBe(4n);
    });

    test('refuses what the kernel refuses', () => {
      expect(vm.run(body('0', sum)).r0).toBe(0n);
      expect(vm.run(body('8388609', sum)).r0).toBe(2n ** 64n - 7n);
      const flags = prog('r1 = 1; r2 = func(cb) ll; r3 = 0; r4 = 1; call 1; exit; cb: r0 = 0; exit', options);
      expect(vm.run(flags).r0).toBe(2n ** 64n - 22n);
    });

    test('pauses and goes on inside callbacks', () => {
      const p = body('500', sum);
      const context = vm.createContext();
      context.start(p, []);
      let slices = 1;
      while (context.resume(7) === 'paused') slices++;
      expect([context.r0, slices]).toEqual([124_750_500n, Math.ceil(500 / 7)]);
      context.free();
    });

    test('takes one of the eight frames', () => {
      const text = `call f1; exit; f1: call f2; exit; f2: call f3; exit; f3: call f4; exit; f4: call f5; exit
        f5: call f6; exit; f6: call f7; exit
        f7: r1 = 1; r2 = func(cb) ll; r3 = 0; r4 = 0; call 1; exit; cb: r0 = 0; exit`;
      expect(vm.run(prog(text, options)).fault?.kind).toBe('call_depth');
    });
  });

  describe('bpf_throw', () => {
    const options = { calls: { 1: core(abi.FN_THROW) } };

    test('ends the program with the cookie', () => {
      const p = prog('r1 = 77; call sub; r0 = 1; exit; sub: call 1; r0 = 2; exit', options);
      expect(vm.run(p).r0).toBe(77n);
    });

    test('ends in the exception callback, on the first frame’s stack', () => {
      const text = `*(u64 *)(r10 - 8) = 1000; r1 = 77; call sub; r0 = 1; exit
        sub: call 1; r0 = 2; exit
        cb: r0 = *(u64 *)(r10 - 8); r0 += r1; exit`;
      expect(vm.run(prog(text, { ...options, exceptionCallback: 8 }), { countInsns: true })).toMatchObject({
        r0: 1077n,
        insns: 3 + 1 + 3,
      });
    });

    test('costs fuel where an exception callback throws, too', () => {
      const p = prog('r1 = 5; call 1; exit; cb: r1 += 1; call 1; exit', { ...options, exceptionCallback: 3 });
      expect(vm.run(p, { fuel: 10 }).fault).toMatchObject({ kind: 'out_of_fuel', insn: 3 });
    });

    test('leaves callbacks of bpf_loop', () => {
      const text = 'r1 = 5; r2 = func(cb) ll; r3 = 0; r4 = 0; call 2; r0 = 1; exit; cb: r1 = 8; call 1; r0 = 0; exit';
      expect(vm.run(prog(text, { calls: { 1: core(abi.FN_THROW), 2: core(abi.FN_LOOP) } })).r0).toBe(8n);
    });
  });

  test('may_goto falls through BPF_MAX_LOOPS times in a frame', () => {
    const p = prog('r0 = 0; top: r0 += 1; may_goto out; goto top; out: exit');
    expect(vm.run(p, { fuel: 10_000_000 }).r0).toBe(8388609n);
  });

  test('bpf_get_smp_processor_id gives the CPU of the run', () => {
    const p = prog('call 1; exit', { calls: { 1: core(abi.FN_GET_SMP_PROCESSOR_ID) } });
    expect(vm.run(p, { cpu: 3 }).r0).toBe(3n);
  });

  describe('contexts', () => {
    test('stand side by side', () => {
      const p = prog(loop);
      const contexts = [10n, 20n, 30n].map((n) => {
        const context = vm.createContext();
        context.start(p, [n]);
        return context;
      });
      while (
        contexts.map((context) => (context.registers()[1] === 0n ? 'done' : context.resume(1))).includes('paused')
      );
      expect(contexts.map(({ r0 }) => r0)).toEqual([55n, 210n, 465n]);
      for (const context of contexts) context.free();
    });

    test('show registers where they stand', () => {
      const context = vm.createContext();
      context.start(prog(loop), [9n]);
      expect(context.resume(2)).toBe('paused');
      expect(context.registers().slice(0, 2)).toEqual([9n + 8n + 7n, 6n]);
      context.free();
    });

    test('say so when they are misused', () => {
      const context = vm.createContext();
      expect(() => context.resume(1)).toThrow('start it first');
      context.start(prog('r0 = 1; exit'), []);
      expect(context.resume(1)).toBe('done');
      expect(() => context.resume(1)).toThrow('start it first');
      expect(() => context.start(prog('exit'), [1n, 2n, 3n, 4n, 5n, 6n])).toThrow('6 arguments');
      context.free();
      expect(() => context.resume(1)).toThrow('after it was freed');
    });
  });

  describe('invoke', () => {
    test('runs with r1 a guest pointer and gives r0 in halves', () => {
      const ptr = vm.memory.alloc(16, { name: 'ctx' });
      vm.memory.setU64(ptr, 0xfedc_ba98_7654_3210n);
      expect(vm.invoke(prog('r0 = *(u64 *)(r1 + 0); exit'), ptr, 0)).toBe(abi.RUN_DONE);
      expect([vm.r0lo, vm.r0hi]).toEqual([0x76543210, 0xfedcba98 | 0]);
      vm.memory.free(ptr);
    });

    test('goes on past a slice, up to the VM’s fuel', () => {
      expect(vm.invoke(prog(loop.replace('r0 = 0', 'r0 = 0; r1 = 300000')), 0, 0)).toBe(abi.RUN_DONE);
      expect(vm.r0lo >>> 0).toBe(Number(((300000n * 300001n) / 2n) & 0xffffffffn));
      expect(vm.invoke(prog('here: goto here; exit'), 0, 0)).toBe(abi.RUN_FAULT);
      expect(vm.lastFault?.kind).toBe('out_of_fuel');
    });

    test('keeps its fault and stays usable', () => {
      const bad = prog('r0 = 0; *(u64 *)(r0 + 0) = r0; exit');
      for (let i = 0; i < 10; i++) expect(vm.invoke(bad, 0, 0)).toBe(abi.RUN_FAULT);
      expect(vm.lastFault).toMatchObject({ kind: 'null', insn: 1, write: true });
      expect(vm.invoke(prog('r0 = 5; exit'), 0, 0)).toBe(abi.RUN_DONE);
      expect(vm.r0lo).toBe(5);
    });
  });
});

test('an engine that is not there is refused by name', async () => {
  const vm = await newVm();
  expect(() => load(vm, 'r0 = 0; exit', { engine: 'magic' as 'jit' })).toThrow(InputError);
  expect(() => load(vm, 'r0 = 0; exit', { engine: 'magic' as 'jit' })).toThrow('engine "magic"');
  vm.dispose();
});

test('programs are of one VM, and are not freed while they run', async () => {
  const [vm, other] = [await newVm(), await newVm()];
  const p = load(vm, loop);
  expect(() => other.run(p)).toThrow('is not loaded here');
  const context = vm.createContext();
  context.start(p, [10n]);
  context.resume(3);
  expect(() => p.free()).toThrow('freed while it runs');
  expect(context.resume(100)).toBe('done');
  p.free();
  expect(() => p.free()).toThrow('is not loaded here');
  expect(() => vm.run(p)).toThrow('is not loaded here');
  vm.dispose();
  expect(() => load(vm, loop)).toThrow('disposed');
  other.dispose();
});

test('programs and contexts give their memory back', async () => {
  const vm = await newVm();
  const round = () => {
    const context = vm.createContext();
    const p = load(vm, fibonacci);
    context.start(p, [5n]);
    context.resume(1000);
    context.free();
    p.free();
  };
  for (let i = 0; i < 100; i++) round();
  const { heapBytes, liveObjects } = vm.memory.usage;
  for (let i = 0; i < 500; i++) round();
  expect(vm.memory.usage).toMatchObject({ heapBytes, liveObjects });
  vm.dispose();
});

test.each(ENGINES)('a fuel below what a slice is bounds every way into a program, engine %s', async (engine) => {
  for (const fuel of [0, 1, 2, 7, 500]) {
    const small = await newVm({ fuel });
    const rounds = small.memory.alloc(8, { name: 'rounds' });
    const prog = load(small, 'r2 = r1; r0 = 0; top: r0 += 1; *(u64 *)(r2 + 0) = r0; goto top; exit', { engine });
    const seen = (status: number) => [status, small.lastFault?.kind, small.memory.u32(rounds)];
    const expected = [INVOKE_FAULT, 'out_of_fuel', fuel + 1];
    expect(seen(small.invoke(prog, rounds, 0))).toEqual(expected);
    expect(seen(small.invoker(prog)(rounds, 0))).toEqual(expected);
    expect(seen(small.invokeCounted(prog, rounds, 0))).toEqual(expected);
    small.run(prog, { args: [small.memory.address(rounds)] });
    expect(small.memory.u32(rounds)).toBe(fuel + 1);
    small.dispose();
  }
});

test.each(RUNS)('a counted call counts the insns that a run counts: $engine, $checks', async (run) => {
  const vm = await newVm();
  const arg = vm.memory.alloc(16, { name: 'rounds' });
  const rounds = 'r2 = *(u64 *)(r1 + 0); r0 = 0; top: r0 += r2; r2 += -1; if r2 != 0 goto top; exit';
  const faults = 'r2 = *(u64 *)(r1 + 0); r0 = 0; top: r2 += -1; if r2 != 0 goto top; *(u64 *)(r0 + 0) = r2; exit';
  const calls = 'call sub; r6 = r0; call sub; r0 += r6; exit; sub: r0 = *(u64 *)(r1 + 0); exit';
  for (const text of [rounds, faults, calls]) {
    const prog = load(vm, text, run);
    // The last is more than a slice of fuel.
    for (const n of [1, 2, 1000, 250_000]) {
      vm.memory.setU32(arg, n);
      const { insns, fault, r0 } = vm.run(prog, { args: [vm.memory.address(arg)], countInsns: true });
      expect(fault !== undefined).toBe(text === faults);
      for (let again = 0; again < 2; again++) {
        const status = vm.invokeCounted(prog, arg, 0);
        expect([vm.insns, status === INVOKE_FAULT]).toEqual([insns, fault !== undefined]);
        if (fault) expect(vm.lastFault).toMatchObject({ kind: fault.kind, insn: fault.insn });
        else expect(vm.r0lo).toBe(Number(BigInt.asIntN(32, r0)));
        const { invoke } = prog as LoadedProg;
        expect(invoke !== undefined).toBe(run.engine === 'jit');
        if (invoke) {
          vm.memory.setU32At(abi.INVOKE_INSNS, 0);
          expect(vm.counted(invoke(vm.quickFuel, 0, arg), prog, arg, 0, vm.quickFuel)).toBe(status);
          expect(vm.insns).toBe(insns);
        }
        // What runs in between is not counted with it, and the next run begins from 0.
        vm.invoke(prog, arg, 0);
      }
    }
  }
  vm.dispose();
});
