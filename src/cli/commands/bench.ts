import {
  type BenchReport,
  type BenchRow,
  benchMembers,
  benchPrograms,
  compareReports,
  DEFAULT_SAMPLING,
  driveNothing,
  driveQdisc,
  driveSchedExt,
  driveTcp,
  median,
  ProgramLoop,
  type ProgramSubject,
  readReport,
  type SampleOptions,
  type Setup,
  type Skipped,
  type Stage,
} from '../../bench/index.js';
import { InputError, located, UnsupportedError, VmtableError } from '../../errors.js';
import type { Kernel } from '../../kernel/index.js';
import { type BpfObject, type BpfProgram, type StructOpsMap, withLacking } from '../../loader/index.js';
import { BPF_PROG_TYPE } from '../../uapi.js';
import type { CheckStrength, EngineName } from '../../vm/types.js';
import { type AddCommand, inFile, json, objectName, oneOf, positiveInteger, unhex } from '../command.js';
import { formatBench, formatComparison } from '../format_bench.js';
import type { Io } from '../io.js';
import { collect, createKernel, type LoadOptions, loadInput, openInput, withLoadOptions } from '../kernel_input.js';
import { contextOf } from '../run_once.js';
import { addSubsystems, type Subsystems } from '../subsystems.js';

interface BenchOptions extends LoadOptions {
  prog?: string[];
  ctx?: string;
  members?: boolean;
  map?: string;
  samples?: string;
  compare?: string;
  threshold: string;
  json?: boolean;
}

export const addBench: AddCommand = (program, io, exit) => {
  const command = program
    .command('bench')
    .description('how long programs, or the members of struct_ops maps, take')
    .argument('<file>', 'BPF object')
    .option('--prog <name>', 'time this program, called over and over on one context; repeatable', collect)
    .option('--ctx <hex|@file>', 'context memory that r1 points to; of programs on packets, the packet')
    .option(
      '--members',
      'time each member of the struct_ops maps while a subsystem calls it (default if there are any)',
    )
    .option('--map <name>', 'members of this struct_ops map alone')
    .option('--samples <n>', 'samples of each row', String(DEFAULT_SAMPLING.samples))
    .option('--compare <old.json>', 'compare with what --json gave before; exit 1 if anything is slower')
    .option('--threshold <percent>', 'what --compare lets pass', '5')
    .option('--json', 'one JSON document');
  withLoadOptions(command, {
    engine: { choices: 'interp, jit or both', preset: 'both' },
    checks: { choices: 'isolate, object or both', preset: 'both' },
  }).action(async (file: string, options: BenchOptions) => {
    const before = options.compare === undefined ? undefined : readOld(io, options.compare);
    const threshold = percent(options.threshold);
    const report = await bench(io, file, options);
    const compared = before && compareReports(before, report, threshold);
    if (before && report.rows.length > 0 && !compared?.some(({ shift }) => shift)) {
      throw new InputError(`${options.compare}: ${nothingInCommon(before.rows[0]!, report.rows[0]!)}`);
    }
    if (options.json) io.out(json({ ...report, ...(compared && { compared }) }));
    else io.out(formatBench(report) + (compared ? formatComparison(compared, threshold, before, report) : ''));
    if (report.skipped.some(({ failed }) => failed) || compared?.some(({ verdict }) => verdict === 'slower')) exit(1);
  });
};

function readOld(io: Io, file: string): BenchReport {
  const bytes = io.readFile(file);
  return inFile(file, () => readReport(new TextDecoder().decode(bytes)));
}

/** Rows that are all new or gone say nothing about what became slower. */
function nothingInCommon(before: BenchRow, after: BenchRow): string {
  const words = ({ name, engine, checks }: BenchRow) => `${name} (${engine}, ${checks})`;
  return `none of its rows is timed here: its first is ${words(before)}, here it is ${words(after)}`;
}

function percent(text: string): number {
  if (!/^(\d+\.?\d*|\.\d+)$/.test(text)) throw new InputError(`--threshold wants a percentage, not "${text}"`);
  return Number(text) / 100;
}

const ENGINES = { interp: ['interp'], jit: ['jit'], both: ['interp', 'jit'] } as const;
const CHECKS = { isolate: ['isolate'], object: ['object'], both: ['isolate', 'object'] } as const;

function setupsOf(options: BenchOptions): Setup[] {
  const engines: readonly EngineName[] = ENGINES[oneOf('--engine', options.engine!, ['interp', 'jit', 'both'])];
  const checks: readonly CheckStrength[] = CHECKS[oneOf('--checks', options.checks!, ['isolate', 'object', 'both'])];
  return engines.flatMap((engine) => checks.map((strength) => ({ engine, checks: strength })));
}

async function bench(io: Io, file: string, options: BenchOptions): Promise<BenchReport> {
  const object = openInput(io, file, options);
  const { maps, progs } = inFile(file, () => choose(object, options));
  object.close();
  const setups = setupsOf(options);
  const rows: BenchRow[] = [];
  const skipped: Skipped[] = [];
  const referenceNs: number[] = [];
  let kernel = '';
  const sampling = (what: string): SampleOptions => ({
    ...DEFAULT_SAMPLING,
    samples: positiveInteger('--samples', options.samples!),
    onRound: (round, rounds) => {
      if (!io.colour || options.json) return;
      io.err(round + 1 === rounds ? '\r\x1b[K' : `\r\x1b[K${what}: round ${round + 1} of ${rounds}`);
    },
  });
  const take = (result: { rows: BenchRow[]; skipped: Skipped[]; referenceNs: readonly number[] }) => {
    rows.push(...result.rows);
    skipped.push(...result.skipped);
    referenceNs.push(...result.referenceNs);
  };
  if (progs.length > 0) {
    const loaded = await loadEach(setups, skipped, progs.join(', '), (setup) =>
      loadPrograms(io, file, options, setup, progs),
    );
    try {
      take(
        benchPrograms(
          progs.flatMap((name) => loaded.map(({ subjects }) => subjects.get(name)!)),
          sampling(file),
        ),
      );
      kernel ||= loaded[0]?.kernel.profile.release ?? '';
    } finally {
      for (const { dispose } of loaded) dispose();
    }
  }
  for (const name of maps) {
    const stages = await loadEach(setups, skipped, name, (setup) => openStage(io, file, options, setup, name));
    const usable = setups.filter((_, i) => stages.some(({ setup }) => setup === setups[i]));
    kernel ||= stages[0]?.kernel.profile.release ?? '';
    for (const { dispose } of stages) dispose();
    if (usable.length === 0) continue;
    let stage: Awaited<ReturnType<typeof openStage>> | undefined;
    const open = async (setup: Setup) => {
      stage = await openStage(io, file, options, setup, name);
      return stage;
    };
    try {
      take(await benchMembers(usable, open, sampling(name)));
    } catch (error) {
      if (!(error instanceof VmtableError) || maps.length === 1)
        throw located(file, stage ? withLacking(error, stage.object, stage.kernel) : error);
      skipped.push({ name, why: error.message, failed: true });
    }
  }
  return {
    object: objectName(file),
    kernel,
    rows,
    skipped,
    host: { runtime: runtime(), referenceNs: referenceNs.length === 0 ? 0 : median(referenceNs) },
  };
}

/** Every setup that can be had; the rest is skipped by name. */
async function loadEach<T>(
  setups: readonly Setup[],
  skipped: Skipped[],
  name: string,
  load: (setup: Setup) => Promise<T>,
): Promise<T[]> {
  const loaded: T[] = [];
  for (const setup of setups) {
    try {
      loaded.push(await load(setup));
    } catch (error) {
      if (!(error instanceof UnsupportedError) || setups.length === 1) throw error;
      skipped.push({ name, ...setup, why: error.message });
    }
  }
  return loaded;
}

/** What the options name: maps whose members, and programs that are timed. */
function choose(object: BpfObject, options: BenchOptions): { maps: string[]; progs: string[] } {
  const all = object.structOps.map(({ name }) => name);
  const free = object.programs.filter(({ type }) => type !== BPF_PROG_TYPE.STRUCT_OPS).map(({ name }) => name);
  const wantsMembers = options.members === true || options.map !== undefined;
  const unknownMap = options.map !== undefined && !all.includes(options.map);
  if (unknownMap || (wantsMembers && all.length === 0)) {
    throw new InputError(
      `no struct_ops map${options.map ? ` "${options.map}"` : ''} (there are: ${all.join(', ') || 'none'})`,
    );
  }
  for (const name of options.prog ?? []) {
    if (object.programs.some((prog) => prog.name === name)) continue;
    const names = object.programs.map((prog) => prog.name).join(', ') || 'none';
    throw new InputError(`no program "${name}" (there are: ${names})`);
  }
  const maps = options.map !== undefined ? [options.map] : wantsMembers || !options.prog ? all : [];
  const progs = options.prog ?? (wantsMembers || all.length > 0 ? [] : free);
  if (maps.length === 0 && progs.length === 0) throw new InputError('the object has no program');
  return { maps, progs };
}

function withSetup(options: BenchOptions, { engine, checks }: Setup): LoadOptions {
  return { ...options, engine, checks };
}

async function loadPrograms(
  io: Io,
  file: string,
  options: BenchOptions,
  setup: Setup,
  names: readonly string[],
): Promise<{ kernel: Kernel; subjects: Map<string, ProgramSubject>; dispose: () => void }> {
  const object = openInput(io, file, options);
  const initial = (options.initProg ?? []).map((text) => text.replace(/=.*/s, ''));
  const wanted = (prog: BpfProgram) => names.includes(prog.name) || initial.includes(prog.name);
  for (const prog of object.programs) prog.autoload = wanted(prog);
  for (const map of object.structOps) map.autocreate = map.programs.some(({ program }) => wanted(program));
  const context = options.ctx === undefined ? new Uint8Array(0) : readContext(io, options.ctx);
  const kernel = await createKernel(io, withSetup(options, setup));
  const dispose = () => {
    object.close();
    kernel.dispose();
  };
  try {
    addSubsystems(kernel);
    await loadInput(io, file, object, kernel, options);
    const subjects = new Map(
      object.programs
        .filter(({ name }) => names.includes(name))
        .map(({ name, fd }) => {
          const prog = kernel.fds.prog(fd);
          if (typeof prog === 'number') throw new VmtableError(`program "${name}" is not loaded`);
          const loop = new ProgramLoop(kernel, prog, contextOf(kernel, prog, context).ptr);
          return [name, { name, setup, loop }];
        }),
    );
    return { kernel, subjects, dispose };
  } catch (error) {
    dispose();
    throw withLacking(error, object, kernel);
  }
}

function readContext(io: Io, text: string): Uint8Array {
  return text.startsWith('@') ? io.readFile(text.slice(1)) : unhex(text.replace(/^0x/, ''), '--ctx');
}

/** A kernel with the object loaded, and the one map to be attached by what drives it. */
async function openStage(
  io: Io,
  file: string,
  options: BenchOptions,
  setup: Setup,
  name: string,
): Promise<Stage & { setup: Setup; object: BpfObject }> {
  const object = openInput(io, file, options);
  const kernel = await createKernel(io, withSetup(options, setup));
  const dispose = () => {
    object.close();
    kernel.dispose();
  };
  try {
    const subsystems = addSubsystems(kernel);
    for (const map of object.structOps) map.autocreate = map.name === name;
    const hooks = await loadInput(io, file, object, kernel, options);
    await hooks.beforeAttach?.(object, kernel);
    const map = object.structOps.find((candidate) => candidate.name === name)!;
    return { kernel, map, setup, start: () => drive(kernel, subsystems, map), dispose, object };
  } catch (error) {
    dispose();
    throw withLacking(error, object, kernel);
  }
}

function drive(kernel: Kernel, { machine, tcp, qdisc }: Subsystems, map: StructOpsMap) {
  const type = map.structName.replace(/___.*/, '');
  if (type === 'sched_ext_ops' || type === 'sched_ext_ops_cid') return driveSchedExt(machine, map);
  if (type === 'tcp_congestion_ops' && tcp) return driveTcp(tcp, map);
  if (type === 'Qdisc_ops' && qdisc) return driveQdisc(qdisc, map);
  return driveNothing(kernel, map);
}

function runtime(): string {
  const { versions, platform, arch } = process;
  return `Node ${versions.node} (V8 ${versions.v8}), ${platform} ${arch}`;
}
