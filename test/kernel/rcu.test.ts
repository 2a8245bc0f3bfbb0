import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Rcu, type RcuFlavour } from '../../src/kernel/rcu.js';

test('with no reader a callback runs at once', () => {
  const rcu = new Rcu();
  let ran = 0;
  rcu.call(() => ran++);
  expect(ran).toBe(1);
  expect(rcu.completed).toBe(1);
});

test('a callback waits for the readers that were there, nested ones included', () => {
  const rcu = new Rcu();
  const order: string[] = [];
  rcu.read(() => {
    rcu.read(() => rcu.call(() => order.push('freed')));
    order.push('inner section over');
  });
  expect(order).toEqual(['inner section over', 'freed']);
});

test('a callback does not wait for a section that began after it', () => {
  const rcu = new Rcu();
  const early = rcu.hold();
  let ran = false;
  rcu.call(() => {
    ran = true;
  });
  const late = rcu.hold();
  rcu.read(() => {
    early();
    expect(ran).toBe(true);
  });
  late();

  const reader = rcu.hold();
  let again = false;
  rcu.call(() => {
    again = true;
  });
  rcu.read(() => {
    reader();
    expect(again).toBe(true);
  });
});

test('each flavour has readers of its own; a callback of two waits for both', () => {
  const rcu = new Rcu();
  const ran: string[] = [];
  const tasks = rcu.hold('tasks');
  rcu.call(() => ran.push('rcu'), 'rcu');
  rcu.call(() => ran.push('both'), 'rcu', 'tasks');
  expect(ran).toEqual(['rcu']);
  expect(rcu.describe()).toBe('readers of tasks, 1 waiting');
  tasks();
  expect(ran).toEqual(['rcu', 'both']);
});

test('nothing runs in the middle of a system call, and work needs no grace period', () => {
  const rcu = new Rcu();
  const order: string[] = [];
  const release = rcu.hold();
  rcu.busy(() => {
    rcu.work(() => order.push('work'));
    rcu.call(() => order.push('after readers'));
    order.push('call over');
  });
  expect(order).toEqual(['call over', 'work']);
  release();
  expect(order).toEqual(['call over', 'work', 'after readers']);
});

test('releasing a hold twice is harmless, unlocking what is not locked is a bug', () => {
  const rcu = new Rcu();
  const a = rcu.hold();
  const b = rcu.hold();
  a();
  a();
  expect(rcu.held('rcu')).toBe(true);
  b();
  expect(rcu.held('rcu')).toBe(false);
  expect(() => rcu.readUnlock()).toThrow('without a lock');
});

test('property: no callback ever runs while a section that was open before it is open', () => {
  const flavours: RcuFlavour[] = ['rcu', 'tasks', 'tasksTrace'];
  const step = fc.oneof(
    fc.record({ do: fc.constant('hold' as const), flavour: fc.constantFrom(...flavours) }),
    fc.record({ do: fc.constant('release' as const), index: fc.nat(20) }),
    fc.record({
      do: fc.constant('call' as const),
      flavours: fc.uniqueArray(fc.constantFrom(...flavours), { minLength: 1 }),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const rcu = new Rcu();
      const open: { flavour: RcuFlavour; release: () => void }[] = [];
      let waiting = 0;
      for (const s of steps) {
        if (s.do === 'hold') open.push({ flavour: s.flavour, release: rcu.hold(s.flavour) });
        else if (s.do === 'release') open.splice(s.index % Math.max(open.length, 1), 1)[0]?.release();
        else {
          const before = open.filter((h) => s.flavours.includes(h.flavour));
          waiting++;
          rcu.call(
            () => {
              waiting--;
              expect(before.some((h) => open.includes(h))).toBe(false);
            },
            ...s.flavours,
          );
        }
        expect(rcu.pending).toBe(waiting);
      }
      for (const h of open.splice(0)) h.release();
      expect(waiting).toBe(0);
    }),
  );
});
