import { beforeEach, describe, expect, test } from 'vitest';
import { VmtableError } from '../../../src/errors.js';
import type { Kdata, StructOpsDef } from '../../../src/kernel/types.js';
import { ToyKernel } from '../toy.js';

// Callbacks of a subsystem that change what the running system call works on. The kernel holds references of the call's own
// (bpf_map_get, bpf_link_get_from_fd, the file of a map update) and mutexes.

let t: ToyKernel;
beforeEach(async () => {
  t = await ToyKernel.create();
});

function ready(name: string, link = true): number {
  const fd = t.map(name, link);
  expect(t.update(fd, {})).toBe(0);
  return fd;
}

/** Runs `also` each time before the callback's own work. */
function before(callback: 'init_member' | 'validate' | 'reg' | 'unreg' | 'update', also: () => void): void {
  const def = t.toy.def as unknown as Record<string, (...args: unknown[]) => unknown>;
  const own = def[callback]!;
  def[callback] = (...args) => {
    also();
    return own.apply(def, args);
  };
}

const count = (event: string) => t.toy.events.filter(([name]) => name === event).length;
const update = (link: number, map: number) => t.kernel.bpf('LINK_UPDATE', { link_fd: link, new_map_fd: map });
const left = () => [t.kernel.maps.size, t.kernel.links.size];

describe('a callback closes the fd of the call', () => {
  test('reg, the map of LINK_CREATE: the link keeps it', () => {
    const map = ready('m');
    before('reg', () => t.kernel.close(map));
    const link = t.link(map);
    expect(link).toBeGreaterThan(0);
    expect(left()).toEqual([1, 1]);
    t.kernel.close(link);
    expect(left()).toEqual([0, 0]);
  });

  test('a reg that closes the map and refuses: nothing remains', () => {
    const map = ready('m');
    before('reg', () => t.kernel.close(map));
    t.toy.answers.reg = -16;
    expect(t.link(map)).toBe(-16);
    expect(left()).toEqual([0, 0]);
  });

  test('unreg, the link of LINK_DETACH: unregistered once', () => {
    const map = ready('m');
    const link = t.link(map);
    before('unreg', () => t.kernel.close(link));
    expect(t.kernel.bpf('LINK_DETACH', { link_fd: link })).toBe(0);
    expect(count('unreg')).toBe(1);
    expect(left()).toEqual([1, 0]);
    expect(t.state(map).refcnt).toBe(0);
  });

  test('update, the new map: the link keeps it', () => {
    const link = t.link(ready('old'));
    const next = ready('new');
    before('update', () => t.kernel.close(next));
    expect(update(link, next)).toBe(0);
    expect(left()).toEqual([2, 1]);
  });

  test('update, the link: it ends with the call, out of the new map', () => {
    const [old, next] = [ready('old'), ready('new')];
    const link = t.link(old);
    before('update', () => t.kernel.close(link));
    expect(update(link, next)).toBe(0);
    expect(t.toy.events.at(-1)).toEqual(['unreg', 'new', 'link']);
    expect(t.kernel.links.size).toBe(0);
    expect([t.state(old).refcnt, t.state(next).refcnt]).toEqual([0, 0]);
  });

  test.each(['init_member', 'validate'] as const)(
    '%s, the map of MAP_UPDATE_ELEM: it goes after the call',
    (callback) => {
      const map = t.map('m');
      const prog = t.prog('sum', 'r0 = 0; exit');
      before(callback, () => t.kernel.close(map));
      expect(t.update(map, { sum: prog })).toBe(0);
      t.kernel.close(prog);
      expect(t.kernel.maps.size).toBe(0);
      expect(t.kernel.progs.size).toBe(0);
    },
  );

  test('reg, the map of MAP_UPDATE_ELEM: the registration keeps it', () => {
    const map = t.map('m', false);
    before('reg', () => t.kernel.close(map));
    expect(t.update(map, {})).toBe(0);
    expect(t.kernel.maps.size).toBe(1);
  });
});

describe('an update inside of the update of the same map', () => {
  test.each(['init_member', 'validate', 'reg'] as const)(
    'from %s is a deadlock in the kernel and an error here',
    (callback) => {
      const map = t.map('m', false);
      let nested = 0;
      before(callback, () => {
        nested++;
        t.update(map, {});
      });
      expect(() => t.update(map, {})).toThrow(
        new VmtableError('map "m": updated from inside its own update; the kernel would deadlock'),
      );
      expect(nested).toBe(1);
      expect(t.state(map)).toEqual({ refcnt: 0, state: 0 });
    },
  );
});

describe('unreg throws', () => {
  const fail = () => {
    throw new Error('of the subsystem');
  };

  test('at LINK_DETACH: detached all the same', () => {
    const map = ready('m');
    const link = t.link(map);
    before('unreg', fail);
    expect(() => t.kernel.bpf('LINK_DETACH', { link_fd: link })).toThrow('of the subsystem');
    expect(t.kernel.poll(link)).not.toBe(0);
    expect(t.kernel.bpf('LINK_DETACH', { link_fd: link })).toBe(0);
    expect(t.state(map).refcnt).toBe(0);
  });

  test('at the last close of the link: the map is not kept', () => {
    const map = ready('m');
    const link = t.link(map);
    before('unreg', fail);
    expect(() => t.kernel.close(link)).toThrow('of the subsystem');
    expect(t.state(map).refcnt).toBe(0);
  });

  test('at MAP_DELETE_ELEM: the registration keeps the map no longer', () => {
    const map = ready('m', false);
    before('unreg', fail);
    expect(() => t.kernel.bpf('MAP_DELETE_ELEM', { map_fd: map, key: new Uint8Array(4) })).toThrow('of the subsystem');
    t.kernel.close(map);
    expect(t.kernel.maps.size).toBe(0);
  });
});

test('a vtable and its ops that someone kept say that they are gone', () => {
  const map = t.map('m');
  const prog = t.prog('sum', 'r0 = 5; exit');
  t.update(map, { sum: prog, flags: 3 });
  let kdata: Kdata | undefined;
  const { reg } = t.toy.def;
  (t.toy.def as StructOpsDef).reg = (given, link) => {
    kdata = given;
    return reg.call(t.toy.def, given, link);
  };
  const link = t.link(map);
  const sum = kdata!.ops.sum!;
  expect(sum(1, 2)).toBe(5);
  const end = t.kernel.rcu.hold('tasks');
  for (const fd of [link, map, prog]) t.kernel.close(fd);
  expect([sum(1, 2), kdata!.get('flags')]).toEqual([5, 3]); // readable until the grace period ends
  end();
  expect(() => sum(1, 2)).toThrow(new VmtableError('struct_ops toy_ops.sum: called after its map was freed'));
  expect(() => kdata!.get('flags')).toThrow(/struct toy_ops of map "m": used after it was freed/);
  expect(() => kdata!.set('flags', 1)).toThrow(/used after it was freed/);
});
