import { InputError, VmtableError } from '../errors.js';
import { GUNZIP_LIMIT, packageRoot } from './shared.js';

/** A file of this package by its path below the package's root, fetched from where this module was. */
export async function readAsset(path: string): Promise<Uint8Array> {
  const url = new URL(path, packageRoot(import.meta.url));
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new VmtableError(`package file ${path}: cannot be fetched from ${url} (${(cause as Error).message})`, {
      cause,
    });
  }
  if (!response.ok) throw new VmtableError(`package file ${path}: ${url} answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Unpacks a gzip stream of at most GUNZIP_LIMIT bytes. Throws InputError. */
export async function gunzip(bytes: Uint8Array): Promise<Uint8Array> {
  const source = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  const reader = source.pipeThrough(new DecompressionStream('gzip')).getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw new InputError(`gzip: ${(cause as Error).message}`, { cause });
    });
    if (done) break;
    chunks.push(value);
    length += value.length;
    if (length > GUNZIP_LIMIT) {
      await reader.cancel();
      throw new InputError(`gzip: more than ${GUNZIP_LIMIT} bytes`);
    }
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** Bytes of a base64 text that is known to be one. */
export function decodeBase64(text: string): Uint8Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
