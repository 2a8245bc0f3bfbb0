import { checkArgument } from '../argument.js';
import { InputError, within } from '../errors.js';
import { type CpuPlace, Topology } from '../sched_ext/topology.js';
import { type Costs, DEFAULT_COSTS } from './costs.js';
import { JsonValue } from './json_path.js';

/** A machine: its CPUs, and what things cost on it. */
export interface MachineDescription {
  topology: Topology;
  /** Of each CPU, of 1024: how much it gets done in a time, at its highest frequency. */
  capacities?: readonly number[];
  /** Of each CPU, of 1024: the highest frequency that it runs at. */
  frequencies?: readonly number[];
  /** Of each CPU, of 1024: the lowest one, however little a scheduler asks for. Default: a fifth of the highest. */
  lowestFrequencies?: readonly number[];
  /** Of 1024: what a CPU gets done while another thread of its core runs a task. */
  smt?: number;
  costs?: Partial<Costs>;
}

const MAX_CPUS = 4096;
const FULL = 1024;

/** Lowest frequency of a CPU of which only the highest is told. */
export function lowestOf(highest: number): number {
  return Math.ceil(highest / 5);
}

/**
 * `2n2l4c2t`: nodes, caches of each, cores of each, threads of each; parts from the left may be left out. Or a description in
 * JSON (docs/sim.md). Throws InputError.
 */
export function parseTopology(text: string): MachineDescription {
  checkArgument('parseTopology: text', text, 'text');
  return within('topology', () => {
    const trimmed = text.trim();
    return trimmed.startsWith('{') ? parseDescription(trimmed) : { topology: parseShape(trimmed) };
  });
}

function parseShape(text: string): Topology {
  const match = /^(?:(\d+)n)?(?:(\d+)l)?(\d+)c(?:(\d+)t)?$/.exec(text);
  if (!match) throw new InputError(`"${text}" is no shape such as 1n2l4c2t`);
  const [nodes, llcs, cores, threads] = match.slice(1).map((part) => Number(part ?? 1)) as [
    number,
    number,
    number,
    number,
  ];
  const total = nodes * llcs * cores * threads;
  if (total < 1 || total > MAX_CPUS) throw new InputError(`"${text}" has ${total} CPUs, wanted are 1 to ${MAX_CPUS}`);
  const places: CpuPlace[] = [];
  for (let core = 0; core < nodes * llcs * cores; core++) {
    const llc = Math.floor(core / cores);
    for (let thread = 0; thread < threads; thread++) places.push({ node: Math.floor(llc / llcs), llc, core });
  }
  return new Topology(places);
}

const CPU_KEYS = ['count', 'node', 'llc', 'threads', 'capacity', 'frequency', 'lowest'];

function parseDescription(text: string): MachineDescription {
  const members = JsonValue.parse(text).object(['cpus', 'smt', 'costs']);
  const costs = members.get('costs');
  const groups = members.get('cpus') ?? new JsonValue(undefined, 'cpus').fail('is wanted: a list of groups of cores');
  const places: CpuPlace[] = [];
  const capacities: number[] = [];
  const frequencies: number[] = [];
  const lowestFrequencies: number[] = [];
  let core = 0;
  for (const group of groups.list()) {
    const of = group.object(CPU_KEYS);
    const number = (name: string, least: number, most: number, otherwise: number) =>
      of.get(name)?.whole(least, most) ?? otherwise;
    const count = number('count', 1, MAX_CPUS, 1);
    const node = number('node', 0, MAX_CPUS, 0);
    const llc = number('llc', 0, MAX_CPUS, node);
    const threads = number('threads', 1, 8, 1);
    const capacity = number('capacity', 1, FULL, FULL);
    const frequency = number('frequency', 1, FULL, FULL);
    const lowest = number('lowest', 1, frequency, lowestOf(frequency));
    if (places.length + count * threads > MAX_CPUS) group.fail(`more than ${MAX_CPUS} CPUs`);
    for (let i = 0; i < count; i++, core++) {
      for (let thread = 0; thread < threads; thread++) {
        places.push({ node, llc, core });
        capacities.push(capacity);
        frequencies.push(frequency);
        lowestFrequencies.push(lowest);
      }
    }
  }
  if (places.length === 0) groups.fail('no CPUs');
  const smt = members.get('smt')?.whole(1, FULL);
  return {
    topology: new Topology(places),
    capacities,
    frequencies,
    lowestFrequencies,
    ...(smt !== undefined && { smt }),
    ...(costs && { costs: parseCosts(costs) }),
  };
}

function parseCosts(costs: JsonValue): Partial<Costs> {
  const known = Object.keys(DEFAULT_COSTS);
  return Object.fromEntries([...costs.object(known)].map(([name, value]) => [name, value.time()]));
}
