import type { Topology } from './topology.js';

// Topological CPU ids (7.3, kernel/sched/ext/cid.c): dense, and ordered so that a core, a cache and a node are ranges.

const SHARD_SIZE_DEFAULT = 24;
const SHARD_MAX = 512;

/** struct scx_cid_topo: first cid and number of each unit that a cid is in; -1 where it is not known. */
export interface CidTopo {
  core_cid: number;
  core_idx: number;
  llc_cid: number;
  llc_idx: number;
  node_cid: number;
  node_idx: number;
  shard_cid: number;
  shard_idx: number;
}

/** The fields of struct scx_cid_topo, in its order. */
export const TOPO_FIELDS: readonly (keyof CidTopo)[] = [
  'core_cid',
  'core_idx',
  'llc_cid',
  'llc_idx',
  'node_cid',
  'node_idx',
  'shard_cid',
  'shard_idx',
];

export const UNKNOWN_TOPO: CidTopo = Object.freeze({
  core_cid: -1,
  core_idx: -1,
  llc_cid: -1,
  llc_idx: -1,
  node_cid: -1,
  node_idx: -1,
  shard_cid: -1,
  shard_idx: -1,
});

/** Which cid is which CPU; made when a root scheduler is enabled, changed at most by its ops.init_cids. */
export class CidTables {
  readonly cidToCpu: number[] = [];
  readonly cpuToCid: number[];
  readonly topo: CidTopo[] = [];
  /** First cid and number of cids of each shard, and the node most of its CPUs are on (-1: unknown). */
  shards: { base: number; count: number; node: number }[] = [];

  /**
   * The default layout (scx_cid_init): online CPUs by node, cache and core, each unit where its lowest CPU is found; behind
   * them the CPUs that are possible only. A cache is cut into shards of about the same number of cores.
   */
  constructor(topology: Topology, online: (cpu: number) => boolean, shardSizeWanted: number) {
    const shardSize = shardSizeWanted || SHARD_SIZE_DEFAULT;
    const maxCids = Math.min(shardSize, SHARD_MAX);
    this.cpuToCid = new Array<number>(topology.cpus).fill(-1);
    const left = new Set<number>();
    for (let cpu = 0; cpu < topology.cpus; cpu++) if (online(cpu)) left.add(cpu);
    let nodes = 0;
    let llcs = 0;
    let cores = 0;
    while (left.size > 0) {
      const first = lowest(left);
      const inNode = new Set(topology.nodeCpus[first]!.filter((cpu) => left.has(cpu)));
      const nodeCid = this.cidToCpu.length;
      const nodeIdx = nodes++;
      while (inNode.size > 0) {
        const inLlc = new Set(topology.llcCpus[lowest(inNode)]!.filter((cpu) => inNode.has(cpu)));
        const llcCid = this.cidToCpu.length;
        const llcIdx = llcs++;
        const { perShard, large } = shardLayout(topology, inLlc, shardSize);
        const node = topology.node(first);
        let shard = this.#newShard(node);
        let inThisLlc = 0;
        let coresInShard = 0;
        while (inLlc.size > 0) {
          const core = topology.siblings[lowest(inLlc)]!.filter((cpu) => inLlc.has(cpu));
          const maxCores = perShard + (inThisLlc < large ? 1 : 0);
          const full = coresInShard >= maxCores || this.shards[shard]!.count + core.length > maxCids;
          if (coresInShard > 0 && full) {
            inThisLlc++;
            coresInShard = 0;
            shard = this.#newShard(node);
          }
          coresInShard++;
          const coreCid = this.cidToCpu.length;
          const coreIdx = cores++;
          for (const cpu of core) {
            this.#assign(cpu, shard, {
              core_cid: coreCid,
              core_idx: coreIdx,
              llc_cid: llcCid,
              llc_idx: llcIdx,
              node_cid: nodeCid,
              node_idx: nodeIdx,
            });
            for (const set of [left, inNode, inLlc]) set.delete(cpu);
          }
        }
      }
    }
    this.#addOffline(topology.cpus, maxCids);
  }

  #addOffline(cpus: number, maxCids: number): void {
    let shard = -1;
    for (let cpu = 0; cpu < cpus; cpu++) {
      if (this.cpuToCid[cpu] !== -1) continue;
      if (shard < 0 || this.shards[shard]!.count >= maxCids) shard = this.#newShard(-1);
      this.#assign(cpu, shard, {});
    }
  }

  #newShard(node: number): number {
    return this.shards.push({ base: this.cidToCpu.length, count: 0, node }) - 1;
  }

  #assign(cpu: number, shard: number, topo: Partial<CidTopo>): void {
    const range = this.shards[shard]!;
    this.cpuToCid[cpu] = this.cidToCpu.push(cpu) - 1;
    this.topo.push({ ...UNKNOWN_TOPO, ...topo, shard_cid: range.base, shard_idx: shard });
    range.count++;
  }

  get count(): number {
    return this.cidToCpu.length;
  }

  /**
   * Another layout (scx_bpf_cid_override), of which nothing is known but its shards. Returns the text of the error that the
   * kernel gives, or null.
   */
  override(cpuToCid: readonly number[], shardStart: readonly number[], topology: Topology): string | null {
    const error = badLayout(cpuToCid, shardStart, this.count);
    if (error !== null) return error;
    cpuToCid.forEach((cid, cpu) => {
      this.cpuToCid[cpu] = cid;
      this.cidToCpu[cid] = cpu;
    });
    this.shards = shardStart.map((base, i) => {
      const count = (shardStart[i + 1] ?? this.count) - base;
      return { base, count, node: mostlyOn(topology, this.cidToCpu.slice(base, base + count)) };
    });
    this.shards.forEach(({ base, count }, shard) => {
      for (let cid = base; cid < base + count; cid++) {
        this.topo[cid] = { ...UNKNOWN_TOPO, shard_cid: base, shard_idx: shard };
      }
    });
    return null;
  }
}

function lowest(cpus: Set<number>): number {
  return Math.min(...cpus);
}

/** calc_shard_layout: the first `large` shards of a cache take one core more than `perShard`. */
function shardLayout(topology: Topology, llc: ReadonlySet<number>, shardSize: number) {
  const cores = [...llc].filter((cpu) => topology.siblings[cpu]![0] === cpu).length;
  const shards = Math.max(1, Math.ceil(llc.size / shardSize), Math.ceil(llc.size / SHARD_MAX));
  return { perShard: Math.floor(cores / shards), large: cores % shards };
}

function badLayout(cpuToCid: readonly number[], shardStart: readonly number[], count: number): string | null {
  const name = 'scx_bpf_cid_override';
  const spanTooLong = (shard: number, span: number) =>
    span > SHARD_MAX ? `${name}: shard[${shard}] span ${span} exceeds max ${SHARD_MAX}` : null;
  if (cpuToCid.length !== count) return `${name}: cpu_to_cid expected ${count} entries, got ${cpuToCid.length}`;
  const shards = shardStart.length;
  if (shards === 0 || shards > count) return `${name}: invalid shard_start count ${shards}`;
  if (shardStart[0] !== 0) return `${name}: shard_start[0] must be 0, got ${shardStart[0]}`;
  for (let i = 1; i < shards; i++) {
    const [before, start] = [shardStart[i - 1]!, shardStart[i]!];
    if (start <= before) return `${name}: shard_start not increasing at [${i}]`;
    if (start >= count) return `${name}: shard_start[${i}]=${start} >= ${count}`;
    const error = spanTooLong(i - 1, start - before);
    if (error !== null) return error;
  }
  const error = spanTooLong(shards - 1, count - shardStart[shards - 1]!);
  if (error !== null) return error;
  const seen = new Set<number>();
  for (const cid of cpuToCid) {
    if (cid < 0 || cid >= count) return `invalid cid ${cid}`;
    if (seen.has(cid)) return `cid ${cid} assigned to multiple cpus`;
    seen.add(cid);
  }
  return null;
}

/** pick_max_node: the lowest of the nodes that most of the CPUs are on. */
function mostlyOn(topology: Topology, cpus: readonly number[]): number {
  const counts = new Array<number>(topology.nrNodes).fill(0);
  for (const cpu of cpus) counts[topology.node(cpu)]!++;
  const most = Math.max(...counts);
  return most === 0 ? -1 : counts.indexOf(most);
}
