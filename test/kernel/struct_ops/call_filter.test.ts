import { describe, expect, test } from 'vitest';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
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

  test('the first call in the program is the one that is named', async () => {
    const t = await ToyKernel.create();
    t.toy.def.get_func_proto = () => false;
    const log = t.log();
    expect(t.prog('fork', `call 8\ncall 5\n${TAIL}`, { log })).toBe(-ERRNO.EINVAL);
    expect(log.text).toContain('#8');
    expect(log.text).not.toContain('#5');
  });
});
