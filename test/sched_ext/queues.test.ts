import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { before64 } from '../../src/sched_ext/bits.js';
import { DSQ_USER, Dsq, DsqCursor } from '../../src/sched_ext/dsq.js';
import type { ScxTask } from '../../src/sched_ext/task.js';
import { rankOf } from '../../src/sched_ext/vtime_tree.js';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const hi = (value: bigint) => Number(value >> 32n);
const lo = (value: bigint) => Number(value & 0xffffffffn);

/** As much of a task as a queue looks at. */
class FakeTask {
  readonly node;
  dsqPrev: ScxTask | null = null;
  dsqNext: ScxTask | null = null;
  dsq: Dsq | null = null;
  dsqSeq = 0;
  onPriq = false;

  constructor(
    readonly comm: string,
    readonly vtime: bigint,
    rank: number,
  ) {
    this.node = { left: null, right: null, parent: null, rank: rankOf(rank), hi: 0, lo: 0 };
  }
  get vtimeHi(): number {
    return hi(this.vtime);
  }
  get vtimeLo(): number {
    return lo(this.vtime);
  }
}

let ranks = 0;
function task(comm: string, vtime = 0n): ScxTask {
  return new FakeTask(comm, vtime, ++ranks) as unknown as ScxTask;
}

function put(dsq: Dsq, one: ScxTask, how: 'tail' | 'head' | 'vtime' = 'tail'): void {
  if (how === 'vtime') dsq.insertByVtime(one);
  else if (how === 'head') dsq.pushHead(one);
  else dsq.pushTail(one);
  one.dsqSeq = ++dsq.seq;
  one.dsq = dsq;
  dsq.nr++;
}

const names = (dsq: Dsq) => [...dsq].map(({ comm }) => comm);

describe('vtime', () => {
  it('is before what lies up to 2^63 ahead, also across the wrap', () => {
    fc.assert(
      fc.property(u64, fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), (at, ahead) => {
        const later = BigInt.asUintN(64, at + ahead);
        expect(before64(hi(at), lo(at), hi(later), lo(later))).toBe(true);
        expect(before64(hi(later), lo(later), hi(at), lo(at))).toBe(false);
        expect(before64(hi(at), lo(at), hi(at), lo(at))).toBe(false);
      }),
    );
  });
});

describe('a dispatch queue', () => {
  it('sorts by vtime, keeps equal ones in order of arrival, whatever leaves meanwhile', () => {
    fc.assert(
      fc.property(u64, fc.array(fc.tuple(fc.nat(5), fc.boolean()), { minLength: 1 }), (base, offsets) => {
        const dsq = new Dsq(DSQ_USER, 0, 1);
        const model: [offset: number, name: string][] = [];
        offsets.forEach(([offset, leave], i) => {
          put(dsq, task(`${offset} ${i}`, BigInt.asUintN(64, base + BigInt(offset))), 'vtime');
          const at = model.findIndex(([other]) => other > offset);
          model.splice(at < 0 ? model.length : at, 0, [offset, `${offset} ${i}`]);
          if (!leave) return;
          dsq.unlink([...dsq][i % model.length]!);
          model.splice(i % model.length, 1);
        });
        expect(names(dsq)).toEqual(model.map(([, name]) => name));
        expect(dsq.nr).toBe(model.length);
      }),
    );
  });

  it('changes its kind when it was empty', () => {
    const dsq = new Dsq(DSQ_USER, 0, 1);
    const a = task('a', 5n);
    put(dsq, a, 'vtime');
    expect(dsq.tree.empty).toBe(false);
    dsq.unlink(a);
    expect([dsq.first, dsq.tree.empty]).toEqual([null, true]);
    put(dsq, a);
    expect([dsq.first, dsq.tree.empty]).toEqual([a, true]);
  });
});

describe('a walk over a queue', () => {
  it('sees each task once that was there when it began, forward or backward', () => {
    const dsq = new Dsq(DSQ_USER, 0, 1);
    for (const name of ['a', 'b', 'c']) put(dsq, task(name));
    const walk = (reverse: boolean) => {
      const cursor = new DsqCursor(dsq, reverse);
      const seen: string[] = [];
      for (let one = cursor.next(); one; one = cursor.next()) seen.push(one.comm);
      cursor.close();
      return seen.join('');
    };
    expect([walk(false), walk(true)]).toEqual(['abc', 'cba']);
  });

  it('does not see what is queued later, and goes on where its task has left', () => {
    const dsq = new Dsq(DSQ_USER, 0, 1);
    for (const name of ['a', 'b', 'c']) put(dsq, task(name));
    const cursor = new DsqCursor(dsq, false);
    const first = cursor.next()!;
    put(dsq, task('late'));
    put(dsq, task('first in line'), 'head');
    dsq.unlink(first);
    first.dsq = null;
    expect(cursor.lost(first)).toBe(true);
    expect([cursor.next()?.comm, cursor.next()?.comm, cursor.next()]).toEqual(['b', 'c', null]);
    expect(names(dsq)).toEqual(['first in line', 'b', 'c', 'late']);
    // A task that comes back is a new one.
    put(dsq, first);
    expect(cursor.lost(first)).toBe(true);
    cursor.close();
  });

  it('goes on in either direction where its task has left and others came', () => {
    const walk = (reverse: boolean, leave: boolean) => {
      const dsq = new Dsq(DSQ_USER, 0, 1);
      const tasks = ['a', 'b', 'c'].map((name, i) => task(name, BigInt(10 * i)));
      for (const one of tasks) put(dsq, one, 'vtime');
      const cursor = new DsqCursor(dsq, reverse);
      const seen: string[] = [];
      for (let one = cursor.next(); one; one = cursor.next()) {
        seen.push(one.comm);
        put(dsq, task('late', BigInt(10 * tasks.indexOf(one))), 'vtime');
        if (leave) dsq.unlink(one);
      }
      return `${seen.join('')} ${names(dsq).join(' ')}`;
    };
    expect([walk(false, false), walk(true, false)]).toEqual(['abc a late b late c late', 'cba a late b late c late']);
    expect([walk(false, true), walk(true, true)]).toEqual(['abc late late late', 'cba late late late']);
  });
});
