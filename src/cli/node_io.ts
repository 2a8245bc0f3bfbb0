import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
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

function write(path: string, text: string, to: (path: string, text: string) => void = writeFileSync): void {
  try {
    to(path, text);
  } catch (error) {
    throw new InputError(`${path}: cannot be written (${(error as NodeJS.ErrnoException).code ?? error})`, {
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

/**
 * Node 22.18 and newer run TypeScript as it is; before, types are stripped with the package typescript, where that is
 * installed. A module stripped so has no place in the file system: it cannot import its neighbours, only their types.
 */
async function importModule(path: string): Promise<unknown> {
  const typed = /\.[mc]?ts$/.test(path);
  if (!typed || (process.features as { typescript?: unknown }).typescript)
    return import(pathToFileURL(resolve(path)).href).catch((error) => {
      throw error instanceof SyntaxError ? placed(error, path) : error;
    });
  const source = new TextDecoder().decode(read(path, path));
  const name = 'typescript';
  let typescript: typeof import('typescript');
  try {
    ({ default: typescript } = await import(name));
  } catch (error) {
    const why = `Node ${process.versions.node} does not run TypeScript: use Node 22.18 or newer, or install typescript`;
    throw new InputError(`${path}: ${why}`, { cause: error });
  }
  const { ModuleKind, ScriptTarget } = typescript;
  const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 };
  const { outputText } = typescript.transpileModule(source, { compilerOptions, fileName: path });
  return import(`data:text/javascript,${encodeURIComponent(outputText)}`);
}

/** The error with the line in its stack, which of a module Node tells on stderr only. */
function placed(error: SyntaxError, path: string): SyntaxError {
  const { stderr } = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8' });
  const [first = ''] = (stderr ?? '').split('\n');
  if (/:\d+$/.test(first)) error.stack = `${first}\n${error.stack}`;
  return error;
}

export const nodeIo: Io = {
  readFile: (path) => read(path, path),
  readStdin: () => read('standard input', 0),
  writeFile: (path, text) => write(path, text),
  appendFile: (path, text) => write(path, text, appendFileSync),
  importModule,
  out: (text) => writeAll(1, text),
  err: (text) => writeAll(2, text),
  width: process.stdout.columns ?? 100,
  colour: pc.isColorSupported && process.stdout.isTTY === true,
};
