import { describe, expect, it } from 'vitest';
import type { Btf } from '../../src/btf/btf.js';
import { BtfBuilder } from '../../src/btf/builder.js';
import type { BtfView } from '../../src/btf/types.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { ERRNO } from '../../src/errno.js';
import { BpfObject, openObject } from '../../src/loader/index.js';
import { FakeKernel, makeProfile } from './fake_kernel.js';
import { fixture, fixtureBytes } from './fixtures.js';

/** Members of the kernel's toy_ops in its own order, by name; null leaves one out. */
type Changes = Partial<Record<string, ((b: Kernel) => number) | null>>;
type Kernel = ReturnType<typeof types>;

function types(base?: Btf) {
  const b = new BtfBuilder(base);
  const s32 = b.int('int', 4, { signed: true });
  const u32 = b.int('unsigned int', 4);
  const u64 = b.int('unsigned long long', 8);
  const char = b.int('char', 1, { signed: true });
  const fn = (returns: number) => b.ptr(b.funcProto(returns, []));
  const pair = b.struct('limits', [
    { name: 'low', type: u32 },
    { name: 'high', type: u32 },
  ]);
  return { b, s32, u32, u64, char, fn, pair };
}

/** BTF of a kernel with toy_ops: members in another order than the object's, one more, none of `newer` and `newest`. */
function toyKernel(changes: Changes = {}, { name = 'toy_ops', base }: { name?: string; base?: Btf } = {}): Btf {
  const k = types(base);
  const members: Record<string, ((k: Kernel) => number) | null> = {
    name: ({ b, char, u32 }) => b.array(char, 16, u32),
    own: ({ u64 }) => u64,
    stop: ({ fn }) => fn(0),
    start: ({ fn, s32 }) => fn(s32),
    flags: ({ b, u32 }) => b.typedef('u32', u32),
    mode: ({ b }) => b.enum('mode', { MODE_A: 0 }),
    limits: ({ pair }) => pair,
    private: ({ b }) => b.ptr(0),
    ...changes,
  };
  const entries = Object.entries(members).flatMap(([member, type]) => (type ? [{ name: member, type: type(k) }] : []));
  const struct = k.b.struct(name, entries);
  const common = k.b.struct('bpf_struct_ops_common_value', [
    { name: 'refcnt', type: k.s32 },
    { name: 'state', type: k.u32 },
  ]);
  k.b.struct(
    `bpf_struct_ops_${name}`,
    [
      { name: 'common', type: common, bitOffset: 0 },
      { name: 'data', type: struct, bitOffset: 64 * 8 },
    ],
    192,
  );
  return k.b.parse();
}

const open = () => openObject(fixtureBytes('struct_ops'), { name: 'toys' });

function load(btf: Btf, change?: (object: BpfObject) => void) {
  const kernel = new FakeKernel(makeProfile(btf));
  const object = open();
  change?.(object);
  object.load(kernel);
  return { kernel, object };
}

/** Member of the kernel's struct and its place in the value. */
function member(btf: BtfView, name: string) {
  const type = btf.type(btf.find('toy_ops', BTF_KIND.STRUCT));
  if (type.kind !== BTF_KIND.STRUCT) throw new Error('no toy_ops');
  const index = type.members.findIndex((candidate) => candidate.name === name);
  return { index, offset: 64 + (type.members[index]?.bitOffset ?? Number.NaN) / 8 };
}

describe('opening', () => {
  const object = open();
  it('finds the vtables of every section', () => {
    const shown = object.structOps.map((map) => [map.name, map.structName, map.isLink, map.autocreate]);
    expect(Object.fromEntries(shown.map(([name, ...rest]) => [name, rest]))).toEqual({
      linked: ['toy_ops', true, true],
      second: ['toy_ops', true, true],
      plain: ['toy_ops', false, true],
      // libbpf forgets the `?` after the first variable of its section.
      optional: ['toy_ops', true, false],
      flavoured: ['toy_ops___v2', true, true],
    });
  });

  it('shows scalars and programs', () => {
    const map = object.structOpsMap('linked');
    expect([map.get('flags'), map.get('name'), map.get('mode'), map.get('limits')]).toEqual([
      5,
      'toy',
      1,
      { low: 1, high: 2 },
    ]);
    expect(map.program('start')?.name).toBe('toy_start');
    expect(map.program('newest')).toBeUndefined();
    expect(map.programs.map(({ member: name, program }) => `${name}=${program.name}`)).toEqual([
      'start=toy_start',
      'stop=toy_stop',
    ]);
  });

  it('lets scalars and programs be changed', () => {
    const changed = open();
    const map = changed.structOpsMap('linked');
    map.set('limits.high', 9);
    map.set('name', 'renamed');
    map.setProgram('stop', null);
    map.setProgram('start', changed.program('toy_other_start'));
    expect([map.get('limits'), map.get('name')]).toEqual([{ low: 1, high: 9 }, 'renamed']);
    expect(map.programs.map(({ program }) => program.name)).toEqual(['toy_other_start']);
  });

  it.each([
    ['a program as a value', (o: BpfObject) => o.structOpsMap('linked').get('start'), 'use setProgram()'],
    ['a value as a program', (o: BpfObject) => o.structOpsMap('linked').program('flags'), 'is no function pointer'],
    [
      'a plain pointer',
      (o: BpfObject) => o.structOpsMap('linked').setProgram('private', null),
      'is no function pointer',
    ],
    ['an unknown member', (o: BpfObject) => o.structOpsMap('linked').program('x'), 'no such member in struct toy_ops'],
    [
      'an unknown scalar',
      (o: BpfObject) => o.structOpsMap('linked').set('x.y', 1),
      'struct_ops "linked": member "x.y": no member "x"',
    ],
  ])('refuses %s', (_what, run, text) => {
    expect(() => run(open())).toThrow(text);
  });
});

describe('matching', () => {
  const btf = toyKernel();
  const { kernel, object } = load(btf);

  it('creates maps of the kernel value type', () => {
    const valueType = btf.find('bpf_struct_ops_toy_ops', BTF_KIND.STRUCT);
    expect(kernel.map('linked').attr).toMatchObject({
      map_type: 26,
      key_size: 4,
      value_size: 192,
      max_entries: 1,
      map_flags: 1 << 13,
      btf_fd: kernel.of('BTF_LOAD')[0]?.result,
      btf_key_type_id: 0,
      btf_value_type_id: 0,
      btf_vmlinux_value_type_id: valueType,
    });
    expect(kernel.map('plain').attr.map_flags).toBe(0);
    expect(kernel.of('MAP_CREATE').some(({ attr }) => attr.map_name === 'optional')).toBe(false);
  });

  it('tells programs which member they implement', () => {
    const type = btf.find('toy_ops', BTF_KIND.STRUCT);
    for (const [program, name] of [
      ['toy_start', 'start'],
      ['toy_stop', 'stop'],
      ['toy_other_start', 'start'],
    ] as const) {
      const { attr } = kernel.prog(program);
      expect([attr.attach_btf_id, attr.expected_attach_type]).toEqual([type, member(btf, name).index]);
    }
    expect(kernel.prog('toy_stop').attr.prog_flags).toBe(16);
    expect(kernel.prog('toy_start').attr.prog_flags).toBe(0);
  });

  it('stores values and fds where the kernel has them', () => {
    object.structOpsMap('linked').attach();
    const value = kernel.of('MAP_UPDATE_ELEM').at(-1)?.attr.value ?? new Uint8Array();
    const expected = new Uint8Array(192);
    const view = new DataView(expected.buffer);
    view.setBigUint64(member(btf, 'start').offset, BigInt(object.program('toy_start').fd), true);
    view.setBigUint64(member(btf, 'stop').offset, BigInt(object.program('toy_stop').fd), true);
    view.setUint32(member(btf, 'flags').offset, 5, true);
    view.setUint32(member(btf, 'mode').offset, 1, true);
    view.setUint32(member(btf, 'limits').offset, 1, true);
    view.setUint32(member(btf, 'limits').offset + 4, 2, true);
    expected.set(new TextEncoder().encode('toy'), member(btf, 'name').offset);
    expect(value).toEqual(expected);
  });

  it('skips members that the kernel lacks if they are 0', () => {
    const skipped = (map: string, name: string) =>
      `struct_ops ${map}: member ${name} not found in kernel, skipping it as it's set to zero`;
    expect(object.messages).toContain(skipped('linked', 'newer'));
    expect(object.messages).toContain(skipped('linked', 'newest'));
    expect(object.messages).toContain(skipped('flavoured', 'newer'));
  });

  it('takes the struct without its flavour', () => {
    expect(kernel.map('flavoured').attr.value_size).toBe(192);
  });

  it('needs what a kernel must have', () => {
    const none = types();
    none.b.struct('toy_ops');
    expect(() => load(none.b.parse())).toThrow(
      'object "toys": struct_ops "linked": struct bpf_struct_ops_toy_ops is not found in kernel BTF: ESRCH (-3)',
    );
    const noStruct = types();
    noStruct.b.struct('bpf_struct_ops_toy_ops');
    expect(() => load(noStruct.b.parse())).toThrow('struct toy_ops is not found in kernel BTF: ESRCH (-3)');
    const noData = types();
    noData.b.struct('toy_ops');
    noData.b.struct('bpf_struct_ops_toy_ops');
    expect(() => load(noData.b.parse())).toThrow(
      'struct toy_ops data is not found in struct bpf_struct_ops_toy_ops: EINVAL (-22)',
    );
  });

  it.each<[string, Changes, string]>([
    [
      'a value without its member',
      { flags: null },
      'member "flags": Cannot find member flags in kernel BTF: EOPNOTSUPP (-95)',
    ],
    [
      'a program without its member',
      { stop: null },
      'member "stop": Cannot find member stop in kernel BTF: EOPNOTSUPP (-95)',
    ],
    [
      'another kind',
      { mode: ({ u32 }) => u32 },
      'member "mode": Unmatched member type mode 6 != 1(kernel): EOPNOTSUPP (-95)',
    ],
    ['another size', { flags: ({ u64 }) => u64 }, 'member "flags": Error in size of member flags: 4 != 8(kernel)'],
    [
      'another array',
      { name: ({ b, char, u32 }) => b.array(char, 8, u32) },
      'member "name": Error in size of member name: 16 != 8(kernel)',
    ],
    [
      'a data pointer for a program',
      { stop: ({ b }) => b.ptr(0) },
      'member "stop": kernel member stop is not a func ptr',
    ],
  ])('refuses %s', (_what, changes, text) => {
    expect(() => load(toyKernel(changes))).toThrow(`object "toys": struct_ops "linked": ${text}`);
  });

  it('refuses bitfields', () => {
    const k = types();
    const struct = k.b.struct('toy_ops', [{ name: 'flags', type: k.u32, bitOffset: 0, bitSize: 3 }], 8);
    k.b.struct('bpf_struct_ops_toy_ops', [{ name: 'data', type: struct }]);
    const clear = (object: BpfObject) => {
      for (const map of object.structOps) {
        for (const { member: name } of map.programs) map.setProgram(name, null);
        if (map.structName === 'toy_ops') map.set('name', '');
      }
    };
    expect(() => load(k.b.parse(), clear)).toThrow('member "flags": bitfield flags is not supported: EOPNOTSUPP');
  });

  it('refuses a plain pointer that is set', () => {
    const spec = fixture('struct_ops');
    for (const map of spec.structOps) map.data.fill(1, map.data.length - 8);
    const object = new BpfObject(spec);
    const run = () => object.load(new FakeKernel(makeProfile(btf)));
    expect(run).toThrow(
      'struct_ops "linked": member "private": member private is not a struct_ops program: EOPNOTSUPP',
    );
  });

  it('refuses a program of another type or another object', () => {
    for (const stranger of [(o: BpfObject) => o.program('helper_prog'), () => open().program('toy_start')]) {
      const run = () => load(btf, (o) => o.structOpsMap('linked').setProgram('start', stranger(o)));
      expect(run).toThrow('member "start": member start is not a struct_ops program: EOPNOTSUPP');
    }
  });

  it('finds the struct in a module and names its BTF', () => {
    const vmlinux = types().b.parse();
    const kernel2 = new FakeKernel(makeProfile(vmlinux));
    kernel2.modules.push({ name: 'toys', btf: toyKernel({}, { base: vmlinux }).raw as Uint8Array });
    const loaded = open().load(kernel2);
    const moduleFd = kernel2.of('BTF_GET_FD_BY_ID').at(-1)?.result;
    expect(kernel2.map('linked').attr).toMatchObject({
      value_type_btf_obj_fd: moduleFd,
      map_flags: (1 << 13) | (1 << 15),
    });
    expect(kernel2.prog('toy_start').attr.attach_btf_obj_fd).toBe(moduleFd);
    loaded.close();
    expect([...kernel2.open]).toEqual([]);
  });
});

describe('sharing programs', () => {
  const btf = toyKernel();
  it('is fine for the same member of the same struct', () => {
    const { kernel } = load(btf);
    expect(kernel.of('PROG_LOAD').filter(({ attr }) => attr.prog_name === 'toy_start')).toHaveLength(1);
  });

  it('is refused for two members', () => {
    const twoStarts = toyKernel({ stop: ({ fn }) => fn(0) });
    const run = () => load(twoStarts, (o) => o.structOpsMap('second').setProgram('stop', o.program('toy_start')));
    const [start, stop] = [member(twoStarts, 'start').index, member(twoStarts, 'stop').index];
    expect(run).toThrow(
      `struct_ops "second": member "stop": prog "toy_start": invalid reuse of prog toy_start in sec struct_ops/start ` +
        `with type 27: expected_attach_type ${start} != kern_member_idx ${stop}: EINVAL (-22)`,
    );
  });

  it('is refused for two structs', () => {
    const k = types();
    const fn = k.fn(k.s32);
    for (const name of ['toy_ops', 'other_ops']) {
      const struct = k.b.struct(name, [{ name: 'start', type: fn }]);
      k.b.struct(`bpf_struct_ops_${name}`, [{ name: 'data', type: struct }]);
    }
    const spec = fixture('struct_ops');
    spec.structOps = spec.structOps
      .filter((map) => map.name === 'flavoured')
      .flatMap((map) => [map, { ...map, name: 'again', structName: 'other_ops' }]);
    for (const program of spec.programs) program.autoload = program.name === 'toy_start';
    const run = () => new BpfObject(spec).load(new FakeKernel(makeProfile(k.b.parse())));
    expect(run).toThrow(
      /struct_ops "again".*invalid reuse of prog toy_start.*attach_btf_id \d+ != kern_type_id \d+: EINVAL/,
    );
  });
});

describe('which programs are loaded', () => {
  const btf = toyKernel();
  const names = (kernel: FakeKernel) => kernel.of('PROG_LOAD').map(({ attr }) => attr.prog_name);

  it('those of maps that are created, whatever autoload says', () => {
    const { kernel } = load(btf, (o) => {
      o.program('toy_start').autoload = false;
      o.program('toy_newest').autoload = true;
    });
    expect(names(kernel).sort()).toEqual(['helper_prog', 'toy_other_start', 'toy_start', 'toy_stop']);
  });

  it('not those of maps that are not created', () => {
    const { kernel } = load(btf, (o) => {
      for (const name of ['linked', 'second', 'flavoured']) o.structOpsMap(name).autocreate = false;
    });
    expect(names(kernel).sort()).toEqual(['helper_prog', 'toy_other_start']);
  });

  it('not those that were replaced or cleared', () => {
    const { kernel } = load(btf, (o) => {
      o.structOpsMap('plain').setProgram('start', o.program('toy_spare'));
      o.structOpsMap('linked').setProgram('stop', null);
    });
    expect(names(kernel).sort()).toEqual(['helper_prog', 'toy_spare', 'toy_start']);
  });

  it('not one whose member the kernel lacks, once it is cleared', () => {
    const { kernel } = load(toyKernel({ stop: null }), (o) => o.structOpsMap('linked').setProgram('stop', null));
    expect(names(kernel)).not.toContain('toy_stop');
  });

  it('but a program that no map refers to can not be', () => {
    const run = () =>
      load(btf, (o) => {
        o.program('toy_spare').autoload = true;
      });
    expect(run).toThrow(
      `object "toys": program "toy_spare": prog 'toy_spare': SEC("struct_ops") program isn't referenced anywhere, did you forget to use it?: EINVAL (-22)`,
    );
  });
});

describe('after load', () => {
  const btf = toyKernel();
  it('nothing can be changed', () => {
    const { object } = load(btf);
    const map = object.structOpsMap('linked');
    for (const change of [
      () => map.set('flags', 1),
      () => map.setProgram('stop', null),
      () => map.define({ maxEntries: 2 }),
      () => {
        map.autocreate = false;
      },
    ]) {
      expect(change).toThrow('object "toys" is already loaded: EBUSY (-16)');
    }
    expect(() => {
      object.program('toy_start').autoload = false;
    }).toThrow('program "toy_start": object "toys" is already loaded: EINVAL (-22)');
  });
});

describe('attaching', () => {
  const btf = toyKernel();
  const commands = (kernel: FakeKernel) =>
    kernel.calls.slice(kernel.calls.findIndex(({ cmd }) => cmd === 'PROG_LOAD')).flatMap(({ cmd, attr }) => {
      if (cmd === 'MAP_UPDATE_ELEM' || cmd === 'MAP_DELETE_ELEM') return [`${cmd} ${mapName(kernel, attr.map_fd)}`];
      if (cmd === 'LINK_CREATE') return [`${cmd} ${mapName(kernel, attr.map_fd)} ${attr.attach_type}`];
      if (cmd === 'LINK_UPDATE') return [`${cmd} ${mapName(kernel, attr.new_map_fd)}`];
      return cmd.startsWith('LINK') ? [cmd] : [];
    });
  const mapName = (kernel: FakeKernel, fd: number | undefined) =>
    kernel.of('MAP_CREATE').find(({ result }) => result === fd)?.attr.map_name;

  it('stores the value and links a link map', () => {
    const { kernel, object } = load(btf);
    const link = object.structOpsMap('linked').attach();
    expect(commands(kernel)).toEqual(['MAP_UPDATE_ELEM linked', 'LINK_CREATE linked 44']);
    link.detach();
    link.detach();
    expect(commands(kernel).slice(2)).toEqual(['LINK_DETACH']);
    expect(link.attached).toBe(false);
    expect(kernel.open.has(link.fd ?? 0)).toBe(true);
    link.destroy();
    link.destroy();
    expect(kernel.open.has(link.fd ?? 0)).toBe(false);
  });

  it('may be left as it is', () => {
    const { kernel, object } = load(btf);
    const links = [object.structOpsMap('linked').attach(), object.structOpsMap('plain').attach()];
    const before = kernel.calls.length;
    for (const link of links) {
      link.disconnect();
      link.destroy();
    }
    expect(kernel.calls).toHaveLength(before);
    expect(kernel.open.has(links[0]?.fd ?? 0)).toBe(true);
  });

  it('only stores the value of a plain map, whose element is deleted to detach', () => {
    const { kernel, object } = load(btf);
    const link = object.structOpsMap('plain').attach();
    link.destroy();
    link.destroy();
    expect(commands(kernel)).toEqual(['MAP_UPDATE_ELEM plain', 'MAP_DELETE_ELEM plain']);
  });

  it('does not mind a link map that has its value already', () => {
    const { kernel, object } = load(btf);
    const map = object.structOpsMap('linked');
    map.attach().destroy();
    kernel.refusals.push({ cmd: 'MAP_UPDATE_ELEM', nth: kernel.of('MAP_UPDATE_ELEM').length, errno: ERRNO.EBUSY });
    map.attach();
    expect(commands(kernel).at(-1)).toBe('LINK_CREATE linked 44');
  });

  it.each([
    ['plain', ERRNO.EBUSY, 'update failed: EBUSY (-16)'],
    ['linked', ERRNO.EINVAL, 'update failed: EINVAL (-22)'],
  ])('of %s fails with %d', (name, errno, text) => {
    const { kernel, object } = load(btf);
    kernel.refusals.push({ cmd: 'MAP_UPDATE_ELEM', nth: kernel.of('MAP_UPDATE_ELEM').length, errno });
    expect(() => object.structOpsMap(name).attach()).toThrow(`struct_ops "${name}": ${text}`);
  });

  it('needs a map that was created', () => {
    const { object } = load(btf);
    expect(() => object.structOpsMap('optional').attach()).toThrow(
      "can't attach BPF map without FD (was it created?): EINVAL",
    );
    expect(() => open().structOpsMap('linked').attach()).toThrow('not loaded');
  });

  it('replaces the vtable of a link', () => {
    const { kernel, object } = load(btf);
    const link = object.structOpsMap('linked').attach();
    link.update(object.structOpsMap('second'));
    expect(commands(kernel).slice(2)).toEqual(['MAP_UPDATE_ELEM second', 'LINK_UPDATE second']);
    expect(link.map.name).toBe('second');
    const plain = object.structOpsMap('plain').attach();
    expect(() => plain.update(object.structOpsMap('second'))).toThrow("can't be replaced: EINVAL (-22)");
  });

  it('attaches what is created and autoattached, or nothing', () => {
    const first = load(btf);
    first.object.structOpsMap('flavoured').autoattach = false;
    expect(first.object.attach().map((link) => link.map.name)).toEqual(['linked', 'second', 'plain']);
    expect(first.object.attach()).toEqual([]);
    first.object.close();
    expect([...first.kernel.open]).toEqual([]);

    const { kernel, object } = load(btf);
    kernel.refusals.push({ cmd: 'LINK_CREATE', nth: 1, errno: ERRNO.EEXIST });
    expect(() => object.attach()).toThrow('object "toys": struct_ops "second": link failed: EEXIST (-17)');
    const linkFd = kernel.of('LINK_CREATE')[0]?.result ?? 0;
    expect(kernel.open.has(linkFd)).toBe(false);
    expect(object.links).toEqual([]);
  });
});

describe('association', () => {
  const { kernel, object } = load(toyKernel());
  it('tells the kernel', () => {
    object.associateStructOps(object.program('helper_prog'), object.structOpsMap('linked'));
    const attr = { prog_fd: object.program('helper_prog').fd, map_fd: object.structOpsMap('linked').fd };
    expect(kernel.of('PROG_ASSOC_STRUCT_OPS').map((call) => call.attr)).toEqual([attr]);
  });

  it.each([
    ['a program that is not loaded', 'toy_spare', 'linked', "can't associate BPF program without FD (was it loaded?)"],
    ['a struct_ops program', 'toy_start', 'linked', "can't associate struct_ops program"],
    ['a map that is not created', 'helper_prog', 'optional', "can't associate BPF map without FD (was it created?)"],
  ])('refuses %s', (_what, program, map, text) => {
    expect(() => object.associateStructOps(object.program(program), object.map(map))).toThrow(`${text}: EINVAL (-22)`);
  });
});
