import { describe, expect, it } from 'vitest';
import { loadProfile } from '../../src/kernel/profile.js';
import { openObject } from '../../src/loader/index.js';
import { beforeScxLoad } from '../../src/sched_ext/user_space/index.js';
import { fixture } from '../loader/fixtures.js';

const CPUS = 6;
const profile = await loadProfile('7.3');
const old = await loadProfile('6.12');

function opened(kernel = profile) {
  const object = openObject(fixture('user_space'));
  const warnings = beforeScxLoad(object, { profile: kernel, cpus: CPUS, hotplugSeq: 9n });
  return { object, warnings, get: (name: string) => object.variable(name).get() };
}

describe('before load', () => {
  it("constants come from the kernel's enums, 0 if it has none", () => {
    const { get } = opened();
    expect(get('__SCX_DSQ_LOCAL')).toBe(profile.btf.enumerator('SCX_DSQ_LOCAL') as bigint);
    expect(get('__SCX_DSQ_LOCAL')).toBe(0x8000000000000002n);
    expect(get('__SCX_NOT_THERE')).toBe(0n);
  });

  it('the number of CPUs is told', () => {
    expect(opened().get('nr_cpu_ids')).toBe(CPUS);
  });

  it('the exit dump is as long as the scheduler asks for, other resizable arrays have an element for each CPU', () => {
    const { object, get } = opened();
    expect(get('uei_dump_len')).toBe(100);
    expect(object.map('.data.uei_dump').definition.valueSize).toBe(100);
    object.map('.data.uei_dump').writeData(0, new TextEncoder().encode('all of it'));
    expect(object.variable('uei_dump').get()).toBe('all of it');
    expect(object.map('.data.started_at').definition.valueSize).toBe(4 * CPUS);
    expect(object.map('.rodata.pair').definition.valueSize).toBe(2 * CPUS);
    object.variable('started_at[5]').set(77);
    expect(get('started_at[5]')).toBe(77);
  });

  it('an array that is not of one element stays', () => {
    expect(opened().object.map('.data.fixed').definition.valueSize).toBe(8);
  });

  it('without a length of its own the dump has 32768 bytes', () => {
    const object = openObject(fixture('user_space'));
    object.structOpsMap('fix_ops').set('exit_dump_len', 0);
    beforeScxLoad(object, { profile, cpus: CPUS });
    expect(object.variable('uei_dump_len').get()).toBe(32768);
  });

  it('the hotplug sequence is that of the machine', () => {
    expect(opened().object.structOpsMap('fix_ops').get('hotplug_seq')).toBe(9n);
  });

  it('members that an old kernel lacks are taken out, with a warning', () => {
    const ops = (kernel: typeof profile) => {
      const { object, warnings } = opened(kernel);
      const map = object.structOpsMap('fix_ops');
      return { warnings, idle: map.program('cgroup_set_idle')?.name, rescue: map.get('rescue_quantum_us') };
    };
    expect(ops(profile)).toEqual({ warnings: [], idle: 'fix_set_idle', rescue: 3 });
    expect(ops(old)).toEqual({
      warnings: [
        `struct_ops "fix_ops": kernel doesn't support ops.cgroup_set_idle()`,
        `struct_ops "fix_ops": kernel doesn't support ops.rescue_quantum_us`,
      ],
      idle: undefined,
      rescue: 0,
    });
  });

  it('an object without a scheduler is left alone', () => {
    const object = openObject(fixture('data'));
    const sizes = () => object.maps.map(({ definition }) => definition.valueSize);
    const before = sizes();
    expect(beforeScxLoad(object, { profile, cpus: CPUS })).toEqual([]);
    expect(sizes()).toEqual(before);
  });
});
