import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { gunzip as inflate } from 'node:zlib';
import { InputError, VmtableError } from '../errors.js';
import { GUNZIP_LIMIT, packageRoot, unpackedSize } from './shared.js';

const inflateAsync = promisify(inflate);

/** Bounds of the first output buffer, whatever the stream says of its size. */
const MIN_CHUNK = 1024;
const MAX_CHUNK = 16 * 2 ** 20;

/** A file of this package by its path below the package's root, e.g. `profiles/7.3.btf.gz`. */
export async function readAsset(path: string): Promise<Uint8Array> {
  const url = new URL(path, packageRoot(import.meta.url));
  try {
    // Not the promise: opening a file handle in the thread pool takes longer than reading what the system has cached.
    return plain(readFileSync(url));
  } catch (cause) {
    throw new VmtableError(`package file ${path}: cannot be read (${(cause as Error).message})`, { cause });
  }
}

/** Unpacks a gzip stream of at most GUNZIP_LIMIT bytes. Throws InputError. */
export async function gunzip(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    // One byte more than there is room for what comes out: zlib sees the end without asking for a second chunk.
    const chunkSize = Math.min(Math.max(unpackedSize(bytes) + 1, MIN_CHUNK), MAX_CHUNK);
    return plain(await inflateAsync(bytes, { maxOutputLength: GUNZIP_LIMIT, chunkSize }));
  } catch (cause) {
    throw new InputError(`gzip: ${(cause as Error).message}`, { cause });
  }
}

/** Bytes of a base64 text that is known to be one. */
export function decodeBase64(text: string): Uint8Array {
  return plain(Buffer.from(text, 'base64'));
}

/** The bytes without Buffer's methods, so that nothing outside this folder comes to depend on them. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
