import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import type { HostCall, VmProg } from '../../src/vm/types.js';
import { INVOKE_DONE, INVOKE_FAULT, type Vm } from '../../src/vm/vm.js';
import { RUNS } from '../engines.js';
import { core, load, newVm } from './programs.js';

// Runs of every kind and end, one behind the other in any order: each finds the machine as if it were the first.

/** Each is entered with r1 = 0; what it gives, or the fault it ends with. */
const PROGRAMS: Readonly<Record<string, { text: string; ends: number | string }>> = {
  plain: { text: 'r0 = 7; exit', ends: 7 },
  'registers that are read before they are written': {
    text: 'r0 += r2; r0 += r5; r0 += r6; r0 += r9; r0 += 3; exit',
    ends: 3,
  },
  'an argument': { text: 'r0 = r1; r0 += 4; exit', ends: 4 },
  'frames three deep': {
    text: `r1 = 2; *(u64 *)(r10 - 8) = 5; call f; r1 = *(u64 *)(r10 - 8); r0 += r1; exit
      f: *(u64 *)(r10 - 8) = r1; if r1 != 0 goto more; r0 = 1; exit
      more: r1 += -1; call f; r1 = *(u64 *)(r10 - 8); r0 += r1; exit`,
    ends: 9,
  },
  'as many frames as there are': {
    text: 'r1 = 7; call f; exit; f: if r1 == 1 goto out; r1 += -1; call f; out: r0 = 8; exit',
    ends: 8,
  },
  may_goto: { text: 'r0 = 0; top: r0 += 1; if r0 > 40 goto out; may_goto out; goto top; out: exit', ends: 41 },
  'a fault two frames deep': {
    text: `r6 = 1; call f; exit
      f: *(u64 *)(r10 - 8) = 9; call g; exit
      g: *(u64 *)(r10 - 8) = 9; r1 = -1; r0 = *(u64 *)(r1 - 5000); exit`,
    ends: 'out_of_window',
  },
  'no fuel': { text: 'call f; exit; f: goto f', ends: 'out_of_fuel' },
  'too many frames': { text: 'call f; exit; f: call f; exit', ends: 'call_depth' },
  'an exception in a callee': { text: 'call f; exit; f: r1 = 11; call 2; exit', ends: 11 },
  'a callback': {
    text: `r1 = 6; r2 = func(cb) ll; r3 = r10; r3 += -8; *(u64 *)(r10 - 8) = 0; r4 = 0; call 3; r0 = *(u64 *)(r10 - 8); exit
      cb: r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3; r0 = 0; exit`,
    ends: 15,
  },
  'other runs inside': {
    text: 'call f; exit; f: *(u64 *)(r10 - 8) = 2; call 1; r1 = *(u64 *)(r10 - 8); r0 += r1; exit',
    ends: 22,
  },
  'a host function that throws': { text: 'call f; exit; f: *(u64 *)(r10 - 8) = 2; call 4; exit', ends: 'host' },
  'a tail call in a callee': { text: 'call f; r0 += 1; exit; f: call 5; exit', ends: 8 },
};
const NAMES = Object.keys(PROGRAMS);
const WAYS = ['invoke', 'invoker', 'run', 'context'] as const;

function setUp(vm: Vm, run: (typeof RUNS)[number]) {
  const progs = new Map<string, VmProg>();
  const invokers = new Map<string, (arg: number, cpu: number) => number>();
  const at = (name: string) => progs.get(name) as VmProg;
  const nested = (call: HostCall) => {
    const sum = ['frames three deep', 'a fault two frames deep', 'may_goto'].map((name) => end(name, 'invoker'));
    expect(sum).toEqual([9, 'out_of_window', 41]);
    expect(end('plain', 'run')).toBe(7);
    call.ret(20);
  };
  const host = (name: string, fn: (call: HostCall) => void) =>
    ({ kind: 'host', index: vm.registerHost(name, fn) }) as const;
  const calls = {
    1: host('nested', nested),
    2: core(abi.FN_THROW),
    3: core(abi.FN_LOOP),
    4: host('throws', (call) => {
      expect(end('may_goto', 'invoke')).toBe(41);
      call.fail(new Error('so it is') as never);
    }),
    5: host('tail', (call) => call.tailCall(at('plain'))),
  };
  for (const [name, { text }] of Object.entries(PROGRAMS)) {
    const prog = load(vm, text, { ...run, calls, faults: 'strict' });
    progs.set(name, prog);
    invokers.set(name, vm.invoker(prog));
  }
  /** How a run ends: r0, or the fault's kind. */
  const end = (name: string, way: (typeof WAYS)[number]): number | string | undefined => {
    const prog = at(name);
    if (way === 'run') {
      const { r0, fault } = vm.run(prog, { args: [0n] });
      return fault?.kind ?? Number(r0);
    }
    if (way === 'context') {
      const context = vm.createContext();
      context.start(prog, [0n]);
      const done = context.resume(1000);
      const ended = done === 'done' ? Number(context.r0) : done === 'paused' ? 'out_of_fuel' : context.fault?.kind;
      context.free();
      return ended;
    }
    const status =
      way === 'invoke' ? vm.invoke(prog, 0, 0) : (invokers.get(name) as (arg: number, cpu: number) => number)(0, 0);
    expect([INVOKE_DONE, INVOKE_FAULT]).toContain(status);
    return status === INVOKE_DONE ? vm.r0lo : vm.lastFault?.kind;
  };
  return end;
}

const STEPS = fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...WAYS)), { minLength: 1, maxLength: 12 });

describe.each(RUNS)('$engine, $checks checks', (run) => {
  test('no run shows in the next one', async () => {
    const vm = await newVm({ fuel: 3000 });
    const end = setUp(vm, run);
    fc.assert(
      fc.property(STEPS, (steps) => {
        for (const [name, way] of steps) expect([name, way, end(name, way)]).toEqual([name, way, PROGRAMS[name]?.ends]);
      }),
      { numRuns: 150 },
    );
    vm.dispose();
  });

  test('each counts its may_gotos from 0', async () => {
    const vm = await newVm({ fuel: 20_000_000 });
    const enter = vm.invoker(load(vm, 'r0 = 0; top: r0 += 1; may_goto out; goto top; out: exit', run));
    for (let i = 0; i < 2; i++) expect([enter(0, 0), vm.r0lo]).toEqual([INVOKE_DONE, abi.MAY_GOTO_LOOPS + 1]);
    vm.dispose();
  });
});

test.each(RUNS)('a run that the host had no stack for leaves nothing behind: $engine, $checks checks', async (run) => {
  const vm = await newVm();
  let deeper = 0;
  const dive: (call: HostCall) => void = (call) => {
    deeper++;
    dive(call);
  };
  const calls = { 1: { kind: 'host', index: vm.registerHost('dive', dive) } } as const;
  const crash = vm.invoker(load(vm, 'r1 = 1; call f; exit; f: *(u64 *)(r10 - 8) = 1; call 1; exit', { ...run, calls }));
  const next = vm.invoker(
    load(
      vm,
      '*(u64 *)(r10 - 512) = 3; r1 = 7; call f; r1 = *(u64 *)(r10 - 512); r0 += r1; exit; f: if r1 == 1 goto out; r1 += -1; call f; out: r0 = 8; exit',
      run,
    ),
  );
  for (let i = 0; i < 3; i++) {
    expect(crash(0, 0)).toBe(INVOKE_FAULT);
    expect(deeper).toBeGreaterThan(100);
    expect([next(0, 0), vm.r0lo]).toEqual([INVOKE_DONE, 11]);
  }
  vm.dispose();
});
