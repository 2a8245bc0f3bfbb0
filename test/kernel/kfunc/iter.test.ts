import { beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfProg } from '../../../src/kernel/prog/prog.js';
import { assembleText, runText } from '../run_text.js';

let k: Kernel;
let seen: number[];
beforeEach(async () => {
  k = await Kernel.create({ cpus: 4 });
  seen = [];
  // Whatever the loop's body finds goes here.
  k.registerHelper('skb_vlan_push', (call) => seen.push(call.lo(0)));
});

const run = (text: string) => runText(k, text);
const at = (ptr: number) => `${k.memory.address(ptr)} ll`;

/** A loop over an open-coded iterator in an RCU read section; the body has the element in r6, the answer is _new's. */
function loop(type: string, args: string, body = 'r1 = r6\ncall skb_vlan_push', rcu = true): string {
  return `
    ${rcu ? 'call bpf_rcu_read_lock' : ''}
    ${args}
    r1 = r10
    r1 += -24
    call bpf_iter_${type}_new
    r8 = r0
    r1 = r10
    r1 += -24
    call bpf_iter_${type}_next
    if r0 == 0 goto +${body.split('\n').length + 2}
    r6 = r0
    ${body}
    goto -${body.split('\n').length + 6}
    r1 = r10
    r1 += -24
    call bpf_iter_${type}_destroy
    ${rcu ? 'call bpf_rcu_read_unlock' : ''}
    r0 = r8
    exit`;
}

describe('bpf_iter_bits', () => {
  /** Runs over words that lie in a kernel object. */
  const bits = (words: readonly bigint[], count = words.length) => {
    const ptr = k.alloc(Math.max(words.length, 1) * 8, 'bits');
    for (const [i, word] of words.entries()) k.memory.setU64(ptr + 8 * i, word);
    seen.length = 0;
    const body = 'r1 = *(s32 *)(r6 + 0)\ncall skb_vlan_push';
    return run(loop('bits', `r2 = ${at(ptr)}\nr3 = ${count}`, body, false));
  };

  test.each<[bigint[], number[]]>([
    [[0n], []],
    [[1n], [0]],
    [[(1n << 63n) | 5n], [0, 2, 63]],
    [
      [1n << 63n, 1n],
      [63, 64],
    ],
    [
      [0n, 0n, 6n],
      [129, 130],
    ],
  ])('gives the set bits of %s', (words, expected) => {
    expect(bits(words)).toBe(0);
    expect(seen).toEqual(expected);
  });

  test('refuses what the kernel refuses', () => {
    expect(bits([1n], 0)).toBe(-ERRNO.EINVAL);
    expect(run(loop('bits', 'r2 = 0\nr3 = 1', 'r1 = 0\ncall skb_vlan_push', false))).toBe(-ERRNO.EINVAL);
    expect(bits([1n], 512)).toBe(-ERRNO.E2BIG);
    expect(bits(Array(511).fill(0n))).toBe(0);
    expect(run(loop('bits', 'r2 = 4096\nr3 = 1', 'r1 = 0\ncall skb_vlan_push', false))).toBe(-ERRNO.EFAULT);
    expect(seen).toEqual([]);
  });
});

describe('bpf_iter_task', () => {
  const walk = (task: number, flags: number) => {
    seen.length = 0;
    const args = `r2 = ${task === 0 ? '0' : at(task)}\nr3 = ${flags}`;
    const result = run(loop('task', args));
    return result < 0 ? result : seen.map((ptr) => k.tasks.at(ptr)?.comm);
  };

  test('gives processes, threads, or the threads of one process from a thread on', () => {
    const a = k.tasks.create({ comm: 'a' });
    const a2 = k.tasks.create({ comm: 'a2', leader: a });
    k.tasks.create({ comm: 'b' });
    k.tasks.create({ comm: 'a3', leader: a });
    expect(walk(0, 0)).toEqual(['swapper/0', 'a', 'b']);
    expect(walk(0, 1)).toEqual(['swapper/0', 'a', 'a2', 'a3', 'b']);
    expect(walk(a.ptr, 2)).toEqual(['a', 'a2', 'a3']);
    expect(walk(a2.ptr, 2)).toEqual(['a2', 'a3']);
    expect(walk(0, 2)).toBe(-ERRNO.EINVAL);
    expect(walk(0, 3)).toBe(-ERRNO.EINVAL);
  });

  test('goes on when the task it stands on goes', () => {
    for (const comm of ['a', 'b', 'c']) k.tasks.create({ comm });
    const victim = k.tasks.byPid(2)!;
    k.registerHelper('skb_vlan_pop', () => {
      if (victim.hashed) k.tasks.remove(victim);
    });
    const args = 'r2 = 0\nr3 = 0';
    expect(run(loop('task', args, 'r1 = r6\ncall skb_vlan_push\ncall skb_vlan_pop'))).toBe(0);
    expect(seen.map((ptr) => k.tasks.at(ptr)?.comm)).toEqual(['swapper/0', 'a', 'c']);
  });

  test('wants an RCU read section of programs that may sleep', () => {
    expect(() => run(loop('task', 'r2 = 0\nr3 = 0', 'r1 = 0\ncall skb_vlan_push', false))).toThrow(
      'kernel func bpf_iter_task_new requires RCU critical section protection',
    );
  });
});

describe('bpf_iter_task_vma', () => {
  const walk = (task: { ptr: number }) =>
    run(loop('task_vma', `r2 = ${at(task.ptr)}\nr3 = 0`, 'r1 = 0\ncall skb_vlan_push', false));

  test('finds nothing in a thread of the kernel, and says so of other tasks', () => {
    const [kthread, task] = [true, false].map((kthread) => k.tasks.create({ comm: 'vmas', kthread }));
    expect(walk(kthread!)).toBe(-ERRNO.ENOENT);
    expect(() => walk(task!)).toThrow(/bpf_iter_task_vma: the address space of .*vmas/);
    for (const each of [kthread!, task!]) k.tasks.remove(each);
  });
});

describe('bpf_iter_css', () => {
  const walk = (start: number, flags: number) => {
    seen.length = 0;
    const result = run(loop('css', `r2 = ${at(start)}\nr3 = ${flags}`));
    return result < 0 ? result : seen.map((ptr) => k.cgroups.css(ptr)?.cgroup.path);
  };

  test('walks down in either order, up, and along the children', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a');
    const b = k.cgroups.create(a, 'b');
    k.cgroups.create(k.cgroups.root, 'c');
    k.cgroups.create(a, 'd', { cpu: false });
    const root = k.cgroups.root.ptr;
    expect(walk(root, 2)).toEqual(['/', '/a', '/a/b', '/a/d', '/c']);
    expect(walk(root, 3)).toEqual(['/a/b', '/a/d', '/a', '/c', '/']);
    expect(walk(b.ptr, 4)).toEqual(['/a/b', '/a', '/']);
    expect(walk(a.ptr, 2)).toEqual(['/a', '/a/b', '/a/d']);
    expect(walk(a.ptr, 3)).toEqual(['/a/b', '/a/d', '/a']);
    expect(walk(root, 5)).toEqual(['/a', '/c']);
    expect(walk(b.ptr, 5)).toEqual([]);
    // The cpu controller's states have a hierarchy of their own.
    expect(walk(k.cgroups.root.taskGroup, 2)).toEqual(['/', '/a', '/a/b', '/c']);
    for (const flags of [0, 1, 6]) expect(walk(root, flags)).toBe(-ERRNO.EINVAL);
  });

  test('shows removed cgroups while somebody holds them', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a');
    k.cgroups.tryGet(a);
    k.cgroups.remove(a);
    expect(walk(k.cgroups.root.ptr, 2)).toEqual(['/', '/a']);
    k.cgroups.put(a);
    expect(walk(k.cgroups.root.ptr, 2)).toEqual(['/']);
  });

  test('has no children before 7.3', async () => {
    k = await Kernel.create({ profile: '6.12' });
    k.registerHelper('skb_vlan_push', () => {});
    expect(walk(k.cgroups.root.ptr, 5)).toBe(-ERRNO.EINVAL);
  });
});

describe('bpf_iter_css_task', () => {
  const walk = (start: number, flags: number) => {
    seen.length = 0;
    const result = run(loop('css_task', `r2 = ${at(start)}\nr3 = ${flags}`, 'r1 = r6\ncall skb_vlan_push', false));
    return result < 0 ? result : seen.map((ptr) => k.tasks.at(ptr)?.comm);
  };

  test('gives the threads or the processes of a cgroup, without dying ones', () => {
    const a = k.cgroups.create(k.cgroups.root, 'a');
    const b = k.cgroups.create(a, 'b', { cpu: false });
    const one = k.tasks.create({ comm: 'one', cgroup: a });
    k.tasks.create({ comm: 'one-2', leader: one });
    const two = k.tasks.create({ comm: 'two', cgroup: a });
    k.tasks.create({ comm: 'three', cgroup: b });
    expect(walk(a.ptr, 0)).toEqual(['one', 'one-2', 'two']);
    expect(walk(a.ptr, 1)).toEqual(['one', 'two']);
    expect(walk(b.ptr, 3)).toEqual(['three']);
    expect(walk(a.taskGroup, 0)).toEqual(['one', 'one-2', 'two', 'three']);
    expect(walk(a.ptr, 2)).toBe(-ERRNO.EINVAL);
    k.tasks.exit(one);
    k.tasks.exit(two);
    expect(walk(a.ptr, 0)).toEqual(['one-2']);
    expect(walk(a.ptr, 1)).toEqual(['one']);
    expect(walk(k.cgroups.root.ptr, 0)).toEqual([]);
  });

  test('keeps the tasks that it has given until it ends', () => {
    const task = k.tasks.create({ comm: 'x' });
    const alive: boolean[] = [];
    k.registerHelper('skb_vlan_pop', () => {
      if (task.hashed) k.tasks.remove(task);
      alive.push(k.tasks.at(task.ptr) === task);
    });
    // Outside of a system call, which would itself keep them.
    const text = loop('css_task', `r2 = ${at(k.cgroups.root.ptr)}\nr3 = 0`, 'r1 = r6\ncall skb_vlan_pop', false);
    const insns = assembleText(k, text);
    const prog = k.fds.prog(k.bpf('PROG_LOAD', { prog_type: 31, prog_flags: 16, insns, license: 'GPL' }));
    expect(k.runProg(prog as BpfProg, [0n])).toBe(0n);
    expect(alive).toEqual([true]);
    expect(k.tasks.at(task.ptr)).toBeUndefined();
  });
});

describe('an iterator', () => {
  const born = (type: string) => `r1 = r10\nr1 += -24\nr2 = 0\nr3 = 0\ncall bpf_iter_${type}_new\n`;

  test('must be destroyed, whatever its _new answered', () => {
    for (const type of ['num', 'bits']) {
      expect(() => run(`${born(type)}r0 = 0\nexit`)).toThrow(
        `insn 4: the iterator of bpf_iter_${type}_new is still held when the program ends`,
      );
    }
  });

  test('lives once at a place, from _new to _destroy', () => {
    const destroy = 'r1 = r10\nr1 += -24\ncall bpf_iter_bits_destroy\n';
    expect(() => run(`${born('bits')}${born('bits')}exit`)).toThrow('the iterator is in use already');
    expect(() => run(`${destroy}exit`)).toThrow('bpf_iter_bits_destroy without a bpf_iter_bits_new before it');
    expect(() => run('r1 = r10\nr1 += -24\ncall bpf_iter_bits_next\nexit')).toThrow(
      'bpf_iter_bits_next without a bpf_iter_bits_new before it',
    );
    expect(run(`${born('bits')}${destroy}${born('bits')}${destroy}r0 = 7\nexit`)).toBe(7);
  });
});
