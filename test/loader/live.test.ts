import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Btf } from '../../src/btf/btf.js';
import { BtfBuilder } from '../../src/btf/builder.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { InputError } from '../../src/errors.js';
import { Kernel } from '../../src/kernel/index.js';
import type { Kdata } from '../../src/kernel/types.js';
import { type BpfObject, openObject } from '../../src/loader/index.js';
import { fixtureBytes } from './fixtures.js';

// The loader against the real kernel layer: what it loads runs, and what it closes is gone.

let kernel: Kernel;
let object: BpfObject | undefined;

beforeAll(async () => {
  kernel = await Kernel.create({ profile: '7.3', windowBytes: 32 << 20, cpus: 2 });
});
afterAll(() => kernel.dispose());

const counts = () => ({
  fds: kernel.fds.openFds().length,
  maps: kernel.maps.values().length,
  progs: kernel.progs.values().length,
  links: kernel.links.values().length,
  userBtfs: kernel.btfs.values().filter((btf) => !btf.isKernel).length,
});

afterEach(() => {
  object?.close();
  object = undefined;
  expect(counts()).toEqual({ fds: 0, maps: 0, progs: 0, links: 0, userBtfs: 0 });
});

function load(name: string, change?: (opened: BpfObject) => void): BpfObject {
  object = openObject(fixtureBytes(name), { name });
  change?.(object);
  return object.load(kernel);
}

const u32s = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
const u64 = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);

it.each([null, undefined, 'scx.bpf.o', [1, 2], new ArrayBuffer(4), {}])('%j is no object to open', (source) => {
  expect(() => openObject(source as Uint8Array)).toThrow(
    new InputError('openObject: neither the bytes of an object, a Uint8Array, nor what parseObject made of one'),
  );
});

describe('programs and maps', () => {
  it('run, and show their maps in terms of C', () => {
    const live = load('live');
    const hit = (group: number, member: number) => live.program('hit').testRun({ ctx: u32s(group, member) }).retval;
    expect([hit(1, 2), hit(1, 2), hit(3, 4)]).toEqual([1, 2, 1]);
    const records = live.map('records');
    expect(records.lookup({ group: 1, member: 2 })).toEqual({ hits: 2n, last: -2, name: 'new' });
    expect(records.lookup({ group: 9 })).toBeUndefined();
    const entries = [...records.entries()].sort(([, a], [, b]) =>
      (a as { last: number }).last < (b as { last: number }).last ? 1 : -1,
    );
    expect(entries).toEqual([
      [
        { group: 1, member: 2 },
        { hits: 2n, last: -2, name: 'new' },
      ],
      [
        { group: 3, member: 4 },
        { hits: 1n, last: -4, name: 'new' },
      ],
    ]);
    expect(live.variable('total').get()).toBe(15n);
  });

  it('take what user space stores', () => {
    const live = load('live');
    const records = live.map('records');
    records.update({ group: 7, member: 1 }, { hits: 10, name: 'mine' });
    expect(live.program('hit').testRun({ ctx: u32s(7, 1) }).retval).toBe(11);
    expect(records.delete({ group: 7, member: 1 })).toBe(true);
    expect(records.delete({ group: 7, member: 1 })).toBe(false);
    for (let i = 0; i < 4; i++) records.update({ group: i }, {});
    expect(() => records.update({ group: 5 }, {})).toThrow('map "records": update failed: E2BIG (-7)');
    expect(live.program('hit').testRun({ ctx: u32s(6, 6) }).retval >>> 0).toBe(0xffff_ffff);
    expect(() => records.update({ nope: 1 }, {})).toThrow('map "records" key: no member "nope"');
    expect(() => records.update({}, { hits: 'x' })).toThrow('map "records" value: .hits: "x" for integer');
    expect(() => records.update({ group: 0 }, {}, 1)).toThrow('EEXIST (-17)');
  });

  it('keep a value for each CPU', () => {
    const live = load('live');
    kernel.currentCpu = 1;
    live.program('hit').testRun({ ctx: u32s(1, 1) });
    kernel.currentCpu = 0;
    const perCpu = live.map('counts');
    expect(perCpu.lookup(1)).toEqual([0, 1]);
    perCpu.update(1, [4, 5]);
    expect(perCpu.lookup(1)).toEqual([4, 5]);
    perCpu.update(0, 6);
    expect([...perCpu.entries()]).toEqual([
      [0, [6, 6]],
      [1, [4, 5]],
    ]);
  });

  it('without BTF take bytes and integers', () => {
    const live = load('live');
    const untyped = live.map('untyped');
    expect(live.program('fill').testRun({ ctx: u32s(1) }).retval).toBe(0);
    expect(untyped.lookup(1)).toBe(0x101n);
    untyped.update(1, u64(7n));
    untyped.update(0, -8);
    expect([...untyped.entries()]).toEqual([
      [0, 2n ** 64n - 8n],
      [1, 7n],
    ]);
    expect(() => untyped.update(0, { a: 1 })).toThrow('has no BTF type: bytes or an integer expected');
    expect(() => untyped.update('x', 1)).toThrow('map "untyped" key: has no BTF type');
    expect(() => untyped.update(2 ** 32, 1)).toThrow('4294967296 does not fit in 4 bytes');
    expect(() => untyped.lookup(u64(1n))).toThrow('8 bytes, 4 expected');
  });
});

describe('test runs', () => {
  it('give the packet back', () => {
    const live = load('live');
    const packet = Uint8Array.from({ length: 20 }, (_, i) => i);
    const { retval, data, ctx } = live.program('stamp').testRun({ data: packet });
    expect(retval).toBe(2);
    expect(data).toEqual(Uint8Array.of(0xaa, ...packet.subarray(1)));
    expect(ctx).toBeUndefined();
    expect(packet[0]).toBe(0);
  });

  it('give a context back', () => {
    const live = load('live');
    const before = new Uint8Array(BigUint64Array.of(41n, 0n).buffer);
    const { ctx } = live.program('answer').testRun({ ctx: before });
    expect(ctx).toEqual(new Uint8Array(BigUint64Array.of(41n, 42n).buffer));
    expect(before[8]).toBe(0);
  });

  it('are refused as the kernel does', () => {
    const live = load('live');
    expect(() => live.program('stamp').testRun({ data: new Uint8Array(3) })).toThrow(
      'program "stamp": test run failed: EINVAL (-22)',
    );
    expect(() => openObject(fixtureBytes('live')).program('stamp').testRun()).toThrow('object "object" is not loaded');
  });
});

describe('variables', () => {
  it('set before load are what programs see', () => {
    const live = load('live', (opened) => {
      opened.variable('step').set(10);
      opened.variable('table[1]').set([5, 6]);
      opened.variable('weights[0]').set('0x20');
      expect(opened.variable('table').get()).toEqual([
        [1, 2],
        [5, 6],
      ]);
    });
    expect(live.program('hit').testRun({ ctx: u32s(1, 1) }).retval).toBe(10);
    expect(live.program('sum').testRun().retval).toBe(14);
    expect(live.variable('total').get()).toBe(32n);
  });

  it('live after load, constants excepted', () => {
    const live = load('live');
    live.variable('table[0][0]').set(100);
    expect(live.program('sum').testRun().retval).toBe(109);
    expect(live.variable('table').get()).toEqual([
      [100, 2],
      [3, 4],
    ]);
    expect(live.variable('step').get()).toBe(1);
    expect(() => live.variable('step').set(2)).toThrow(
      'variable "step": map ".rodata": write to global data: EPERM (-1)',
    );
    expect(live.variable('step').get()).toBe(1);
  });

  it('at the end of a section may be arrays that grow before load', () => {
    const live = load('live', (opened) => {
      opened.map('.rodata.weights').setValueSize(12);
      opened.variable('weights[2]').set(9);
      expect(() => opened.variable('weights[3]')).toThrow('index [3] of an array of 3');
    });
    expect(live.variable('weights[2]').get()).toBe(9);
    expect(live.variable('weights[0]').get()).toBe(5);
    const info: Record<string, unknown> = {};
    kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: live.map('.rodata.weights').fd, info });
    expect(info).toMatchObject({ value_size: 12 });
    // The kernel has the BTF of the longer section.
    expect(info.btf_value_type_id).not.toBe(0);
    const btf = kernel.btfs.get(info.btf_id as number)?.view;
    expect(btf?.sizeOf(info.btf_value_type_id as number)).toBe(12);
  });

  it('grow to what is stored, where they have a section of their own', () => {
    const live = load('live', (opened) => {
      opened.variable('weights').set('[7, 8, 9]');
      expect(opened.variable('weights').get()).toEqual([7, 8, 9]);
      opened.variable('weights').set([1]);
      expect(opened.variable('weights').get()).toEqual([1, 8, 9]);
      expect(() => opened.variable('table').set('[[1,2],[3,4],[5,6]]')).toThrow('3 values in an array of 2');
      expect(() => opened.variable('weights').set(3)).toThrow('3 for array of 3');
    });
    expect(live.variable('weights').get()).toEqual([1, 8, 9]);
    expect(live.map('.rodata.weights').definition.valueSize).toBe(12);
    expect(() => live.variable('weights').set([1, 2, 3, 4])).toThrow('4 values in an array of 3');
  });

  it('that are not there are told with those of like names', () => {
    load('live', (opened) => {
      expect(() => opened.variable('step_ns')).toThrow(/^no variable "step_ns" in object "live" \(there are step\)$/);
      expect(() => opened.variable('nothing.like[0]')).toThrow(/^no variable "nothing.like\[0\]" in object "live"$/);
    });
  });

  it('are all listed', () => {
    const live = load('live');
    expect(live.variables.map((variable) => `${variable.type} ${variable.name}`).sort()).toEqual([
      's32[2][2] table',
      'u32 step',
      'u32[1] weights',
      'u64 total',
    ]);
  });
});

describe('linked programs', () => {
  it('call their subprograms and callbacks', () => {
    const linked = load('link', (opened) => {
      opened.program('thrower').autoload = false;
    });
    const run = (name: string, x: bigint) => linked.program(name).testRun({ ctx: u64(x) }).retval;
    expect(run('first', 5n)).toBe(5 * 3 + 1 + 21);
    expect(run('second', 2n)).toBe(2 * 3 + 1 + 9 + (2 ^ 5) + 4);
    expect(run('callback', 0n)).toBe(0 + 3 + 6 + 9);
  });
});

describe('CO-RE', () => {
  it('leaves code that the kernel cannot serve to fault by name', () => {
    const core = load('core');
    const ctx = new Uint8Array(64);
    expect(core.program('guarded').testRun({ ctx }).retval).toBe(5);
    expect(core.program('type_exists').testRun({ ctx }).retval).toBe(0);
    expect(() => core.program('load_u32').testRun({ ctx })).toThrow(
      "CO-RE relocation thing.plain does not exist in the kernel's BTF",
    );
    expect(() => core.program('enum_value').testRun({ ctx })).toThrow(
      "CO-RE relocation level::LEVEL_HIGH does not exist in the kernel's BTF",
    );
  });
});

describe('struct_ops', () => {
  const seen: [string, string][] = [];
  let live: Kdata | undefined;
  beforeAll(() => {
    const base = kernel.profile.btf as Btf;
    const b = new BtfBuilder(base);
    const id = (name: string, kind: number) => base.find(name, kind as never);
    const s32 = id('int', BTF_KIND.INT);
    const u32 = id('unsigned int', BTF_KIND.INT);
    const u64Id = id('long long unsigned int', BTF_KIND.INT);
    const fn = (returns: number, ...params: number[]) =>
      b.ptr(
        b.funcProto(
          returns,
          params.map((type, i) => ({ name: `p${i}`, type })),
        ),
      );
    const limits = b.struct('limits', [
      { name: 'low', type: u32 },
      { name: 'high', type: u32 },
    ]);
    const struct = b.struct('toy_ops', [
      { name: 'start', type: fn(s32, u64Id) },
      { name: 'stop', type: fn(0, u64Id, u32) },
      { name: 'flags', type: u32 },
      { name: 'mode', type: b.enum('mode', { MODE_A: 0 }) },
      { name: 'limits', type: limits },
      { name: 'name', type: b.array(id('char', BTF_KIND.INT), 16, u32) },
    ]);
    b.struct(
      'bpf_struct_ops_toy_ops',
      [
        { name: 'common', type: id('bpf_struct_ops_common_value', BTF_KIND.STRUCT) },
        { name: 'data', type: struct, bitOffset: 512 },
      ],
      128,
    );
    kernel.registerStructOps({
      name: 'toy_ops',
      btf: b.parse(),
      init_member: (member, kdata, udata) => {
        if (member !== 'flags' && member !== 'name') return 0;
        kdata.set(member, udata.get(member));
        return 1;
      },
      reg: (kdata) => {
        seen.push(['reg', kdata.mapName]);
        live = kdata;
        return 0;
      },
      unreg: (kdata) => {
        seen.push(['unreg', kdata.mapName]);
        live = undefined;
      },
      update: (next) => {
        seen.push(['update', next.mapName]);
        live = next;
        return 0;
      },
      stubs: { start: {}, stop: {} },
    });
  });

  /** `mode` and `limits` have no init_member of ours, so the kernel takes only 0 there. */
  const toys = () =>
    load('struct_ops', (opened) => {
      opened.structOpsMap('linked').set('mode', 0);
      opened.structOpsMap('linked').set('limits', { low: 0, high: 0 });
    });

  it('are attached, updated and detached', () => {
    const opened = toys();
    seen.length = 0;
    const link = opened.structOpsMap('linked').attach();
    expect(live?.ops.start?.(41)).toBe(41);
    expect(live?.ops.stop).toBeDefined();
    expect([live?.get('flags'), live?.get('name')]).toEqual([5, 'toy']);
    link.update(opened.structOpsMap('second'));
    expect(live?.ops.stop).toBeUndefined();
    expect(live?.get('name')).toBe('second');
    link.destroy();
    expect(seen).toEqual([
      ['reg', 'linked'],
      ['update', 'second'],
      ['unreg', 'second'],
    ]);
  });

  it('of a plain section are attached by their map', () => {
    const opened = toys();
    seen.length = 0;
    const link = opened.structOpsMap('plain').attach();
    expect(live?.ops.start?.(41)).toBe(1);
    link.destroy();
    expect(seen).toEqual([
      ['reg', 'plain'],
      ['unreg', 'plain'],
    ]);
  });

  it('show the value that the kernel keeps', () => {
    const opened = toys();
    const map = opened.structOpsMap('linked');
    const link = map.attach();
    expect(map.lookup(0)).toMatchObject({ common: { state: 3 }, data: { flags: 5, name: 'toy' } });
    link.destroy();
  });

  it('are all attached and given back', () => {
    const opened = toys();
    seen.length = 0;
    expect(opened.attach().map((link) => link.map.name)).toEqual(['linked', 'second', 'plain', 'flavoured']);
    opened.close();
    expect(seen.map(([what]) => what)).toEqual(['reg', 'reg', 'reg', 'reg', 'unreg', 'unreg', 'unreg', 'unreg']);
  });

  it('that the kernel refuses leave nothing behind', () => {
    object = openObject(fixtureBytes('struct_ops'), { name: 'struct_ops' });
    const refused = object.load(kernel);
    // `limits` is not 0 and nobody handles it.
    expect(() => refused.attach()).toThrow(
      'object "struct_ops": struct_ops "linked": update failed at member "mode": EINVAL (-22)',
    );
    expect(refused.links).toEqual([]);
  });

  it('can be associated with other programs', () => {
    const opened = toys();
    opened.associateStructOps(opened.program('helper_prog'), opened.structOpsMap('linked'));
    expect(() => opened.associateStructOps(opened.program('helper_prog'), opened.structOpsMap('second'))).toThrow(
      'program "helper_prog": association with struct_ops "second" failed: EBUSY (-16)',
    );
  });
});
