import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Dsq, vtimeBefore } from '../../src/sched_ext/dsq.js';
import { EventQueue } from '../../src/sched_ext/events.js';
import type { ScxTask } from '../../src/sched_ext/task.js';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

function task(comm: string): ScxTask {
  return { comm, dsq: null, queuedVtime: 0n } as ScxTask;
}

describe('vtime', () => {
  it('is before what lies up to 2^63 ahead, also across the wrap', () => {
    fc.assert(
      fc.property(u64, fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), (at, ahead) => {
        const later = BigInt.asUintN(64, at + ahead);
        expect(vtimeBefore(at, later)).toBe(true);
        expect(vtimeBefore(later, at)).toBe(false);
        expect(vtimeBefore(at, at)).toBe(false);
      }),
    );
  });
});

describe('a dispatch queue', () => {
  it('sorts by vtime and keeps equal ones in order of arrival', () => {
    fc.assert(
      fc.property(u64, fc.array(fc.nat(5), { minLength: 1 }), (base, offsets) => {
        const dsq = new Dsq(1n);
        offsets.forEach((offset, i) => {
          dsq.insertByVtime(task(`${offset} ${i}`), BigInt.asUintN(64, base + BigInt(offset)));
        });
        const expected = offsets.map((offset, i) => [offset, i] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        expect(dsq.tasks.map((t) => t.comm)).toEqual(expected.map(([offset, i]) => `${offset} ${i}`));
      }),
    );
  });

  it('changes its kind when it was empty', () => {
    const dsq = new Dsq(1n);
    const a = task('a');
    dsq.insertByVtime(a, 5n);
    expect(dsq.prioritised).toBe(true);
    dsq.remove(a);
    expect(a.dsq).toBeNull();
    dsq.insertFifo(a, false);
    expect(dsq.prioritised).toBe(false);
  });
});

describe('the event queue', () => {
  it('gives events by time, those of one time in order of arrival', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), fc.nat(10), (times, early) => {
        const queue = new EventQueue<string>();
        const added = times.map((time, i) => ({ time, name: `${time} ${i}` }));
        const taken: string[] = [];
        // Some are taken before the rest comes.
        for (const [i, { time, name }] of added.entries()) {
          queue.add(time, name);
          if (i === early) taken.push(queue.take() as string);
        }
        const first = taken[0];
        const rest = added.filter(({ name }) => name !== first).sort((a, b) => a.time - b.time);
        for (const { time, name } of rest) {
          expect(queue.nextTime).toBe(time);
          expect(queue.take()).toBe(name);
        }
        expect(queue.nextTime).toBe(Number.POSITIVE_INFINITY);
        expect(queue.take()).toBeUndefined();
        if (first !== undefined) expect(first).toBe(smallest(added.slice(0, early + 1)));
      }),
    );
  });
});

function smallest(events: { time: number; name: string }[]): string | undefined {
  return [...events].sort((a, b) => a.time - b.time)[0]?.name;
}
