import { readFileSync, writeSync } from 'node:fs';
import pc from 'picocolors';
import { InputError } from '../errors.js';
import type { Io } from './io.js';

function read(name: string, from: string | number): Uint8Array {
  try {
    return readFileSync(from);
  } catch (error) {
    throw new InputError(`${name}: cannot be read (${(error as NodeJS.ErrnoException).code ?? error})`, {
      cause: error,
    });
  }
}

/** Writes everything even when stdout is a pipe that is full. */
function writeAll(fd: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EPIPE') process.exit(0);
      if (code !== 'EAGAIN') throw error;
    }
  }
}

export const nodeIo: Io = {
  readFile: (path) => read(path, path),
  readStdin: () => read('standard input', 0),
  out: (text) => writeAll(1, text),
  err: (text) => writeAll(2, text),
  width: process.stdout.columns ?? 100,
  colour: pc.isColorSupported && process.stdout.isTTY === true,
};
