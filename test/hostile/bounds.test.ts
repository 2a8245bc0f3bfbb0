import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { EngineName } from '../../src/vm/types.js';
import type { Vm } from '../../src/vm/vm.js';
import { ENGINES, record } from '../engines.js';
import { load, newVm } from '../vm/programs.js';

// What compiled code takes an index to be at least and at most lets it leave out checks. Each program makes an index, r3, of its
// argument, r1, and is asked for it; then the largest index is added to an address so near the window's end that it leads one
// byte past it, and the smallest one to an address and an offset that lead one byte before its start. Bounds that are too tight
// by one would have no check there.

const WINDOW = 1 << 20;
const GUEST_BASE = 0xffff888000000000n;
const MOST = 16384n;
const ARGS = [0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 32, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x10000]
  .map(BigInt)
  .concat([0x7fffffffn, 0x80000000n, 0xfffffff0n, 0xfffffffen, 0xffffffffn, 1n << 32n, (1n << 32n) + 1n])
  .concat([(1n << 32n) + 9n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 0x10n, (1n << 64n) - 2n, (1n << 64n) - 1n]);

/** A place where r3 is used: `use`; programs that do not get there go to `out`. What is behind `f:` is a subprogram. */
function program(body: string, use: string): string {
  const [main, subprogram] = body.split('; f: ');
  const text = `r3 = 0; r4 = 0; r5 = 0; ${main}; ${use}; exit; out: r0 = -1; exit`;
  return subprogram ? `${text}; f: ${subprogram}` : text;
}

function shows(vm: Vm, engine: EngineName, text: string): string[] {
  const prog = load(vm, text, { engine, checks: 'isolate', faults: 'strict' });
  expect(prog.engine).toBe(engine);
  const shown = ARGS.map((arg) => record(vm.run(prog, { args: [arg], fuel: 4000 })));
  prog.free();
  return shown;
}

/** Programs that use an index at what it is at most and at least. */
function probes(vm: Vm, body: string): string[] {
  const prog = load(vm, program(body, 'r0 = r3'), { checks: 'isolate' });
  const seen = ARGS.flatMap((arg) => {
    const { r0, fault } = vm.run(prog, { args: [arg], fuel: 4000 });
    return fault || r0 >= MOST ? [] : [r0];
  });
  prog.free();
  if (!seen.length) return [];
  const [low, high] = seen.reduce(([low, high], v) => [v < low ? v : low, v > high ? v : high], [MOST, 0n]);
  const at = (base: bigint, offset: bigint) =>
    program(
      body,
      `r2 = ${GUEST_BASE + base} ll; r2 += r3; r0 = *(u8 *)(r2 ${offset < 0 ? '-' : '+'} ${offset < 0 ? -offset : offset})`,
    );
  return [at(BigInt(WINDOW) - high, 0n), at(0n, -(low + 1n))];
}

async function check(bodies: readonly string[]): Promise<number> {
  const vms = [await newVm({ windowBytes: WINDOW }), await newVm({ windowBytes: WINDOW })];
  let count = 0;
  for (const body of bodies) {
    for (const text of probes(vms[0]!, body)) {
      count++;
      const [interp, jit] = ENGINES.map((engine, i) => shows(vms[i]!, engine, text));
      expect(jit, text).toEqual(interp);
      expect(interp!.join(), text).toContain('fault');
    }
  }
  for (const vm of vms) vm.dispose();
  return count;
}

const COMPARISONS = ['==', '!=', '>', '>=', '<', '<=', 's>', 's>=', 's<', 's<=', '&'];

test.each(COMPARISONS)('a comparison by %s', async (by) => {
  const bodies = ['r', 'w'].flatMap((r) =>
    ['r3 = r1', 'r3 = r1; r3 &= 63; r3 += 3'].flatMap((make) => [
      ...['0', '8', '66', '-1'].flatMap((k) => [
        `${make}; if ${r}3 ${by} ${k} goto yes; goto out; yes: r4 = 1`,
        `${make}; if ${r}3 ${by} ${k} goto out`,
      ]),
      ...['r4 = 8', 'r4 = r1; r4 >>= 1; r4 &= 31; r4 += 4'].flatMap((other) => [
        `${make}; ${other}; if ${r}3 ${by} ${r}4 goto yes; goto out; yes: r4 = 1`,
        `${make}; ${other}; if ${r}4 ${by} ${r}3 goto out`,
      ]),
    ]),
  );
  expect(await check(bodies)).toBeGreaterThan(20);
});

const LOOPS = {
  'an index that grows to a bound': 'top: r3 += 1; if r3 < 20 goto top',
  'an index that grows below a bound': 'top: r4 = r3; r3 += 3; if r3 < 20 goto top; r3 = r4',
  'an index that shrinks': 'r3 = 20; top: r3 += -1; if r3 > 4 goto top',
  'an index that shrinks past 0': 'r3 = 3; top: r3 += -1; r4 += 1; if r4 < 6 goto top; r3 &= 4095',
  'an index that one of two ways makes larger': 'r3 = r1; r3 &= 3; if r1 > 7 goto over; r3 += 9; over: r5 = r3',
  'an index that one of two ways makes smaller':
    'r3 = r1; r3 &= 3; r3 += 9; if r1 > 7 goto over; r3 += -7; over: r5 = r3',
  'an index of an earlier round': 'top: r3 = r4; r4 += 1; if r4 < 12 goto top',
  'an index of two rounds ago': 'top: r3 = r5; r5 = r4; r4 += 1; if r4 < 12 goto top',
  'an index of many rounds ago':
    'r6 = 0; r7 = 0; r8 = 0; r9 = 0; top: r3 = r6; r6 = r7; r7 = r8; r8 = r9; r9 = r5; r5 = r4; r4 += 1; if r4 < 30 goto top',
  'an index that an inner loop changes':
    'top: r5 = 0; inner: r3 += 1; r5 += 1; if r5 < 3 goto inner; r4 += 1; if r4 < 4 goto top',
  'an index that only the outer loop changes':
    'top: r5 = 0; inner: r5 += 1; if r5 < 3 goto inner; r3 += 5; r4 += 1; if r4 < 4 goto top',
  'an index that a loop shifts': 'r3 = 1; top: r3 <<= 1; r4 += 1; if r4 < 9 goto top',
  'an index that may_goto ends': 'top: may_goto over; r3 += 1; if r3 < 99 goto top; over: r5 = r3',
  'an index that a loop entered in two places changes':
    'if r1 > 7 goto b; a: r3 += 2; b: r3 += 1; r4 += 1; if r4 < 7 goto a',
  'an index that grows on one way only': 'top: if r1 > 7 goto over; r3 += 2; over: r4 += 1; if r4 < 7 goto top',
  'an index kept over a callee':
    'r6 = r1; r6 &= 7; r1 = 5; call f; r3 = r6; f: r6 = 4000; r7 = 4000; r3 = 4000; r0 = 0; exit',
  'an index that a callee gives': 'r3 = 3; r0 = 5; call f; r3 = r0; f: r0 = r1; r0 &= 15; exit',
  'an index in the frame': 'r4 = r1; r4 &= 15; *(u64 *)(r10 - 8) = r4; r3 = 1; r3 = *(u64 *)(r10 - 8)',
  'an index in the frame, half of it overwritten':
    'r4 = r1; r4 &= 15; *(u64 *)(r10 - 8) = r4; *(u8 *)(r10 - 7) = 2; r3 = *(u64 *)(r10 - 8)',
  'an index that cmpxchg gives':
    'r4 = r1; *(u64 *)(r10 - 8) = 9; r0 = 3; r3 = 1; r5 = r10; r0 = cmpxchg_64(r5 - 8, r0, r3); r3 = r0',
  'an index that xchg gives': 'r3 = 1; *(u64 *)(r10 - 8) = 900; r5 = r10; r3 = xchg_64(r5 - 8, r3)',
  'an index that fetch_add gives':
    'r3 = 1; *(u64 *)(r10 - 8) = 900; r5 = r10; r3 = atomic_fetch_add((u64 *)(r5 - 8), r3)',
};

test.each(Object.entries(LOOPS))('%s', async (_, body) => {
  expect(await check([body])).toBe(2);
});

const operation = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('r', 'w'),
      fc.constantFrom('+=', '-=', '*=', '|=', '&=', '^=', '<<=', '>>=', 's>>=', '/=', '%=', '='),
      fc.constantFrom(3, 4, 5),
      fc.oneof(
        fc.constantFrom('r1', 'r3', 'r4', 'r5'),
        fc.constantFrom(0, 1, 2, 3, 7, 8, 15, 24, 31, -1, -8, 255).map(String),
      ),
    )
    .map(([r, op, d, s]) => {
      const register = s.startsWith('r');
      const by =
        op.includes('<') || op.includes('>')
          ? `${Math.abs(Number(s)) & 31}`
          : op === '/=' || op === '%='
            ? `${Math.abs(Number(s)) || 1}`
            : s;
      return `${r}${d} ${op} ${register ? `${r}${s.slice(1)}` : by}`;
    }),
  fc.tuple(fc.constantFrom(3, 4, 5), fc.constantFrom(1, 3, 7, 12, 255)).map(([d, m]) => `r${d} &= ${m}`),
);
const condition = fc
  .tuple(
    fc.constantFrom('r', 'w'),
    fc.constantFrom(1, 3, 4, 5),
    fc.constantFrom(...COMPARISONS),
    fc.oneof(
      fc.constantFrom(3, 4, 5).map((r) => `r${r}`),
      fc.constantFrom(0, 1, 5, 8, 31, -1, -3).map(String),
    ),
  )
  .map(([r, d, by, s]) => `if ${r}${d} ${by} ${s.startsWith('r') ? `${r}${s.slice(1)}` : s} goto`);
const block = fc.tuple(fc.array(operation, { maxLength: 3 }), condition, fc.nat(5));

test('indexes that programs of any shape make', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(block, { minLength: 1, maxLength: 5 }),
      fc.constantFrom('r3 &= 4095', 'r3 &= 15', 'if r3 > 99 goto out', 'if r3 >= 64 goto out', 'r5 = 0'),
      async (blocks, end) => {
        const body = blocks.map(
          ([ops, jump, to], i) => `b${i}: ${[...ops, `${jump} b${to % (blocks.length + 1)}`].join('; ')}`,
        );
        await check([`${body.join('; ')}; b${blocks.length}: ${end}`]);
      },
    ),
    { numRuns: 60 },
  );
});
