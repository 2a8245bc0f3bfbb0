import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip as inflate } from 'node:zlib';
import { InputError, VmtableError } from '../errors.js';
import { GUNZIP_LIMIT, packageRoot } from './shared.js';

const inflateAsync = promisify(inflate);

/** A file of this package by its path below the package's root, e.g. `profiles/7.3.btf.gz`. */
export async function readAsset(path: string): Promise<Uint8Array> {
  const url = new URL(path, packageRoot(import.meta.url));
  try {
    return plain(await readFile(url));
  } catch (cause) {
    throw new VmtableError(`package file ${path}: cannot be read (${(cause as Error).message})`, { cause });
  }
}

/** Unpacks a gzip stream of at most GUNZIP_LIMIT bytes. Throws InputError. */
export async function gunzip(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return plain(await inflateAsync(bytes, { maxOutputLength: GUNZIP_LIMIT }));
  } catch (cause) {
    throw new InputError(`gzip: ${(cause as Error).message}`, { cause });
  }
}

/** The bytes without Buffer's methods, so that nothing outside this folder comes to depend on them. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
