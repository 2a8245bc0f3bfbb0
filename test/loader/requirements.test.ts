import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BtfBuilder } from '../../src/btf/builder.js';
import { openObject, requirements } from '../../src/loader/index.js';
import { makeProfile, shippedProfile } from './fake_kernel.js';
import { fixture } from './fixtures.js';
import { CONFIG, dataKernel } from './kernel_btf.js';

const short = (list: ReturnType<typeof requirements>, kind: string) =>
  Object.fromEntries(
    list
      .filter((item) => item.kind === kind)
      .map((item) => [item.name, `${item.found ? 'found' : 'missing'}${item.weak ? ' weak' : ''}`]),
  );

describe('externs', () => {
  const list = requirements(fixture('data'), makeProfile(dataKernel(), { config: CONFIG }));
  it('are kfuncs, ksyms and configuration, weak or not', () => {
    expect(short(list, 'kfunc')).toEqual({
      kernel_strong: 'found',
      kernel_versioned___v1: 'missing weak',
      kernel_versioned___v2: 'found weak',
      kernel_weak_missing: 'missing weak',
    });
    expect(short(list, 'ksym')).toEqual({
      kernel_variable: 'found',
      kernel_variable_missing: 'missing weak',
      kernel_typeless: 'found',
      kernel_typeless_missing: 'missing',
    });
    expect(short(list, 'kconfig')).toMatchObject({
      CONFIG_HZ: 'found',
      CONFIG_NOT_THERE: 'missing weak',
      LINUX_HAS_TELEPORT: 'missing weak',
    });
  });

  it('name the programs that use them, and why they are missing', () => {
    const by = (name: string) => list.find((item) => item.name === name);
    expect(by('kernel_strong')).toEqual({
      kind: 'kfunc',
      name: 'kernel_strong',
      usedBy: ['uses_ksyms'],
      weak: false,
      found: true,
    });
    expect(by('kernel_typeless_missing')).toMatchObject({
      usedBy: ['uses_unknown_address'],
      detail: 'its address comes from kallsyms, which is not modelled',
    });
    expect(by('kernel_weak_missing')?.detail).toContain('not found in kernel or module BTFs');
  });

  it('may be those of a module', () => {
    const base = new BtfBuilder();
    const u64 = base.int('unsigned long long', 8);
    const vmlinux = base.parse();
    const profile = makeProfile(vmlinux, { config: CONFIG });
    const module = new BtfBuilder(vmlinux);
    const params = [
      { name: 'p', type: module.ptr(module.struct('point')) },
      { name: 'flags', type: u64 },
    ];
    module.func('kernel_strong', module.funcProto(u64, params));
    const data = fixture('data');
    expect(short(requirements(data, profile), 'kfunc').kernel_strong).toBe('missing');
    expect(short(requirements(data, profile, [module.parse()]), 'kfunc').kernel_strong).toBe('found');
  });

  it('all of them at once, on a kernel that has none', () => {
    const b = new BtfBuilder();
    b.int('int', 4);
    const none = requirements(fixture('data'), makeProfile(b.parse()));
    const fatal = none.filter((item) => !item.found && !item.weak).map((item) => item.name);
    const some = ['kernel_strong', 'kernel_variable', 'CONFIG_HZ', 'CONFIG_BPF', 'helper 1'];
    expect(fatal).toEqual(expect.arrayContaining(some));
  });

  it('of a configuration that does not fit are needed even if they are weak', () => {
    const config = { ...CONFIG, CONFIG_NOT_THERE: '"text"' };
    const found = requirements(fixture('data'), makeProfile(dataKernel(), { config }));
    expect(short(found, 'kconfig').CONFIG_NOT_THERE).toBe('missing');
  });
});

describe('helpers', () => {
  it('have the names that the kernel gives their numbers', () => {
    const list = requirements(fixture('link'), shippedProfile('7.3'));
    expect(list.filter((item) => item.kind === 'helper')).toEqual([
      { kind: 'helper', name: 'bpf_loop', usedBy: ['callback'], weak: false, found: true },
    ]);
  });

  it('that the kernel lacks are named by number', () => {
    const b = new BtfBuilder();
    b.enum('bpf_func_id', { BPF_FUNC_unspec: 0 });
    const [item] = requirements(fixture('link'), makeProfile(b.parse())).filter((found) => found.kind === 'helper');
    expect(item).toMatchObject({ name: 'helper 181', found: false, detail: 'the kernel has no helper number 181' });
  });
});

describe('CO-RE', () => {
  const kernel = fixture('core_kernel').btf;
  if (!kernel) throw new Error('no BTF');
  const list = requirements(fixture('core'), makeProfile(kernel as never));
  it('asks for fields, types and enumerators', () => {
    const core = short(list, 'core');
    expect(core['thing.plain']).toBe('found');
    expect(core['level::LEVEL_LOW']).toBe('found');
    expect(core['struct fresh']).toBe('found');
    // The object asks whether these exist.
    expect(core['thing.missing']).toBe('missing weak');
    expect(core['struct absent']).toBe('missing weak');
    expect(core['level::LEVEL_GONE']).toBe('missing weak');
  });

  it('names every program that asks', () => {
    const item = list.find((found) => found.name === 'thing.missing');
    expect(item?.usedBy.sort()).toEqual(['exists_not', 'guarded', 'load_missing']);
  });

  it('needs what is used without asking', () => {
    const spec = fixture('core');
    spec.programs = spec.programs.filter((program) => program.name === 'load_missing');
    expect(short(requirements(spec, makeProfile(kernel as never)), 'core')).toEqual({ 'thing.missing': 'missing' });
  });

  it('tells of types that disagree', () => {
    const b = new BtfBuilder();
    const u32 = b.int('unsigned int', 4);
    for (const [name, pad] of [
      ['thing', 1],
      ['thing___2', 2],
    ] as const) {
      b.struct(name, [
        { name: 'pad', type: b.array(u32, pad, u32) },
        { name: 'plain', type: u32 },
      ]);
    }
    const found = requirements(fixture('core'), makeProfile(b.parse())).find((item) =>
      item.detail?.includes('ambiguity'),
    );
    expect(found).toMatchObject({ kind: 'core', name: 'thing (byte_off)', found: false });
  });
});

describe('attach targets', () => {
  const b = new BtfBuilder();
  const proto = b.funcProto(0, []);
  b.func('vfs_read', proto);
  b.typedef('btf_trace_sched_switch', b.ptr(proto));
  const list = requirements(fixture('attach'), makeProfile(b.parse())).filter((item) => item.kind === 'attach');
  it('are functions, tracepoints and hooks of the kernel', () => {
    expect(list.map(({ name, found, usedBy }) => [name, found, usedBy])).toEqual([
      ['vfs_read', true, ['on_read', 'after_read']],
      ['sched_switch', true, ['on_switch']],
      ['file_open', false, ['on_open']],
      ['task', false, ['each_task']],
      ['fentry', false, ['unset']],
    ]);
    expect(list.map(({ detail }) => detail)).toEqual([
      undefined,
      undefined,
      "no bpf_lsm_file_open in the kernel's BTF",
      "no bpf_iter_task in the kernel's BTF",
      'no attach target is specified',
    ]);
  });
});

describe('struct_ops', () => {
  it('are structs, and the members that are set', () => {
    const b = new BtfBuilder();
    const u32 = b.int('unsigned int', 4);
    const struct = b.struct('toy_ops', [
      { name: 'start', type: b.ptr(0) },
      { name: 'flags', type: u32 },
    ]);
    b.struct('bpf_struct_ops_toy_ops', [{ name: 'data', type: struct }]);
    const list = requirements(fixture('struct_ops'), makeProfile(b.parse())).filter(
      (item) => item.kind === 'struct_ops',
    );
    const of = (map: string) =>
      list.filter((item) => item.usedBy.includes(map)).map(({ name, found, weak }) => [name, found, weak]);
    expect(of('linked')).toEqual([
      ['toy_ops', true, false],
      ['toy_ops.start', true, false],
      ['toy_ops.stop', false, false],
      ['toy_ops.flags', true, false],
      ['toy_ops.mode', false, false],
      ['toy_ops.limits', false, false],
      ['toy_ops.name', false, false],
    ]);
    // `?` section: not created, so not needed.
    expect(of('optional').every(([, , weak]) => weak)).toBe(true);
  });

  it('that the kernel lacks', () => {
    const b = new BtfBuilder();
    b.int('int', 4);
    const [item] = requirements(fixture('struct_ops'), makeProfile(b.parse())).filter(
      (found) => found.kind === 'struct_ops',
    );
    expect(item).toMatchObject({ name: 'toy_ops', found: false });
    expect(item?.detail).toContain('struct bpf_struct_ops_toy_ops is not found in kernel BTF');
  });
});

describe('a scheduler against the shipped profiles', () => {
  const bytes = readFileSync(new URL('../../samples/scx_fifo.bpf.o', import.meta.url));
  const object = openObject(bytes, { name: 'scx_fifo' });
  it.each(['7.3', '6.18', '6.12'] as const)('%s has everything that it needs', (name) => {
    const list = object.requirements(shippedProfile(name));
    expect(list.filter((item) => !item.found && !item.weak)).toEqual([]);
    expect(list.length).toBeGreaterThan(20);
  });

  it('copes without what 6.12 lacks', () => {
    const weak = object.requirements(shippedProfile('6.12')).filter((item) => !item.found);
    expect(weak.map((item) => item.name)).toEqual(
      expect.arrayContaining(['scx_bpf_dsq_move_to_local___new', 'task_struct.scx.tid']),
    );
  });
});
