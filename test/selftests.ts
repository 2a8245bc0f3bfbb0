import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'vitest';

// Compiled programs of the kernel's selftests (tools/testing/selftests/bpf/progs of 7.3), where `npm run corpus` has made them.

const path = (name: string) =>
  fileURLToPath(new URL(`../build/corpus/7.3/objects/bpf-7.3-v3/${name}.bpf.o`, import.meta.url));

/** A test of one object; without the corpus it is skipped and says so. */
export function selftest(name: string, what: string, body: (bytes: Uint8Array) => Promise<void>): void {
  test(`${name}: ${what}`, async (context) => {
    if (!existsSync(path(name))) context.skip(`${name}.bpf.o is not there: npm run corpus`);
    await body(new Uint8Array(readFileSync(path(name))));
  });
}
