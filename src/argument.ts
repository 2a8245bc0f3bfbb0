import { InputError } from './errors.js';

// What the types of public functions promise and plain JavaScript may not keep. A wrong argument is an InputError that names the
// function and the argument: `parseObject: bytes is null, not a Uint8Array`.

/** What an argument must be: in words, and as a test. */
export interface Kind {
  is: string;
  test(value: unknown): boolean;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
/** Has what makes it one of ours, of this copy of the package or of another. */
const like = (is: string, methods: readonly string[], objects: readonly string[] = []): Kind => ({
  is,
  test: (value) =>
    isObject(value) &&
    methods.every((name) => typeof value[name] === 'function') &&
    objects.every((name) => isObject(value[name])),
});

const KINDS = {
  bytes: { is: 'a Uint8Array', test: (value) => value instanceof Uint8Array },
  boolean: { is: 'true or false', test: (value) => typeof value === 'boolean' },
  name: { is: 'a string or a number', test: (value) => typeof value === 'string' || Number.isFinite(value) },
  text: { is: 'a string', test: (value) => typeof value === 'string' },
  number: { is: 'a number', test: (value) => Number.isFinite(value) },
  count: { is: 'an integer from 0 on', test: (value) => Number.isSafeInteger(value) && (value as number) >= 0 },
  integer: { is: 'an integer', test: (value) => Number.isSafeInteger(value) },
  bigint: { is: 'a bigint', test: (value) => typeof value === 'bigint' },
  function: { is: 'a function', test: (value) => typeof value === 'function' },
  list: { is: 'an array', test: (value) => Array.isArray(value) },
  iterable: { is: 'an iterable', test: (value) => isObject(value) && Symbol.iterator in value },
  options: { is: 'an object', test: isObject },
  kernel: like('a Kernel', ['bpf', 'close'], ['profile']),
  profile: like('a profile', [], ['btf', 'behaviours']),
  btf: like('a Btf', ['type', 'find', 'resolve', 'nameOf', 'kindOf']),
  object: like('a BpfObject', ['load', 'program', 'variable']),
  program: like('a BpfProgram', ['testRun', 'attach'], ['spec']),
  prog: like('a loaded program of the kernel (kernel.fds.prog)', ['inc', 'put'], ['aux']),
  map: { is: 'a map or its fd', test: (value) => Number.isSafeInteger(value) || (isObject(value) && 'fd' in value) },
  structOpsMap: like('a StructOpsMap', ['attach', 'setProgram']),
  spec: like('what parseObject made of an object', [], ['programs', 'maps']),
} satisfies Record<string, Kind>;

export type ArgumentKind = keyof typeof KINDS;

/** Throws InputError `NAME is VALUE, not KIND` unless the value is of the kind; `NAME` begins with the function's. */
export function checkArgument(name: string, value: unknown, kind: ArgumentKind | Kind): void {
  const { is, test }: Kind = typeof kind === 'string' ? KINDS[kind] : kind;
  if (!test(value)) throw new InputError(`${name} is ${shown(value)}, not ${is}`);
}

/** The same of members of an options object that may be left out, and of the object itself. */
export function checkOptions(
  name: string,
  options: unknown,
  members: Readonly<Record<string, ArgumentKind>> = {},
): void {
  checkArgument(`${name} options`, options, 'options');
  for (const [member, kind] of Object.entries(members)) {
    const value = (options as Record<string, unknown>)[member];
    if (value !== undefined) checkArgument(`${name} ${member}`, value, kind);
  }
}

/** A wrong value in a message: itself where that is short and safe to print, otherwise what it is. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return 'an array';
  if (value === undefined || value === null || typeof value === 'boolean' || typeof value === 'number') {
    return String(value);
  }
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
