import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import * as abi from '../../assembly/abi.js';
import type { Vm } from '../../src/vm/vm.js';
import { ENGINES, record } from '../engines.js';
import { load, newVm } from './programs.js';

let vm: Vm;
beforeEach(async () => {
  vm = await newVm();
});
afterEach(() => {
  vi.restoreAllMocks();
  vm.dispose();
});

const jit = (text: string) => load(vm, text, { engine: 'jit' });

test('a program of engine "auto" is compiled by the run that makes it hot, and gives the same before and after', () => {
  const prog = load(vm, 'r0 = 7; exit', { engine: 'auto' });
  for (let i = 1; i < abi.HOT_RUNS; i++) vm.invoke(prog, 0, 0);
  expect(prog.engine).toBe('interp');
  vm.invoke(prog, 0, 0);
  expect([prog.engine, vm.r0lo]).toEqual(['jit', 7]);
});

test('a run that uses up a slice makes its program hot', () => {
  const prog = load(vm, 'top: r0 += 1; if r0 < 150000 goto top; exit', { engine: 'auto' });
  expect(vm.run(prog).r0).toBe(150_000n);
  expect(prog.engine).toBe('jit');
  expect(vm.run(prog).r0).toBe(150_000n);
});

test('a loop that is emitted several times over pays for what it did, wherever it is left', () => {
  // Loads behind the window's end read 0: there the interpreter takes over, in the middle of a round.
  const end = vm.memory.address(vm.memory.windowBytes - 16);
  const text = `r4 = ${end} ll; r3 = 4; r2 = 30; r0 = 0
    top: r1 = *(u32 *)(r4 + 0); r0 += r1; r4 += r3; r2 += -1; if r2 != 0 goto top; exit`;
  const [interp, compiled] = ENGINES.map((engine) => load(vm, text, { engine, checks: 'isolate', faults: 'kernel' }));
  for (let fuel = 0; fuel < 40; fuel++) {
    expect(record(vm.run(compiled!, { fuel }))).toBe(record(vm.run(interp!, { fuel })));
  }
});

test('where the host takes no code, the program is interpreted and says so', () => {
  vi.spyOn(WebAssembly, 'Module').mockImplementation(() => {
    throw new WebAssembly.CompileError('blocked by the content security policy');
  });
  const prog = load(vm, 'r0 = 3; exit', { engine: 'auto' });
  for (let i = 0; i < abi.HOT_RUNS; i++) vm.invoke(prog, 0, 0);
  expect(prog.engine).toBe('interp');
  expect(prog.notCompiled).toContain('content security policy');
  expect(vm.run(prog).r0).toBe(3n);
});

test('compiled code that comes and goes leaves nothing behind', () => {
  const round = () => {
    const prog = jit('call sub; exit; sub: r0 = 5; exit');
    expect(vm.run(prog).r0).toBe(5n);
    prog.free();
  };
  for (let i = 0; i < 10; i++) round();
  const before = [vm.memory.usage.heapBytes, vm.core.table.length];
  for (let i = 0; i < 1000; i++) round();
  expect([vm.memory.usage.heapBytes, vm.core.table.length]).toEqual(before);
});

test('instances of programs that were freed can be collected', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const { Instance } = WebAssembly;
  const instances: WeakRef<object>[] = [];
  WebAssembly.Instance = class extends Instance {
    constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
      super(module, imports);
      instances.push(new WeakRef(this));
    }
  };
  try {
    for (let i = 0; i < 100; i++) {
      const prog = jit('call sub; exit; sub: r0 = 5; exit');
      expect(vm.run(prog).r0).toBe(5n);
      prog.free();
    }
  } finally {
    WebAssembly.Instance = Instance;
  }
  // A WeakRef holds what it refers to until the end of the task.
  await setImmediate();
  gc();
  expect(instances).toHaveLength(100);
  // Whatever ran last may still be on a stack or in a cache.
  expect(instances.filter((instance) => instance.deref()).length).toBeLessThan(5);
});

test('a loop that is entered in two places runs', () => {
  const text = `r0 = 0; if r1 == 0 goto second
    first: r0 += 1
    second: r0 += 10; r1 += 1; if r1 < 5 goto first; exit`;
  const prog = jit(text);
  expect(prog.engine).toBe('jit');
  expect(vm.run(prog, { args: [0n] }).r0).toBe(54n);
  expect(vm.run(prog, { args: [3n] }).r0).toBe(22n);
});

test('control flow of any size is compiled: straight, wide and entangled', () => {
  const straight = jit(`${'r0 += 1\n'.repeat(50_000)}exit`);
  expect(straight.notCompiled).toBeUndefined();
  expect(vm.run(straight).r0).toBe(50_000n);

  const ways = Array.from({ length: 8000 }, (_, i) => `if r1 == ${i} goto way${i}`);
  const targets = ways.map((_, i) => `way${i}: r0 += ${i}; if r0 > 0x7fff0000 goto way${(i * 7) % 8000}\ngoto out`);
  // A jump reaches 32767 insns.
  const wide = jit(`r0 = 1; ${ways.join('\n')}\nexit\n${targets.join('\n')}\nout: exit`);
  expect(wide.notCompiled).toBeUndefined();
  expect(vm.run(wide, { args: [7999n] }).r0).toBe(8000n);

  const blocks = Array.from(
    { length: 3000 },
    (_, i) => `b${i}: r0 += 1; if r${1 + (i % 5)} == ${i} goto b${(i * 977) % 3000}`,
  );
  const entangled = jit(`r0 = 0; ${blocks.join('\n')}\nexit`);
  expect(entangled.notCompiled).toBeUndefined();
  const args = [1n, 2n, 3n, 4n, 5n];
  expect(vm.run(entangled, { args })).toEqual(vm.run(load(vm, `r0 = 0; ${blocks.join('\n')}\nexit`), { args }));
});

test('calls by register in very many functions are compiled to code that grows with their number alone', () => {
  const compiled = (count: number, taken: boolean) => {
    const body = (i: number) => `f${i}: r0 += 1; ${taken ? `r6 = func(f${i}) ll` : 'r6 = 0'}; callx r6; exit`;
    const functions = Array.from({ length: count }, (_, i) => body(i)).join('\n');
    const calls = Array.from({ length: count }, (_, i) => `call f${i}`).join('\n');
    const prog = jit(`r0 = 0; if r1 != 0 goto out; ${calls}\nout: r0 += 3; exit\n${functions}`);
    expect(prog.notCompiled).toBeUndefined();
    expect(vm.run(prog, { args: [1n] }).r0).toBe(3n);
    const bytes = vm.core.u32[abi.JIT_BYTES >> 2] as number;
    prog.free();
    return bytes / count;
  };
  for (const taken of [false, true]) expect(compiled(8000, taken)).toBeLessThan(1.2 * compiled(1000, taken));
});
