/** Most bytes that gunzip gives: a kernel's BTF has 5 MB, an allyesconfig one 30. */
export const GUNZIP_LIMIT = 256 * 2 ** 20;

/** What a gzip stream says its length unpacked is, modulo 2^32 (RFC 1952 section 2.3.1, ISIZE); 0 if it is too short. */
export function unpackedSize(gzip: Uint8Array): number {
  if (gzip.length < 4) return 0;
  return new DataView(gzip.buffer, gzip.byteOffset, gzip.byteLength).getUint32(gzip.length - 4, true);
}

/**
 * Root folder of the package, from the URL of a module in this folder: `src/platform/x.ts` when run from source,
 * `dist/src/platform/x.js` when built.
 */
export function packageRoot(moduleUrl: string): URL {
  const module = new URL(moduleUrl);
  return new URL(module.pathname.endsWith('.ts') ? '../../' : '../../../', module);
}
