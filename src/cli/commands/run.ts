import { InputError, type VmtableError } from '../../errors.js';
import { type Kernel, ProgramFault } from '../../kernel/index.js';
import {
  type BpfObject,
  type BpfProgram,
  type Finding,
  lackingLines,
  stopOf,
  withLacking,
} from '../../loader/index.js';
import { type AddCommand, hex, inFile, json, positiveInteger, unhex } from '../command.js';
import type { Io } from '../io.js';
import { createKernel, type LoadOptions, loadInput, openInput, withLoadOptions } from '../kernel_input.js';
import { runOnce } from '../run_once.js';
import { addSubsystems } from '../subsystems.js';

interface RunOptions extends LoadOptions {
  prog?: string;
  ctx?: string;
  fuel?: string;
  maps?: boolean;
  dumpMaps?: string;
  json?: boolean;
}

export const addRun: AddCommand = (program, io, exit) => {
  const command = program
    .command('run')
    .description('load an object and run one program once')
    .argument('<file>', 'BPF object')
    .option('--prog <name>', 'which program; may be left out if there is only one')
    .option('--ctx <hex|@file>', 'context memory that r1 points to; of programs on packets, the packet')
    .option('--fuel <n>', 'stop after this many back-edges and calls')
    .option('--maps', 'show the maps afterwards')
    .option('--dump-maps <file>', 'write the maps afterwards as bpftool map dump -j prints several')
    .option('--json', 'one JSON document');
  withLoadOptions(command).action(async (file: string, options: RunOptions) => {
    const object = openInput(io, file, options);
    const prog = inFile(file, () => chooseProgram(object, options.prog));
    const context = options.ctx === undefined ? new Uint8Array(0) : readContext(io, options.ctx);
    // Only what is asked for has to load: another program may need what is not modelled.
    const wanted = new Set([prog.name, ...(options.initProg ?? []).map((text) => text.replace(/=.*/s, ''))]);
    for (const other of object.programs) other.autoload = wanted.has(other.name);
    for (const map of object.structOps) map.autocreate = map.programs.some(({ program }) => wanted.has(program.name));
    const kernel = await createKernel(io, options);
    try {
      addSubsystems(kernel);
      await loadInput(io, file, object, kernel, options);
      const fuel = options.fuel === undefined ? undefined : positiveInteger('--fuel', options.fuel);
      const start = performance.now();
      const result = runOnce(kernel, prog.fd, context, { ...(fuel !== undefined && { fuel }), countInsns: true });
      const ns = Math.round((performance.now() - start) * 1e6);
      if (options.dumpMaps !== undefined) io.writeFile(options.dumpMaps, object.snapshot());
      const document = {
        r0: result.r0,
        insns: result.insns,
        ctx: hex(result.context),
        host: {
          ns,
          engine: result.engine,
          ...(result.notCompiled !== undefined && { notCompiled: result.notCompiled }),
        },
        ...(options.maps && { maps: dumpMaps(object) }),
        output: kernel.trace,
        streams: result.streams,
        zeroedLoads: result.zeroedLoads,
        droppedStores: result.droppedStores,
        ...(result.fault && { fault: faultDocument(result.fault) }),
        ...(result.fault && lackingOf(result.fault, object, kernel)),
      };
      io.out(options.json ? json(document) : formatRun(prog.name, document));
      if (result.fault) exit(result.fault.exitCode);
    } catch (error) {
      throw withLacking(error, object, kernel);
    } finally {
      object.close();
      kernel.dispose();
    }
  });
};

function chooseProgram(object: BpfObject, name: string | undefined): BpfProgram {
  if (name !== undefined) {
    const found = object.programs.find((prog) => prog.name === name);
    if (found) return found;
    throw new InputError(
      `no program "${name}" (there are: ${object.programs.map((prog) => prog.name).join(', ') || 'none'})`,
    );
  }
  const [only, ...others] = object.programs;
  if (!only || others.length > 0) {
    throw new InputError(
      `pick a program with --prog: ${object.programs.map((prog) => prog.name).join(', ') || 'there is none'}`,
    );
  }
  return only;
}

function readContext(io: Io, text: string): Uint8Array {
  return text.startsWith('@') ? io.readFile(text.slice(1)) : unhex(text.replace(/^0x/, ''), '--ctx');
}

function dumpMaps(object: BpfObject): Record<string, unknown> {
  const maps: Record<string, unknown> = {};
  for (const map of object.maps) {
    if (!map.created || map.isInternal || object.structOps.some((ops) => ops === map)) continue;
    maps[map.name] = Array.from(map.entries(), ([key, value]) => ({ key, value }));
  }
  return maps;
}

/** Of a fault at what is not modelled, or not there: what else of the kind the program would get to. */
function lackingOf(
  fault: ProgramFault,
  object: BpfObject,
  kernel: Kernel,
): { lacking: readonly Finding[] } | undefined {
  const { lacking = [] } = stopOf(fault, object, kernel);
  return lacking.length > 0 ? { lacking } : undefined;
}

function faultDocument(error: VmtableError) {
  if (!(error instanceof ProgramFault)) return { kind: 'error', message: error.message };
  const { fault, place } = error;
  return {
    kind: fault.kind,
    prog: place.prog,
    insn: place.insn,
    file: place.file,
    line: place.line,
    address: fault.address,
    near: fault.near,
    registers: fault.registers,
    message: error.message,
  };
}

function formatRun(
  prog: string,
  run: Record<string, unknown> & {
    r0: bigint;
    insns: number;
    host: { ns: number };
    output: readonly string[];
    streams: { stdout: string; stderr: string };
    zeroedLoads: readonly string[];
    droppedStores: readonly string[];
    ctx: string;
    maps?: unknown;
    fault?: { message: string };
    lacking?: readonly Finding[];
  },
): string {
  const { stdout, stderr } = run.streams;
  const lines = [...run.output, ...[stdout, stderr].flatMap((text) => (text === '' ? [] : text.replace(/\n$/, '')))];
  for (const load of run.zeroedLoads) lines.push(`read as 0: ${load}`);
  for (const store of run.droppedStores) lines.push(`store without memory: ${store}`);
  if (run.maps) lines.push(json(run.maps).trimEnd());
  if (run.fault) lines.push(`fault: ${run.fault.message}`, ...lackingLines(run.lacking ?? []));
  else lines.push(`${prog} returned ${run.r0} (0x${run.r0.toString(16)}) after ${run.insns} insns, ${run.host.ns} ns`);
  if (run.ctx) lines.push(`ctx: ${run.ctx}`);
  return `${lines.join('\n')}\n`;
}
