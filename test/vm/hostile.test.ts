import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import type { Context } from '../../src/vm/context.js';
import type { VmProg } from '../../src/vm/types.js';
import type { Vm } from '../../src/vm/vm.js';
import { RUNS } from '../engines.js';
import { load, newVm } from './programs.js';

// Whatever a program does, nothing outside the guest window changes but the records of its own execution.

const WINDOW = 1 << 20;
const BASE = 0xffff888000000000n;

describe.each(RUNS)('$engine, $checks checks', (run) => {
  let vm: Vm;
  let context: Context;
  let idle: VmProg;
  beforeAll(async () => {
    vm = await newVm({ windowBytes: WINDOW });
    context = vm.createContext() as Context;
    idle = load(vm, 'exit', run);
  });
  afterAll(() => vm.dispose());

  /** The core's memory on both sides of the window, shadow and heap included, without what a run writes: no copies. */
  function outside(): Buffer[] {
    const { u8 } = vm.core;
    const end = abi.WINDOW_BASE + WINDOW;
    return [
      [0, abi.EXEC_RECORDS],
      [abi.MEMORY_RECORDS, abi.WINDOW_BASE],
      [end, context.handle],
      [context.handle + abi.CTX_BYTES, end + WINDOW],
    ].map(([from = 0, to = 0]) => Buffer.from(u8.buffer, u8.byteOffset + from, to - from));
  }

  function attack(text: string, args: bigint[]): void {
    const prog = load(vm, text, { ...run, faults: 'strict' });
    const before = outside().map((part) => Buffer.from(part));
    context.start(prog, args);
    const end = context.resume(5000);
    const after = outside();
    before.forEach((part, i) => {
      expect(part.equals(after[i] as Buffer), text).toBe(true);
    });
    if (end === 'paused') {
      context.start(idle, []);
      context.resume(1);
    }
    prog.free();
  }

  const edges = [
    BASE,
    BASE + BigInt(WINDOW),
    BASE - 0x100000n, // where the core's memory starts, if addresses were not checked
    BASE + BigInt(WINDOW) + 0x20000n, // the core's heap
    BASE + 2n ** 32n,
    BASE - 2n ** 32n,
    2n ** 64n,
    2n ** 63n,
    2n ** 32n,
    0x100000n,
  ];

  test.each([1, 2, 4, 8])('stores of %i bytes around every edge stay inside the window', (size) => {
    const type = `u${size * 8}`;
    const xchg = size === 8 ? 'r2 = xchg_64(r1 + 0, r2)' : 'w2 = xchg32_32(r1 + 0, w2)';
    const atomic = size >= 4 ? `; lock *(${type} *)(r1 + 0) += r2; ${xchg}` : '';
    for (const edge of edges) {
      for (const delta of [-9n, -8n, -7n, -4n, -3n, -1n, 0n, 1n, 4n, 8n]) {
        attack(`*(${type} *)(r1 + 0) = r2; exit`, [edge + delta, ~0n]);
        if (delta === 0n || delta === -3n) {
          attack(`*(${type} *)(r1 + 32767) = r2${atomic}; exit`, [edge + delta - 32767n, ~0n]);
          attack(`r1 += 1${atomic}; exit`, [edge + delta - 1n, ~0n]);
        }
      }
    }
  });

  test('frames cannot be left far enough to matter', () => {
    for (const distance of [-32768, -5000, -513, 0, 16, 4096, 32760]) {
      attack(`*(u64 *)(r10 + ${distance}) = r1; exit`, [~0n]);
      attack(`call sub; exit; sub: r2 = r10; r2 += ${distance}; *(u64 *)(r2 + 0) = r1; exit`, [~0n]);
    }
  });

  test('endless loops and deep recursion end', () => {
    attack('here: goto here; exit', []);
    attack('top: *(u64 *)(r1 + 0) = r1; r1 += 8; goto top; exit', [BASE + 65536n]);
    attack('call down; exit; down: *(u64 *)(r10 - 8) = r1; call down; exit', [~0n]);
  });

  test('random programs on forged pointers', () => {
    const register = fc.integer({ min: 0, max: 9 });
    const offset = fc.constantFrom(0, 1, -1, 7, -8, 4095, -4096, 32767, -32768);
    const immediate = fc.constantFrom(0, 1, -1, 8, 31, 4096, 0x100000, 0x7fffffff, -0x80000000);
    const type = fc.constantFrom('u8', 'u16', 'u32', 'u64');
    const insn = fc.oneof(
      fc.tuple(type, register, offset, register).map(([t, d, o, s]) => `*(${t} *)(r${d} + ${o}) = r${s}`),
      fc.tuple(type, register, offset, register).map(([t, d, o, s]) => `r${s} = *(${t} *)(r${d} + ${o})`),
      fc
        .tuple(register, fc.constantFrom('+=', '-=', '*=', '|=', '&=', '^=', '<<=', '>>='), register)
        .map(([d, op, s]) => `r${d} ${op} r${s}`),
      fc.tuple(register, immediate).map(([d, k]) => `r${d} += ${k}`),
      fc.tuple(register, register).map(([d, s]) => `r${d} = r${s}`),
      fc.tuple(register, register).map(([d, s]) => `w${d} = w${s}`),
      fc.tuple(register, fc.integer({ min: 0, max: 31 })).map(([d, k]) => `r${d} <<= ${k}`),
      register.map((d) => `r${d} = r10`),
    );
    fc.assert(
      fc.property(
        fc.array(insn, { minLength: 2, maxLength: 20 }),
        fc.array(fc.constantFrom(...edges, BASE + 65536n, ~0n), { minLength: 5, maxLength: 5 }),
        (insns, args) => attack(`${insns.join('\n')}\nexit`, args),
      ),
      { numRuns: 150 },
    );
  });
});
