import type { Command } from 'commander';
import { InputError } from '../errors.js';
import { Kernel, type KernelOptions, type Profile, profileFromBtf } from '../kernel/index.js';
import { type BpfObject, openObject } from '../loader/index.js';
import { inFile, inFileAsync, objectName, positiveInteger } from './command.js';
import type { Io } from './io.js';
import { chooseObject, withObjectOption } from './object_input.js';

/** What every command that loads an object understands. */
export interface LoadOptions {
  kernel?: string;
  btf?: string;
  object?: string;
  engine?: string;
  checks?: string;
  faults?: string;
  cpus?: string;
  set?: string[];
  initProg?: string[];
}

const collect = (value: string, previous: string[] = []) => [...previous, value];

export function withLoadOptions(command: Command): Command {
  return withObjectOption(command)
    .option('--kernel <version>', 'kernel profile: 7.3, 6.18 or 6.12', '7.3')
    .option(
      '--btf <file>',
      "raw BTF of another kernel, such as /sys/kernel/btf/vmlinux (profile: --kernel's behaviours)",
    )
    .option('--engine <name>', 'interp or jit', 'interp')
    .option('--checks <strength>', 'isolate or object', 'object')
    .option('--faults <policy>', 'kernel (bad loads that a kernel satisfies read 0) or strict', 'kernel')
    .option('--cpus <n>', 'possible CPUs', '4')
    .option('--set <var=value>', 'set a global variable before load; repeatable', collect)
    .option('--init-prog <prog>', 'run this SEC("syscall") program after load; repeatable', collect);
}

function oneOf<T extends string>(option: string, value: string, choices: readonly T[]): T {
  if ((choices as readonly string[]).includes(value)) return value as T;
  throw new InputError(`${option} wants ${choices.join(' or ')}, not "${value}"`);
}

/** What kernel the options ask for. */
export async function kernelOptions(io: Io, options: LoadOptions): Promise<KernelOptions> {
  const version = options.kernel ?? '7.3';
  return {
    engine: oneOf('--engine', options.engine ?? 'interp', ['interp', 'jit']),
    checks: oneOf('--checks', options.checks ?? 'object', ['isolate', 'object']),
    faults: oneOf('--faults', options.faults ?? 'kernel', ['kernel', 'strict']),
    cpus: positiveInteger('--cpus', options.cpus ?? '4'),
    profile: options.btf === undefined ? version : await ownProfile(io, options.btf, version),
  };
}

function ownProfile(io: Io, file: string, version: string): Promise<Profile> {
  const release = /^\d+\.\d+$/.test(version) ? `${version}.0` : version;
  const bytes = io.readFile(file);
  return inFileAsync(file, () => profileFromBtf(bytes, { release, name: file }));
}

export async function createKernel(io: Io, options: LoadOptions): Promise<Kernel> {
  return Kernel.create(await kernelOptions(io, options));
}

/** The assignments of `--set`. */
export function settings(options: LoadOptions): [variable: string, value: string][] {
  return (options.set ?? []).map((assignment) => {
    const equals = assignment.indexOf('=');
    if (equals < 1) throw new InputError(`--set wants variable=value, not "${assignment}"`);
    return [assignment.slice(0, equals), assignment.slice(equals + 1)];
  });
}

/** FILE opened, `--set` applied. */
export function openInput(io: Io, file: string, options: LoadOptions): BpfObject {
  const bytes = chooseObject(io, file, options.object);
  return inFile(file, () => {
    const object = openObject(bytes, { name: objectName(file) });
    for (const [variable, value] of settings(options)) object.variable(variable).set(value);
    return object;
  });
}

/** Loads, then runs the `--init-prog` programs. */
export function loadInput(file: string, object: BpfObject, kernel: Kernel, options: LoadOptions): void {
  inFile(file, () => {
    object.load(kernel);
    for (const name of options.initProg ?? []) object.program(name).testRun();
  });
}
