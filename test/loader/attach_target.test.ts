import { describe, expect, it } from 'vitest';
import { BtfBuilder } from '../../src/btf/builder.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { type BpfObject, openObject } from '../../src/loader/index.js';
import { FakeKernel, makeProfile } from './fake_kernel.js';
import { fixtureBytes } from './fixtures.js';

const b = new BtfBuilder();
const proto = b.funcProto(0, []);
for (const name of ['vfs_read', 'vfs_write', 'bpf_lsm_file_open', 'bpf_iter_task']) b.func(name, proto);
b.typedef('btf_trace_sched_switch', b.ptr(proto));
const btf = b.parse();
const id = (name: string) => btf.find(name, BTF_KIND.FUNC, BTF_KIND.TYPEDEF);

function load(change?: (object: BpfObject) => void) {
  const kernel = new FakeKernel(makeProfile(btf));
  const object = openObject(fixtureBytes('attach'), { name: 'attach' });
  change?.(object);
  object.load(kernel);
  return kernel;
}

describe('attach targets', () => {
  it.each([
    ['on_read', 'vfs_read', 24, 0],
    ['after_read', 'vfs_read', 25, 16],
    ['on_switch', 'btf_trace_sched_switch', 23, 0],
    ['on_open', 'bpf_lsm_file_open', 27, 0],
    ['each_task', 'bpf_iter_task', 28, 0],
  ])('%s is %s', (program, target, attachType, flags) => {
    expect(load().prog(program).attr).toMatchObject({
      attach_btf_id: id(target),
      attach_btf_obj_fd: 0,
      expected_attach_type: attachType,
      prog_flags: flags,
    });
  });

  it('can be set before load', () => {
    const kernel = load((object) => {
      object.program('unset').autoload = true;
      object.program('unset').attachTarget = 'vfs_write';
    });
    expect(kernel.prog('unset').attr.attach_btf_id).toBe(id('vfs_write'));
  });

  it('must be set', () => {
    const run = () =>
      load((object) => {
        object.program('unset').autoload = true;
      });
    expect(run).toThrow(
      'program "unset": no BTF-based attach target is specified, use bpf_program__set_attach_target()',
    );
  });

  it('must exist', () => {
    const run = (name: string) => () =>
      load((object) => {
        object.program('on_read').attachTarget = name;
      });
    expect(run('nothing')).toThrow(
      `object "attach": program "on_read": failed to find kernel BTF type ID of 'nothing': ESRCH (-3)`,
    );
    expect(run('ext4:vfs_read')).toThrow("failed to find kernel BTF type ID of 'ext4:vfs_read'");
  });

  it('may lie in a module', () => {
    const module = new BtfBuilder(btf);
    module.func('ext4_read', module.funcProto(0, []));
    module.func('vfs_read', module.funcProto(0, []));
    const kernel = new FakeKernel(makeProfile(btf));
    kernel.modules.push({ name: 'ext4', btf: module.build() });
    for (const [name, target] of [
      ['ext4_read', 1],
      ['ext4:ext4_read', 1],
      ['ext4:vfs_read', 3],
    ] as const) {
      const object = openObject(fixtureBytes('attach'), { name: 'attach' });
      object.program('on_read').attachTarget = name;
      object.load(kernel);
      const { attr } =
        kernel
          .of('PROG_LOAD')
          .filter((call) => call.attr.prog_name === 'on_read')
          .at(-1) ?? {};
      expect(attr?.attach_btf_obj_fd).toBe(kernel.of('BTF_GET_FD_BY_ID').at(-1)?.result);
      expect(attr?.attach_btf_id).toBe(btf.typeCount + target);
      object.close();
    }
    expect([...kernel.open]).toEqual([]);
  });

  it('of other programs are not modelled: such a program is left out', () => {
    let opened: BpfObject | undefined;
    load((object) => {
      object.program('replacement').autoload = true;
      opened = object;
    });
    expect(opened!.program('replacement').loaded).toBe(false);
    expect(opened!.messages).toContain(
      'program "replacement": replaces a function of another program, and none is set (setAttachTarget); it is left out',
    );
  });
});
