import type { Command } from 'commander';
import { findObjects, isExecutable } from '../elf/embedded.js';
import { InputError } from '../errors.js';
import { type ObjectSpec, parseObject } from '../object/index.js';
import { inFile, objectName, positiveInteger, readInput } from './command.js';
import type { Io } from './io.js';

/** `--object N`, for executables that embed several objects. */
export function withObjectOption(command: Command): Command {
  return command.option('--object <n>', 'which embedded object of an executable, counted from 1');
}

/** The object in FILE: FILE itself, or the one embedded object, or the one that `--object` picks. */
export function chooseObject(io: Io, file: string, choice: string | undefined): Uint8Array {
  const bytes = readInput(io, file);
  const embedded = findObjects(bytes);
  if (choice === undefined && embedded.length === 0) {
    if (isExecutable(bytes)) throw new InputError(`${file}: an executable without a BPF object in it`);
    return bytes;
  }
  const list = embedded.map((object, i) => `${i + 1} ${object.name}`).join(', ') || 'none';
  if (choice === undefined) {
    if (embedded.length === 1) return embedded[0]!.bytes;
    throw new InputError(`${file}: embeds ${embedded.length} objects, pick one with --object N: ${list}`);
  }
  const picked = embedded[positiveInteger('--object', choice) - 1];
  if (!picked) throw new InputError(`${file}: has no embedded object ${choice} (there are: ${list})`);
  return picked.bytes;
}

export function parseInput(io: Io, file: string, choice: string | undefined): ObjectSpec {
  const bytes = chooseObject(io, file, choice);
  return inFile(file, () => parseObject(bytes, { name: objectName(file) }));
}
