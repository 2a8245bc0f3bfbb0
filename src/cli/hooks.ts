import { InputError, located, VmtableError } from '../errors.js';
import type { Kernel } from '../kernel/index.js';
import type { BpfObject, UserSpace } from '../loader/index.js';
import type { Io } from './io.js';

/**
 * What a hook file may export, for objects whose user-space half does more than the common part: `beforeLoad` comes with the common
 * part done and `--set` still to come, `afterLoad` once the `--init-prog` programs have run, `periodically` and `round` while a
 * simulation runs.
 */
export type Hooks = UserSpace;

const NAMES = ['beforeLoad', 'afterLoad', 'beforeAttach'] as const;
const LOOPS = ['periodically', 'round'] as const;
const ALL = [...NAMES, ...LOOPS] as const;

/** The hooks of `file`. Throws InputError for what is no such module. */
export async function importHooks(io: Io, file: string): Promise<Hooks> {
  let module: Record<string, unknown>;
  try {
    module = (await io.importModule(file)) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof VmtableError) throw error;
    throw new InputError(`${placeIn(file, error)}: cannot be imported (${message(error)})`, { cause: error });
  }
  const hooks: Hooks = {};
  const told = (name: string, error: unknown): unknown => {
    const place = `${placeIn(file, error)}: ${name}`;
    if (error instanceof VmtableError) return located(place, error);
    return new InputError(`${place}: ${message(error)}`, { cause: error });
  };
  for (const name of ALL) {
    const hook = module[name];
    if (hook !== undefined && typeof hook !== 'function')
      throw new InputError(`${file}: export ${name} is no function`);
  }
  for (const name of NAMES) {
    const hook = module[name] as UserSpace['beforeLoad'];
    if (hook === undefined) continue;
    hooks[name] = async (object: BpfObject, kernel: Kernel, pid?: number) => {
      try {
        return await hook(object, kernel, pid);
      } catch (error) {
        throw told(name, error);
      }
    };
  }
  for (const name of LOOPS) {
    const hook = module[name] as UserSpace['round'];
    if (hook === undefined) continue;
    hooks[name] = (object, kernel) => {
      try {
        const result: unknown = hook(object, kernel);
        if (result instanceof Promise) throw new InputError('is async, and nobody can wait for it');
      } catch (error) {
        throw told(name, error);
      }
    };
  }
  const { periodNs, comm } = module as UserSpace;
  if (hooks.periodically && periodNs !== undefined) hooks.periodNs = periodNs;
  if (hooks.round && comm !== undefined) hooks.comm = comm;
  if (Object.keys(hooks).length === 0) throw new InputError(`${file}: exports none of ${ALL.join(', ')}`);
  return hooks;
}

/**
 * `file:line` of the innermost frame in the file, or the file alone. V8 writes frames as `at f (URL:line:column)`, and above the
 * message of a SyntaxError `URL:line`.
 */
function placeIn(file: string, error: unknown): string {
  if (!(error instanceof Error) || error.stack === undefined) return file;
  const name = encodeURI(file.replace(/^.*[\\/]/, ''));
  for (const frame of error.stack.split('\n')) {
    const [, path, line] = /((?:file:|\/)[^()\s]*?):(\d+)(?::\d+)?\)?$/.exec(frame) ?? [];
    if (path?.endsWith(`/${name}`)) return `${file}:${line}`;
  }
  return file;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
