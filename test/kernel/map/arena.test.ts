import { afterEach, describe, expect, test } from 'vitest';
import { assemble } from '../../../src/asm/index.js';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { UnsupportedError } from '../../../src/errors.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { ArenaMap } from '../../../src/kernel/map/arena.js';
import type { BpfAttr, KernelOptions } from '../../../src/kernel/types.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_PROG_TYPE } from '../../../src/uapi.js';

const PAGE = 4096;
const USER = 1n << 44n;
const { MMAPABLE, SEGV_ON_FAULT, NO_USER_CONV } = BPF_MAP_FLAG;

let k: Kernel;
async function boot(options: KernelOptions = {}): Promise<void> {
  k = await Kernel.create({ windowBytes: 16 << 20, ...options });
}
afterEach(() => k.dispose());

const create = (more: Partial<BpfAttr['MAP_CREATE']> = {}) =>
  k.bpf('MAP_CREATE', {
    map_type: BPF_MAP_TYPE.ARENA,
    key_size: 0,
    value_size: 0,
    max_entries: 8,
    map_flags: MMAPABLE,
    map_extra: USER,
    map_name: 'arena',
    ...more,
  });
const arenaOf = (fd: number) => k.fds.map(fd) as ArenaMap;
const at = (page: number) => USER + BigInt(page * PAGE);

/** Loads a SEC("syscall") program, or one that may not sleep (XDP). */
function load(text: string, sleepable = true): { fd: number; log: string } {
  const log = { text: '' };
  const fd = k.bpf('PROG_LOAD', {
    prog_type: sleepable ? BPF_PROG_TYPE.SYSCALL : BPF_PROG_TYPE.XDP,
    prog_flags: sleepable ? 16 : 0,
    insns: assemble(text),
    license: 'GPL',
    prog_name: 'test',
    log,
  });
  return { fd, log: log.text };
}

/** Runs a program once; the low half of its r0. */
function run(text: string, sleepable = true): number {
  const { fd, log } = load(text, sleepable);
  expect([fd > 0, log]).toEqual([true, expect.any(String)]);
  const data = new Uint8Array(64);
  const attr: BpfAttr['PROG_TEST_RUN'] = {
    prog_fd: fd,
    ...(sleepable ? {} : { data_in: data, data_out: new Uint8Array(320) }),
  };
  try {
    expect(k.bpf('PROG_TEST_RUN', attr)).toBe(0);
  } finally {
    k.close(fd);
  }
  return (attr.retval ?? 0) | 0;
}

const hex = (value: bigint) => `0x${BigInt.asUintN(64, value).toString(16)}`;
const kfunc = (name: string) => `call kfunc(${k.profile.btf.find(name, BTF_KIND.FUNC)})`;

interface AllocOptions {
  address?: bigint;
  node?: number;
  flags?: number;
  sleepable?: boolean;
}

/** bpf_arena_alloc_pages: the number of the first page, or null for NULL. Anything that is no page of the arena is -1. */
function alloc(fd: number, count: number, options: AllocOptions = {}): number | null {
  const { address = 0n, node = -1, flags = 0, sleepable = true } = options;
  const start = arenaOf(fd).userStart;
  const page = run(
    `r1 = map_fd(${fd}) ll
    r2 = ${hex(address)} ll
    r3 = ${count}
    r4 = ${node}
    r5 = ${flags}
    ${kfunc('bpf_arena_alloc_pages')}
    if r0 == 0 goto +5
    r1 = ${hex(start)} ll
    r0 -= r1
    r0 >>= 12
    exit
    r0 = -1
    exit\n`,
    sleepable,
  );
  return page === -1 ? null : page;
}

function free(fd: number, address: bigint, count: number, sleepable = true, after = ''): number {
  return run(
    `r1 = map_fd(${fd}) ll
    r2 = ${hex(address)} ll
    r3 = ${count}
    ${kfunc('bpf_arena_free_pages')}
    ${after}
    exit\n`,
    sleepable,
  );
}

const reserve = (fd: number, address: bigint, count: number) =>
  run(`r1 = map_fd(${fd}) ll
    r2 = ${hex(address)} ll
    r3 = ${count}
    ${kfunc('bpf_arena_reserve_pages')}
    exit\n`);

const peek = (fd: number, address: bigint) =>
  run(`r1 = map_fd(${fd}) ll
    r1 = ${hex(address)} ll
    r1 = addr_space_cast(r1, 0x0, 0x1)
    r0 = *(u32 *)(r1 + 0)
    exit\n`);
const poke = (fd: number, address: bigint, value: number) =>
  run(`r1 = map_fd(${fd}) ll
    r1 = ${hex(address)} ll
    r1 = addr_space_cast(r1, 0x0, 0x1)
    *(u32 *)(r1 + 0) = ${value}
    r0 = 0
    exit\n`);

describe('MAP_CREATE', () => {
  test.each<[string, Partial<BpfAttr['MAP_CREATE']>, number]>([
    ['a key', { key_size: 4 }, ERRNO.EINVAL],
    ['a value', { value_size: 8 }, ERRNO.EINVAL],
    ['no pages', { max_entries: 0 }, ERRNO.EINVAL],
    ['no BPF_F_MMAPABLE', { map_flags: 0 }, ERRNO.EINVAL],
    ['another flag', { map_flags: MMAPABLE | BPF_MAP_FLAG.RDONLY_PROG }, ERRNO.EINVAL],
    ['an address within a page', { map_extra: USER + 8n }, ERRNO.EINVAL],
    ['more than 4 GiB', { max_entries: (1 << 20) + 1 }, ERRNO.E2BIG],
    ['a place across 4 GiB', { map_extra: (1n << 32n) - 7n * 4096n }, ERRNO.ERANGE],
    ['more than 4 GiB across 4 GiB', { map_extra: USER + 4096n, max_entries: (1 << 20) + 1 }, ERRNO.E2BIG],
  ])('refuses %s', async (_what, attr, errno) => {
    await boot();
    expect(create(attr)).toBe(-errno);
    expect(k.maps.size).toBe(0);
  });

  test('takes the other flags, 4 GiB, the end of a stretch, and no address', async () => {
    await boot();
    expect(create({ map_flags: MMAPABLE | SEGV_ON_FAULT | NO_USER_CONV })).toBeGreaterThan(0);
    expect(create({ max_entries: 1 << 20 })).toBeGreaterThan(0);
    expect(create({ map_extra: (1n << 32n) - 8n * 4096n })).toBeGreaterThan(0);
    expect(create({ map_extra: 0n })).toBeGreaterThan(0);
  });
});

test('has no elements', async () => {
  await boot();
  const map_fd = create();
  expect(k.bpf('MAP_LOOKUP_ELEM', { map_fd, value: new Uint8Array(0) } as never)).toBe(-ERRNO.EINVAL);
  expect(k.bpf('MAP_UPDATE_ELEM', { map_fd } as never)).toBe(-ERRNO.EOPNOTSUPP);
  expect(k.bpf('MAP_DELETE_ELEM', { map_fd } as never)).toBe(-ERRNO.EOPNOTSUPP);
  expect(k.bpf('MAP_GET_NEXT_KEY', { map_fd, next_key: new Uint8Array(0) })).toBe(-ERRNO.EOPNOTSUPP);
  expect(k.bpf('MAP_LOOKUP_AND_DELETE_ELEM', { map_fd, value: new Uint8Array(0) } as never)).toBe(-ERRNO.ENOTSUPP);
  const helper = `r1 = map_fd(${map_fd}) ll
    r2 = r10
    r2 += -8
    call 1
    exit\n`;
  expect(() => run(helper)).toThrow('an arena has no elements');
});

describe('mmap', () => {
  test('of an arena with an address takes the whole alone', async () => {
    await boot();
    const fd = create();
    expect(k.mmap(fd).address).toBe(USER);
    expect(k.mmap(fd, 8 * PAGE - 1).length).toBe(8 * PAGE - 1);
    expect(() => k.mmap(fd, 7 * PAGE)).toThrow('EINVAL');
    expect(() => k.mmap(fd, 9 * PAGE)).toThrow('E2BIG');
    expect(() => k.mmap(fd, 0)).toThrow('EINVAL');
  });

  test('fixes address and size of one without, in a stretch of 4 GiB of its own', async () => {
    await boot();
    const [a, b] = [create({ map_extra: 0n }), create({ map_extra: 0n })];
    const first = k.mmap(a, 4 * PAGE);
    const start = first.address!;
    first.unmap();
    expect(start % 4096n).toBe(0n);
    expect(() => k.mmap(a)).toThrow('E2BIG');
    expect(() => k.mmap(a, PAGE)).toThrow('EINVAL');
    expect(k.mmap(a, 4 * PAGE).address).toBe(start);
    expect(k.mmap(b).address! >> 32n).not.toBe(start >> 32n);
    expect(alloc(a, 5)).toBeNull();
    expect(alloc(a, 4)).toBe(0);
    expect(() => k.mmap(create({ map_extra: 0n }), 9 * PAGE)).toThrow(UnsupportedError);
  });

  test('allocates what user space touches; programs and user space see the same bytes', async () => {
    await boot();
    const fd = create();
    const mapping = k.mmap(fd);
    mapping.write(2 * PAGE - 4, Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0));
    expect(arenaOf(fd).usedPages).toBe(2);
    expect([peek(fd, at(2) - 4n), peek(fd, at(2))]).toEqual([1, 2]);
    poke(fd, at(2), 77);
    expect([...mapping.read(2 * PAGE - 4, 8)]).toEqual([1, 0, 0, 0, 77, 0, 0, 0]);
    expect(alloc(fd, 1, { address: at(2) })).toBeNull();
    expect(() => mapping.read(8 * PAGE - 4, 8)).toThrow('EFAULT');
    free(fd, at(2), 1);
    expect([...mapping.read(2 * PAGE, 1)]).toEqual([0]);
  });

  test('with BPF_F_SEGV_ON_FAULT gives user space only what programs allocated', async () => {
    await boot();
    const fd = create({ map_flags: MMAPABLE | SEGV_ON_FAULT });
    const mapping = k.mmap(fd);
    expect(() => mapping.read(0, 1)).toThrow('page 0 of arena "arena" is not allocated (BPF_F_SEGV_ON_FAULT)');
    expect(arenaOf(fd).usedPages).toBe(0);
    expect(alloc(fd, 1)).toBe(0);
    expect([...mapping.read(PAGE - 1, 1)]).toEqual([0]);
    expect(() => mapping.read(PAGE - 1, 2)).toThrow('EFAULT');
  });

  test('keeps the arena alive', async () => {
    await boot();
    const fd = create();
    const mapping = k.mmap(fd);
    k.close(fd);
    mapping.write(0, Uint8Array.of(9));
    expect([...mapping.read(0, 1)]).toEqual([9]);
    mapping.unmap();
    expect(k.maps.size).toBe(0);
  });
});

describe('programs', () => {
  test('may refer to one arena, again and again, once it has an address', async () => {
    await boot();
    const [a, b, late] = [create(), create(), create({ map_extra: 0n })];
    const both = (x: number, y: number) => load(`r1 = map_fd(${x}) ll\nr1 = map_fd(${y}) ll\nr0 = 0\nexit\n`);
    expect(both(a, a).fd).toBeGreaterThan(0);
    const refused = both(a, b);
    expect([refused.fd, refused.log]).toEqual([-ERRNO.EBUSY, expect.stringContaining('Only one arena per program\n')]);
    const early = both(late, late);
    expect(early.fd).toBe(-ERRNO.EINVAL);
    expect(early.log).toContain("arena's user address must be set via map_extra or mmap()\n");
    k.mmap(late).unmap();
    expect(both(late, late).fd).toBeGreaterThan(0);
  });

  test.each(['7.3', '6.18', '6.12'])('find its place in struct bpf_arena on %s, and nothing else', async (profile) => {
    await boot({ profile });
    const offset = (name: string) => k.types.struct('bpf_arena').field(name).offset;
    const read = (fd: number, at: number) => run(`r1 = map_fd(${fd}) ll\nr0 = *(u64 *)(r1 + ${at})\nr0 >>= 12\nexit\n`);
    const fd = create();
    expect(read(fd, offset('user_vm_start'))).toBe(Number(BigInt.asIntN(32, at(0) >> 12n)));
    expect(read(fd, offset('user_vm_end'))).toBe(Number(BigInt.asIntN(32, at(8) >> 12n)));
    expect(() => read(fd, offset('kern_vm'))).toThrow('unmodelled');
    const late = create({ map_extra: 0n });
    const { address } = k.mmap(late);
    expect(read(late, offset('user_vm_start'))).toBe(Number(BigInt.asIntN(32, address! >> 12n)));
  });

  test('get user addresses from LD_IMM64 of a value, up to the end of the arena', async () => {
    await boot();
    const fd = create();
    const high = (offset: number) => `r0 = map_value(${fd}, ${offset}) ll\nr0 >>= 32\nexit\n`;
    expect(run(high(16))).toBe(0x1000);
    expect(run(`r0 = map_value(${fd}, 24) ll\nexit\n`)).toBe(24);
    expect(load(high(8 * PAGE)).fd).toBeGreaterThan(0);
    expect(load(high(8 * PAGE + 1)).fd).toBe(-ERRNO.ERANGE);
  });

  test.each([
    ['7.3', true],
    ['6.18', false],
  ])('on %s reach 512 MiB and more into it by LD_IMM64: %s', async (profile, allowed) => {
    await boot({ profile });
    const fd = create({ max_entries: 1 << 20 });
    const { fd: prog, log } = load(`r0 = map_value(${fd}, 0x20000000) ll\nr0 = 0\nexit\n`);
    expect(prog > 0).toBe(allowed);
    expect(log.includes('direct value offset of 536870912 is not allowed\n')).toBe(!allowed);
  });

  // Kernel: PTR_TO_ARENA is accessed by BPF_PROBE_MEM32; compilers leave out casts of what bpf_arena_alloc_pages returns.
  test.each(['interp', 'jit'] as const)('reach pages by user addresses, without a cast (%s)', async (engine) => {
    await boot({ engine });
    const fd = create();
    const through = (address: bigint, body: string) =>
      run(`r1 = map_fd(${fd}) ll\nr1 = ${hex(address)} ll\nr2 = 40\n${body}\nexit\n`);
    expect(alloc(fd, 2)).toBe(0);
    const store = '*(u64 *)(r1 + 8) = r2\nlock *(u64 *)(r1 + 8) += r2\n*(u16 *)(r1 + 16) = 7';
    expect(through(at(1), `${store}\nr0 = *(u64 *)(r1 + 8)\nr3 = *(u8 *)(r1 + 16)\nr0 += r3`)).toBe(87);
    expect([peek(fd, at(1) + 8n), peek(fd, at(1) + 16n)]).toEqual([80, 7]);
    expect(through(at(1), 'r0 = *(u64 *)(r1 - 4092)')).toBe(0);
    // A page that is not allocated, and what lies behind the arena in its 4 GiB; then what lies behind those.
    for (const page of [2, 8, 1 << 19]) {
      expect(through(at(page), '*(u64 *)(r1 + 0) = r2\nr0 = *(u64 *)(r1 + 0)')).toBe(0);
      expect(through(at(page), 'lock *(u64 *)(r1 + 0) += r2\nr0 = 5')).toBe(5);
    }
    expect(() => through(at(1 << 20), '*(u64 *)(r1 + 0) = r2')).toThrow('out_of_window: 8-byte store');
  });

  test('without an arena have nothing at such an address', async () => {
    await boot();
    const fd = create();
    expect(alloc(fd, 1)).toBe(0);
    expect(() => run(`r1 = ${hex(at(0))} ll\n*(u64 *)(r1 + 0) = 1\nexit\n`)).toThrow('out_of_window');
  });

  test('of a NO_USER_CONV arena keep the low half of an address alone', async () => {
    await boot();
    const high = (fd: number) => `r1 = map_fd(${fd}) ll
      r0 = ${hex(at(1))} ll
      r0 = addr_space_cast(r0, 0x0, 0x1)
      r0 = addr_space_cast(r0, 0x1, 0x0)
      r0 >>= 32
      exit\n`;
    expect(run(high(create()))).toBe(0x1000);
    const fd = create({ map_flags: MMAPABLE | NO_USER_CONV });
    expect(run(high(fd))).toBe(0);
    expect(alloc(fd, 2)).toBe(0);
    poke(fd, at(1), 5);
    expect([...k.mmap(fd).read(PAGE, 1)]).toEqual([5]);
  });
});

describe.each(['7.3', '6.18', '6.12'])('kfuncs on %s', (profile) => {
  test('bpf_arena_alloc_pages gives the pages asked for, or NULL', async () => {
    await boot({ profile });
    const fd = create();
    expect(alloc(fd, 0)).toBeNull();
    expect(alloc(fd, 1, { flags: 1 })).toBeNull();
    expect(alloc(fd, 9)).toBeNull();
    expect(alloc(fd, 2, { address: at(3) })).toBe(3);
    expect(alloc(fd, 1, { address: at(4) })).toBeNull();
    expect(alloc(fd, 1, { address: at(5) + 8n })).toBeNull();
    expect(alloc(fd, 2, { address: at(7) })).toBeNull();
    expect(alloc(fd, 4)).toBeNull();
    expect(alloc(fd, 3, { node: 0 })).not.toBeNull();
    expect(alloc(fd, 3)).not.toBeNull();
    expect(alloc(fd, 1)).toBeNull();
    expect(arenaOf(fd).usedPages).toBe(8);
    expect(() => alloc(fd, 1, { node: 3 })).toThrow('NUMA node 3');
  });

  test('anywhere is the smallest free range that fits, on 6.12 the lowest', async () => {
    await boot({ profile });
    const fd = create();
    alloc(fd, 1, { address: at(5) });
    const lowest = profile === '6.12';
    const got = [alloc(fd, 1), alloc(fd, 1), alloc(fd, 3), alloc(fd, 2), alloc(fd, 1)];
    expect(got).toEqual(lowest ? [0, 1, 2, 6, null] : [6, 7, 0, 3, null]);
    free(fd, at(1), 1);
    expect([alloc(fd, 2), alloc(fd, 1)]).toEqual([null, 1]);
    // A hole that was too small stays on offer.
    const other = create();
    alloc(other, 1, { address: at(1) });
    expect([alloc(other, 2), alloc(other, 1)]).toEqual([2, 0]);
  });

  test('bpf_arena_free_pages gives pages back, zeroed for the next', async () => {
    await boot({ profile });
    const fd = create();
    expect(alloc(fd, 8)).toBe(0);
    poke(fd, at(6), 3);
    free(fd, 0n, 8);
    free(fd, at(6), 0);
    expect(arenaOf(fd).usedPages).toBe(8);
    free(fd, at(6) + 100n, 100);
    expect(arenaOf(fd).usedPages).toBe(6);
    free(fd, at(8), 1);
    expect(alloc(fd, 3)).toBeNull();
    expect(alloc(fd, 2)).toBe(6);
    expect(peek(fd, at(6))).toBe(0);
  });

  test('bpf_arena_reserve_pages keeps programs out and user space not', async () => {
    await boot({ profile });
    const fd = create();
    if (profile === '6.12') {
      expect(k.profile.btf.find('bpf_arena_reserve_pages', BTF_KIND.FUNC)).toBe(0);
      return;
    }
    expect(reserve(fd, at(0), 2)).toBe(0);
    expect(reserve(fd, at(1), 1)).toBe(-ERRNO.EBUSY);
    expect(reserve(fd, at(7), 2)).toBe(-ERRNO.EINVAL);
    expect(reserve(fd, at(3), 0)).toBe(0);
    expect(reserve(fd, at(3) + 1n, 1)).toBe(0);
    expect(alloc(fd, 1, { address: at(0) })).toBeNull();
    k.mmap(fd).write(0, Uint8Array.of(4));
    expect(peek(fd, at(0))).toBe(4);
    free(fd, at(1), 1);
    expect(alloc(fd, 7)).toBe(1);
  });

  test('are for programs that may sleep, before 7.0', async () => {
    await boot({ profile });
    const fd = create();
    if (profile !== '7.3') {
      const text = 'program must be sleepable to call sleepable kfunc bpf_arena_alloc_pages';
      expect(() => alloc(fd, 1, { sleepable: false })).toThrow(text);
      return;
    }
    expect(alloc(fd, 2, { sleepable: false })).toBe(0);
    poke(fd, at(1), 6);
    // The pages go when the program is over.
    const read = `r1 = ${hex(at(1))} ll
      r1 = addr_space_cast(r1, 0x0, 0x1)
      r0 = *(u32 *)(r1 + 0)`;
    expect(free(fd, at(1), 1, false, read)).toBe(6);
    expect(arenaOf(fd).usedPages).toBe(1);
    expect(alloc(fd, 2)).toBe(1);
    // In one that may sleep they go at once.
    expect(free(fd, at(1), 1, true, read)).toBe(0);
  });

  test('refuse maps of other types', async () => {
    await boot({ profile });
    const array = k.bpf('MAP_CREATE', { map_type: BPF_MAP_TYPE.ARRAY, key_size: 4, value_size: 8, max_entries: 1 });
    const call = (first: string, name: string) =>
      run(`${first}
        r2 = 0
        r3 = 1
        r4 = -1
        r5 = 0
        ${kfunc(name)}
        exit\n`);
    expect(call(`r1 = map_fd(${array}) ll`, 'bpf_arena_alloc_pages')).toBe(0);
    if (profile !== '6.12') {
      expect(call(`r1 = map_fd(${array}) ll`, 'bpf_arena_reserve_pages')).toBe(-ERRNO.EINVAL);
    }
    expect(() => call('r1 = r10', 'bpf_arena_alloc_pages')).toThrow('argument 1 is no map');
  });
});

describe('a freed page between others', () => {
  async function holed(options: KernelOptions): Promise<number> {
    await boot(options);
    const fd = create();
    expect(alloc(fd, 3)).toBe(0);
    for (const page of [0, 1, 2]) poke(fd, at(page), page + 10);
    free(fd, at(1), 1);
    return fd;
  }

  test('reads 0 and drops stores, which is counted; its neighbours stay', async () => {
    const fd = await holed({});
    const prog = load(`r1 = map_fd(${fd}) ll
      r1 = ${hex(at(1) + 8n)} ll
      r1 = addr_space_cast(r1, 0x0, 0x1)
      r0 = *(u32 *)(r1 + 0)
      exit\n`).fd;
    const attr = { prog_fd: prog, retval: 99 };
    expect([k.bpf('PROG_TEST_RUN', attr), attr.retval]).toEqual([0, 0]);
    expect(k.zeroedLoads()).toEqual(['prog "test": insn 5: 1 time']);
    expect(k.droppedStores()).toEqual([]);
    const store = load(`r1 = map_fd(${fd}) ll
      r1 = ${hex(at(1) + 8n)} ll
      r1 = addr_space_cast(r1, 0x0, 0x1)
      *(u32 *)(r1 + 0) = 7
      r0 = 0
      exit\n`).fd;
    expect(k.bpf('PROG_TEST_RUN', { prog_fd: store })).toBe(0);
    expect(k.droppedStores()).toEqual(['prog "test": insn 5: 1 time']);
    expect([peek(fd, at(0)), peek(fd, at(1)), peek(fd, at(2))]).toEqual([10, 0, 12]);
  });

  /** Runs text on r1, a pointer into the freed page; r0 and what its BPF_STDERR says. */
  function report(fd: number, text: string): [r0: number | undefined, stderr: string] {
    const prog = load(`r1 = map_fd(${fd}) ll
      r1 = ${hex(at(1))} ll
      r1 = addr_space_cast(r1, 0x0, 0x1)
      r2 = 3
      r0 = 4
      ${text}
      exit\n`).fd;
    const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd: prog };
    expect(k.bpf('PROG_TEST_RUN', attr)).toBe(0);
    const stream_buf = new Uint8Array(1000);
    const bytes = k.bpf('PROG_STREAM_READ_BY_FD', { prog_fd: prog, stream_id: 2, stream_buf });
    return [attr.retval, new TextDecoder().decode(stream_buf.subarray(0, Math.max(bytes, 0)))];
  }

  // Kernel: ex_handler_bpf, bpf_prog_report_arena_violation; selftest stream_arena_read_fault and its neighbours.
  test.each(['interp', 'jit'] as const)('is told of in the stream of the program (%s)', async (engine) => {
    const fd = await holed({ engine });
    const [read, text] = report(fd, 'r0 = *(u32 *)(r1 + 8)');
    expect(read).toBe(0);
    expect(text).toMatch(
      /^ERROR: Arena READ access at unmapped address 0x100000001008\nCPU: 0 UID: 0 PID: \d+ Comm: \S+\nCall trace:\nbpf_prog_test\+0x\w+\/0x\w+\n\n$/,
    );
    const kinds = {
      'r0 = *(s8 *)(r1 + 1)': [0, 'READ'],
      'r0 = load_acquire((u64 *)(r1 + 0))': [0, 'READ'],
      '*(u8 *)(r1 - 1) = 1': [4, undefined],
      '*(u64 *)(r1 + 0) = r2': [4, 'WRITE'],
      '*(u16 *)(r1 + 0) = 1': [4, 'WRITE'],
      'store_release((u32 *)(r1 + 0), r2)': [4, 'WRITE'],
      'lock *(u64 *)(r1 + 0) += r2\nr0 = r2': [3, 'WRITE'],
      'r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)\nr0 = r2': [0, 'WRITE'],
      'r2 = xchg_64(r1 + 0, r2)\nr0 = r2': [0, 'WRITE'],
      'r0 = cmpxchg_64(r1 + 0, r0, r2)': [0, 'WRITE'],
    };
    for (const [text, [r0, kind]] of Object.entries(kinds)) {
      const [result, stderr] = report(fd, text);
      expect([text, result, /Arena (\w+) access/.exec(stderr)?.[1]]).toEqual([text, r0, kind]);
    }
  });

  test('has a place for so many reports', async () => {
    const fd = await holed({});
    const prog = load(`r1 = map_fd(${fd}) ll
      r1 = ${hex(at(1))} ll
      r1 = addr_space_cast(r1, 0x0, 0x1)
      r2 = 3000
      *(u8 *)(r1 + 0) = 1
      r2 += -1
      if r2 != 0 goto -3
      r0 = 0
      exit\n`).fd;
    expect(k.bpf('PROG_TEST_RUN', { prog_fd: prog })).toBe(0);
    expect(k.droppedStores()).toEqual(['prog "test": insn 6: 3000 times']);
    const bytes = k.bpf('PROG_STREAM_READ_BY_FD', { prog_fd: prog, stream_id: 2, stream_buf: new Uint8Array(200_000) });
    expect(bytes).toBeGreaterThan(99_700);
    expect(bytes).toBeLessThan(100_000);
  });

  test.each([
    ['6.18', 'WRITE'],
    ['6.12', undefined],
  ])('leaves what an atomic would fetch as it is on %s', async (profile, kind) => {
    const fd = await holed({ profile });
    const [r0, stderr] = report(fd, 'r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)\nr0 = r2');
    expect([r0, /Arena (\w+) access/.exec(stderr)?.[1]]).toEqual([3, kind]);
  });

  test('faults under the strict policy', async () => {
    const fd = await holed({ faults: 'strict' });
    expect(() => peek(fd, at(1))).toThrow('unallocated page 1 of arena "arena"');
    expect(() => poke(fd, at(1), 1)).toThrow('unallocated page 1 of arena "arena"');
    expect([peek(fd, at(0)), peek(fd, at(2))]).toEqual([10, 12]);
  });
});

test('gives its part of the window back when the last reference goes', async () => {
  await boot();
  const pages = 1024;
  for (let i = 0; i < 20; i++) {
    const fd = create({ max_entries: pages });
    expect(fd).toBeGreaterThan(0);
    const prog = load(`r1 = map_fd(${fd}) ll\nr0 = 0\nexit\n`).fd;
    expect(alloc(fd, pages)).toBe(0);
    k.close(fd);
    // The program holds it.
    expect(k.maps.size).toBe(1);
    k.close(prog);
    expect(k.maps.size).toBe(0);
  }
});

test('says in the log that the window ends before the arena does', async () => {
  await boot();
  const fd = create({ max_entries: 1 << 20 });
  expect(alloc(fd, 1 << 19)).toBeNull();
  expect(alloc(fd, 1 << 19)).toBeNull();
  expect(k.log.filter((line) => line.includes("of the arena's 1048576 pages"))).toHaveLength(1);
  expect(() => k.mmap(fd).read(PAGE * (1 << 19), 1)).toThrow('beyond what the window maps');
});
