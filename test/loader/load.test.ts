import { beforeAll, describe, expect, it } from 'vitest';
import { Btf } from '../../src/btf/btf.js';
import { BtfBuilder } from '../../src/btf/builder.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { ERRNO, ErrnoError } from '../../src/errno.js';
import { InputError } from '../../src/errors.js';
import { BpfObject, openObject } from '../../src/loader/index.js';
import { FakeKernel, makeProfile } from './fake_kernel.js';
import { fixture, fixtureBytes, insnAt } from './fixtures.js';
import { CONFIG, dataKernel } from './kernel_btf.js';

const profile = makeProfile(dataKernel(), { config: CONFIG });
const open = () => openObject(fixtureBytes('data'), { name: 'data_sample' });

function loaded(change?: (object: BpfObject) => void): { object: BpfObject; kernel: FakeKernel } {
  const kernel = new FakeKernel(profile);
  const object = open();
  change?.(object);
  object.load(kernel);
  return { object, kernel };
}

describe('maps', () => {
  let kernel: FakeKernel;
  let object: BpfObject;
  beforeAll(() => {
    ({ kernel, object } = loaded());
  });
  const attr = (name: string) => kernel.map(name).attr;

  it('have the names that libbpf gives them', () => {
    const names = kernel.of('MAP_CREATE').map((call) => call.attr.map_name);
    expect(names.sort()).toEqual(
      [
        ...['table', 'counts', 'events', 'ring', 'queue', 'one', 'two', 'outer.inner', 'outer', 'jumps', 'arena'],
        ...['data_sam.rodata', 'data_sam.data', 'data_sam.bss', 'data_sa.kconfig'],
        ...['.data.flags', '.data.per_cpu', '.rodata.weights'],
      ].sort(),
    );
  });

  it('carry the BTF of their keys and values', () => {
    const btf = object.spec.btf;
    const { btf_fd, btf_key_type_id = 0, btf_value_type_id = 0 } = attr('table');
    expect(btf_fd).toBe(kernel.of('BTF_LOAD')[0]?.result);
    expect([btf?.nameOf(btf_key_type_id), btf?.nameOf(btf_value_type_id)]).toEqual(['point', 'config']);
    expect(attr('data_sam.bss').btf_key_type_id).toBe(0);
    expect(btf?.nameOf(attr('data_sam.bss').btf_value_type_id ?? 0)).toBe('.bss');
  });

  it.each(['events', 'queue', 'outer', 'arena'])('of type %s go without BTF', (name) => {
    expect(attr(name)).not.toHaveProperty('btf_fd');
  });

  it('get sizes that only the loader knows', () => {
    expect(attr('events').max_entries).toBe(kernel.cpus);
    expect(attr('ring').max_entries).toBe(8192);
    expect(attr('arena')).toMatchObject({ max_entries: 100, map_extra: 1n << 44n, map_flags: 0x400 });
  });

  it('of maps are created from an example that is closed again', () => {
    const inner = kernel.map('outer.inner');
    expect(attr('outer').inner_map_fd).toBe(inner.result);
    expect(inner.attr).toMatchObject({ map_type: 2, max_entries: 3, value_size: 8 });
    expect(kernel.open.has(inner.result)).toBe(false);
  });

  it('have their static slots filled', () => {
    const slots = kernel
      .of('MAP_UPDATE_ELEM')
      .filter(({ attr: { map_fd } }) => map_fd === object.map('outer').fd || map_fd === object.map('jumps').fd)
      .map(({ attr: { key, value } }) => [key?.[0], value[0]]);
    expect(slots).toEqual([
      [1, object.map('two').fd],
      [3, object.map('one').fd],
      [2, object.program('target').fd],
    ]);
  });

  it('of constants are filled, then frozen; other data is only filled', () => {
    const order = kernel.calls.flatMap((call) => {
      if (call.cmd === 'MAP_UPDATE_ELEM' || call.cmd === 'MAP_FREEZE') {
        const name = kernel.of('MAP_CREATE').find(({ result }) => result === call.attr.map_fd)?.attr.map_name;
        return [`${name} ${call.cmd === 'MAP_FREEZE' ? 'frozen' : 'filled'}`];
      }
      return [];
    });
    for (const name of ['data_sam.rodata', '.rodata.weights', 'data_sa.kconfig']) {
      const at = order.indexOf(`${name} filled`);
      expect(order[at + 1]).toBe(`${name} frozen`);
    }
    expect(order).toContain('data_sam.data filled');
    expect(order.filter((text) => text.endsWith('frozen'))).toHaveLength(3);
  });

  it('of constants are bound to every program', () => {
    const rodata = object.map('.rodata').fd;
    const bound = kernel.of('PROG_BIND_MAP').filter(({ attr: { map_fd } }) => map_fd === rodata);
    expect(bound.map(({ attr: { prog_fd } }) => prog_fd)).toEqual(object.programs.map((program) => program.fd));
    const kconfig = object.map('.kconfig').fd;
    expect(kernel.of('PROG_BIND_MAP').some(({ attr: { map_fd } }) => map_fd === kconfig)).toBe(false);
  });

  it('put the globals of an arena on its last pages', () => {
    const [write] = kernel.mappings.get(object.map('arena').fd) ?? [];
    const bytes = object.map('arena').image?.length ?? 0;
    expect(bytes).toBeGreaterThan(4096);
    expect(write?.offset).toBe((100 - 2) * 4096);
    expect(write?.bytes).toEqual(object.map('arena').spec.data?.bytes);
  });

  it('are tried again without BTF when the kernel refuses it', () => {
    const other = new FakeKernel(profile);
    other.refusals.push({ cmd: 'MAP_CREATE', nth: 0, errno: ERRNO.EINVAL });
    open().load(other);
    const [first, second] = other.of('MAP_CREATE');
    expect(first?.attr).toMatchObject({ map_name: 'two', btf_key_type_id: expect.any(Number) });
    expect(second?.attr).toMatchObject({ map_name: 'two', btf_fd: 0, btf_key_type_id: 0, btf_value_type_id: 0 });
  });
});

describe('references from code', () => {
  const { kernel, object } = loaded();
  const relocs = (name: string) => {
    const program = object.program(name);
    const { insns } = kernel.prog(name).attr;
    return program.spec.relocations.map((reloc) => {
      const [low, high] = [insnAt(insns, reloc.insn), insnAt(insns, Math.min(reloc.insn + 1, insns.length / 8 - 1))];
      return { reloc, low, high };
    });
  };
  const fd = (name: string) => object.map(name).fd;

  it('keep the register that they load', () => {
    for (const name of ['target', 'writes', 'uses_maps', 'uses_ksyms']) {
      for (const { reloc, low } of relocs(name)) {
        expect(low.dst).toBe(insnAt(object.program(name).spec.insns, reloc.insn).dst);
      }
    }
  });

  it('to maps become fds', () => {
    const found = relocs('uses_maps').map(({ low, high }) => [low.src, low.imm, high.imm]);
    expect(found).toEqual([
      [1, fd('table'), 0],
      [1, fd('queue'), 0],
      [1, fd('counts'), 0],
      [1, fd('outer'), 0],
    ]);
  });

  it('to variables become fds and offsets', () => {
    const offset = (map: string, name: string) =>
      object.map(map).spec.data?.variables.find((variable) => variable.name === name)?.offset;
    const found = relocs('target').map(({ low, high }) => [low.src, low.imm, high.imm]);
    expect(found).toEqual([
      [2, fd('.rodata'), offset('.rodata', 'limit')],
      [2, fd('.rodata'), offset('.rodata', 'cfg')],
      [2, fd('.data'), offset('.data', 'counter')],
      [2, fd('.data.flags'), 0],
      [2, fd('.rodata.weights'), 0],
    ]);
    const statics = relocs('writes').at(-1);
    expect([statics?.low.src, statics?.low.imm, statics?.high.imm]).toEqual([
      2,
      fd('.bss'),
      offset('.bss', 'hidden_counter'),
    ]);
  });

  it('to arena globals count from where the loader put them', () => {
    const variables = object.map('arena').spec.data?.variables ?? [];
    const at = (name: string) => 98 * 4096 + (variables.find((variable) => variable.name === name)?.offset ?? -1);
    const found = relocs('uses_arena').map(({ low, high }) => [low.src, low.imm, high.imm]);
    expect(found).toEqual([
      [2, fd('arena'), at('arena_table')],
      [2, fd('arena'), at('arena_first')],
    ]);
  });

  it('to kfuncs and ksyms become BTF ids, weak ones that are missing NULL and dead calls', () => {
    const { btf } = profile;
    const id = (name: string, kind: number) => btf.find(name, kind as never);
    const names = new Map(
      relocs('uses_ksyms').map(({ reloc, low, high }) => {
        const what = reloc.kind === 'extern' ? `${reloc.name}${reloc.call ? '()' : ''}` : '';
        return [what, [low.op, low.src, low.off, low.imm, low.op === 0x18 ? high.imm : undefined]];
      }),
    );
    const call = (name: string) => [0x85, 2, 0, id(name, BTF_KIND.FUNC), undefined];
    const address = (name: string, kind: number) => [0x18, 3, 0, id(name, kind), 0];
    const null64 = [0x18, 0, 0, 0, 0];
    expect(Object.fromEntries(names)).toMatchObject({
      'kernel_strong()': call('kernel_strong'),
      'kernel_versioned___v2()': call('kernel_versioned'),
      kernel_versioned___v1: null64,
      kernel_versioned___v2: address('kernel_versioned', BTF_KIND.FUNC),
      kernel_weak_missing: null64,
      kernel_variable: address('kernel_variable', BTF_KIND.VAR),
      kernel_variable_missing: null64,
      kernel_typeless: address('kernel_typeless', BTF_KIND.FUNC),
    });
    const dead = names.get('kernel_weak_missing()');
    expect(dead?.slice(0, 3)).toEqual([0x85, 0, 0]);
    expect(Number(dead?.[3]) - (Number(dead?.[3]) % 1000)).toBe(2_002_000_000);
    expect([...(kernel.prog('uses_ksyms').attr.poisoned ?? new Map()).values()]).toEqual(
      expect.arrayContaining(["kfunc 'kernel_weak_missing' is referenced but wasn't resolved"]),
    );
  });

  it('to an address that nobody models become calls that say so', () => {
    const { attr } = kernel.prog('uses_unknown_address'.slice(0, 15));
    const text = "address of ksym 'kernel_typeless_missing' is not modelled (not in the kernel's BTF)";
    expect([...(attr.poisoned ?? [])]).toEqual([
      [0, text],
      [1, text],
    ]);
    expect(insnAt(attr.insns, 0)).toMatchObject({ op: 0x85, src: 0 });
    expect(insnAt(attr.insns, 1)).toMatchObject({ op: 0x85, src: 0 });
  });

  it('to a map that is not created become calls that say so', () => {
    const { kernel: other } = loaded((opened) => {
      opened.map('queue').autocreate = false;
    });
    const { poisoned, insns } = other.prog('uses_maps').attr;
    const texts = [...(poisoned?.values() ?? [])];
    expect(texts).toEqual(Array(2).fill("BPF map 'queue' is referenced but wasn't created"));
    const index = object.maps.findIndex((map) => map.name === 'queue');
    for (const insn of poisoned?.keys() ?? []) expect(insnAt(insns, insn).imm).toBe(2_001_000_000 + index);
  });
});

describe('kernel configuration', () => {
  const values = (config: Record<string, string>) => {
    const kernel = new FakeKernel(makeProfile(dataKernel(), { config, version: 0x60c75 }));
    const object = open().load(kernel);
    return (name: string) => object.variable(name).get();
  };
  it('fills externs', () => {
    const get = values(CONFIG);
    expect(get('LINUX_KERNEL_VERSION')).toBe(0x60c75);
    expect(get('LINUX_HAS_SYSCALL_WRAPPER')).toBe(true);
    expect(get('LINUX_HAS_TELEPORT')).toBe(0);
    expect(get('CONFIG_HZ')).toBe(250n);
    expect(get('CONFIG_BPF')).toBe(true);
    expect(get('CONFIG_DUMMY')).toBe(2);
    expect(get('CONFIG_VETH')).toBe('n'.charCodeAt(0));
    // Cut to the array, with its NUL.
    expect(get('CONFIG_DEFAULT_HOSTNAME')).toBe('(none) or');
    expect(get('CONFIG_NOT_THERE')).toBe(0);
  });

  it.each([
    ['0x3e8', 1000n],
    ['0', 0n],
    ['017', 15n],
    ['-1', 0xffff_ffff_ffff_ffffn],
  ])('reads %s as C does', (text, value) => {
    expect(values({ ...CONFIG, CONFIG_HZ: text })('CONFIG_HZ')).toBe(value);
  });

  it.each([
    [{ CONFIG_HZ: 'y' }, "extern (kcfg) 'CONFIG_HZ': value 'y' implies bool, tristate, or char type"],
    [{ CONFIG_HZ: '"x"' }, "extern (kcfg) 'CONFIG_HZ': value '\"x\"' implies char array type"],
    [{ CONFIG_HZ: '12abc' }, "extern (kcfg) 'CONFIG_HZ': value '12abc' isn't a valid integer"],
    [{ CONFIG_BPF: 'm' }, "extern (kcfg) 'CONFIG_BPF': value 'm' implies tristate or char type"],
    [{ CONFIG_BPF: '256' }, "extern (kcfg) 'CONFIG_BPF': value '256' doesn't fit in 1 bytes: ERANGE"],
    [{ CONFIG_NOT_THERE: '4294967296' }, "extern (kcfg) 'CONFIG_NOT_THERE': value '4294967296' doesn't fit in 4 bytes"],
    [{ CONFIG_DUMMY: '3' }, "extern (kcfg) 'CONFIG_DUMMY': value '3' implies integer, char, or boolean type"],
    [{ CONFIG_HZ: '' }, "extern 'CONFIG_HZ' (strong): not resolved: ESRCH (-3)"],
  ])('refuses %j', (change, text) => {
    expect(() => values({ ...CONFIG, ...change })).toThrow(text);
  });
});

describe('options', () => {
  it('config goes before the configuration of the profile', () => {
    const kernel = new FakeKernel(profile);
    const object = openObject(fixtureBytes('data'), {
      name: 'x',
      config: { CONFIG_HZ: '1000', CONFIG_NOT_THERE: '7' },
    });
    object.load(kernel);
    expect([object.variable('CONFIG_HZ').get(), object.variable('CONFIG_NOT_THERE').get()]).toEqual([1000n, 7]);
    expect(object.variable('CONFIG_BPF').get()).toBe(true);
  });

  it('variables of the configuration are set nowhere else', () => {
    expect(() => open().variable('CONFIG_HZ').set(1)).toThrow(`variable "CONFIG_HZ": is the kernel's`);
  });

  it('targetBtf is what CO-RE relocates against', () => {
    const kernelTypes = fixture('core_kernel').btf;
    const object = openObject(fixtureBytes('core'), { name: 'core', targetBtf: kernelTypes as Btf });
    const kernel = new FakeKernel(profile);
    // No module of the running kernel is asked.
    kernel.modules.push({ name: 'other', btf: new Uint8Array(3) });
    object.load(kernel);
    expect(kernel.prog('load_u32').attr.poisoned?.size).toBe(0);
    expect(kernel.of('BTF_GET_NEXT_ID')).toHaveLength(0);
  });
});

describe('arena variables', () => {
  it('are read and written where the loader put them', () => {
    const { object, kernel } = loaded((opened) => opened.variable('arena_table[3]').set(8));
    expect(object.variable('arena_first').get()).toBe(11n);
    expect(object.variable('arena_table[3]').get()).toBe(8);
    object.variable('arena_first').set(12);
    expect(object.variable('arena_first').get()).toBe(12n);
    const offset = object.map('arena').spec.data?.variables.find(({ name }) => name === 'arena_first')?.offset ?? 0;
    expect(kernel.mappings.get(object.map('arena').fd)?.[0]?.offset).toBe(98 * 4096 + offset);
  });

  it('need an arena that holds them', () => {
    const run = () => loaded((opened) => opened.map('arena').define({ maxEntries: 1 }));
    expect(run).toThrow('map "arena": arena is too small: 4096 bytes for global __arena variables of size');
    expect(run).toThrow('E2BIG (-7)');
  });
});

describe('missing kernel functions', () => {
  it('are named all at once', () => {
    const b = new BtfBuilder();
    b.func('unrelated', b.funcProto(0, []));
    const kernel = new FakeKernel(makeProfile(b.parse(), { config: CONFIG }));
    const load = () => open().load(kernel);
    expect(load).toThrow(ErrnoError);
    expect(load).toThrow(
      `object "data_sample": extern (func ksym) 'kernel_strong': not found in kernel or module BTFs; ` +
        `extern (var ksym) 'kernel_variable': not found in kernel BTF: EINVAL (-22)`,
    );
  });

  it('with another prototype are missing too', () => {
    const b = new BtfBuilder();
    b.func('kernel_strong', b.funcProto(0, []));
    b.var('kernel_variable', b.ptr(0));
    const kernel = new FakeKernel(makeProfile(b.parse(), { config: CONFIG }));
    expect(() => open().load(kernel)).toThrow(/'kernel_strong': func_proto \[\d+\] incompatible with vmlinux \[\d+\]/);
    expect(() => open().load(kernel)).toThrow(/'kernel_variable': incompatible types, expected \[\d+\] int/);
  });

  it('may come from a module', () => {
    const base = new BtfBuilder();
    const s32 = base.int('int', 4, { signed: true });
    base.var('kernel_variable', s32);
    base.func('kernel_typeless', base.funcProto(0, []));
    const vmlinux = base.parse();
    const module = new BtfBuilder(vmlinux);
    const point = module.struct('point');
    const u64 = module.int('unsigned long long', 8);
    const params = [
      { name: 'p', type: module.ptr(point) },
      { name: 'flags', type: u64 },
    ];
    module.func('kernel_strong', module.funcProto(s32, params));
    const kernel = new FakeKernel(makeProfile(vmlinux, { config: CONFIG }));
    kernel.modules.push(
      { name: 'empty', btf: new BtfBuilder(vmlinux).build() },
      { name: 'points', btf: module.build() },
    );
    const object = open().load(kernel);
    const { attr } = kernel.prog('uses_ksyms');
    const moduleFds = kernel.of('BTF_GET_FD_BY_ID').map(({ result }) => result);
    expect(attr.fd_array).toEqual([0, moduleFds[2]]);
    const reloc = object
      .program('uses_ksyms')
      .spec.relocations.find((candidate) => candidate.kind === 'extern' && candidate.call);
    expect(insnAt(attr.insns, reloc?.insn ?? 0)).toMatchObject({ src: 2, off: 1 });
    // Modules' BTF is needed for loading only.
    for (const fd of moduleFds) expect(kernel.open.has(fd)).toBe(false);
  });
});

describe('the BTF that the kernel gets', () => {
  const { kernel, object } = loaded();
  const uploaded = Btf.parse(kernel.of('BTF_LOAD')[0]?.attr.btf ?? new Uint8Array()).validate();
  const section = (name: string) => {
    const type = uploaded.type(uploaded.find(name, BTF_KIND.DATASEC));
    if (type.kind !== BTF_KIND.DATASEC) throw new Error(`no section ${name}`);
    return type;
  };

  it('keeps every type id', () => {
    const own = object.spec.btf;
    if (!own) throw new Error('no BTF');
    for (let id = 1; id < own.typeCount; id++) {
      expect(uploaded.kindOf(id)).toBe(own.kindOf(id));
      expect(uploaded.nameOf(id)).toBe(own.nameOf(id));
    }
  });

  it('has sections of their size, variables in order and within', () => {
    for (let id = 1; id < uploaded.typeCount; id++) {
      const type = uploaded.type(id);
      if (type.kind !== BTF_KIND.DATASEC) continue;
      let end = 0;
      for (const entry of type.vars) {
        expect(uploaded.kindOf(entry.type)).toBe(BTF_KIND.VAR);
        expect(entry.offset).toBeGreaterThanOrEqual(end);
        end = entry.offset + entry.size;
      }
      expect(type.size).toBeGreaterThanOrEqual(end);
      expect(type.size).toBeGreaterThan(0);
    }
    expect(section('.bss').size).toBe(object.map('.bss').definition.valueSize);
    expect(section('.kconfig').size).toBe(object.map('.kconfig').definition.valueSize);
  });

  it('places variables where the object has them', () => {
    const offsets = Object.fromEntries(
      section('.bss').vars.map((entry) => [uploaded.nameOf(entry.type), entry.offset]),
    );
    for (const { name, offset } of object.map('.bss').spec.data?.variables ?? []) expect(offsets[name]).toBe(offset);
  });

  it('describes externs as the kernel takes them', () => {
    for (const name of ['.ksyms', '.kconfig']) {
      for (const entry of section(name).vars) {
        const variable = uploaded.type(entry.type);
        expect(variable).toMatchObject({ kind: BTF_KIND.VAR, linkage: 1 });
      }
    }
    const functions = ['kernel_strong', 'kernel_weak_missing'].map((name) =>
      uploaded.type(uploaded.find(name, BTF_KIND.FUNC)),
    );
    for (const fn of functions) {
      expect(fn).toMatchObject({ linkage: 1 });
      const proto = fn.kind === BTF_KIND.FUNC ? uploaded.type(fn.type) : fn;
      if (proto.kind !== BTF_KIND.FUNC_PROTO) throw new Error('no prototype');
      for (const param of proto.params) expect(param.name).not.toBe('');
    }
  });

  it('makes hidden functions static', () => {
    const other = new FakeKernel(makeProfile(linkKernel()));
    openObject(fixtureBytes('link'), { name: 'link' }).load(other);
    const btf = Btf.parse(other.of('BTF_LOAD')[0]?.attr.btf ?? new Uint8Array());
    const linkage = (name: string) => btf.type(btf.find(name, BTF_KIND.FUNC));
    expect(linkage('concealed')).toMatchObject({ linkage: 0 });
    expect(linkage('shared')).toMatchObject({ linkage: 1 });
  });
});

function linkKernel(): Btf {
  const b = new BtfBuilder();
  const u64 = b.int('unsigned long long', 8);
  b.func('bpf_throw', b.funcProto(0, [{ name: 'cookie', type: u64 }]));
  return b.parse();
}

describe('programs', () => {
  const { kernel, object } = loaded();
  it('are described to the kernel', () => {
    const { attr } = kernel.prog('uses_maps');
    expect(attr).toMatchObject({
      prog_type: 31,
      license: 'GPL',
      kern_version: profile.version,
      prog_flags: 16,
      attach_btf_id: 0,
    });
    expect(attr.prog_btf_fd).toBe(kernel.of('BTF_LOAD')[0]?.result);
    expect(attr.func_info?.length).toBe(8);
    expect((attr.line_info?.length ?? 0) % 16).toBe(0);
    expect(attr.line_info?.length).toBeGreaterThan(0);
  });

  it('with autoload off are left out', () => {
    const { kernel: other, object: opened } = loaded((o) => {
      o.program('writes').autoload = false;
    });
    expect(other.of('PROG_LOAD')).toHaveLength(object.programs.length - 1);
    expect(opened.program('writes').loaded).toBe(false);
    expect(() => opened.program('writes').fd).toThrow('was it loaded?');
  });

  it('of an unknown section name are refused', () => {
    const spec = fixture('data');
    for (const program of spec.programs) program.progType = 0;
    expect(() => new BpfObject(spec).load(new FakeKernel(profile))).toThrow(
      `program "target": missing BPF prog type, check ELF section name 'syscall': EINVAL`,
    );
  });
});

describe('a failed load', () => {
  const commands = loaded().kernel.calls;
  const failing = (cmd: 'MAP_CREATE' | 'PROG_LOAD' | 'BTF_LOAD' | 'MAP_UPDATE_ELEM' | 'MAP_FREEZE') =>
    commands.filter((call) => call.cmd === cmd).map((_, nth) => ({ cmd, nth }));

  it.each([...failing('BTF_LOAD'), ...failing('MAP_UPDATE_ELEM'), ...failing('MAP_FREEZE'), ...failing('PROG_LOAD')])(
    'at $cmd #$nth gives every fd back',
    ({ cmd, nth }) => {
      const kernel = new FakeKernel(profile);
      kernel.refusals.push({ cmd, nth, errno: ERRNO.ENOMEM });
      const object = open();
      expect(() => object.load(kernel)).toThrow('ENOMEM (-12)');
      expect([...kernel.open]).toEqual([]);
      expect(object.state).toBe('closed');
      expect(object.maps.some((map) => map.created)).toBe(false);
      expect(object.programs.some((program) => program.loaded)).toBe(false);
    },
  );

  it('at any map gives every fd back', () => {
    for (const { nth } of failing('MAP_CREATE')) {
      const kernel = new FakeKernel(profile);
      // The retry without BTF fails as well.
      for (const again of [nth, nth + 1]) kernel.refusals.push({ cmd: 'MAP_CREATE', nth: again, errno: ERRNO.EPERM });
      expect(() => open().load(kernel)).toThrow('EPERM (-1)');
      expect([...kernel.open]).toEqual([]);
    }
  });

  it('tells what the kernel logged', () => {
    const kernel = new FakeKernel(profile);
    const log = '0: (85) call unknown#7\ninvalid func unknown#7\nprocessed 1 insns (limit 1000000)\n';
    kernel.refusals.push({ cmd: 'PROG_LOAD', nth: 1, errno: ERRNO.EINVAL, log });
    const object = open();
    expect(() => object.load(kernel)).toThrow(
      'object "data_sample": program "writes": BPF program load failed: invalid func unknown#7: EINVAL (-22)',
    );
    expect(object.program('writes').log).toBe(log);
  });

  it('can not be tried again', () => {
    const kernel = new FakeKernel(profile);
    const { object } = loaded();
    expect(() => object.load(kernel)).toThrow("load can't be attempted twice: EINVAL");
    object.close();
    expect(() => object.load(kernel)).toThrow("load can't be attempted twice: EINVAL");
    expect(kernel.calls).toEqual([]);
  });
});

describe('closing', () => {
  it('gives everything back, once', () => {
    const { object, kernel } = loaded();
    expect(kernel.open.size).toBeGreaterThan(10);
    expect(kernel.mappings.size).toBe(1);
    object.close();
    expect([...kernel.open]).toEqual([]);
    expect(kernel.mappings.size).toBe(0);
    object.close();
    expect(object.state).toBe('closed');
    expect(() => object.map('table').lookup({ x: 1 })).toThrow('object "data_sample" is closed');
  });

  it('needs no load', () => {
    const object = open();
    object.close();
    expect(object.state).toBe('closed');
  });
});

describe('pinning by name', () => {
  const pinned = (kernel: FakeKernel, change?: (object: BpfObject) => void) => {
    const object = open();
    object.map('table').define({ pinning: 1 });
    change?.(object);
    return object.load(kernel);
  };

  it('pins a new map, and takes a pinned one instead of a new one', () => {
    const kernel = new FakeKernel(profile);
    pinned(kernel);
    expect([...kernel.pins.keys()]).toEqual(['/sys/fs/bpf/table']);
    const before = kernel.of('MAP_CREATE').length;
    const second = pinned(kernel);
    expect(kernel.of('MAP_CREATE')).toHaveLength(2 * before - 1);
    expect(second.map('table').fd).toBe(kernel.of('OBJ_GET')[1]?.result);
  });

  it('keeps what the pinned map holds', () => {
    const kernel = new FakeKernel(profile);
    const outer = (object: BpfObject) => object.map('outer').define({ pinning: 1 });
    pinned(kernel, outer);
    const slots = () => kernel.of('MAP_UPDATE_ELEM').filter(({ attr }) => attr.key?.[0] === 3).length;
    expect(slots()).toBe(1);
    pinned(kernel, outer);
    expect(slots()).toBe(1);
  });

  it('refuses a pinned map that is defined otherwise', () => {
    const kernel = new FakeKernel(profile);
    pinned(kernel);
    const open = kernel.open.size;
    expect(() => pinned(kernel, (object) => object.map('table').define({ maxEntries: 17 }))).toThrow(
      `map "table": couldn't reuse pinned map at '/sys/fs/bpf/table': parameter mismatch: EINVAL (-22)`,
    );
    expect(kernel.open.size).toBe(open);
    expect(kernel.pins.size).toBe(1);
  });

  it('is taken back when the load fails', () => {
    const kernel = new FakeKernel(profile);
    kernel.refusals.push({ cmd: 'PROG_LOAD', nth: 0, errno: ERRNO.EINVAL });
    expect(() => pinned(kernel)).toThrow('BPF program load failed');
    expect(kernel.of('OBJ_PIN')).toHaveLength(1);
    expect(kernel.pins.size).toBe(0);
  });
});

describe('names', () => {
  it('that do not exist are told with those that do', () => {
    const object = open();
    expect(() => object.program('nope')).toThrow('no program "nope" in object "data_sample" (it has target, writes');
    expect(() => object.map('nope')).toThrow('no map "nope"');
    expect(() => object.structOpsMap('nope')).toThrow('no struct_ops "nope" in object "data_sample"');
    expect(() => object.variable('nope.x')).toThrow(InputError);
  });
});
