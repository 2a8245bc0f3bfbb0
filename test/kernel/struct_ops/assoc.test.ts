import { beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { VmtableError } from '../../../src/errors.js';
import type { BpfProg } from '../../../src/kernel/prog/prog.js';
import { ASSOC_POISON } from '../../../src/kernel/struct_ops/assoc.js';
import { ToyKernel } from '../toy.js';

const RETURN_0 = 'r0 = 0\nexit\n';
let t: ToyKernel;
beforeEach(async () => {
  t = await ToyKernel.create();
});

const assoc = (prog_fd: number, map_fd: number, flags = 0) =>
  t.kernel.bpf('PROG_ASSOC_STRUCT_OPS', { prog_fd, map_fd, flags });
function progOf(fd: number): BpfProg {
  const prog = t.kernel.fds.prog(fd);
  if (typeof prog === 'number') throw new Error(`no prog ${fd}`);
  return prog;
}
const assocOf = (fd: number) => t.kernel.rcu.read(() => t.kernel.structOps.assocOf(progOf(fd)));

describe('PROG_ASSOC_STRUCT_OPS', () => {
  test("errors come in the kernel's order", () => {
    const prog = t.syscall(RETURN_0);
    const map = t.map('m');
    expect(assoc(99, 98, 1)).toBe(-ERRNO.EINVAL); // flags
    expect(assoc(99, 98)).toBe(-ERRNO.EBADF); // program
    expect(assoc(map, 98)).toBe(-ERRNO.EINVAL);
    expect(assoc(t.prog('sum', RETURN_0), 98)).toBe(-ERRNO.EINVAL); // struct_ops program before the map
    expect(assoc(prog, 98)).toBe(-ERRNO.EBADF);
    expect(assoc(prog, prog)).toBe(-ERRNO.EINVAL);
    const array = t.kernel.bpf('MAP_CREATE', { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 });
    expect(assoc(prog, array)).toBe(-ERRNO.EINVAL);
    expect(assoc(prog, map)).toBe(0); // INIT is fine
  });

  test('a program holds the map once, and is never moved to another', () => {
    const [prog, a, b] = [t.syscall(RETURN_0), t.map('a'), t.map('b')];
    t.update(a, {});
    expect([assoc(prog, a), assoc(prog, a)]).toEqual([0, 0]);
    expect(t.state(a).refcnt).toBe(1);
    expect(assoc(prog, b)).toBe(-ERRNO.EBUSY);
    t.kernel.close(a);
    expect(assocOf(prog)!.mapName).toBe('a');
    t.kernel.close(prog);
    expect(t.kernel.maps.values().map((map) => map.name)).toEqual(['b']);
  });

  test('does not exist before 7.0', async () => {
    t = await ToyKernel.create({ profile: '6.18' });
    const sum = t.prog('sum', RETURN_0);
    const map = t.map('m');
    expect(assoc(t.syscall(RETURN_0), map)).toBe(-ERRNO.EINVAL);
    expect(t.update(map, { sum })).toBe(0);
    expect(progOf(sum).aux.structOpsAssoc).toBeNull();
  });
});

describe('member programs', () => {
  test('are associated by the update of their map, without a reference', () => {
    const [sum, map] = [t.prog('sum', RETURN_0), t.map('m')];
    t.update(map, { sum });
    expect(assocOf(sum)!.mapName).toBe('m');
    expect(t.state(map).refcnt).toBe(0);
  });

  test('shared between two maps they are poisoned for good', () => {
    const [sum, a, b] = [t.prog('sum', RETURN_0), t.map('a'), t.map('b')];
    t.update(a, { sum });
    expect(t.update(b, { sum })).toBe(0);
    expect(progOf(sum).aux.structOpsAssoc).toBe(ASSOC_POISON);
    expect(assocOf(sum)).toBeNull();
    t.kernel.close(b);
    t.kernel.close(a);
    expect(progOf(sum).aux.structOpsAssoc).toBe(ASSOC_POISON);
    expect(t.update(t.map('c'), { sum })).toBe(0);
    expect(assocOf(sum)).toBeNull();
  });

  test('lose it with their map', () => {
    const [sum, map] = [t.prog('sum', RETURN_0), t.map('m')];
    t.update(map, { sum });
    t.kernel.close(map);
    expect(assocOf(sum)).toBeNull();
    const again = t.map('again');
    t.update(again, { sum });
    expect(assocOf(sum)!.mapName).toBe('again');
  });
});

test('is only to be asked for from a program or inside RCU', () => {
  const prog = t.syscall(RETURN_0);
  expect(() => t.kernel.structOps.assocOf(progOf(prog))).toThrow(VmtableError);
  const seen: unknown[] = [];
  t.kernel.registerHelper('skb_vlan_push', (call) => seen.push(t.kernel.structOps.assocOf(call)?.mapName));
  const caller = t.syscall('call 18\nr0 = 0\nexit\n');
  const map = t.map('m');
  assoc(caller, map);
  expect(t.kernel.bpf('PROG_TEST_RUN', { prog_fd: caller })).toBe(0);
  expect(seen).toEqual(['m']);
});

describe('walking and holding', () => {
  test('programs come in member order; the first answer that is not 0 ends the walk', () => {
    const map = t.map('m', false);
    t.update(map, { fork: t.prog('fork', RETURN_0), sum: t.prog('sum', RETURN_0), wide: t.prog('wide', RETURN_0) });
    const [kdata] = t.toy.registered;
    const seen: string[] = [];
    const { structOps } = t.kernel;
    expect(structOps.forEachProg(kdata!, (prog, member) => seen.push(`${member}=${prog.name}`) && 0)).toBe(0);
    expect(seen).toEqual(['sum=sum', 'wide=wide', 'fork=fork']);
    let count = 0;
    expect(structOps.forEachProg(kdata!.ptr, () => (++count === 2 ? -7 : 0))).toBe(-7);
    expect(count).toBe(2);
  });

  test('get and put count references; a map on its way out gives none', () => {
    const map = t.map('m', false);
    t.update(map, {});
    const [kdata] = t.toy.registered;
    const { structOps } = t.kernel;
    expect(structOps.id(kdata!)).toBe(kdata!.mapId);
    expect(structOps.get(kdata!)).toBe(true);
    expect(t.state(map).refcnt).toBe(2);
    structOps.put(kdata!);
    t.kernel.bpf('MAP_DELETE_ELEM', { map_fd: map, key: new Uint8Array(4) });
    const release = t.kernel.rcu.hold();
    t.kernel.close(map);
    expect(structOps.get(kdata!)).toBe(false);
    release();
    expect(() => structOps.get(kdata!)).toThrow('no map holds this vtable');
  });
});
