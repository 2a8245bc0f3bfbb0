import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BtfBuilder, type NewMember } from '../../../src/btf/builder.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfMap } from '../../../src/kernel/map/map.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';

// Values are built from the members that a test names; sizes and alignments are the kernel's own (include/uapi/linux/bpf.h).

let kernel: Kernel;
beforeEach(async () => {
  kernel = await Kernel.create({ windowBytes: 16 << 20 });
});
afterEach(() => kernel.dispose());

/** BTF in which every special struct is there by name. */
class Types {
  readonly b = new BtfBuilder();
  readonly u32 = this.b.int('unsigned int', 4);
  readonly u64 = this.b.int('unsigned long long', 8);
  readonly lock = this.words('bpf_spin_lock', this.u32, 1);
  readonly resLock = this.words('bpf_res_spin_lock', this.u32, 1);
  readonly timer = this.words('bpf_timer', this.u64, 2);
  readonly wq = this.words('bpf_wq', this.u64, 2);
  readonly head = this.words('bpf_list_head', this.u64, 2);
  readonly listNode = this.words('bpf_list_node', this.u64, 3);
  readonly root = this.words('bpf_rb_root', this.u64, 2);
  readonly rbNode = this.words('bpf_rb_node', this.u64, 4);
  readonly refcount = this.words('bpf_refcount', this.u32, 1);
  readonly task = this.b.struct('task_struct', [{ name: 'pid', type: this.u32 }]);
  readonly file = this.b.struct('file', [{ name: 'f_mode', type: this.u32 }]);
  readonly own = this.b.struct('own', [{ name: 'n', type: this.u64 }]);
  readonly item = this.b.struct('item', [
    { name: 'key', type: this.u64 },
    { name: 'node', type: this.listNode },
  ]);
  readonly leaf = this.b.struct('leaf', [{ name: 'node', type: this.rbNode }]);

  words(name: string, type: number, count: number): number {
    const members = Array.from({ length: count }, (_, i) => ({ name: `w${i}`, type }));
    return this.b.struct(name, members);
  }

  kptr(to: number, ...tags: string[]): number {
    return this.b.ptr(tags.reduceRight((type, tag) => this.b.typeTag(tag, type), to));
  }

  array(type: number, length: number): number {
    return this.b.array(type, length, this.u32);
  }
}

interface Made {
  result: number;
  map: BpfMap | undefined;
}

/** A map with a value of these members. */
function create(
  members: (t: Types) => NewMember[],
  { type = BPF_MAP_TYPE.HASH as number, flags = 0, contains = {} as Record<string, string> } = {},
): Made {
  const t = new Types();
  const list = members(t);
  const value = t.b.struct('value', list);
  for (const [member, what] of Object.entries(contains)) {
    t.b.declTag(
      `contains:${what}`,
      value,
      list.findIndex(({ name }) => name === member),
    );
  }
  const btf = t.b.parse();
  const btf_fd = kernel.bpf('BTF_LOAD', { btf: btf.raw });
  if (btf_fd < 0) return { result: btf_fd, map: undefined };
  const storage = type === BPF_MAP_TYPE.TASK_STORAGE;
  const result = kernel.bpf('MAP_CREATE', {
    map_type: type,
    key_size: 4,
    value_size: btf.sizeOf(value),
    max_entries: storage ? 0 : 2,
    map_flags: flags | (storage ? BPF_MAP_FLAG.NO_PREALLOC : 0),
    btf_fd,
    btf_key_type_id: t.u32,
    btf_value_type_id: value,
  });
  const map = result < 0 ? undefined : kernel.fds.map(result);
  return { result, map: typeof map === 'number' ? undefined : map };
}

const places = ({ map }: Made) => map?.record.map(({ kind, offset }) => `${kind}@${offset}`);

describe('fields of a value', () => {
  it('are found by name and tag, in nested structs and arrays', () => {
    const made = create(
      (t) => [
        { name: 'n', type: t.u32 },
        { name: 'lock', type: t.lock },
        { name: 'heads', type: t.array(t.head, 2) },
        {
          name: 'inner',
          type: t.b.struct('inner', [
            { name: 'x', type: t.u64 },
            { name: 't', type: t.timer },
          ]),
        },
        {
          name: 'pairs',
          type: t.array(
            t.b.struct('pair', [
              { name: 'a', type: t.kptr(t.task, 'kptr') },
              { name: 'b', type: t.u64 },
            ]),
            2,
          ),
        },
        { name: 'u', type: t.kptr(t.file, 'kptr_untrusted') },
        { name: 'p', type: t.kptr(t.own, 'percpu_kptr') },
        { name: 'plain', type: t.b.ptr(t.own) },
      ],
      { contains: { heads: 'item:node' } },
    );
    expect(places(made)).toEqual([
      'bpf_spin_lock@4',
      'bpf_list_head@8',
      'bpf_list_head@24',
      'bpf_timer@48',
      'kptr@64',
      'kptr@80',
      'kptr_untrusted@96',
      'percpu_kptr@104',
    ]);
    const [, head, , , task, , , own] = made.map!.record;
    expect(head!.contains!.nodeOffset).toBe(8);
    expect([task!.target!.btf.name, own!.target!.btf.name]).toEqual(['vmlinux', '']);
  });

  it('are not found behind a typedef, nor nodes in a value', () => {
    const made = create((t) => [
      { name: 'lock', type: t.b.typedef('lock_t', t.lock) },
      { name: 'node', type: t.listNode },
    ]);
    expect(places(made)).toEqual([]);
    expect(made.map!.recordError).toBeNull();
  });

  /** Members, what they contain, errno and reason. */
  const BAD: readonly [string, (t: Types) => NewMember[], Record<string, string>, number, RegExp][] = [
    ['two locks', (t) => [t.lock, t.lock].map((type, i) => ({ name: `l${i}`, type })), {}, ERRNO.E2BIG, /two of/],
    [
      'two kinds of lock',
      (t) => [t.lock, t.resLock].map((type, i) => ({ name: `l${i}`, type })),
      {},
      ERRNO.EINVAL,
      /two kinds/,
    ],
    [
      'an array of timers',
      (t) => [{ name: 't', type: t.array(t.timer, 2) }],
      {},
      ERRNO.EINVAL,
      /array of struct bpf_timer/,
    ],
    ['12 kptrs', (t) => [{ name: 'k', type: t.array(t.kptr(t.task, 'kptr'), 12) }], {}, ERRNO.E2BIG, /more than 11/],
    ['a kptr to an int', (t) => [{ name: 'k', type: t.kptr(t.u32, 'kptr') }], {}, ERRNO.EINVAL, /no struct/],
    ['two tags', (t) => [{ name: 'k', type: t.kptr(t.task, 'kptr', 'uptr') }], {}, ERRNO.EINVAL, /tags kptr and uptr/],
    ['no destructor', (t) => [{ name: 'k', type: t.kptr(t.file, 'kptr') }], {}, ERRNO.ENOENT, /file has no destructor/],
    ['a list without lock', (t) => [{ name: 'h', type: t.head }], { h: 'item:node' }, ERRNO.EINVAL, /without a lock/],
    [
      'a list of nothing',
      (t) => [
        { name: 'l', type: t.lock },
        { name: 'h', type: t.head },
      ],
      {},
      ERRNO.EINVAL,
      /contains/,
    ],
    [
      'a list of no such struct',
      (t) => [
        { name: 'l', type: t.lock },
        { name: 'h', type: t.head },
      ],
      { h: 'nothing:node' },
      ERRNO.ENOENT,
      /no struct nothing/,
    ],
    [
      'a list of no such node',
      (t) => [
        { name: 'l', type: t.lock },
        { name: 'h', type: t.head },
      ],
      { h: 'item:other' },
      ERRNO.ENOENT,
      /item's other/,
    ],
    [
      'a list of tree nodes',
      (t) => [
        { name: 'l', type: t.lock },
        { name: 'h', type: t.head },
      ],
      { h: 'leaf:node' },
      ERRNO.EINVAL,
      /no struct bpf_list_node/,
    ],
  ];

  it.each(BAD)('%s: BTF_LOAD refuses it, or the map has none', (_what, members, contains, errno, reason) => {
    const t = new Types();
    // BTF_LOAD looks at every struct with a lock, list or kptr itself; at those with timers only the map does.
    const inner = members(t);
    const struct = t.b.struct('inner_value', inner);
    for (const [member, what] of Object.entries(contains)) {
      t.b.declTag(
        `contains:${what}`,
        struct,
        inner.findIndex(({ name }) => name === member),
      );
    }
    const log = { text: '' };
    const loaded = kernel.bpf('BTF_LOAD', { btf: t.b.parse().raw, log });
    if (loaded < 0) {
      expect([loaded, log.text]).toEqual([-errno, expect.stringMatching(reason)]);
      return;
    }
    const made = create(members, { contains });
    expect(made.result).toBeGreaterThan(0);
    expect(made.map!.record).toEqual([]);
    expect(made.map!.recordError).toMatchObject({ errno: -errno, reason: expect.stringMatching(reason) });
  });
});

describe('a map type that cannot hold a field refuses to be made', () => {
  const { HASH, ARRAY, LRU_HASH, PERCPU_HASH, PERCPU_ARRAY, TASK_STORAGE } = BPF_MAP_TYPE;
  const TYPES = { HASH, ARRAY, LRU_HASH, PERCPU_HASH, PERCPU_ARRAY, TASK_STORAGE };
  const ALLOWED: readonly [string, (t: Types) => NewMember[], Record<string, string>, (keyof typeof TYPES)[]][] = [
    ['lock', (t) => [{ name: 'x', type: t.lock }], {}, ['HASH', 'ARRAY', 'TASK_STORAGE']],
    ['timer', (t) => [{ name: 'x', type: t.timer }], {}, ['HASH', 'ARRAY', 'LRU_HASH']],
    ['workqueue', (t) => [{ name: 'x', type: t.wq }], {}, ['HASH', 'ARRAY', 'LRU_HASH']],
    ['kptr', (t) => [{ name: 'x', type: t.kptr(t.task, 'kptr') }], {}, Object.keys(TYPES) as (keyof typeof TYPES)[]],
    [
      'list',
      (t) => [
        { name: 'l', type: t.lock },
        { name: 'x', type: t.head },
      ],
      { x: 'item:node' },
      ['HASH', 'ARRAY'],
    ],
    ['uptr', (t) => [{ name: 'x', type: t.kptr(t.own, 'uptr') }], {}, ['TASK_STORAGE']],
  ];

  it.each(ALLOWED)('%s', (_what, members, contains, allowed) => {
    for (const [name, type] of Object.entries(TYPES)) {
      const { result } = create(members, { type, contains });
      if (allowed.includes(name as keyof typeof TYPES)) expect([name, result > 0]).toEqual([name, true]);
      else expect([name, result]).toEqual([name, -ERRNO.EOPNOTSUPP]);
    }
  });

  it('and so does one whose programs may only read or write', () => {
    for (const flags of [BPF_MAP_FLAG.RDONLY_PROG, BPF_MAP_FLAG.WRONLY_PROG]) {
      const { result } = create((t) => [{ name: 'x', type: t.lock }], { flags });
      expect(result).toBe(-ERRNO.EACCES);
    }
  });

  it('and a uptr to a struct of the kernel, or larger than a page', () => {
    const type = TASK_STORAGE;
    expect(create((t) => [{ name: 'x', type: t.kptr(t.task, 'uptr') }], { type }).result).toBe(-ERRNO.EINVAL);
    const big = (t: Types) => t.b.struct('big', [{ name: 'a', type: t.array(t.u64, 513) }]);
    expect(create((t) => [{ name: 'x', type: t.kptr(big(t), 'uptr') }], { type }).result).toBe(-ERRNO.E2BIG);
  });
});

describe('structs that programs allocate', () => {
  const load = (build: (t: Types) => void) => {
    const t = new Types();
    build(t);
    return kernel.bpf('BTF_LOAD', { btf: t.b.parse().raw });
  };

  it('need a count if they are in a list and a tree', () => {
    const members = (t: Types) => [
      { name: 'l', type: t.listNode },
      { name: 'r', type: t.rbNode },
    ];
    expect(load((t) => t.b.struct('both', members(t)))).toBe(-ERRNO.EINVAL);
    expect(load((t) => t.b.struct('both', [...members(t), { name: 'n', type: t.refcount }]))).toBeGreaterThan(0);
  });

  it('own each other 8 deep', () => {
    const chain = (t: Types, length: number) => {
      let inner = t.own;
      for (let i = 0; i < length; i++) {
        inner = t.b.struct(`level${i}`, [{ name: 'k', type: t.kptr(inner, 'kptr') }]);
      }
    };
    expect(load((t) => chain(t, 8))).toBeGreaterThan(0);
    expect(load((t) => chain(t, 9))).toBe(-ERRNO.ELOOP);
  });
});
