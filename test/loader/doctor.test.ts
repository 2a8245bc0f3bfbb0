import { afterEach, describe, expect, it } from 'vitest';
import { UnsupportedError, VmtableError } from '../../src/errors.js';
import { Kernel } from '../../src/kernel/kernel.js';
import { type Diagnosis, diagnose, lacking, lackingLines, openObject, withLacking } from '../../src/loader/index.js';
import { beforeScxLoad } from '../../src/sched_ext/index.js';
import { addSchedExt } from '../../src/sim/index.js';
import { fixture } from './fixtures.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function examine(change: (kernel: Kernel) => void = addSchedExt, name = 'user_space'): Promise<Diagnosis> {
  const kernel = await Kernel.create({ profile: '7.3' });
  kernels.push(kernel);
  change(kernel);
  const object = openObject(fixture(name));
  beforeScxLoad(object, kernel);
  return diagnose(object, kernel);
}

const names = (list: Diagnosis['missing'], weak: boolean) =>
  list.filter((finding) => finding.weak === weak).map(({ kind, name }) => `${kind} ${name}`);

describe('diagnose', () => {
  it('names everything at once, what is needed apart from what is not', async () => {
    const { ok, missing, unsupported, loadError } = await examine();
    expect(ok).toBe(false);
    expect(names(missing, false)).toEqual(['core task_struct.no_such_field', 'user space unsized']);
    expect(names(missing, true)).toEqual([
      'kfunc no_such_kfunc',
      'kfunc scx_bpf_no_such_kfunc___v2',
      'user space __SCX_NOT_THERE',
    ]);
    expect(names(unsupported, false)).toEqual(['helper bpf_sock_map_update', 'field task_struct.pdeath_signal']);
    expect(names(unsupported, true)).toEqual(['field vm_struct']);
    expect(loadError).toContain('map "unsized": failed to create: EINVAL');
  });

  it('says who asks and why', async () => {
    const { unsupported, missing } = await examine();
    expect(unsupported.find(({ kind }) => kind === 'helper')).toEqual({
      kind: 'helper',
      name: 'bpf_sock_map_update',
      usedBy: ['fix_enqueue'],
      weak: false,
      detail: 'nobody registered it',
    });
    expect(missing.find(({ name }) => name === 'unsized')?.detail).toBe('max_entries is 0: user space sets it');
  });

  it('tells how a program gets to run: iterators are read, events are raised by whoever says so', async () => {
    const runs = ({ programs }: Diagnosis) => Object.fromEntries(programs.map(({ name, runs }) => [name, runs]));
    const raise = (kernel: Kernel) => kernel.tracing.declare('sched_switch');
    const alone = await examine(() => {});
    expect(runs(alone)).toMatchObject({ fix_select_cpu: 'struct_ops member', fix_setup: 'test run', fix_switch: null });
    expect(names(alone.unsupported, true)).toContain('program tp_btf/sched_switch');
    expect(runs(await examine(raise))).toMatchObject({ fix_switch: 'event' });
    const { programs, unsupported } = await examine(() => {}, 'attach');
    expect(programs.find(({ section }) => section === 'iter/task')?.runs).toBe('iterator');
    expect(names(unsupported, true)).toEqual(
      expect.arrayContaining(['program fentry/vfs_read', 'program lsm/file_open']),
    );
    expect(names(unsupported, true)).not.toContain('program iter/task');
  });

  it('takes the target that user space gave a tracing program', async () => {
    const kernel = await Kernel.create({ profile: '7.3' });
    kernels.push(kernel);
    const opened = () => {
      const object = openObject(fixture('attach'));
      for (const program of object.programs) program.autoload = program.name === 'unset';
      return object;
    };
    expect(names(diagnose(opened(), kernel).missing, true)).toContain('attach fentry');
    const set = opened();
    set.program('unset').attachTarget = 'vfs_read';
    const { missing, loadError } = diagnose(set, kernel);
    expect([names(missing, true), names(missing, false), loadError]).toEqual([[], [], undefined]);
  });

  it('asks the registries: what somebody registers is no longer missing', async () => {
    const { unsupported } = await examine((kernel) => {
      addSchedExt(kernel);
      kernel.registerHelper('bpf_sock_map_update', () => {});
      kernel.tasks.layout.declare(['pdeath_signal']);
    });
    expect(names(unsupported, false)).toEqual([]);
  });

  it('tells an error that names one such thing what else there is, whatever became of the object', async () => {
    const kernel = await Kernel.create({ profile: '7.3' });
    kernels.push(kernel);
    addSchedExt(kernel);
    const object = openObject(fixture('user_space'));
    const said = new UnsupportedError('task_struct.pdeath_signal of task a[1] is not modelled');
    const lines = ['also not there, core: task_struct.no_such_field', 'also not there, helper: bpf_sock_map_update'];
    expect((withLacking(said, object, kernel) as UnsupportedError).more).toEqual(lines);
    object.close();
    kernel.dispose();
    expect(lackingLines(lacking(object, kernel, said.message))).toEqual(lines);
    expect((withLacking(new VmtableError('no such thing'), object, kernel) as VmtableError).more).toBeUndefined();
  });

  it('a struct_ops type that no subsystem takes is named', async () => {
    const { unsupported } = await examine(() => {});
    expect(names(unsupported, false)).toContain('struct_ops sched_ext_ops');
  });

  it('tells how each program gets to run', async () => {
    const { programs, counts } = await examine();
    expect(Object.fromEntries(programs.map(({ name, runs }) => [name, runs]))).toEqual({
      fix_select_cpu: 'struct_ops member',
      fix_enqueue: 'struct_ops member',
      fix_set_idle: 'struct_ops member',
      fix_setup: 'test run',
      fix_switch: 'event',
    });
    expect(counts).toMatchObject({ helper: 1, kfunc: 2, attach: 1 });
  });
});
