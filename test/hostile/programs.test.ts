import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { InputError } from '../../src/errors.js';
import type { VmMap } from '../../src/vm/types.js';
import { DEFAULT_FUEL } from '../../src/vm/vm.js';
import { RUNS } from '../engines.js';
import {
  ACCESSES,
  encodeRandom,
  forgedAddresses,
  hostCall,
  ProgramBench,
  randomPrograms,
  verdictOf,
} from './programs.js';

// Programs that no verifier would let pass. ProgramBench.run compares the core's own memory before and after each of them.

const TIMES = Number(process.env.VMTABLE_HOSTILE_RUNS ?? 100);

describe.each(RUNS)('$engine, $checks checks', ({ engine, checks }) => {
  let bench: ProgramBench;
  beforeAll(async () => {
    bench = await ProgramBench.create(engine, checks);
  });
  afterAll(() => bench?.dispose());

  it('a changed byte of the core would be seen', () => {
    const { core, memory } = bench.vm;
    const shadow = memory.u32At(abi.SHADOW_START);
    const places = {
      statics: abi.STATICS_END - 8,
      'execution records': abi.PROG_TABLE,
      'memory records': abi.PATTERNS + 8,
      'shadow of guest offset': shadow + 1000,
      heap: memory.u32At(abi.PROG_TABLE),
    };
    for (const [name, address] of Object.entries(places)) {
      expect(() => bench.run(`r1 = ${address}; call ${hostCall('poke')}; exit`), name).toThrow(name);
      core.u8[address] = (core.u8[address] as number) ^ 1;
    }
  });

  const end = () => bench.vm.memory.windowBytes;

  it('forged pointers in every register, by every insn, reach the window and nothing else', () => {
    const inside = new Set<string>();
    fc.assert(
      fc.property(
        forgedAddresses(bench),
        fc.oneof(fc.constantFrom(0, 1, -1, 8, -8, 32767, -32768), fc.integer({ min: -32768, max: 32767 })),
        fc.nat(9),
        fc.constantFrom(...ACCESSES),
        fc.constantFrom('strict' as const, 'kernel' as const),
        (value, off, reg, { width, write, text }, faults) => {
          const address = BigInt.asUintN(64, value + BigInt(off));
          const verdict = verdictOf(address, width);
          inside.add(verdict);
          const program = `r${reg} = ${value} ll; r${(reg + 1) % 10} = 0x5a5a; ${text(reg, off, (reg + 1) % 10)}; exit`;
          const allowed =
            verdict === 'inside' &&
            (checks === 'isolate' || bench.vm.memory.canAccess(Number(BigInt.asUintN(32, address)), width, write));
          const { fault, zeroed, r0 } = bench.run(program, { faults, keepWindow: !allowed || !write });
          if (allowed) expect(fault).toBeUndefined();
          else if (fault) {
            if (verdict !== 'inside') expect(fault.kind).toBe(verdict);
            expect(fault).toMatchObject({ address, size: width, write, insn: 3 });
          } else {
            // Nothing but a load under the kernel's policy goes on, with 0.
            expect({ write, faults, zeroed, r0 }).toEqual({ write: false, faults: 'kernel', zeroed: 1, r0: 0n });
          }
        },
      ),
      { numRuns: 4 * TIMES },
    );
    expect([...inside].sort()).toEqual(['inside', 'null', 'out_of_window']);
  });

  it.each(ACCESSES.map((access) => [access.text(1, 0, 2), access] as const))(
    '%s: the ends of the window',
    (_, { width, write, text }) => {
      const go = (address: bigint, off: number) =>
        bench.run(`r1 = ${BigInt.asUintN(64, address)} ll; r2 = 0; ${text(1, off, 2)}; exit`, { keepWindow: !write })
          .fault;
      const top = bench.address(end());
      for (const [base, off] of [
        [top, 0],
        [top, -width + 1],
        [top - 32767n - BigInt(width - 1), 32767],
        [top + 32767n, -32767],
        [top + 32768n, -32768],
        [bench.address(0), -1],
        [bench.address(0), -width],
        [bench.address(0) - 1n, 0],
        [bench.address(0) + 32767n, -32768],
        [BigInt.asUintN(64, -1n), 0],
        [BigInt.asUintN(64, -1n), 1],
        [0n, 0],
        [0n, -1],
        [bench.address(0) & 0xffffffffn, 0],
        [top & 0xffffffffn, -8],
        [(1n << 63n) | BigInt(end() - 8), 0],
      ] as const) {
        const address = BigInt.asUintN(64, base + BigInt(off));
        if (verdictOf(address, width) === 'inside') throw new Error(`0x${address.toString(16)} is a sound address`);
        expect(go(base, off), `0x${base.toString(16)} + ${off}`).toMatchObject({ address, size: width, write });
      }
      // The last bytes are the window's, under isolate.
      if (checks === 'isolate') expect(go(top - BigInt(width), 0)).toBeUndefined();
    },
  );

  it('stacks neither over- nor underflow into the core', () => {
    for (let off = -1100; off <= 600; off += 4) {
      const { fault } = bench.run(`*(u64 *)(r10 ${off < 0 ? '-' : '+'} ${Math.abs(off)}) = -1; r0 = 0; exit`);
      if (off >= -512 && off <= -8) expect(fault).toBeUndefined();
      // 16 bytes lie between a frame and what is next to it.
      const redzone = (off > -8 && off < abi.STACK_REDZONE) || (off < -512 && off >= -512 - abi.STACK_REDZONE);
      if (checks === 'object' && redzone) expect(fault?.kind, `r10 + ${off}`).toBe('out_of_bounds');
    }
  });

  it('a stack pointer walks through the whole window and stops at its end', () => {
    for (const step of [8, -8]) {
      const text = `r1 = r10; r1 += -8; again: *(u64 *)(r1 + 0) = 0; r1 += ${step}; goto again`;
      const { fault } = bench.run(`${text}; exit`, { fuel: 1_000_000 });
      expect(fault?.kind).toBe(checks === 'object' ? 'out_of_bounds' : 'out_of_window');
    }
  });

  it.each([
    ['goto', 'again: goto again; exit'],
    ['gotol', 'again: gotol again; exit'],
    ['a condition', 'r1 = 0; again: if r1 == 0 goto again; exit'],
    ['a narrow condition', 'w1 = 0; again: r2 += 1; if w1 == 0 goto again; exit'],
    ['a condition of two registers', 'r1 = 1; r2 = 0; again: if r1 > r2 goto again; exit'],
    ['may_goto', 'again: may_goto out; goto again; out: goto again; exit'],
    ['a loop of loops', 'outer: r1 = 3; inner: r1 += -1; if r1 != 0 goto inner; goto outer; exit'],
    ['calls that return', 'again: call f; goto again; exit; f: r0 = 0; exit'],
    [
      'bpf_loop',
      `again: r1 = -1; r2 = func(f) ll; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; goto again; exit; f: r0 = 0; exit`,
    ],
  ])('an endless loop by %s runs out of fuel', (_, text) => {
    for (const fuel of [1, 2, 100, 50_000, 250_000]) {
      expect(bench.run(text, { fuel, keepWindow: true, ramps: true }).fault?.kind, String(fuel)).toBe('out_of_fuel');
    }
  });

  it('an endless loop with all the fuel that there is takes less than 2 s', () => {
    const start = process.cpuUsage();
    expect(bench.run('again: goto again; exit', { fuel: DEFAULT_FUEL }).fault?.kind).toBe('out_of_fuel');
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000).toBeLessThan(2000);
  });

  it.each([
    ['itself', 'call f; exit; f: call f; exit'],
    ['each other', 'call f; exit; f: call g; exit; g: call f; exit'],
    ['a code pointer', 'r9 = func(f) ll; callx r9; exit; f: callx r9; exit'],
    [
      'bpf_loop',
      `r1 = 1; r2 = func(f) ll; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; exit; f: r1 = 1; r2 = func(f) ll; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; exit`,
    ],
  ])('recursion through %s ends', (_, text) => {
    const { fault } = bench.run(text, { fuel: 100_000, keepWindow: true });
    expect(fault?.kind).toBe('call_depth');
    expect(fault?.frames.length).toBeLessThanOrEqual(8);
  });

  it('recursion through callbacks of host functions ends', () => {
    const call = `r1 = func(f) ll; r2 = 0; call ${hostCall('callback')}; exit`;
    expect(bench.run(`${call}; f: ${call}`, { fuel: 100_000 }).fault?.kind).toBe('nesting');
  });

  it('tail calls of itself end', () => {
    const { fault, insns } = bench.run(`call ${hostCall('tail')}; r0 = 7; exit`, { fuel: 100_000, countInsns: true });
    expect(fault).toBeUndefined();
    expect(insns).toBe(34 + 2);
  });

  it('callx goes to functions of the program only', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          forgedAddresses(bench),
          fc
            .tuple(fc.nat(200), fc.nat(64))
            .map(
              ([id, low]) =>
                (BigInt(abi.CODE_BASE_HI) << 32n) + (BigInt(id) << BigInt(abi.CODE_PROG_SHIFT)) + BigInt(low),
            ),
        ),
        fc.nat(9),
        (address, reg) => {
          const { fault, r0 } = bench.run(
            `r0 = 1; r${reg} = ${address} ll; callx r${reg}; r0 = 2; exit; f: r0 = 3; exit`,
          );
          if (!fault) expect(r0).toBe(2n);
          else expect(['bad_code_pointer', 'call_depth', 'out_of_fuel']).toContain(fault.kind);
        },
      ),
      { numRuns: TIMES },
    );
  });

  it('a code pointer can be called and nothing else', () => {
    for (const { text, width, write } of ACCESSES) {
      const program = `r1 = func(f) ll; r2 = 0; ${text(1, 0, 2)}; exit; f: r0 = 0; exit`;
      const { fault } = bench.run(program, { keepWindow: true });
      expect(fault).toMatchObject({ kind: 'out_of_window', size: width, write });
    }
    expect(bench.run('r1 = func(f) ll; callx r1; exit; f: r0 = 9; exit').r0).toBe(9n);
  });

  it('helpers take forged maps, keys and values for what they are', () => {
    const fns = [
      abi.FN_MAP_LOOKUP_ELEM,
      abi.FN_MAP_UPDATE_ELEM,
      abi.FN_MAP_DELETE_ELEM,
      abi.FN_MAP_LOOKUP_PERCPU_ELEM,
      abi.FN_FOR_EACH_MAP_ELEM,
    ];
    const arrays = [bench.array, bench.percpu].map(({ ptr }) => bench.address(ptr));
    const pointer = fc.oneof(
      forgedAddresses(bench),
      fc.constantFrom(...arrays),
      fc.constantFrom(bench.address(bench.object.at), bench.address(bench.object.at + 60)),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...fns),
        fc.oneof(fc.constantFrom(...arrays), pointer),
        pointer,
        fc.oneof(pointer, fc.constantFrom(0n, 1n, 2n, 3n, 4n)),
        fc.oneof(fc.constantFrom(0n, 1n, 2n, 3n, 4n), pointer),
        (fn, map, key, value, flags) => {
          const set = [map, key, value, flags].map((word, i) => `r${i + 1} = ${word} ll`).join('; ');
          const { fault, r0 } = bench.run(`${set}; call ${fn}; exit; f: r0 = 0; exit`);
          if (!fault && fn === abi.FN_MAP_LOOKUP_ELEM && r0 !== 0n) expect(verdictOf(r0, 20)).toBe('inside');
        },
      ),
      { numRuns: 4 * TIMES },
    );
  });

  it('a hash map that forged updates and deletions went to is sound', async () => {
    const bench = await ProgramBench.create(engine, checks, { hash: true });
    const { vm } = bench;
    const hash = bench.hash as VmMap;
    fc.assert(
      fc.property(
        forgedAddresses(bench),
        forgedAddresses(bench),
        fc.nat(5),
        fc.boolean(),
        (key, value, flags, remove) => {
          const fn = remove ? abi.FN_MAP_DELETE_ELEM : abi.FN_MAP_UPDATE_ELEM;
          const prog = `r1 = ${bench.address(hash.ptr)} ll; r2 = ${key} ll; r3 = ${value} ll; r4 = ${flags}; call ${fn}; exit`;
          bench.runUnwatched(prog);
          vm.exports.heapCheck();
          let count = 0;
          const next = new Uint8Array(4);
          for (let from: Uint8Array | null = null; hash.nextKey(from, next) === 0; from = next.slice()) {
            expect(hash.lookup(next)).toBeGreaterThan(0);
            count++;
          }
          expect(count).toBe(hash.entries);
          expect(count).toBeLessThanOrEqual(8);
        },
      ),
      { numRuns: TIMES },
    );
    bench.dispose();
  });

  it('host functions see only memory that the program could see', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('read' as const, 'write' as const, 'text' as const, 'callback' as const, 'fail' as const),
        forgedAddresses(bench),
        fc.oneof(fc.nat(300).map(BigInt), forgedAddresses(bench)),
        (name, address, length) => {
          const { fault, r0 } = bench.run(`r1 = ${address} ll; r2 = ${length} ll; call ${hostCall(name)}; exit`);
          if (fault) return;
          if (name === 'text') expect(verdictOf(address, Number(r0) || 1)).toBe('inside');
          else if (name === 'read' && BigInt.asUintN(32, length) > 0n)
            expect(verdictOf(address, Number(BigInt.asUintN(32, length)))).toBe('inside');
          else expect(['read', 'write']).toContain(name);
        },
      ),
      { numRuns: 2 * TIMES },
    );
  });

  it('random programs that pass the structural checks end with a result or a fault', () => {
    let refused = 0;
    const ends = new Map<string, number>();
    fc.assert(
      fc.property(randomPrograms(bench), fc.constantFrom('strict' as const, 'kernel' as const), (program, faults) => {
        try {
          const { fault } = bench.run(encodeRandom(program), { faults });
          const kind = fault?.kind ?? 'result';
          ends.set(kind, (ends.get(kind) ?? 0) + 1);
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
          expect(error.message).toMatch(/insn \d+/);
          refused++;
        }
      }),
      { numRuns: 4 * TIMES },
    );
    // Otherwise this tests the structural checks, or the first access, and nothing else.
    expect(refused).toBeLessThan(2 * TIMES);
    expect(ends.get('result') ?? 0).toBeGreaterThan(TIMES / 10);
  });

  it('and none of that wrote behind the heap that is in use', () => bench.sweep());
});
