import { checkArgument, checkOptions } from '../argument.js';
import { essentialName } from '../btf/core_match.js';
import { InputError } from '../errors.js';
import type { Kernel, KernelOptions } from '../kernel/index.js';
import type { BpfLink } from './attach.js';
import { withLacking } from './doctor.js';
import { type BpfObject, openObject } from './object.js';
import { setting } from './settings.js';
import type { StructOpsMap } from './struct_ops.js';
import type { BtfInput } from './value.js';

/**
 * What the user-space half of an object does around load, beyond what the loader does itself. Each may return a promise, which is
 * waited for.
 */
export interface UserSpace {
  /** The object is open; variables named by `set` are still to come. `pid` is that of the process of `round`, where it is a task. */
  beforeLoad?(object: BpfObject, kernel: Kernel, pid?: number): unknown;
  afterLoad?(object: BpfObject, kernel: Kernel): unknown;
  /** Right before the struct_ops map is attached. */
  beforeAttach?(object: BpfObject, kernel: Kernel): unknown;
  /**
   * What its main loop does while the object's programs run: called every `periodNs` of the kernel's time, for the first time one
   * period after the attach. It takes no time there, and nobody waits for a promise.
   */
  periodically?(object: BpfObject, kernel: Kernel): void;
  /** Default: one second. */
  periodNs?: number;
  /**
   * One round of the main loop of a process that the object's programs depend on (a scheduler in user space): who simulates a machine
   * makes it a task, which is there before load, and calls this each time that the task has run for a moment. No promise is waited for.
   */
  round?(object: BpfObject, kernel: Kernel): void;
  /** What that process is called, 15 bytes; default `user_space`. */
  comm?: string;
}

const SECOND_NS = 1_000_000_000;

/** What comes right before the attach: its hook, then the first period of `periodically`. Throws InputError for a period that is none. */
export async function readyToAttach(user: UserSpace, object: BpfObject, kernel: Kernel): Promise<void> {
  await user.beforeAttach?.(object, kernel);
  const { periodically, periodNs = SECOND_NS } = user;
  if (!periodically) return;
  checkArgument('periodNs', periodNs, { is: 'a whole number of ns above 0', test: isPeriod });
  const next = () => kernel.clock.schedule(kernel.clock.now + periodNs, call);
  const call = () => {
    periodically(object, kernel);
    next();
  };
  next();
}

/** Has `attachPrograms` leave all struct_ops maps but this one, which is attached by itself. */
export function autoattachOnly(map: StructOpsMap, maps: readonly StructOpsMap[]): void {
  for (const other of maps) other.autoattach = other === map;
}

function isPeriod(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** How a function that takes an object from its bytes to a result loads it. */
export interface RunSettings extends UserSpace {
  /** What the object is called in errors and results; default `object`. */
  name?: string;
  kernel?: KernelOptions;
  /** Which struct_ops map, if the object has several that would do. */
  map?: string;
  /** Values of global variables by their C paths, and of scalar members of struct_ops maps (`my_ops.flags`), set before load. */
  set?: Readonly<Record<string, BtfInput>>;
}

/** Opens `bytes` under the name without its `.bpf.o`. What `body` throws tells all that the object lacks here, if it lacks anything. */
export async function withObject<T>(
  bytes: Uint8Array,
  name: string,
  kernel: Kernel,
  body: (object: BpfObject) => T | Promise<T>,
): Promise<T> {
  checkArgument('withObject: bytes', bytes, 'bytes');
  checkArgument('withObject: name', name, 'text');
  checkArgument('withObject: kernel', kernel, 'kernel');
  checkArgument('withObject: body', body, 'function');
  const object = openObject(bytes, { name: name.replace(/\.(bpf\.)?o$/, '') });
  try {
    return await body(object);
  } catch (error) {
    throw withLacking(error, object, kernel);
  }
}

/** Loads an open object for its struct_ops map `map` alone and attaches that, with what user space does in between. */
export async function loadAndAttach(
  object: BpfObject,
  kernel: Kernel,
  map: StructOpsMap,
  settings: RunSettings,
): Promise<BpfLink> {
  checkArgument('loadAndAttach: object', object, 'object');
  checkArgument('loadAndAttach: kernel', kernel, 'kernel');
  checkArgument('loadAndAttach: map', map, 'structOpsMap');
  checkOptions('loadAndAttach:', settings, { set: 'options' });
  autoattachOnly(map, object.structOps);
  await settings.beforeLoad?.(object, kernel);
  setVariables(object, settings.set);
  object.load(kernel);
  await settings.afterLoad?.(object, kernel);
  await readyToAttach(settings, object, kernel);
  return map.attach();
}

/**
 * Sets global variables by the paths that `BpfObject.variable` takes, and members of struct_ops maps by `my_ops.flags`. Throws
 * InputError for one that is not there.
 */
export function setVariables(object: BpfObject, values: RunSettings['set']): void {
  checkArgument('setVariables: object', object, 'object');
  for (const [path, value] of Object.entries(values ?? {})) setting(object, path).set(value);
}

export interface StructOpsKind {
  /** Names of the kernel's structs, flavours left out; the first one stands for all in messages. */
  structs: readonly string[];
  /** What such a map implements, in the singular. */
  what: string;
  /** Maps that are no choice unless they are named, or all there is. */
  complete?(map: StructOpsMap): boolean;
}

/** The struct_ops map of an object that implements `kind`: the one called `wanted`, or the only one. Throws InputError. */
export function chooseStructOps(maps: readonly StructOpsMap[], kind: StructOpsKind, wanted?: string): StructOpsMap {
  checkArgument('chooseStructOps: maps', maps, 'list');
  checkOptions('chooseStructOps: kind', kind, { structs: 'list', what: 'text', complete: 'function' });
  const { structs, what, complete } = kind;
  const all = maps.filter((map) => structs.includes(essentialName(map.structName)));
  const usable = complete ? all.filter(complete) : all;
  const candidates = usable.length > 0 ? usable : all;
  const names = all.map((map) => map.name).join(', ');
  const found = wanted === undefined ? candidates[0] : all.find((map) => map.name === wanted);
  if (!found) {
    const which = wanted === undefined ? '' : ` "${wanted}"`;
    throw new InputError(`no ${what}${which} (${structs[0]}${names ? `: ${names}` : ''})`);
  }
  if (candidates.length > 1 && wanted === undefined) throw new InputError(`several ${what}s, name one of ${names}`);
  return found;
}
