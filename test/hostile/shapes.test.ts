import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { assemble } from '../../src/asm/index.js';
import type { CoreArena } from '../../src/vm/arena.js';
import type { LoadedProg } from '../../src/vm/prog.js';
import { Vm } from '../../src/vm/vm.js';
import { ENGINES, RUNS, record } from '../engines.js';
import { load } from '../vm/programs.js';
import { CoreImage, setRamps, usedTop } from './core_image.js';

// Programs of hostile size and shape, and such as aim at themselves: the core's memory outside of the window stays as it is,
// byte for byte, and both engines show the same.

const WINDOW = 1 << 20;
const ARENA = 1n << 44n;
const PAGES = 8;
const GUEST = BigInt(abi.GUEST_BASE_HI) << 32n;
const FUEL = 20_000;

let vm: Vm;
let arena: CoreArena;
beforeEach(async () => {
  vm = await Vm.create({ windowBytes: WINDOW, cpus: 2, fuel: FUEL });
  arena = vm.createArena({ name: 'arena', userVmStart: ARENA, pages: PAGES });
  arena.alloc(ARENA, PAGES - 1);
  setRamps(vm, false);
});
afterEach(() => vm.dispose());

/** Addresses that lead to the window's ends, wrap, or would be the core's if they were offsets. */
const forged = (i: number): bigint => {
  const edges = [
    0n,
    8n,
    BigInt(WINDOW),
    BigInt(WINDOW) - 4n,
    -8n,
    1n << 32n,
    (1n << 32n) - 4n,
    1n << 31n,
    -BigInt(abi.WINDOW_BASE),
  ];
  const base = edges[i % edges.length] as bigint;
  return BigInt.asUintN(64, (i % 3 === 0 ? 0n : GUEST) + base + BigInt((i * 7) % 9) - 4n);
};
const touch = (i: number, r = 2): string => {
  const bits = [8, 16, 32, 64][i % 4];
  return `r${r} = ${forged(i)} ll; ${i % 2 ? `*(u${bits} *)(r${r} + ${(i % 5) - 2}) = ${i}` : `r3 = *(u${bits} *)(r${r} + ${(i % 5) - 2})`}`.replace(
    '+ -',
    '- ',
  );
};

const SHAPES: Readonly<Record<string, () => string>> = {
  'a straight line of 50,000 insns': () =>
    `r0 = 0; ${Array.from({ length: 12_500 }, (_, i) => `${touch(i * 2)}; r0 += r3`).join('\n')}\nexit`,
  'a straight line of 8,000 stores by one base': () =>
    `r2 = ${GUEST + BigInt(WINDOW) - 70_000n} ll; r0 = 0; ${Array.from({ length: 8000 }, (_, i) => `*(u8 *)(r2 + ${(i * 31) % 32768}) = ${i % 100}`).join('\n')}\nexit`,
  '8,000 ways': () => {
    const ways = Array.from({ length: 8000 }, (_, i) => `if r1 == ${i} goto way${i}`);
    // A jump reaches 32767 insns.
    const targets = ways.map((_, i) => `way${i}: r2 += ${i}; *(u8 *)(r2 + 0) = 1\ngoto out`);
    return `r0 = 1; r2 = ${GUEST + BigInt(WINDOW) - 4000n} ll; ${ways.join('\n')}\nexit\n${targets.join('\n')}\nout: exit`;
  },
  'loops that are all entered twice': () => {
    const blocks = Array.from(
      { length: 2000 },
      (_, i) =>
        `b${i}: r0 += 1; r6 += 4096; *(u32 *)(r6 + 0) = 1; if r${1 + (i % 5)} == ${i} goto b${(i * 977) % 2000}`,
    );
    return `r0 = 0; r6 = ${GUEST} ll; ${blocks.join('\n')}\nexit`;
  },
  'a thousand loops in a row, each past an end': () =>
    `r0 = 0; ${Array.from({ length: 1000 }, (_, i) => `r2 = ${forged(i)} ll; r4 = 9; t${i}: *(u8 *)(r2 + 0) = 1; r2 += 1; r4 += -1; if r4 != 0 goto t${i}`).join('\n')}\nexit`,
  'functions without number that call the next': () =>
    `r1 = 0; call f0; exit\n${Array.from({ length: 3000 }, (_, i) => `f${i}: *(u64 *)(r10 - 512) = r1; *(u64 *)(r10 + 0) = r1; r0 = 0; exit`).join('\n')}`,
};

describe.each(Object.entries(SHAPES))('%s', (_, text) => {
  test.each(RUNS)('$engine, $checks checks', ({ engine, checks }) => {
    const shown = ['interp' as const, engine].map((each) => {
      const prog = load(vm, text(), { engine: each, checks });
      expect(prog.notCompiled).toBeUndefined();
      vm.memory.bytes(WINDOW - 80_000, 80_000).fill(0);
      const image = new CoreImage(vm, usedTop(vm));
      const results = [0n, 7999n, 5n].map((arg) => record(vm.run(prog, { args: [arg, 2n, 3n, 4n, 5n] })));
      expect(image.difference()).toBeUndefined();
      prog.free();
      return results;
    });
    expect(shown[1]).toEqual(shown[0]);
  });
});

describe.each(RUNS)('a program that aims at its own code, $engine, $checks checks', ({ engine, checks }) => {
  /** Loads it, knowing where its slots will be, and runs it twice. */
  function aim(text: (slots: bigint) => string): void {
    const program = (slots: number) => {
      const insns = assemble(text(BigInt(slots) - BigInt(abi.WINDOW_BASE)));
      return vm.loadProg({
        name: 'aims',
        insns,
        calls: new Map(),
        checks,
        faults: 'kernel',
        engine,
        arena: arena.handle,
      });
    };
    // The same text is loaded to the same place.
    const first = program(0x200000);
    const slots = vm.memory.u32At((first as LoadedProg).handle + abi.PROG_SLOTS);
    first.free();
    const prog = program(slots);
    expect(vm.memory.u32At((prog as LoadedProg).handle + abi.PROG_SLOTS)).toBe(slots);
    const image = new CoreImage(vm, usedTop(vm));
    const results = [1, 2].map(() => record(vm.run(prog)));
    expect(image.difference()).toBeUndefined();
    expect(results[1]).toBe(results[0]);
    prog.free();
  }
  const STORES = '*(u64 *)(r2 + 0) = 0; *(u64 *)(r2 + 8) = 0; *(u8 *)(r2 + 1) = 255; lock *(u64 *)(r2 + 16) += r2';

  test('by the address that it would have in the window', () => {
    aim((slots) => `r2 = ${GUEST + slots} ll; ${STORES}; r0 = 5; exit`);
  });
  test('by an offset, an index, a wrapped sum', () => {
    aim((slots) => `r2 = ${GUEST} ll; r3 = ${slots} ll; r2 += r3; ${STORES}; r0 = 5; exit`);
    aim(
      (slots) => `r2 = ${GUEST + slots + 32760n} ll; *(u64 *)(r2 - 32760) = 0; *(u64 *)(r2 - 32752) = 0; r0 = 5; exit`,
    );
    aim(
      (slots) =>
        `r2 = -1; r2 <<= 32; r3 = ${GUEST + slots} ll; r2 += r3; r4 = 1; r4 <<= 32; r2 += r4; ${STORES}; r0 = 5; exit`,
    );
  });
  test.each([0n, -(1n << 31n), 1n << 31n, 1n << 32n, -(1n << 32n)])('through the arena, %d bytes apart', (apart) => {
    aim(
      (slots) => `r1 = ${BigInt.asUintN(64, ARENA + slots + apart)} ll; r2 = addr_space_cast(r1, 0, 1); ${STORES}
      r1 = ${BigInt.asUintN(64, ARENA)} ll; r2 = addr_space_cast(r1, 0, 1); r3 = ${BigInt.asUintN(64, slots + apart)} ll; r2 += r3; ${STORES}
      w1 = ${BigInt.asIntN(32, slots + apart)}; r2 = addr_space_cast(r1, 0, 1); ${STORES}; r0 = 5; exit`,
    );
  });
  test('that copies itself into the arena and goes there', () => {
    aim(
      () =>
        `r1 = ${ARENA} ll; r2 = addr_space_cast(r1, 0, 1); *(u64 *)(r2 + 0) = 0xb7; *(u64 *)(r2 + 8) = 0x95; r6 = r2; callx r6; r0 = 5; exit`,
    );
  });
});

test.each(ENGINES)(
  '1,000 rounds of load, run and free leave table, heap and resident size flat, engine %s',
  { timeout: 120_000 },
  async (engine) => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const text = `${touch(1)}; r2 = *(u64 *)(r1 + 0); r3 = 40; r0 = 0; top: r0 += r3; r3 += -1; if r3 != 0 goto top; call sub; exit
    sub: r4 = 20; again: r0 += r4; r4 += -1; if r4 != 0 goto again; exit`;
    // With ways into its loops, too: compiled several times.
    setRamps(vm, true);
    const round = () => {
      const prog = load(vm, text, { engine, checks: 'isolate' });
      vm.run(prog, { args: [0n] });
      vm.run(prog, { args: [0n] });
      prog.free();
    };
    const rounds = async (count: number) => {
      for (let i = 0; i < count; i++) {
        round();
        if (i % 100 === 0) await setImmediate();
      }
      await setImmediate();
      gc();
      await setImmediate();
      return {
        rss: process.memoryUsage().rss,
        flat: [vm.memory.usage.heapBytes, vm.core.table.length, vm.core.u8.length],
      };
    };
    const before = await rounds(200);
    const after = await rounds(1000);
    expect(after.flat).toEqual(before.flat);
    // What V8 keeps and gives back when it likes: well below what the code of a thousand modules would take.
    expect(after.rss - before.rss).toBeLessThan(24 << 20);
  },
);
