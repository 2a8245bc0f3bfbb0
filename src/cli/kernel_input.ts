import type { Command } from 'commander';
import { InputError } from '../errors.js';
import { Kernel, type KernelOptions, profileFromBtf } from '../kernel/index.js';
import { BpfObject } from '../loader/index.js';
import { parseObject } from '../object/index.js';
import { inFile, objectName, positiveInteger } from './command.js';
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

/** A kernel as the options ask for it. */
export async function createKernel(io: Io, options: LoadOptions, more: KernelOptions = {}): Promise<Kernel> {
  const settings: KernelOptions = {
    engine: oneOf('--engine', options.engine ?? 'interp', ['interp', 'jit']),
    checks: oneOf('--checks', options.checks ?? 'object', ['isolate', 'object']),
    faults: oneOf('--faults', options.faults ?? 'kernel', ['kernel', 'strict']),
    cpus: positiveInteger('--cpus', options.cpus ?? '4'),
    ...more,
  };
  const version = options.kernel ?? '7.3';
  if (options.btf === undefined) return Kernel.create({ ...settings, profile: version });
  const bytes = io.readFile(options.btf);
  const release = /^\d+\.\d+$/.test(version) ? `${version}.0` : version;
  const profile = await profileFromBtf(bytes, { release, name: options.btf }).catch((error: unknown) =>
    inFile(options.btf!, () => {
      throw error;
    }),
  );
  return Kernel.create({ ...settings, profile });
}

/** FILE opened, `--set` applied. */
export function openInput(io: Io, file: string, options: LoadOptions): BpfObject {
  return inFile(file, () => {
    const spec = parseObject(chooseObject(io, file, options.object), { name: objectName(file) });
    const object = new BpfObject(spec);
    for (const assignment of options.set ?? []) {
      const equals = assignment.indexOf('=');
      if (equals < 1) throw new InputError(`--set wants variable=value, not "${assignment}"`);
      object.variable(assignment.slice(0, equals)).set(assignment.slice(equals + 1));
    }
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
