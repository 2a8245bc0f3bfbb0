import { checkArgument } from '../../argument.js';
import { InputError } from '../../errors.js';
import type { Scenario } from '../../sim/index.js';
import { audio } from './audio.js';
import { cgroups } from './cgroups.js';
import { compileJob } from './compile_job.js';
import { type LibraryEntry, valuesOf } from './entry.js';
import { game } from './game.js';
import { hackbench } from './hackbench.js';
import { schbench } from './schbench.js';

/** Ready workloads by name. */
export const LIBRARY: Readonly<Record<string, LibraryEntry>> = {
  hackbench,
  schbench,
  compile: compileJob,
  game,
  audio,
  cgroups,
} as Readonly<Record<string, LibraryEntry>>;

/** Does the text name a ready workload, as `NAME` or `NAME:key=value,…`? */
export function isLibraryName(text: string): boolean {
  checkArgument('isLibraryName: text', text, 'text');
  return Object.hasOwn(LIBRARY, text.split(':', 1)[0]!);
}

/** The scenario of `NAME[:key=value,…]`. Throws InputError for a name or a parameter that is not there. */
export function libraryWorkload(text: string): Scenario {
  checkArgument('libraryWorkload: text', text, 'text');
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  if (!isLibraryName(name)) {
    throw new InputError(`no workload ${name} (ready ones: ${Object.keys(LIBRARY).join(', ')})`);
  }
  const entry = LIBRARY[name]!;
  const settings = colon < 0 ? [] : text.slice(colon + 1).split(',');
  return entry.build(valuesOf(name, entry, settings));
}

/** Every ready workload with its parameters and their defaults, for people. */
export function describeLibrary(): string {
  const lines = Object.entries(LIBRARY).flatMap(([name, { about, parameters }]) => [
    `${name.padEnd(10)} ${about}`,
    ...Object.entries(parameters).map(([key, { kind, default: value, about: what }]) => {
      const shown = kind === 'time' ? timeText(value) : `${value}`;
      return `           ${`${key}=${shown}`.padEnd(16)} ${what}`;
    }),
  ]);
  return `${lines.join('\n')}\n`;
}

function timeText(ns: number): string {
  if (ns % 1_000_000 === 0 && ns > 0) return `${ns / 1_000_000}ms`;
  return ns % 1000 === 0 ? `${ns / 1000}us` : `${ns}ns`;
}
