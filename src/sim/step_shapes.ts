import { type ArgumentKind, checkArgument, type Kind, shown } from '../argument.js';
import { InputError } from '../errors.js';
import { DURATION } from './duration.js';
import type { SimStep } from './scenario.js';

// What plain JavaScript may get wrong of steps: a verb that there is not, members that are missing or of another type.

type Members = Readonly<Record<string, ArgumentKind | Kind>>;

const ROUNDS: Kind = {
  is: 'a number of rounds',
  test: (value) => value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && (value as number) >= 0),
};
const TIMED: Members = { ns: DURATION };
const OTHER: Members = { task: 'text' };

const MEMBERS: Readonly<Record<SimStep['verb'], Members>> = {
  run: TIMED,
  spin: TIMED,
  sleep: TIMED,
  yield: {},
  wait: {},
  exec: {},
  fork: OTHER,
  exit: { status: 'integer' },
  kill: { ...OTHER, signal: 'integer' },
  nice: { ...OTHER, value: 'integer' },
  affinity: { ...OTHER, cpus: 'list' },
  policy: { ...OTHER, name: 'text', priority: 'integer' },
  write: { pipe: 'name' },
  read: { pipe: 'name' },
  futexwait: { word: 'name' },
  futexwake: { word: 'name' },
  mkcgroup: { cgroup: 'text' },
  rmcgroup: { cgroup: 'text' },
  cgweight: { cgroup: 'text', weight: 'integer' },
  cgidle: { cgroup: 'text', idle: 'boolean' },
  cgmax: { cgroup: 'text', max: 'options' },
  cgroup: { ...OTHER, cgroup: 'text' },
  cpu: { cpu: 'integer', online: 'boolean' },
  s2idle: TIMED,
  deep: TIMED,
  sysrq: { key: 'text' },
  timer: { ...TIMED, timer: 'text' },
  lock: { mutex: 'text' },
  unlock: { mutex: 'text' },
  condwait: { cond: 'text', mutex: 'text' },
  signal: { cond: 'text' },
  broadcast: { cond: 'text' },
  barrier: { barrier: 'text', parties: 'integer' },
  suspend: { point: 'text' },
  resume: { point: 'text' },
  repeat: { times: ROUNDS, steps: 'list' },
};

const MAX_DEPTH = 64;

/** Throws InputError, with the path to what is wrong, for what is no list of steps, or for loops that nest too deeply. */
export function checkSteps(path: string, steps: unknown, depth = 0): void {
  checkArgument(path, steps, 'list');
  if (depth > MAX_DEPTH) throw new InputError(`${path}: loops nest deeper than ${MAX_DEPTH}`);
  for (const [at, step] of (steps as unknown[]).entries()) {
    checkStep(`${path}[${at}]`, step);
    const { verb, steps: inner } = step as SimStep & { steps?: unknown };
    if (verb === 'repeat') checkSteps(`${path}[${at}].steps`, inner, depth + 1);
  }
}

/** The same of one step, or of an event. */
export function checkStep(path: string, step: unknown): void {
  checkArgument(path, step, 'options');
  const { verb } = step as SimStep;
  if (!Object.hasOwn(MEMBERS, verb)) throw new InputError(`${path}: no verb ${shown(verb)}`);
  for (const [name, kind] of Object.entries(MEMBERS[verb])) {
    checkArgument(`${path}.${name}`, (step as unknown as Record<string, unknown>)[name], kind);
  }
}
