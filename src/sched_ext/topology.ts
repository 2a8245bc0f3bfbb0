import { InputError } from '../errors.js';

/** Where a CPU sits: numbers of its NUMA node, last-level cache and core. Threads of one core share all three. */
export interface CpuPlace {
  readonly node: number;
  readonly llc: number;
  readonly core: number;
}

/** The places of a machine's CPUs. Caches and cores do not reach across nodes: those that would count as several. */
export class Topology {
  readonly nrNodes: number;
  /** CPUs of the same core, cache and node, by CPU; ascending, the CPU itself among them. */
  readonly siblings: readonly (readonly number[])[];
  readonly llcCpus: readonly (readonly number[])[];
  readonly nodeCpus: readonly (readonly number[])[];
  readonly hasSmt: boolean;

  /** Throws InputError for numbers that are no places. */
  constructor(readonly places: readonly CpuPlace[]) {
    for (const [cpu, { node, llc, core }] of places.entries()) {
      if ([node, llc, core].some((number) => !Number.isInteger(number) || number < 0)) {
        throw new InputError(`topology: CPU ${cpu}: node ${node}, cache ${llc}, core ${core}`);
      }
    }
    const together = (keyOf: (place: CpuPlace) => string) => {
      const groups = new Map<string, number[]>();
      return places.map((place, cpu) => {
        const key = keyOf(place);
        const group = groups.get(key);
        if (!group) groups.set(key, [cpu]);
        else group.push(cpu);
        return groups.get(key)!;
      });
    };
    this.nrNodes = places.reduce((most, { node }) => Math.max(most, node), 0) + 1;
    this.nodeCpus = together(({ node }) => `${node}`);
    this.llcCpus = together(({ node, llc }) => `${node} ${llc}`);
    this.siblings = together(({ node, llc, core }) => `${node} ${llc} ${core}`);
    this.hasSmt = this.siblings.some(({ length }) => length > 1);
  }

  /** One node, one cache, cores of one thread. */
  static flat(cpus: number): Topology {
    return new Topology(Array.from({ length: cpus }, (_, core) => ({ node: 0, llc: 0, core })));
  }

  get cpus(): number {
    return this.places.length;
  }

  /** cpus_share_cache() */
  shareCache(a: number, b: number): boolean {
    return this.llcCpus[a] === this.llcCpus[b];
  }

  node(cpu: number): number {
    return this.places[cpu]!.node;
  }
}
