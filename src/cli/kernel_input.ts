import type { Command } from 'commander';
import { BTF_KIND } from '../btf/types.js';
import { InputError } from '../errors.js';
import { Kernel, type KernelOptions, type Profile, profileFromBtf } from '../kernel/index.js';
import { type BpfObject, openObject } from '../loader/index.js';
import { type Setting, setting } from '../loader/settings.js';
import { enumerators } from '../loader/value.js';
import { DEFAULT_ENGINE, ENGINE_NAMES } from '../vm/types.js';
import { inFile, inFileAsync, objectName, oneOf, orList, positiveInteger } from './command.js';
import { type Hooks, importHooks } from './hooks.js';
import { runInitProg } from './init_prog.js';
import type { Io } from './io.js';
import { chooseObject, withObjectOption } from './object_input.js';
import { afterLoad, beforeLoad } from './subsystems.js';

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
  kconfig?: string[];
  initProg?: string[];
  hooks?: string;
  userSpace?: string;
  loadMaps?: string;
}

export const collect = (value: string, previous: string[] = []) => [...previous, value];

/** How an option that names one of several is told: `interp or jit`, and what it is if it is not given. */
interface Choice {
  choices: string;
  preset: string;
}

const ENGINE: Choice = { choices: orList(ENGINE_NAMES), preset: DEFAULT_ENGINE };
const CHECKS: Choice = { choices: 'isolate or object', preset: 'object' };

export function withLoadOptions(command: Command, { engine = ENGINE, checks = CHECKS } = {}): Command {
  return withObjectOption(command)
    .option('--kernel <version>', 'kernel profile: 7.3, 6.18 or 6.12', '7.3')
    .option(
      '--btf <file>',
      "raw BTF of another kernel, such as /sys/kernel/btf/vmlinux (profile: --kernel's behaviours)",
    )
    .option('--engine <name>', engine.choices, engine.preset)
    .option('--checks <strength>', checks.choices, checks.preset)
    .option(
      '--faults <policy>',
      'kernel (bad accesses that a kernel passes over go on, and are counted) or strict',
      'kernel',
    )
    .option('--cpus <n>', 'possible CPUs', '4')
    .option(
      '--set <var=value>',
      'set a global variable, or a value of a struct_ops map (my_ops.flags=…), before load; repeatable',
      collect,
    )
    .option(
      '--kconfig <CONFIG_X=value>',
      "a value of the kernel's configuration for extern … __kconfig variables; repeatable",
      collect,
    )
    .option(
      '--init-prog <prog[=ctx]>',
      'run this SEC("syscall") program after load, on a context in hex, of @file or as JSON; repeatable',
      collect,
    )
    .option(
      '--load-maps <file>',
      'store a snapshot of maps (bpftool map dump -j of several, or --dump-maps) after load',
    )
    .option(
      '--user-space <name>',
      'do what the user-space program of a known scheduler does: auto (by the names in the object), none, or scx_qmap, …',
      'auto',
    )
    .option(
      '--hooks <file>',
      'module with beforeLoad, afterLoad, beforeAttach, periodically or round(object, kernel), see docs/hooks.md',
    );
}

/** What kernel the options ask for. */
export async function kernelOptions(io: Io, options: LoadOptions): Promise<KernelOptions> {
  const version = options.kernel ?? '7.3';
  return {
    engine: oneOf('--engine', options.engine ?? DEFAULT_ENGINE, ENGINE_NAMES),
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

/** The assignments of `--set`; text may stand in quotes, as in C. */
function settings(options: LoadOptions): [variable: string, value: string][] {
  return (options.set ?? []).map((assignment) => {
    const equals = assignment.indexOf('=');
    if (equals < 1) throw new InputError(`--set wants variable=value, not "${assignment}"`);
    return [assignment.slice(0, equals), unquoted(assignment.slice(equals + 1))];
  });
}

/** Enumerators for an integer, the kernel's too: of an enum that the object only counts with, its own BTF has nothing. */
function kernelEnumerators({ btf, place }: Setting, text: string, { profile }: Kernel): bigint | undefined {
  const type = place.type === 0 ? undefined : btf.type(btf.resolve(place.type));
  return type?.kind === BTF_KIND.INT && !type.bool ? enumerators(text, btf, profile.btf) : undefined;
}

function unquoted(text: string): string {
  if (!/^"(?:[^"\\]|\\.)*"$/.test(text)) return text;
  try {
    return JSON.parse(text) as string;
  } catch {
    throw new InputError(`--set: ${text} is no string`);
  }
}

/** FILE opened. */
export function openInput(io: Io, file: string, options: LoadOptions): BpfObject {
  const bytes = chooseObject(io, file, options.object);
  const config = kconfig(options);
  return inFile(file, () => openObject(bytes, { name: objectName(file), config }));
}

/** The values of `--kconfig`, as a line of .config has them. */
function kconfig({ kconfig: lines = [] }: LoadOptions): Record<string, string> {
  const pairs = lines.map((line) => {
    const [, name, value] = /^(CONFIG_\w+)=(.+)$/.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw new InputError(`--kconfig wants CONFIG_NAME=value, not "${line}"`);
    return [name, value] as const;
  });
  return Object.fromEntries(pairs);
}

/**
 * All that the options say user space does, as the hooks of whoever loads the object. Before load: the part that subsystems know,
 * the hook file's, `--set`. After it: what subsystems know, the `--init-prog` programs, the snapshot of `--load-maps`, the hook
 * file's. `within` puts the file's name before errors of what is not the hook file's.
 */
export async function userSpace(
  io: Io,
  file: string,
  options: LoadOptions,
  within: (body: () => void) => void = (body) => inFile(file, body),
): Promise<Hooks & Required<Pick<Hooks, 'beforeLoad' | 'afterLoad' | 'beforeAttach'>>> {
  const hooks = options.hooks === undefined ? {} : await importHooks(io, options.hooks);
  const { userSpace: known = 'auto' } = options;
  return {
    ...hooks,
    async beforeLoad(object, kernel, pid) {
      within(() => {
        for (const message of beforeLoad(object, kernel, known, pid)) io.err(`vmtable: ${file}: ${message}\n`);
      });
      await hooks.beforeLoad?.(object, kernel, pid);
      within(() => {
        for (const [path, value] of settings(options)) {
          const target = setting(object, path);
          target.set(kernelEnumerators(target, value, kernel) ?? value);
        }
      });
    },
    async afterLoad(object, kernel) {
      within(() => {
        afterLoad(object, kernel, known);
        for (const text of options.initProg ?? []) runInitProg(io, object, text);
      });
      if (options.loadMaps !== undefined) restoreMaps(io, options.loadMaps, object);
      await hooks.afterLoad?.(object, kernel);
    },
    async beforeAttach(object, kernel) {
      await hooks.beforeAttach?.(object, kernel);
    },
  };
}

/** Does what user space does, and loads the object. Returns the hooks that are still to come. */
export async function loadInput(
  io: Io,
  file: string,
  object: BpfObject,
  kernel: Kernel,
  options: LoadOptions,
): Promise<Hooks> {
  const hooks = await userSpace(io, file, options);
  await loadWith(hooks, file, object, kernel);
  return hooks;
}

/** The same with hooks that are there already; `pid` where user space is a task of the run. */
export async function loadWith(
  hooks: Awaited<ReturnType<typeof userSpace>>,
  file: string,
  object: BpfObject,
  kernel: Kernel,
  pid?: number,
): Promise<void> {
  await hooks.beforeLoad(object, kernel, pid);
  inFile(file, () => object.load(kernel));
  await hooks.afterLoad(object, kernel);
}

/** Maps of the snapshot that the object has no place for are told, as they may be what matters. */
function restoreMaps(io: Io, file: string, object: BpfObject): void {
  const text = new TextDecoder().decode(io.readFile(file));
  const { skipped } = inFile(file, () => object.restore(text));
  for (const [name, why] of Object.entries(skipped)) io.err(`vmtable: ${file}: map "${name}" is not stored: ${why}\n`);
}
