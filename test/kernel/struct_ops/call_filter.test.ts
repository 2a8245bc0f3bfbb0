import { describe, expect, test } from 'vitest';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { BPF_PROG_TYPE } from '../../../src/uapi.js';
import { ToyKernel } from '../toy.js';

const TAIL = 'r0 = 0\nexit\n';

describe('a subsystem says what the programs of its members may call', () => {
  test('a helper that it withholds fails the load as a kernel fails it', async () => {
    const t = await ToyKernel.create();
    t.toy.def.get_func_proto = (helper, member) => helper !== 'ktime_get_ns' || member === 'sum';
    const log = t.log();
    expect(t.prog('fork', `call 5\n${TAIL}`, { log })).toBe(-ERRNO.EINVAL);
    expect(log.text).toContain('program of this type cannot use helper bpf_ktime_get_ns#5');
    expect(t.prog('sum', `call 5\n${TAIL}`)).toBeGreaterThan(0);
    expect(t.prog('fork', `call 8\n${TAIL}`)).toBeGreaterThan(0);
  });

  test('a kfunc, likewise', async () => {
    const t = await ToyKernel.create();
    t.toy.def.kfunc_filter = (kfunc, member) => kfunc !== 'bpf_rcu_read_lock' || member === 'sum';
    const id = (name: string) => t.kernel.profile.btf.find(name, BTF_KIND.FUNC);
    const locked = `call kfunc(${id('bpf_rcu_read_lock')})\ncall kfunc(${id('bpf_rcu_read_unlock')})\n${TAIL}`;
    const log = t.log();
    expect(t.prog('fork', locked, { log })).toBe(-ERRNO.EACCES);
    expect(log.text).toContain('calling kernel function bpf_rcu_read_lock is not allowed');
    expect(t.prog('sum', locked)).toBeGreaterThan(0);
  });

  test('a kfunc that programs of this type may not call, behind whatever member', async () => {
    const t = await ToyKernel.create();
    const asked: number[] = [];
    t.kernel.registerKfunc(
      'scx_bpf_nr_cids',
      (call) => call.ret(3),
      undefined,
      (type) => asked.push(type) === 0,
    );
    t.kernel.registerKfunc(
      'scx_bpf_nr_cpu_ids',
      (call) => call.ret(3),
      undefined,
      (type) => asked.push(type) > 0,
    );
    const id = (name: string) => t.kernel.profile.btf.find(name, BTF_KIND.FUNC);
    const log = t.log();
    expect(t.prog('fork', `call kfunc(${id('scx_bpf_nr_cids')})\n${TAIL}`, { log })).toBe(-ERRNO.EACCES);
    expect(log.text).toContain('calling kernel function scx_bpf_nr_cids is not allowed');
    // What no program gets to is not asked about (a weak function that is there, and its older name).
    const dead = `r1 = 1\nif r1 != 0 goto +1\ncall kfunc(${id('scx_bpf_nr_cids')})\n${TAIL}`;
    expect(t.prog('fork', dead)).toBeGreaterThan(0);
    expect(t.prog('fork', `call kfunc(${id('scx_bpf_nr_cpu_ids')})\n${TAIL}`)).toBeGreaterThan(0);
    expect(new Set(asked)).toEqual(new Set([BPF_PROG_TYPE.STRUCT_OPS]));
  });

  test('the first call in the program is the one that is named', async () => {
    const t = await ToyKernel.create();
    t.toy.def.get_func_proto = () => false;
    const log = t.log();
    expect(t.prog('fork', `call 8\ncall 5\n${TAIL}`, { log })).toBe(-ERRNO.EINVAL);
    expect(log.text).toContain('#8');
    expect(log.text).not.toContain('#5');
  });
});
