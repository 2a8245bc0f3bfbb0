import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import type { LoadedProg } from '../../src/vm/prog.js';
import type { VmProg } from '../../src/vm/types.js';
import type { Vm } from '../../src/vm/vm.js';
import { CHECKS, ENGINES, record } from '../engines.js';
import { core, load, newVm } from './programs.js';

// Runs that left compiled code, and go on in it: at calls of functions, and at starts of loops once they were seen there.

let vms: Vm[];
beforeEach(() => {
  vms = [];
});
afterEach(() => {
  for (const vm of vms) vm.dispose();
});

async function makeVm(patience = 1): Promise<Vm> {
  const vm = await newVm({ cpus: 2 });
  vms.push(vm);
  vm.memory.setU32At(abi.RAMP_AFTER, patience);
  return vm;
}

const ramps = (vm: Vm, prog: VmProg) => vm.memory.u32At((prog as LoadedProg).handle + abi.PROG_RAMPS);

/** Each leaves compiled code at `*(r1 + 0)` where r1 is NULL: the load reads 0. */
const PROGRAMS: Readonly<Record<string, string>> = {
  'a loop':
    'r2 = *(u64 *)(r1 + 0); r0 = 0; r3 = 300; top: r0 += r3; r0 ^= 5; r3 += -1; if r3 != 0 goto top; r0 += r2; exit',
  'a loop with its counter in the frame': `r2 = *(u64 *)(r1 + 0); r0 = 0; *(u64 *)(r10 - 8) = 200; *(u64 *)(r10 - 16) = 0
    top: r3 = *(u64 *)(r10 - 8); r0 += r3; *(u32 *)(r10 - 16) = r0; r3 += -1; *(u64 *)(r10 - 8) = r3; if r3 != 0 goto top
    r1 = *(u64 *)(r10 - 16); r0 += r1; exit`,
  'loops in loops': `r2 = *(u64 *)(r1 + 0); r0 = 0; r3 = 20; outer: r4 = 15; inner: r0 += r4; r0 *= 3; r4 += -1; if r4 != 0 goto inner
    r0 ^= r3; r3 += -1; if r3 != 0 goto outer; exit`,
  'a loop that leaves each time': `r0 = 0; r3 = 100; top: r2 = *(u64 *)(r1 + 0); r0 += r2; r0 += r3; r3 += -1; if r3 != 0 goto top; exit`,
  'calls in a loop': `r6 = r1; r7 = 50; r8 = 0; r2 = *(u64 *)(r6 + 0); top: r1 = r7; call f; r8 += r0; r7 += -1; if r7 != 0 goto top; r0 = r8; exit
    f: *(u64 *)(r10 - 8) = r1; r0 = 0; again: r0 += r1; r1 += -1; if r1 != 0 goto again; r2 = *(u64 *)(r10 - 8); r0 += r2; exit`,
  'a callee that leaves': `r6 = r1; r7 = 50; r8 = 0; top: r1 = r6; r2 = r7; call f; r8 += r0; r7 += -1; if r7 != 0 goto top; r0 = r8; exit
    f: *(u64 *)(r10 - 8) = r2; r3 = *(u64 *)(r1 + 0); r0 = *(u64 *)(r10 - 8); r0 += r3; exit`,
  'recursion below a leave': `r2 = *(u64 *)(r1 + 0); r1 = 7; call f; exit
    f: *(u64 *)(r10 - 8) = r1; if r1 > 1 goto more; r0 = 1; exit; more: r1 += -1; call f; r1 = *(u64 *)(r10 - 8); r0 *= r1; exit`,
  callbacks: `r6 = r1; r2 = *(u64 *)(r6 + 0); *(u64 *)(r10 - 8) = 0; r1 = 40; r2 = func(cb) ll; r3 = r10; r3 += -8; r4 = 0; call 1
    r1 = *(u64 *)(r10 - 8); r0 *= 1000; r0 += r1; exit
    cb: r3 = *(u64 *)(r2 + 0); r3 += r1; r3 *= 3; *(u64 *)(r2 + 0) = r3; r0 = 0; exit`,
  'a callback that leaves': `r6 = r1; *(u64 *)(r10 - 8) = 0; *(u64 *)(r10 - 16) = r6; r1 = 40; r2 = func(cb) ll; r3 = r10; r3 += -16; r4 = 0; call 1
    r1 = *(u64 *)(r10 - 8); r0 *= 1000; r0 += r1; exit
    cb: r4 = *(u64 *)(r2 + 0); r4 = *(u64 *)(r4 + 0); r3 = *(u64 *)(r2 + 8); r3 += r1; r3 *= 3; *(u64 *)(r2 + 8) = r3; r0 = 0; exit`,
  'may_goto, back to the first insn': `r0 += 1; r2 = *(u64 *)(r1 + 0); if r0 > 400 goto out; may_goto out; goto -5; out: exit`,
  'may_goto in a loop': `r2 = *(u64 *)(r1 + 0); r0 = 0; top: may_goto out; r0 += 1; if r0 < 300 goto top; out: exit`,
  'a loop that is entered in two places': `r2 = *(u64 *)(r1 + 0); r0 = 0; r3 = 0; if r2 == 5 goto b; a: r0 += 1; b: r0 += 10; r3 += 1; if r3 < 200 goto a; exit`,
  'what throws': `r2 = *(u64 *)(r1 + 0); r6 = 30; top: r6 += -1; if r6 != 0 goto top; r1 = 5; call 2; exit`,
  'what throws below frames': `r6 = r1; call f; exit; f: r2 = *(u64 *)(r6 + 0); call g; exit; g: r6 = 30; top: r6 += -1; if r6 != 0 goto top; r1 = 5; call 2; exit`,
};

describe.each(CHECKS)('%s checks', (checks) => {
  test.each(Object.entries(PROGRAMS))('%s', async (name, text) => {
    const calls = { 1: core(abi.FN_LOOP), 2: core(abi.FN_THROW) };
    const load2 = (vm: Vm, engine: 'interp' | 'jit') => load(vm, text, { engine, checks, calls });
    for (const patience of [1, 3]) {
      const [interp, jit] = await Promise.all([makeVm(patience), makeVm(patience)]);
      const [a, b] = [load2(interp!, 'interp'), load2(jit!, 'jit')];
      // Until all ramps are there, and with them.
      for (let i = 0; i < 5; i++) {
        for (const fuel of [100_000, 0, 1, 2, 3, 10, 37, 38, 39, 100, 299, 300, 301]) {
          const shown = [a, b].map((prog, side) => record((side ? jit : interp)!.run(prog, { args: [0n], fuel })));
          expect(shown[1], `fuel ${fuel}`).toBe(shown[0]);
        }
      }
      // Paused and resumed.
      for (const slice of [1, 2, 7, 33]) {
        const ends = [interp!, jit!].map((vm, side) => {
          const context = vm.createContext();
          context.start(side ? b : a, [0n]);
          const states: unknown[] = [];
          for (let i = 0; i < 400; i++) {
            const state = context.resume(slice);
            states.push(state, context.registers());
            if (state !== 'paused') break;
          }
          states.push(context.r0);
          context.free();
          return states;
        });
        expect(ends[1], `slice ${slice}`).toEqual(ends[0]);
      }
      if (name.includes('loop') && !name.includes('leaves')) expect(ramps(jit!, b)).toBeGreaterThan(0);
    }
  });
});

test.each(ENGINES)('an exception callback of its own, engine %s', async (engine) => {
  const vm = await makeVm();
  const text = `r6 = 9; call f; exit; f: r1 = 5; call 2; exit; ex: r0 = r1; r0 += 100; r2 = 50; top: r0 += 1; r2 += -1; if r2 != 0 goto top; exit`;
  const prog = load(vm, text, { engine, exceptionCallback: 6, calls: { 2: core(abi.FN_THROW) } });
  for (let i = 0; i < 3; i++) expect(vm.run(prog).r0).toBe(155n);
});

test('a long first run of engine "auto" goes on compiled in the loop where it is', async () => {
  const vm = await makeVm(16);
  const prog = load(vm, 'r0 = 0; r1 = 2000000; top: r0 += r1; r1 += -1; if r1 != 0 goto top; exit', { engine: 'auto' });
  expect(vm.run(prog).r0).toBe(2000001000000n);
  expect([prog.engine, ramps(vm, prog)]).toEqual(['jit', 1]);
});

test('a program has no more ramps than there is room for', async () => {
  const vm = await makeVm();
  const loops = Array.from(
    { length: 40 },
    (_, i) => `r2 = *(u64 *)(r1 + 0); r3 = 30; top${i}: r0 += r3; r3 += -1; if r3 != 0 goto top${i}`,
  );
  const text = `r0 = 0; ${loops.join('\n')}\nexit`;
  const prog = load(vm, text, { engine: 'jit' });
  for (let i = 0; i < 20; i++) expect(vm.run(prog, { args: [0n] }).r0).toBe(40n * 465n);
  expect(ramps(vm, prog)).toBe(abi.MAX_RAMPS);
  const before = vm.core.table.length;
  prog.free();
  load(vm, text, { engine: 'jit' });
  expect(vm.core.table.length).toBe(before);
});

test('what takes no ramps stays compiled without', async () => {
  const vm = await makeVm();
  const text = 'r2 = *(u64 *)(r1 + 0); r0 = 0; r3 = 30; top: r0 += r3; r3 += -1; if r3 != 0 goto top; exit';
  const prog = load(vm, text, { engine: 'jit' });
  const { Module } = WebAssembly;
  let refusals = 0;
  WebAssembly.Module = class extends Module {
    constructor(bytes: BufferSource) {
      if (refusals++ === 0) throw new RangeError('too large');
      super(bytes as ArrayBuffer);
    }
  };
  try {
    for (let i = 0; i < 3; i++) expect(vm.run(prog, { args: [0n] }).r0).toBe(465n);
  } finally {
    WebAssembly.Module = Module;
  }
  expect([prog.engine, ramps(vm, prog), refusals]).toEqual(['jit', 0, 2]);
});
