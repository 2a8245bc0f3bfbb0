import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Clock } from '../../src/kernel/clock.js';

test('events happen in order of time, then of scheduling, with the clock at their time', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 60 }), fc.array(fc.nat(59)), (times, cancelled) => {
      const clock = new Clock();
      const seen: [number, number][] = [];
      const events = times.map((time, i) =>
        clock.schedule(time, () => {
          expect(clock.now).toBe(time);
          seen.push([time, i]);
        }),
      );
      const gone = new Set(cancelled.filter((i) => i < times.length));
      for (const i of gone) expect(events[i]!.cancel()).toBe(true);
      for (const i of gone) expect(events[i]!.cancel()).toBe(false);
      clock.advanceTo(100);
      const expected = times
        .map((time, i): [number, number] => [time, i])
        .filter(([, i]) => !gone.has(i))
        .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      expect(seen).toEqual(expected);
      expect([clock.pending, clock.nextEvent, clock.now]).toEqual([0, Infinity, 100]);
    }),
  );
});

test('what an event schedules on the way happens on the same advance; a time that is past counts as now', () => {
  const clock = new Clock(10);
  const seen: number[] = [];
  clock.schedule(20, () => {
    clock.schedule(30, () => seen.push(clock.now));
    clock.schedule(5, () => seen.push(clock.now));
  });
  expect(clock.nextEvent).toBe(20);
  clock.advance(15);
  expect(seen).toEqual([20]);
  clock.advance(15);
  expect(seen).toEqual([20, 30]);
});

test('an event that throws leaves the clock at its time and the others waiting', () => {
  const clock = new Clock();
  clock.schedule(3, () => {
    throw new Error('stop');
  });
  clock.schedule(4, () => {});
  expect(() => clock.advanceTo(9)).toThrow('stop');
  expect([clock.now, clock.pending]).toEqual([3, 1]);
});

test('no time: not an integer, before now', () => {
  const clock = new Clock(5);
  expect(() => clock.advanceTo(4)).toThrow(RangeError);
  expect(() => clock.schedule(0.5, () => {})).toThrow(RangeError);
});

test('timers are armed, moved and stopped from events, near and far, like a list that is sorted each time', () => {
  const at = fc.oneof(
    fc.nat(40),
    fc.nat(2 ** 21),
    fc.nat(2 ** 27),
    fc.maxSafeNat().map((n) => n % 2 ** 38),
    fc.constantFrom(2 ** 12 - 1, 2 ** 12, 2 ** 24, 2 ** 36),
  );
  const move = fc.record({ timer: fc.nat(7), after: fc.option(at) });
  fc.assert(
    fc.property(fc.array(move, { maxLength: 80 }), fc.array(at, { minLength: 1, maxLength: 8 }), (moves, begin) => {
      const clock = new Clock();
      const seen: string[] = [];
      const left = [...moves];
      const waiting: { timer: number; time: number; order: number }[] = [];
      let order = 0;
      const model = (timer: number, time: number | null) => {
        const old = waiting.findIndex((one) => one.timer === timer);
        if (old >= 0) waiting.splice(old, 1);
        if (time !== null) waiting.push({ timer, time, order: order++ });
        return old >= 0;
      };
      const timers = begin.map((_, i) =>
        clock.timer(() => {
          const [next] = waiting.sort((a, b) => a.time - b.time || a.order - b.order);
          seen.push(`${i} ${clock.now}`);
          expect([i, clock.now]).toEqual([next?.timer, next?.time]);
          model(i, null);
          for (const { timer, after } of left.splice(0, 3)) {
            const which = timer % timers.length;
            const time = after === null ? null : clock.now + after;
            if (time === null) expect(timers[which]!.cancel()).toBe(model(which, null));
            else {
              timers[which]!.arm(time);
              model(which, time);
            }
          }
        }),
      );
      begin.forEach((time, i) => {
        timers[i]!.arm(time);
        model(i, time);
      });
      while (clock.advanceToNext(2 ** 50)) expect(clock.pending).toBe(waiting.length);
      expect([clock.pending, clock.nextEvent, waiting, clock.fired]).toEqual([0, Infinity, [], seen.length]);
    }),
  );
});
