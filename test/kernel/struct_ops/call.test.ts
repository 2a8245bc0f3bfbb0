import { beforeEach, describe, expect, test } from 'vitest';
import { BTF_KIND } from '../../../src/btf/types.js';
import { InputError } from '../../../src/errors.js';
import { ProgramFault } from '../../../src/kernel/fault.js';
import type { Kdata } from '../../../src/kernel/types.js';
import { ToyKernel } from '../toy.js';

let t: ToyKernel;

/** The vtable of a registered map with these programs. */
function vtable(programs: Record<string, string>, flags: Record<string, number> = {}): Kdata {
  const map = t.map('m', false);
  const members = Object.entries(programs).map(([member, text]) => {
    const fd = t.prog(member, text, { prog_flags: flags[member] ?? 0 });
    expect(fd).toBeGreaterThan(0);
    return [member, fd] as const;
  });
  expect(t.update(map, Object.fromEntries(members))).toBe(0);
  return t.toy.registered.at(-1)!;
}

/** r0 = slot i of the context. */
const slot = (i: number) => `r0 = *(u64 *)(r1 + ${8 * i})\nexit\n`;

describe.each(['interp', 'jit'] as const)('engine %s', (engine) => {
  beforeEach(async () => {
    t = await ToyKernel.create({ engine });
  });

  describe('arguments', () => {
    test('fill u64 slots, extended as their type says', () => {
      const seen = (member: string, i: number, ...args: never[]): bigint => {
        const text = `r6 = r1\nr1 = *(u64 *)(r6 + ${8 * i})\ncall 18\nr0 = 0\nexit\n`;
        return probe(member, text, args);
      };
      let value = 0n;
      t.kernel.registerHelper('skb_vlan_push', (call) => {
        value = call.u64(0);
      });
      const probe = (member: string, text: string, args: unknown[]) => {
        vtable({ [member]: text }).ops[member]!(...(args as number[]));
        return value;
      };
      const as = (...args: unknown[]) => args as never[];
      const pair = t.kernel.alloc(16, 'pair');
      t.kernel.memory.setU64(pair, 0x1122334455667788n);
      t.kernel.memory.setU32(pair + 8, 0x99);
      const u64 = (n: bigint) => BigInt.asUintN(64, n);
      expect(seen('sum', 0, ...as(-5, 3))).toBe(u64(-5n));
      expect(seen('sum', 1, ...as(-5, 0xffffffff))).toBe(0xffffffffn);
      expect(seen('flip', 0, ...as(true))).toBe(1n);
      expect(seen('wide', 0, ...as(2n ** 63n, -1n))).toBe(2n ** 63n);
      expect(seen('wide', 1, ...as(0, -7))).toBe(u64(-7n));
      const narrow = as(-1, 0x2345, -2, 7n, { ptr: pair });
      expect([0, 1, 2, 3, 4, 5].map((i) => seen('narrow', i, ...narrow))).toEqual([
        u64(-1n),
        0x2345n,
        u64(-2n),
        7n,
        0x1122334455667788n,
        0x99n,
      ]);
      expect(seen('take', 0, ...as(pair, 0))).toBe(t.kernel.memory.address(pair));
      expect(seen('take', 1, ...as(pair, 0))).toBe(0n);
      expect(seen('take', 1, ...as({ ptr: pair }, { ptr: pair }))).toBe(t.kernel.memory.address(pair));
    });

    test('of a kind that cannot be are refused by name', () => {
      const { ops } = vtable({ take: 'r0 = 0\nexit\n', sum: 'r0 = 0\nexit\n' });
      expect(() => ops.take!(5n, 0)).toThrow('struct_ops toy_ops.take: argument task (ptr) cannot be bigint');
      expect(() => ops.sum!(1)).toThrow(InputError);
    });

    test('that do not fit their type are refused by name; signed and unsigned readings both do', () => {
      const { ops } = vtable({ sum: slot(1), narrow: slot(0), wide: slot(0), flip: slot(0), take: 'r0 = 0\nexit\n' });
      const pair = t.kernel.alloc(16, 'pair');
      for (const [value, words] of [
        [Number.NaN, 'NaN'],
        [2 ** 40, '1099511627776'],
        [2 ** 32, '4294967296'],
        [-(2 ** 31) - 1, '-2147483649'],
        [0.5, '0.5'],
        [Number.POSITIVE_INFINITY, 'Infinity'],
        [2n ** 40n, '1099511627776'],
      ] as const) {
        expect(() => ops.sum!(1, value)).toThrow(
          new InputError(`struct_ops toy_ops.sum: argument b (u32) cannot be ${words}`),
        );
      }
      expect(() => ops.narrow!(0, 0x10000, 0, 0, pair)).toThrow('narrow: argument b (u16) cannot be 65536');
      expect(() => ops.narrow!(-129, 0, 0, 0, pair)).toThrow('narrow: argument a (s8) cannot be -129');
      expect(() => ops.wide!(2n ** 64n, 0)).toThrow('wide: argument a (u64) cannot be 18446744073709551616');
      expect(() => ops.wide!(0, 2 ** 70)).toThrow('wide: argument b (s64) cannot be 1.1805916207174113e+21');
      expect(() => ops.flip!(Number.NaN)).toThrow('flip: argument x (bool) cannot be NaN');
      expect(() => ops.take!(-1, 0)).toThrow('take: argument task (ptr) cannot be -1');
      expect([-1, 2 ** 32 - 1, -(2 ** 31)].map((value) => ops.sum!(1, value))).toEqual([-1, -1, -(2 ** 31)]);
      expect([0xff, -1, 0x80].map((value) => ops.narrow!(value, -1, 0, 0, pair))).toEqual([-1, -1, -128]);
      expect([2 ** 63, -(2 ** 63)].map((value) => ops.wide!(value, 0))).toEqual([2n ** 63n, 2n ** 63n]);
    });

    test('of a refused call leave nothing behind', () => {
      const { ops } = vtable({ sum: slot(0) });
      expect(() => ops.sum!(1, Number.NaN)).toThrow(InputError);
      expect([ops.sum!(4, 0), t.kernel.rcu.held('rcu', 'tasks'), ops.sum!.stats.runs]).toEqual([4, false, 1]);
    });

    test('of an outer call are its own while the op runs again', () => {
      t.kernel.registerHelper('skb_vlan_push', () => {
        if (!nested) {
          nested = true;
          expect(ops.sum!(7, 7)).toBe(7);
        }
      });
      let nested = false;
      const { ops } = vtable({ sum: 'r6 = r1\ncall 18\nr0 = *(u64 *)(r6 + 0)\nexit\n' });
      for (const round of [3, 4]) {
        nested = false;
        expect([round, ops.sum!(round, 0)]).toEqual([round, round]);
      }
    });

    test('cannot be written, and end with the last slot', () => {
      const write = vtable({ sum: 'r0 = 0\n*(u64 *)(r1 + 0) = r0\nexit\n' });
      expect(() => write.ops.sum!(1, 2)).toThrow(/member "sum": prog "sum": insn 1: /);
      const beyond = vtable({ sum: slot(2) });
      expect(() => beyond.ops.sum!(1, 2)).toThrow('context of toy_ops.sum');
      expect(() => beyond.ops.sum!(1, 2)).toThrow(ProgramFault);
    });
  });

  describe('results', () => {
    test('have the width and sign of the return type', () => {
      const { ops } = vtable({
        sum: 'r0 = 0xfffffffe00000005 ll\nexit\n',
        flip: 'r0 = 0x200 ll\nexit\n',
        wide: 'r0 = -1\nexit\n',
        take: 'r0 = 7\nexit\n',
        narrow: 'r0 = 0x1ff\nexit\n',
      });
      expect(ops.sum!(0, 0)).toBe(5);
      expect(ops.flip!(true)).toBe(false);
      expect(ops.wide!(0, 0)).toBe(2n ** 64n - 1n);
      expect(ops.take!(0, 0)).toBeUndefined();
      expect(ops.narrow!(0, 0, 0, 0, t.kernel.alloc(16, 'pair'))).toBe(-1);
    });
  });

  describe('a call', () => {
    test('counts its runs, and insns when statistics are on', () => {
      const { ops } = vtable({ sum: slot(0) });
      ops.sum!(1, 2);
      const stats = t.kernel.bpf('ENABLE_STATS', { type: 0 });
      expect(ops.sum!(3, 2)).toBe(3);
      t.kernel.close(stats);
      ops.sum!(1, 2);
      expect(ops.sum!.stats.runs).toBe(3);
      expect(ops.sum!.stats.insns).toBe(2);
      const info: Record<string, unknown> = {};
      t.kernel.bpf('OBJ_GET_INFO_BY_FD', {
        bpf_fd: t.kernel.bpf('PROG_GET_FD_BY_ID', { prog_id: ops.sum!.prog.id }),
        info,
      });
      expect(info.run_cnt).toBe(1n);
    });

    test('with statistics does what it does without: result, faults, calls in the midst of it', () => {
      let depth = 0;
      t.kernel.registerHelper('skb_vlan_push', () => {
        if (++depth < 3) expect(t.toy.registered.at(-1)!.ops.sum!(7, 0)).toBe(7);
      });
      const { ops } = vtable({
        sum: 'r6 = *(s32 *)(r1 + 0)\nr1 = r6\ncall 18\nr0 = r6\nexit\n',
        flip: 'r0 = *(u64 *)(r1 + 0)\nr2 = 0\n*(u64 *)(r2 + 0) = r0\nexit\n',
      });
      const seen = () => {
        depth = 0;
        const results = [ops.sum!(5, 2), ops.sum!(2 ** 31, 2)];
        expect(() => ops.flip!(true)).toThrow(ProgramFault);
        return [...results, ops.sum!(-5, 2)];
      };
      const plain = seen();
      expect([ops.sum!.stats.insns, ops.sum!.stats.runs]).toEqual([0, 5]);
      const stats = t.kernel.bpf('ENABLE_STATS', { type: 0 });
      expect(seen()).toEqual(plain);
      t.kernel.close(stats);
      expect([ops.sum!.stats.insns, ops.sum!.stats.runs]).toEqual([5 * 5, 10]);
      expect(ops.sum!.stats.ns).toBeGreaterThan(0);
    });

    test('runs inside the read sections of a trampoline', () => {
      const seen: string[] = [];
      t.kernel.registerHelper('skb_vlan_push', () => seen.push(t.kernel.rcu.describe()));
      const { ops } = vtable({ sum: 'call 18\nr0 = 0\nexit\n', fork: 'call 18\nr0 = 0\nexit\n' }, { fork: 16 });
      ops.sum!(0, 0);
      ops.fork!(0);
      expect(seen).toEqual(['readers of rcu, tasks, 0 waiting', 'readers of tasks, tasksTrace, 0 waiting']);
      expect(t.kernel.rcu.held('rcu', 'tasks', 'tasksTrace')).toBe(false);
    });

    test('may drop the last reference to its own vtable: nothing is freed until it is over', () => {
      const fds: number[] = [];
      const seen: boolean[] = [];
      t.kernel.registerHelper('skb_vlan_push', () => {
        for (const fd of fds) t.kernel.close(fd);
        seen.push(t.kernel.maps.size === 0, t.kernel.memory.canAccess(kdata.ptr, 8, false));
      });
      const map = t.map('m');
      const sum = t.prog('sum', 'call 18\nr0 = 3\nexit\n');
      t.update(map, { sum });
      fds.push(t.link(map), map, sum);
      const kdata = t.toy.registered[0]!;
      expect(kdata.ops.sum!(0, 0)).toBe(3);
      expect(seen).toEqual([true, true]);
      expect(t.toy.registered).toEqual([]);
      expect(t.kernel.memory.canAccess(kdata.ptr, 8, false)).toBe(false);
      expect(t.kernel.progs.size).toBe(0);
    });

    test('into a program that is running already has a context of its own', () => {
      let depth = 0;
      t.kernel.registerHelper('skb_vlan_push', (call) => {
        depth++;
        call.ret(depth < 4 ? Number(t.toy.registered[0]!.ops.fork!(depth)) : 0);
        depth--;
      });
      const { ops } = vtable({
        fork: 'r6 = *(u64 *)(r1 + 0)\nr7 = r1\ncall 18\nr1 = *(u64 *)(r7 + 0)\nr0 += r1\nexit\n',
      });
      expect(ops.fork!(100)).toBe(100 + 1 + 2 + 3);
    });

    test('that faults says where, and the kernel goes on', () => {
      const { ops } = vtable({ sum: 'r1 = 0x123456789 ll\n*(u32 *)(r1 + 0) = 1\nexit\n', flip: slot(0) });
      try {
        ops.sum!(0, 0);
        expect.unreachable();
      } catch (error) {
        expect(error).toBeInstanceOf(ProgramFault);
        const fault = error as ProgramFault;
        expect(fault.message).toMatch(/^member "sum": prog "sum": insn 2: /);
        expect([fault.place.insn, fault.fault.kind, fault.exitCode]).toEqual([2, 'out_of_window', 1]);
      }
      expect(t.kernel.rcu.held('rcu', 'tasks')).toBe(false);
      expect(ops.flip!(true)).toBe(true);
    });

    test('that keeps a read section says so each time, and has it taken back', () => {
      const lock = t.kernel.profile.btf.find('bpf_rcu_read_lock', BTF_KIND.FUNC);
      const { ops } = vtable({ sum: `call kfunc(${lock})\nr0 = 0\nexit\n` });
      // The first call lays out the context, later ones go the quick way.
      for (const call of [1, 2, 3]) {
        expect(() => ops.sum!(call, 0)).toThrow('the section of bpf_rcu_read_lock is still held when the program ends');
        expect([call, t.kernel.rcu.held('rcu', 'tasks'), t.kernel.held.count]).toEqual([call, false, 0]);
      }
    });
  });

  describe('a private stack (6.13)', () => {
    const nested = () => {
      t.toy.def.check_member = (_member, prog) => {
        prog.aux.priv_stack_requested = true;
        prog.aux.recursion_detected = (again) => detected.push(again.name);
        return 0;
      };
      const detected: string[] = [];
      t.kernel.registerHelper('skb_vlan_push', (call) => call.ret(Number(t.toy.registered[0]!.ops.fork!(1))));
      const { ops } = vtable({ fork: 'call 18\nr0 += 1\nexit\n' });
      return { ops, detected };
    };

    test('skips a nested entry on the same CPU and counts it', () => {
      const { ops, detected } = nested();
      expect(ops.fork!(0)).toBe(1);
      expect(detected).toEqual(['fork']);
      expect((ops.fork!.prog as unknown as { aux: { recursionMisses: number } }).aux.recursionMisses).toBe(1);
      expect(ops.fork!(0)).toBe(1);
    });

    test('is not known to 6.12: the entry nests until the core has no context left', async () => {
      t = await ToyKernel.create({ profile: '6.12' });
      const { ops, detected } = nested();
      expect(() => ops.fork!(0)).toThrow(/member "fork"/);
      expect(detected).toEqual([]);
    });
  });

  test('a program is shared by two maps and answers for both', () => {
    const sum = t.prog('sum', 'r0 = 9\nexit\n');
    const [a, b] = [t.map('a', false), t.map('b', false)];
    t.update(a, { sum });
    t.update(b, { sum });
    expect(t.toy.registered.map((kdata) => kdata.ops.sum!(0, 0))).toEqual([9, 9]);
  });

  test('callMany calls an op over and over, and stops where one is stopped', () => {
    const { ops } = vtable({
      sum: slot(1),
      take: 'r1 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r1 + 0)\nexit\n',
      flip: slot(0),
    });
    expect(
      ops.sum!.callMany([
        [1, 2],
        [3, 2 ** 32 - 1],
        [5, 6],
      ]),
    ).toEqual([2, -1, 6]);
    expect(ops.flip!.callMany([[true], [false]], [false])).toEqual([false, true, false]);
    expect(ops.sum!.stats.runs).toBe(3);
    const results: unknown[] = [];
    const freed = t.kernel.alloc(8, 'freed');
    const live = t.kernel.alloc(8, 'live');
    t.kernel.memory.free(freed);
    const calls = [
      [live, 0],
      [freed, 0],
      [live, 0],
    ] as const;
    expect(() => ops.take!.callMany(calls, results as undefined[])).toThrow(/member "take": prog "take": insn 1: /);
    expect(results).toHaveLength(1);
    expect([ops.take!.stats.runs, ops.take!.callMany([[live, 0]])]).toEqual([2, [undefined]]);
  });
});
