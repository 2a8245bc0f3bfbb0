/** Most bytes that gunzip gives: a kernel's BTF has 5 MB, an allyesconfig one 30. */
export const GUNZIP_LIMIT = 256 * 2 ** 20;

/**
 * Root folder of the package, from the URL of a module in this folder: `src/platform/x.ts` when run from source,
 * `dist/src/platform/x.js` when built.
 */
export function packageRoot(moduleUrl: string): URL {
  const module = new URL(moduleUrl);
  return new URL(module.pathname.endsWith('.ts') ? '../../' : '../../../', module);
}
