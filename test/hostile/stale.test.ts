import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../src/uapi.js';
import type { CoreMap } from '../../src/vm/map.js';
import type { CheckStrength, EngineName, HostCall } from '../../src/vm/types.js';
import type { Vm } from '../../src/vm/vm.js';
import { CHECKS, ENGINES, record } from '../engines.js';
import { core, load, newVm } from '../vm/programs.js';

// What compiled code knew and is so no longer: maps that were freed or replaced, read-only data that somebody wrote, parts of
// the frame that a host function gives away. Each case on both engines, which show the same.

const LOOKUP = { 1: core(abi.FN_MAP_LOOKUP_ELEM) };
const KEY = Uint8Array.of(0, 0, 0, 0);

const vms: Vm[] = [];
let make: () => Promise<Vm>;
beforeEach(() => {
  make = async () => {
    const vm = await newVm({ cpus: 2 });
    vms.push(vm);
    return vm;
  };
});
afterEach(() => {
  for (const vm of vms.splice(0)) vm.dispose();
});

/** What each engine shows, each on a VM of its own. */
async function both(show: (vm: Vm, engine: EngineName) => string | string[]): Promise<(string | string[])[]> {
  const shown: (string | string[])[] = [];
  for (const engine of ENGINES) shown.push(show(await make(), engine));
  return shown;
}

function array(vm: Vm, maxEntries: number, type: number = BPF_MAP_TYPE.ARRAY, flags = 0): CoreMap {
  return vm.createMap({ type, name: 'map', keySize: 4, valueSize: 8, maxEntries, flags, mapStructBytes: 64 });
}

describe.each(CHECKS)('maps, %s checks', (checks) => {
  const lookup = (vm: Vm, engine: EngineName, map: CoreMap) =>
    load(
      vm,
      `*(u32 *)(r10 - 4) = r1; r2 = r10; r2 += -4; r1 = ${vm.memory.address(map.ptr)} ll; call 1
      if r0 == 0 goto out; r0 = *(u64 *)(r0 + 0); out: exit`,
      { engine, checks, calls: LOOKUP },
    );

  test('another map that has the place of one that was freed', async () => {
    const shown = await both((vm, engine) => {
      const first = array(vm, 64);
      const prog = lookup(vm, engine, first);
      const before = record(vm.run(prog, { args: [3n] }));
      first.free();
      // Places are held back until there are many of them.
      let second = array(vm, 2);
      while (second.ptr !== first.ptr) {
        second.free();
        second = array(vm, 2);
      }
      vm.memory.setU64(second.lookup(KEY), 77n);
      return [before, ...[0n, 1n, 2n, 3n, 63n].map((arg) => record(vm.run(prog, { args: [arg] })))];
    });
    expect(shown[0]).toContain('{"r0":"0x4d","insns":0}');
    expect(shown[1]).toEqual(shown[0]);
  });

  test('a map that a host function frees or replaces in the middle of a run', async () => {
    const shown = await both((vm, engine) => {
      const map = array(vm, 4);
      const index = vm.registerHost('gone', (call) => {
        if (call.u32(0) === 1) map.free();
        call.ret(0);
      });
      const at = vm.memory.address(map.ptr);
      const prog = load(
        vm,
        `r6 = r1; r7 = 3; top: *(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = ${at} ll; call 1; *(u64 *)(r0 + 0) = 5
        r1 = r7; call 2; r7 += -1; if r7 != 0 goto top; r0 = 9; exit`,
        { engine, checks, calls: { ...LOOKUP, 2: { kind: 'host', index } } },
      );
      const result = record(vm.run(prog, { args: [0n] }));
      return [result, record(vm.run(prog, { args: [0n] }))];
    });
    expect(shown[1]).toEqual(shown[0]);
    expect(shown[0]?.[1]).toContain('bad_map');
  });
});

describe('frozen data', () => {
  const frozen = (vm: Vm) => {
    const map = array(vm, 1, BPF_MAP_TYPE.ARRAY, BPF_MAP_FLAG.RDONLY_PROG);
    map.update(KEY, Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0), 0);
    map.freeze();
    return { map, at: vm.memory.address(map.lookup(KEY)) };
  };
  const reader = (vm: Vm, engine: EngineName, at: bigint, checks: CheckStrength = 'object') =>
    load(vm, `r1 = ${at} ll; r0 = *(u64 *)(r1 + 0); if r0 == 7 goto out; r0 += 1000; out: exit`, { engine, checks });

  test.each(['before', 'after', 'long before'])(
    'that a program under isolate checks writes, loaded %s its reader',
    async (when) => {
      const shown = await both((vm, engine) => {
        const { at } = frozen(vm);
        const write = () =>
          load(vm, `r1 = ${at} ll; *(u64 *)(r1 + 0) = 8; r0 = 0; exit`, { engine, checks: 'isolate' });
        if (when === 'long before') write().free();
        const writer = when === 'before' ? write() : undefined;
        const prog = reader(vm, engine, at);
        const before = record(vm.run(prog));
        vm.run(writer ?? write());
        return [before, record(vm.run(prog))];
      });
      expect(shown[0]?.[1]).toContain('"0x3f0"');
      expect(shown[1]).toEqual(shown[0]);
    },
  );

  test('whose map is freed', async () => {
    const shown = await both((vm, engine) => {
      const { map, at } = frozen(vm);
      const prog = reader(vm, engine, at);
      const before = record(vm.run(prog));
      map.free();
      return [before, record(vm.run(prog))];
    });
    expect(shown[0]?.[1]).toContain('freed');
    expect(shown[1]).toEqual(shown[0]);
  });

  test.each(['freed', 'written'])('that is %s below a run that knows it', async (how) => {
    const shown = await both((vm, engine) => {
      const { map, at } = frozen(vm);
      let depth = 0;
      let inner: () => string = () => '';
      const index = vm.registerHost('change', (call) => {
        if (depth++ === 0) return void inner();
        if (how === 'freed') map.free();
        else vm.run(load(vm, `r1 = ${at} ll; *(u64 *)(r1 + 0) = 8; r0 = 0; exit`, { engine, checks: 'isolate' }));
        call.ret(0);
      });
      const text = `call f; r1 = ${at} ll; r2 = *(u64 *)(r1 + 0); r0 += r2; exit
        f: call 1; r1 = ${at} ll; r0 = *(u64 *)(r1 + 0); exit`;
      const prog = load(vm, text, { engine, calls: { 1: { kind: 'host', index } } });
      let shownInner = '';
      inner = () => {
        shownInner = record(vm.run(prog));
        return shownInner;
      };
      return [record(vm.run(prog)), shownInner];
    });
    expect(shown[1]).toEqual(shown[0]);
    expect(shown[0]?.[0]).toContain(how === 'freed' ? 'freed' : '"0x10"');
  });

  test('is still known where nobody can write it', async () => {
    const vm = await make();
    const { at } = frozen(vm);
    const prog = reader(vm, 'jit', at);
    expect(prog.engine).toBe('jit');
    // Behind the program's back: nobody else shows that it does not look.
    vm.memory.setU64(vm.memory.fromAddress(at), 9n);
    expect(vm.run(prog).r0).toBe(7n);
  });
});

describe.each(CHECKS)('the frame, %s checks', (checks) => {
  /** r10 of main. */
  const r10 = (vm: Vm) => vm.memory.u32At(abi.BASE_R10);
  const gives: Record<string, (vm: Vm, call: HostCall) => void> = {
    'retPtr, r10': (vm, call) => call.retPtr(r10(vm)),
    'retU64, r10': (vm, call) => call.retU64(vm.memory.address(r10(vm))),
    'ret, r10': (vm, call) => call.ret(Number(BigInt.asIntN(64, vm.memory.address(r10(vm))))),
    'retPtr, its end': (vm, call) => call.retPtr(r10(vm) - 512),
    'retPtr, of the frame above': (vm, call) => call.retPtr(r10(vm) + 528),
    'its argument': (_, call) => call.retU64(call.u64(1)),
  };
  const texts = {
    'which a load looks below': `*(u64 *)(r10 - 8) = 5; *(u64 *)(r10 - 16) = 6; *(u64 *)(r10 - 24) = 7; r2 = ARG; call 1
      if r0 == 0 goto out; if r0 == 1 goto out; r1 = *(u64 *)(r0 - 8); r2 = *(u64 *)(r0 - 24); r1 *= 100; r1 += r2; r0 = r1; goto end
      out: r0 = 0; end: r1 = *(u64 *)(r10 - 8); r0 += r1; r1 = *(u64 *)(r10 - 24); r0 += r1; exit`,
    'which a store changes below': `*(u64 *)(r10 - 8) = 5; *(u64 *)(r10 - 16) = 6; *(u64 *)(r10 - 24) = 7; r2 = ARG; call 1
      if r0 == 0 goto out; if r0 == 1 goto out; *(u64 *)(r0 - 8) = 50; *(u64 *)(r0 - 16) = 50; out: r0 = *(u64 *)(r10 - 8)
      r1 = *(u64 *)(r10 - 16); r0 *= 100; r0 += r1; r1 = *(u64 *)(r10 - 24); r0 *= 100; r0 += r1; exit`,
    'which is moved': `*(u64 *)(r10 - 8) = 5; *(u64 *)(r10 - 16) = 6; *(u64 *)(r10 - 24) = 7; r2 = ARG; call 1
      if r0 == 0 goto out; if r0 == 1 goto out; r1 = 16; r0 -= r1; r3 = r0; *(u64 *)(r3 + 0) = 50; out: r0 = *(u64 *)(r10 - 8)
      r1 = *(u64 *)(r10 - 16); r0 *= 100; r0 += r1; r1 = *(u64 *)(r10 - 24); r0 *= 100; r0 += r1; exit`,
    'which is kept in the frame': `*(u64 *)(r10 - 8) = 5; *(u64 *)(r10 - 16) = 6; *(u64 *)(r10 - 24) = 7; r2 = ARG; call 1
      if r0 == 0 goto out; if r0 == 1 goto out; *(u64 *)(r10 - 32) = r0; r4 = *(u64 *)(r10 - 32); *(u64 *)(r4 - 8) = 50
      out: r0 = *(u64 *)(r10 - 8); r1 = *(u64 *)(r10 - 16); r0 *= 100; r0 += r1; r1 = *(u64 *)(r10 - 24); r0 *= 100; r0 += r1; exit`,
    'which a callee gets': `*(u64 *)(r10 - 8) = 5; *(u64 *)(r10 - 16) = 6; *(u64 *)(r10 - 24) = 7; r2 = ARG; call 1
      if r0 == 0 goto out; if r0 == 1 goto out; r1 = r0; call f
      out: r0 = *(u64 *)(r10 - 8); r1 = *(u64 *)(r10 - 16); r0 *= 100; r0 += r1; r1 = *(u64 *)(r10 - 24); r0 *= 100; r0 += r1; exit
      f: *(u64 *)(r1 - 8) = 50; r0 = 0; exit`,
    'in a callee': `*(u64 *)(r10 - 8) = 5; *(u64 *)(r10 - 16) = 6; r6 = 3; call f; r1 = *(u64 *)(r10 - 8); r0 *= 100; r0 += r1
      r1 = *(u64 *)(r10 - 16); r0 *= 100; r0 += r1; r0 += r6; exit
      f: *(u64 *)(r10 - 8) = 7; r2 = ARG; call 1; if r0 == 0 goto out; if r0 == 1 goto out; *(u64 *)(r0 - 8) = 50
      r1 = *(u64 *)(r0 - 16); *(u64 *)(r10 - 16) = r1
      out: r0 = *(u64 *)(r10 - 8); exit`,
  };
  const args = { NULL: '0', 'r10 - 8': 'r10; r2 += -8', 'r10 - 16': 'r10; r2 += -16' };

  describe.each(Object.entries(gives))('%s', (name, give) => {
    test.each(Object.entries(texts))('%s', async (_, text) => {
      for (const [what, arg] of Object.entries(args)) {
        const shown = await both((vm, engine) => {
          const index = vm.registerHost('give', (call) => give(vm, call));
          const prog = load(vm, text.replace('ARG', arg), { engine, checks, calls: { 1: { kind: 'host', index } } });
          return record(vm.run(prog));
        });
        expect.soft(shown[1], `${name}, given ${what}`).toBe(shown[0]);
      }
    });
  });
});
