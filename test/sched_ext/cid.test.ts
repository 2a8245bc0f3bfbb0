import { describe, expect, it } from 'vitest';
import { ERRNO } from '../../src/errno.js';
import type { ArenaMap } from '../../src/kernel/map/arena.js';
import type { Kdata } from '../../src/kernel/types.js';
import { CidTables } from '../../src/sched_ext/cid.js';
import type { ScxTask } from '../../src/sched_ext/task.js';
import { type CpuPlace, Topology } from '../../src/sched_ext/topology.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../src/uapi.js';
import { Bench, MS, type Op } from './harness.js';

// The cid form (7.3): topological CPU ids, arena cmasks (kernel/sched/ext/cid.c, arena.c).

/** Two caches whose threads are numbered apart: CPU n and n + 4 share a core. */
const APART: CpuPlace[] = Array.from({ length: 8 }, (_, cpu) => ({ node: 0, llc: (cpu % 4) >> 1, core: cpu % 4 }));

async function cidBench(places: readonly CpuPlace[], pages = 8): Promise<{ bench: Bench; arena: ArenaMap }> {
  const bench = await Bench.create('7.3', places);
  const { kernel } = bench;
  const fd = kernel.bpf('MAP_CREATE', {
    map_type: BPF_MAP_TYPE.ARENA,
    key_size: 0,
    value_size: 0,
    max_entries: pages,
    map_flags: BPF_MAP_FLAG.MMAPABLE,
    map_extra: 1n << 44n,
    map_name: 'arena',
  });
  return { bench, arena: kernel.fds.map(fd) as ArenaMap };
}

/** Registers a cid-form scheduler as bpf_scx_reg_cid does once it has found the arena. */
function register(bench: Bench, arena: ArenaMap, ops: Record<string, Op>, values = {}): { kdata: Kdata; err: number } {
  const kdata = bench.kdata(ops, values);
  return { kdata, err: bench.machine.scx.register(kdata, 'cid', arena) };
}

/** Cids of a cmask in the arena. */
function cids(bench: Bench, ptr: number): number[] {
  const { memory } = bench.kernel;
  const count = memory.u32(ptr + 4);
  return Array.from({ length: count }, (_, cid) => cid).filter(
    (cid) => (memory.u8(ptr + 16 + (cid >> 3)) & (1 << (cid & 7))) !== 0,
  );
}

const words = (bench: Bench, ...values: number[]) => bench.bytes(new Uint8Array(Int32Array.from(values).buffer));

describe('cids', () => {
  it('number CPUs by node, cache and core', () => {
    const tables = new CidTables(new Topology(APART), () => true, 0);
    expect(tables.cidToCpu).toEqual([0, 4, 1, 5, 2, 6, 3, 7]);
    expect(tables.topo[5]).toMatchObject({
      core_cid: 4,
      core_idx: 2,
      llc_cid: 4,
      llc_idx: 1,
      node_cid: 0,
      node_idx: 0,
    });
  });

  it('put CPUs that are offline last, without a place', () => {
    const tables = new CidTables(new Topology(APART), (cpu) => cpu !== 0, 0);
    expect(tables.cidToCpu).toEqual([1, 5, 4, 2, 6, 3, 7, 0]);
    expect(tables.topo[7]).toMatchObject({ core_cid: -1, llc_cid: -1, node_cid: -1 });
  });
});

describe('a cid-form scheduler', () => {
  it('names CPUs by cid in its ops and answers', async () => {
    const { bench, arena } = await cidBench(APART);
    bench.machine.spawn({ name: 'a', steps: [{ run: MS }], cpus: [1, 5], startNs: MS });
    const seen: unknown[] = [];
    const { err } = register(bench, arena, {
      select_cid: (_p: ScxTask, prev: number) => {
        seen.push(prev);
        return 2;
      },
      running: (p: ScxTask) => seen.push(Number(bench.kf('scx_bpf_task_cid', p))),
      dispatch: () => {},
    });
    expect(err).toBe(0);
    bench.machine.run(10 * MS);
    // pid 101 was on CPU 5, cid 3; cid 2 is CPU 1.
    expect(seen).toEqual([3, 2]);
    expect(bench.machine.spans(1)).toHaveLength(1);
    expect(bench.ops('dispatch')).toContain('dispatch 2 a');
    expect(bench.machine.scx.root?.exit).toBeNull();
  });

  it('gets the CPUs of a task as a cmask in its arena, when it is enabled and when they change', async () => {
    const { bench, arena } = await cidBench(APART);
    const { machine, kernel } = bench;
    const { task } = machine.spawn({ name: 'a', steps: [{ run: MS }], cpus: [1, 2, 5] });
    const masks: number[][] = [];
    register(bench, arena, { set_cmask: (_p: ScxTask, mask: number) => masks.push(cids(bench, mask)) });
    kernel.tasks.setCpus(task.kernelTask, [7]);
    machine.scx.states.cpusChanged(machine.scx.rq(task.cpu), task);
    expect(masks).toEqual([[2, 3, 4], [7]]);
  });

  it('may lay out cids itself, in init_cids', async () => {
    const { bench, arena } = await cidBench(APART);
    const { kernel } = bench;
    const own = [7, 6, 5, 4, 3, 2, 1, 0];
    const { err } = register(bench, arena, {
      init_cids: () => bench.kf('scx_bpf_cid_override', words(bench, ...own), 8, words(bench, 0, 4), 2),
    });
    expect(err).toBe(0);
    expect(Number(bench.kf('scx_bpf_cpu_to_cid', 1))).toBe(6);
    expect(Number(bench.kf('scx_bpf_cid_to_cpu', 6))).toBe(1);
    const topo = bench.bytes(new Uint8Array(32));
    bench.kf('scx_bpf_cid_topo', 6, topo, 32);
    const at = kernel.memory.fromAddress(topo);
    expect(Array.from({ length: 8 }, (_, i) => kernel.memory.s32(at + 4 * i))).toEqual([-1, -1, -1, -1, -1, -1, 4, 1]);
  });

  it.each([
    [[0, 1, 2], [0], 'scx_bpf_cid_override: cpu_to_cid expected 8 entries, got 3'],
    [[0, 1, 2, 3, 4, 5, 6, 6], [0], 'cid 6 assigned to multiple cpus'],
    [[0, 1, 2, 3, 4, 5, 6, 9], [0], 'invalid cid 9'],
    [[0, 1, 2, 3, 4, 5, 6, 7], [], 'scx_bpf_cid_override: invalid shard_start count 0'],
    [[0, 1, 2, 3, 4, 5, 6, 7], [1], 'scx_bpf_cid_override: shard_start[0] must be 0, got 1'],
    [[0, 1, 2, 3, 4, 5, 6, 7], [0, 4, 4], 'scx_bpf_cid_override: shard_start not increasing at [2]'],
    [[0, 1, 2, 3, 4, 5, 6, 7], [0, 8], 'scx_bpf_cid_override: shard_start[1]=8 >= 8'],
  ])('but not as %j with shards %j: %s', async (layout, shards, message) => {
    const { bench, arena } = await cidBench(APART);
    register(bench, arena, {
      init_cids: () =>
        bench.kf(
          'scx_bpf_cid_override',
          words(bench, ...layout),
          layout.length,
          words(bench, ...shards, 0),
          shards.length,
        ),
    });
    expect(bench.exit).toBe(`1024 runtime error: ${message}`);
  });

  it('sees the online CPUs as a cmask, and how many there are', async () => {
    const { bench, arena } = await cidBench(APART);
    register(bench, arena, {});
    const mask = arena.guestPtr(BigInt.asUintN(64, bench.kf('scx_bpf_online_cmask')));
    expect(cids(bench, mask)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    bench.machine.scx.hotplug.deactivate(bench.machine.scx.rq(4));
    expect(cids(bench, mask)).toEqual([0, 2, 3, 4, 5, 6, 7]);
    expect([bench.kf('scx_bpf_nr_cids'), bench.kf('scx_bpf_nr_online_cids')]).toEqual([8n, 8n]);
  });

  describe('scx_bpf_sub_caps', () => {
    /** A cmask in the arena: cids from `base` on, all bits of its words set to `fill`. */
    function cmask(bench: Bench, arena: ArenaMap, base: number, count: number, { words: room = 2, fill = 0 } = {}) {
      const user = arena.allocPages(0n, 1);
      const ptr = arena.guestPtr(user);
      const { memory } = bench.kernel;
      for (const [i, word] of [base, count, room].entries()) memory.setU32(ptr + i * 4, word);
      memory.bytes(ptr + 16, 8 * room).fill(fill);
      return { user, ptr, bits: () => memory.u32(ptr + 16) };
    }

    it('a root scheduler has every capability on every cid, within the range that is asked for', async () => {
      const { bench, arena } = await cidBench(APART);
      register(bench, arena, {});
      const mask = cmask(bench, arena, 2, 4);
      expect(bench.kf('scx_bpf_sub_caps', 0, 3, mask.user)).toBe(0n);
      expect(mask.bits()).toBe(0b111100);
      const full = cmask(bench, arena, 1, 3, { fill: 0xff });
      expect(bench.kf('scx_bpf_sub_caps', 0, 0, full.user)).toBe(0n);
      expect(full.bits()).toBe(~0b1110 >>> 0);
    });

    it.each([
      ['invalid caps 0x10', 0, 16, 0, 8, -ERRNO.EINVAL],
      ['invalid out (-22)', 0, 1, 4, 5, -ERRNO.EINVAL],
    ])('%s', async (message, cgroup, caps, base, count, errno) => {
      const { bench, arena } = await cidBench(APART);
      register(bench, arena, {});
      const { user } = cmask(bench, arena, base, count);
      expect(bench.kf('scx_bpf_sub_caps', cgroup, caps, user)).toBe(BigInt(errno));
      expect(bench.machine.scx.root?.exit?.message).toBe(message);
    });

    it('no cgroup has a sub-scheduler', async () => {
      const { bench, arena } = await cidBench(APART);
      register(bench, arena, {});
      const { user } = cmask(bench, arena, 0, 8);
      for (const kfunc of ['scx_bpf_sub_caps', 'scx_bpf_sub_grant'])
        expect(bench.kf(kfunc, 77, 1, user)).toBe(BigInt(-ERRNO.ENODEV));
      expect(bench.kf('scx_bpf_sub_kill_bstr', 77, 0, 0, 0)).toBe(BigInt(-ERRNO.ENODEV));
      expect(bench.exit).toBe('still there');
    });
  });

  it('needs room in its arena', async () => {
    const { bench, arena } = await cidBench(APART, 1);
    expect(register(bench, arena, {}).err).toBe(0);
    expect(bench.exit).toContain('failed (-12)');
  });

  it('fails for a cid that does not exist', async () => {
    const { bench, arena } = await cidBench(APART);
    register(bench, arena, {});
    expect(bench.kf('scx_bpf_cid_to_cpu', 8)).toBe(BigInt(-ERRNO.EINVAL));
    expect(bench.machine.scx.root?.exit?.message).toBe('invalid cid 8');
  });
});

describe('sub-schedulers', () => {
  it('are refused by the root as by one that cannot have them', async () => {
    const { bench, arena } = await cidBench(APART);
    const { cgroups } = bench.kernel;
    const group = cgroups.create(cgroups.root, 'a');
    expect(register(bench, arena, {}, { sub_cgroup_id: BigInt(group.id) }).err).toBe(-ERRNO.ENODEV);
    register(bench, arena, { sub_attach: () => 0 });
    expect(register(bench, arena, {}, { sub_cgroup_id: BigInt(group.id) }).err).toBe(-ERRNO.EOPNOTSUPP);
    expect(register(bench, arena, {}, { sub_cgroup_id: 999n }).err).toBe(-ERRNO.ENOENT);
    expect(bench.kf('scx_bpf_sub_dispatch', group.id)).toBe(0n);
  });
});
