// The compiler of what the interpreter and the JIT are compared with.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './kernels.mjs';

export const BUILD = join(root, 'build/bench');
mkdirSync(BUILD, { recursive: true });

/** True if a program can be run. */
export function has(program) {
  return spawnSync(program, ['--version']).status === 0;
}

/** clang's name, or undefined where it is missing. */
export function clang() {
  return ['clang-19', 'clang'].find(has);
}
