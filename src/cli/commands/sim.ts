import { InputError, located } from '../../errors.js';
import { Kernel } from '../../kernel/index.js';
import { lacking, withLacking } from '../../loader/index.js';
import { autoattachOnly, readyToAttach } from '../../loader/user_space.js';
import { chooseProfile } from '../../sched_ext/index.js';
import {
  DEFAULT_DURATION_NS,
  defaultScenario,
  EventLog,
  formatReport,
  type Machine,
  type MachineDescription,
  type Percentiles,
  parseTime,
  parseTopology,
  runScheduler,
  type SimReport,
  schedulerMap,
  UPTIME_NS,
  WorkloadError,
} from '../../sim/index.js';
import { loaderProcess, schedulerAgent } from '../../sim/user_process.js';
import {
  describeLibrary,
  isLibraryName,
  type LoadedWorkload,
  libraryWorkload,
  loadWorkload,
  type WorkloadTarget,
} from '../../workload/index.js';
import { type AddCommand, EXIT_UNSUPPORTED, fileName, inFile, json, readInput } from '../command.js';
import type { Io } from '../io.js';
import { kernelOptions, type LoadOptions, loadWith, openInput, userSpace, withLoadOptions } from '../kernel_input.js';
import { addSubsystems } from '../subsystems.js';

interface SimOptions extends LoadOptions {
  map?: string;
  workload?: string;
  topology?: string;
  duration?: string;
  seed: string;
  events?: string;
  dumpMaps?: string;
  json?: boolean;
}

export const addSim: AddCommand = (program, io, exit) => {
  const command = program
    .command('sim')
    .description('run a sched_ext scheduler against a simulated machine and a workload, and show what happened')
    .argument('<file>', 'BPF object with a sched_ext_ops map')
    .option('--map <name>', 'which scheduler, if the object has several')
    .option(
      '--workload <name|file>',
      'what runs: a ready workload (below), a scenario, a file of rt-app, a trace (docs/workloads.md)',
    )
    .option('--topology <shape>', '2n2l4c2t (nodes, caches, cores, threads), or a description in JSON or a file of it')
    .option(
      '--duration <time>',
      `simulated time at most, such as 500ms (default: the workload's own, or ${DEFAULT_DURATION_NS / 1e9}s)`,
    )
    .option('--seed <n>', 'of random numbers that the workload and programs draw', '1')
    .option('--events <file>', 'write each call of an op as a line of JSON: arguments, kfuncs, result')
    .option('--dump-maps <file>', 'write the maps, once the scheduler has gone, as bpftool map dump -j prints several')
    .option('--json', 'one JSON document')
    .addHelpText('after', `\nReady workloads, as --workload NAME or NAME:key=value,key=value\n${describeLibrary()}`);
  withLoadOptions(command).action(async (file: string, options: SimOptions) => {
    const started = performance.now();
    const report = await run(io, file, options);
    const { spans, nsPerCall, ...document } = report;
    const wallMs = performance.now() - started;
    const object = file.slice(file.lastIndexOf('/') + 1);
    if (options.json) io.out(json({ object, ...document, host: { wallMs, nsPerCall } }));
    else io.out(formatReport(document, { color: io.colour, width: io.width, object, spans, nsPerCall }));
    if (document.outcome !== 'clean') exit(document.unsupported ? EXIT_UNSUPPORTED : 1);
  });
};

type Result = SimReport & { spans: ReturnType<typeof spansOf>; nsPerCall: Record<string, Percentiles> };
const spansOf = (machine: Machine) => machine.stats.cpus.map((cpu) => cpu.spans);

/** Time that the host took for a call of each op, kfuncs included. No part of the simulation: it differs from run to run. */
function nsPerCallOf({ stats }: Machine): Record<string, Percentiles> {
  return Object.fromEntries(stats.calls.hostNs().map(([op, ns]) => [op, ns.percentiles()]));
}

async function run(io: Io, file: string, options: SimOptions): Promise<Result> {
  const wantedNs = options.duration === undefined ? undefined : time('--duration', options.duration);
  const seed = wholeNumber('--seed', options.seed);
  const topology = options.topology === undefined ? undefined : topologyOf(io, options.topology);
  const object = openInput(io, file, options);
  const map = schedulerMap(object.structOps, file, options.map);
  autoattachOnly(map, object.structOps);
  const cpus = topology?.topology.cpus;
  const lines = options.events === undefined ? undefined : new Lines(io, options.events);
  let log: EventLog | undefined;
  const kernel = await Kernel.create({
    ...(await kernelOptions(io, options)),
    seed,
    ...(cpus !== undefined && { cpus }),
    ...(lines && {
      wrapCall: (kind, name, fn) => (call) => (log ? log.called(kind, name, fn, call) : fn(call)),
    }),
  });
  try {
    kernel.clock.advanceTo(UPTIME_NS);
    kernel.statsHolders++;
    const { machine } = addSubsystems(kernel, { ...(topology && { topology }), seed });
    if (lines) log = new EventLog(kernel, (line) => lines.add(line));
    if (log) machine.scx.calls.tracers.push(log);
    const user = chooseProfile(object, options.userSpace ?? 'auto');
    const hooks = await userSpace(io, file, options);
    const process = loaderProcess(machine, hooks, user);
    await loadWith(hooks, file, object, kernel, process?.pid);
    process?.runs(schedulerAgent(hooks, object, kernel, user));
    const workload = workloadOf(io, options.workload, { cpus: kernel.cpus, costs: machine.costs });
    for (const note of workload.notes) io.err(`vmtable: ${fileName(options.workload!)}: ${note}\n`);
    const named = fileName(options.workload ?? 'workload');
    inFile(named, () => machine.load(workload.scenario));
    await readyToAttach(hooks, object, kernel);
    const heard = object.messages.length;
    object.attachPrograms();
    for (const message of object.messages.slice(heard)) io.err(`vmtable: ${fileName(file)}: ${message}\n`);
    const durationNs = wantedNs ?? workload.durationNs ?? DEFAULT_DURATION_NS;
    const report = blaming(named, file, () => runScheduler(machine, map, durationNs));
    if (options.dumpMaps !== undefined) io.writeFile(options.dumpMaps, object.snapshot());
    if (report.unsupported) report.lacking = lacking(object, kernel, report.fault);
    return { ...report, spans: spansOf(machine), nsPerCall: nsPerCallOf(machine) };
  } catch (error) {
    throw withLacking(error, object, kernel);
  } finally {
    object.close();
    lines?.flush();
    kernel.dispose();
  }
}

/** Errors of the run name the workload if they are its own, else the object. */
function blaming<T>(workload: string, object: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw located(error instanceof WorkloadError ? workload : fileName(object), error);
  }
}

/** The clock counts whole ns up to 2^53. */
const MAX_DURATION_NS = 100 * 86_400 * 1e9;

const CHUNK = 1 << 20;

/** A file of lines, written as they come. */
class Lines {
  #text = '';

  constructor(
    private readonly io: Io,
    private readonly file: string,
  ) {
    io.writeFile(file, '');
  }

  add(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length > CHUNK) this.flush();
  }

  flush(): void {
    this.io.appendFile(this.file, this.#text);
    this.#text = '';
  }
}

function topologyOf(io: Io, text: string): MachineDescription {
  if (/^[\dnlct]+$/.test(text) || text.trim().startsWith('{')) return parseTopology(text);
  const content = new TextDecoder().decode(elseFile(io, text, 'no shape such as 1n2l4c2t'));
  return inFile(text, () => parseTopology(content));
}

function workloadOf(io: Io, text: string | undefined, target: WorkloadTarget): LoadedWorkload {
  if (text === undefined) return { scenario: defaultScenario(target.cpus), notes: [] };
  if (isLibraryName(text)) return { scenario: libraryWorkload(text), notes: [] };
  const bytes = elseFile(io, text, 'no ready workload');
  return inFile(text, () => loadWorkload(bytes, target));
}

/** A file that the user may not have meant: of a name without a folder or an extension, the error says what else it is not. */
function elseFile(io: Io, text: string, what: string): Uint8Array {
  try {
    return readInput(io, text);
  } catch (error) {
    if (!(error instanceof InputError) || /[./\\]/.test(text)) throw error;
    throw new InputError(`"${text}" is ${what}, and ${error.message}`, { cause: error });
  }
}

function time(option: string, text = ''): number {
  const ns = parseTime(text);
  if (ns !== undefined && ns > MAX_DURATION_NS) throw new InputError(`${option} wants at most 100 days, not "${text}"`);
  if (ns === undefined || ns === 0) throw new InputError(`${option} wants a time such as 500ms, not "${text}"`);
  return ns;
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d+$/.test(text) || Number(text) > 0xffffffff) {
    throw new InputError(`${option} wants a whole number below 2^32, not "${text}"`);
  }
  return Number(text);
}
