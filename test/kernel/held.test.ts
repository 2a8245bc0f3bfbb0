import { expect, it } from 'vitest';
import { Kernel } from '../../src/index.js';
import { heldFault } from '../../src/kernel/fault_of.js';
import { type Held, type HeldKind, HeldTable } from '../../src/kernel/held.js';
import { Random } from '../../src/kernel/random.js';
import type { VmProg } from '../../src/vm/types.js';

const KINDS: readonly HeldKind[] = ['reference', 'lock', 'rcu', 'preempt', 'irq', 'iterator'];
const prog = { name: 'p' } as VmProg;
const at = { prog, insn: 3 };

it('answers as a plain list of each running program would', () => {
  const random = new Random(7);
  let early: Held[] = [];
  const table = new HeldTable(() => {}, {
    get count() {
      return early.length;
    },
    take() {
      const taken = early;
      early = [];
      return taken;
    },
  });
  const programs: { floor: number; held: { kind: HeldKind; key: number }[] }[] = [{ floor: 0, held: [] }];
  const pick = <T>(of: readonly T[]): T => of[random.u32() % of.length]!;
  for (let round = 0; round < 3000; round++) {
    const { held } = programs.at(-1)!;
    const kind = pick(KINDS);
    const key = random.u32() % 4;
    switch (random.u32() % 7) {
      case 0:
      case 1:
        table.acquire(at, kind, key, 'it', () => {});
        held.push({ kind, key });
        break;
      case 2:
        early.push({ kind: 'rcu', key: 9, what: 'a section', prog, insn: 0, undo: () => {} });
        held.push({ kind: 'rcu', key: 9 });
        break;
      case 3: {
        const found = held.findLastIndex((each) => each.kind === kind && each.key === key);
        expect(table.release(kind, key)).toBe(found >= 0);
        if (found >= 0) held.splice(found, 1);
        break;
      }
      case 4:
        if (programs.length < 4) programs.push({ floor: table.begin(), held: [] });
        break;
      case 5:
        if (programs.length > 1 && random.u32() % 4 === 0) {
          const { floor } = programs.pop()!;
          expect((table.leave(floor) ?? []).map((each) => each.kind)).toEqual(held.map((each) => each.kind));
        }
        break;
      default:
        expect(table.has(kind)).toBe(held.some((each) => each.kind === kind));
        expect(table.has(kind, key)).toBe(held.some((each) => each.kind === kind && each.key === key));
        expect(table.last(kind)?.key).toBe(held.findLast((each) => each.kind === kind)?.key);
        table.settle();
        expect(table.locks).toBe(held.filter((each) => each.kind === 'lock').length);
    }
  }
});

it('a program that holds very much is told with some of it', async () => {
  const kernel = await Kernel.create({ windowBytes: 1 << 26 });
  try {
    const left = Array.from({ length: 5000 }, (_, i) => ({ kind: 'reference', what: `mask ${i}`, ...at }) as Held);
    expect(heldFault(kernel, left).message).toMatch(
      /mask 0, .*mask 7 and 4992 more are still held when the program ends$/,
    );
    expect(heldFault(kernel, left.slice(0, 8)).message).toMatch(/mask 7 are still held/);
  } finally {
    kernel.dispose();
  }
});
