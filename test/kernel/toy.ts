import { assemble } from '../../src/asm/index.js';
import type { Btf } from '../../src/btf/btf.js';
import { BtfBuilder } from '../../src/btf/builder.js';
import { BTF_KIND, type BtfView } from '../../src/btf/types.js';
import { Kernel } from '../../src/kernel/kernel.js';
import type { BpfAttr, Kdata, KernelOptions, LinkInfo, LogBuffer, StructOpsDef } from '../../src/kernel/types.js';
import { BPF_ATTACH_TYPE, BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_PROG_TYPE } from '../../src/uapi.js';

// A struct_ops type of nobody's kernel: a module's BTF with one of everything that members and arguments can be.

/** Members in BTF order. */
export const TOY_MEMBERS = [
  'name',
  'flags',
  'sum',
  'flip',
  'wide',
  'take',
  'narrow',
  'hidden',
  'owner',
  'fork',
  'none',
] as const;

export function toyBtf(base: BtfView, name = 'toy_ops'): Btf {
  const b = new BtfBuilder(base as Btf);
  const id = (type: string, kind: (typeof BTF_KIND)[keyof typeof BTF_KIND]) => base.find(type, kind);
  const s32 = id('int', BTF_KIND.INT);
  const u32 = id('unsigned int', BTF_KIND.INT);
  const u64 = id('long long unsigned int', BTF_KIND.INT);
  const s64 = id('long long int', BTF_KIND.INT);
  const bool = id('_Bool', BTF_KIND.INT);
  const char = id('char', BTF_KIND.INT);
  const s8 = id('signed char', BTF_KIND.INT);
  const u16 = id('short unsigned int', BTF_KIND.INT);
  const task = b.ptr(id('task_struct', BTF_KIND.STRUCT));
  const module = b.ptr(id('module', BTF_KIND.STRUCT));
  const pair = b.struct('toy_pair', [
    { name: 'a', type: u64 },
    { name: 'b', type: u32 },
  ]);
  const fn = (returns: number, params: [string, number][]) =>
    b.ptr(
      b.funcProto(
        returns,
        params.map(([name, type]) => ({ name, type })),
      ),
    );
  const ops = b.struct(name, [
    { name: 'name', type: b.array(char, 16, u32) },
    { name: 'flags', type: u32 },
    {
      name: 'sum',
      type: fn(s32, [
        ['a', s32],
        ['b', u32],
      ]),
    },
    { name: 'flip', type: fn(bool, [['x', bool]]) },
    {
      name: 'wide',
      type: fn(u64, [
        ['a', u64],
        ['b', s64],
      ]),
    },
    {
      name: 'take',
      type: fn(0, [
        ['task', task],
        ['task2', task],
      ]),
    },
    {
      name: 'narrow',
      type: fn(s8, [
        ['a', s8],
        ['b', u16],
        ['c', s32],
        ['d', u32],
        ['e', pair],
      ]),
    },
    { name: 'hidden', type: fn(s32, []) },
    { name: 'owner', type: module },
    { name: 'fork', type: fn(s32, [['n', u32]]) },
    { name: 'none', type: u64 },
  ]);
  b.struct(
    `bpf_struct_ops_${name}`,
    [
      { name: 'common', type: id('bpf_struct_ops_common_value', BTF_KIND.STRUCT) },
      { name: 'data', type: ops, bitOffset: 64 * 8 },
    ],
    64 + 192,
  );
  return b.parse();
}

/** What the subsystem was asked, in order. */
export type ToyEvent = [string, ...unknown[]];

export interface Toy {
  def: StructOpsDef;
  events: ToyEvent[];
  /** kdata by registration. */
  registered: Kdata[];
  /** Results to give instead of 0, by callback. */
  answers: Partial<Record<'init' | 'check_member' | 'validate' | 'reg' | 'update', number>>;
}

export function toy(btf: BtfView, name = 'toy_ops'): Toy {
  const events: ToyEvent[] = [];
  const registered: Kdata[] = [];
  const answers: Toy['answers'] = {};
  const linkName = (link: LinkInfo | null) => (link ? 'link' : null);
  const def: StructOpsDef = {
    name,
    btf,
    init: () => answers.init ?? 0,
    check_member: (member, prog) => {
      events.push(['check_member', member, prog.name]);
      return answers.check_member ?? 0;
    },
    init_member: (member, kdata, udata) => {
      events.push(['init_member', member]);
      if (member === 'name') {
        if (udata.get('name') === '') return -22;
        kdata.set('name', udata.get('name'));
        return 1;
      }
      if (member === 'flags') {
        kdata.set('flags', udata.get('flags'));
        return 1;
      }
      return 0;
    },
    validate: (kdata) => {
      events.push(['validate', Object.keys(kdata.ops)]);
      return answers.validate ?? 0;
    },
    reg: (kdata, link) => {
      events.push(['reg', kdata.mapName, linkName(link)]);
      const answer = answers.reg ?? 0;
      if (answer === 0) registered.push(kdata);
      return answer;
    },
    unreg: (kdata, link) => {
      events.push(['unreg', kdata.mapName, linkName(link)]);
      registered.splice(registered.indexOf(kdata), 1);
    },
    update: (next, old) => {
      events.push(['update', next.mapName, old.mapName]);
      const answer = answers.update ?? 0;
      if (answer === 0) registered.splice(registered.indexOf(old), 1, next);
      return answer;
    },
    stubs: { sum: {}, flip: {}, wide: {}, take: { args: { 1: 'nullable' } }, narrow: {}, fork: {} },
  };
  return { def, events, registered, answers };
}

/** A kernel with the toy type registered, and the calls that tests make of it. */
export class ToyKernel {
  readonly btf: Btf;
  readonly toy: Toy;
  readonly btfFd: number;
  readonly userBtf: number;

  private constructor(readonly kernel: Kernel) {
    this.btf = toyBtf(kernel.profile.btf);
    this.toy = toy(this.btf);
    kernel.registerStructOps(this.toy.def);
    const object = kernel.btfs.values().find((btf) => btf.view === this.btf);
    this.btfFd = kernel.bpf('BTF_GET_FD_BY_ID', { btf_id: object!.id });
    const b = new BtfBuilder();
    b.int('int', 4, { signed: true });
    this.userBtf = kernel.bpf('BTF_LOAD', { btf: b.parse().raw });
  }

  static async create(options: KernelOptions = {}): Promise<ToyKernel> {
    return new ToyKernel(await Kernel.create({ windowBytes: 16 << 20, ...options }));
  }

  get structId(): number {
    return this.btf.find('toy_ops', BTF_KIND.STRUCT);
  }

  mapAttr(more: Partial<BpfAttr['MAP_CREATE']> = {}): BpfAttr['MAP_CREATE'] {
    return {
      map_type: BPF_MAP_TYPE.STRUCT_OPS,
      key_size: 4,
      value_size: 256,
      max_entries: 1,
      map_flags: BPF_MAP_FLAG.VTYPE_BTF_OBJ_FD,
      value_type_btf_obj_fd: this.btfFd,
      btf_fd: this.userBtf,
      btf_vmlinux_value_type_id: this.btf.find('bpf_struct_ops_toy_ops', BTF_KIND.STRUCT),
      ...more,
    };
  }

  /** A toy map; `link` sets BPF_F_LINK. */
  map(name: string, link = true): number {
    const flags = BPF_MAP_FLAG.VTYPE_BTF_OBJ_FD | (link ? BPF_MAP_FLAG.LINK : 0);
    return this.kernel.bpf('MAP_CREATE', this.mapAttr({ map_name: name, map_flags: flags }));
  }

  /** A program behind a member, or -errno. */
  prog(member: string, text: string, more: Partial<BpfAttr['PROG_LOAD']> = {}): number {
    const struct = this.btf.type(this.structId);
    if (struct.kind !== BTF_KIND.STRUCT) throw new Error('no struct');
    const index = struct.members.findIndex((candidate) => candidate.name === member);
    return this.kernel.bpf('PROG_LOAD', {
      prog_type: BPF_PROG_TYPE.STRUCT_OPS,
      insns: assemble(text),
      license: 'GPL',
      prog_name: member,
      attach_btf_id: this.structId,
      attach_btf_obj_fd: this.btfFd,
      expected_attach_type: index,
      ...more,
    });
  }

  /** SEC("syscall") program. */
  syscall(text: string, more: Partial<BpfAttr['PROG_LOAD']> = {}): number {
    return this.kernel.bpf('PROG_LOAD', {
      prog_type: BPF_PROG_TYPE.SYSCALL,
      prog_flags: 16,
      insns: assemble(text),
      license: 'GPL',
      prog_name: 'syscall',
      ...more,
    });
  }

  /** A value of the map: member → fd or number; `name` is text. */
  value(members: Record<string, number | bigint | string>): Uint8Array {
    const bytes = new Uint8Array(256);
    const view = new DataView(bytes.buffer);
    for (const [member, value] of Object.entries({ name: 'toy', ...members })) {
      const field = this.btf.path(this.structId, member);
      if (!field) throw new Error(`no member ${member}`);
      const at = 64 + field.bitOffset / 8;
      if (typeof value === 'string') bytes.set(new TextEncoder().encode(value), at);
      else if (this.btf.sizeOf(field.type) === 4) view.setUint32(at, Number(value), true);
      else view.setBigInt64(at, BigInt(value), true);
    }
    return bytes;
  }

  update(fd: number, members: Record<string, number | bigint | string>): number {
    return this.kernel.bpf('MAP_UPDATE_ELEM', { map_fd: fd, key: new Uint8Array(4), value: this.value(members) });
  }

  /** What lookup shows of the value's head. */
  state(fd: number): { refcnt: number; state: number } {
    const value = new Uint8Array(256);
    const result = this.kernel.bpf('MAP_LOOKUP_ELEM', { map_fd: fd, key: new Uint8Array(4), value });
    if (result !== 0) throw new Error(`lookup: ${result}`);
    const view = new DataView(value.buffer);
    return { refcnt: view.getInt32(0, true), state: view.getUint32(4, true) };
  }

  link(mapFd: number): number {
    return this.kernel.bpf('LINK_CREATE', { map_fd: mapFd, attach_type: BPF_ATTACH_TYPE.STRUCT_OPS });
  }

  log(): LogBuffer {
    return { text: '' };
  }
}
