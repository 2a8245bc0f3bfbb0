// The traces suite: what ftrace, trace-cmd and perf say of one workload, as fixtures for the reader of traces
// (test/workload/fixtures). The two programs are those of the machine that records, with the libraries that they need.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const PROGRAMS = ['trace-cmd', 'perf'];
/** What is kept: the others show that the tools ran. */
const KEPT = ['ftrace', 'trace-cmd', 'trace-cmd-l', 'trace-cmd-R', 'perf', 'perf-irq'];

function which(program) {
  const dirs = (process.env.PATH ?? '').split(':');
  const found = dirs.map((dir) => join(dir, program)).find((path) => existsSync(path));
  if (!found) throw new Error(`traces: no ${program} here; on Debian: apt-get install trace-cmd linux-perf`);
  return found;
}

/** A program and its libraries, where its loader looks for them. */
function withLibraries(program) {
  const path = which(program);
  const libraries = execFileSync('ldd', [path], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  return Object.fromEntries([
    [`bin/${program}`, readFileSync(path)],
    ...libraries.map((library) => [library.slice(1), readFileSync(library)]),
  ]);
}

function parents(paths) {
  const found = new Set();
  for (const path of paths) {
    const parts = path.split('/').slice(0, -1);
    parts.forEach((_, i) => {
      found.add(parts.slice(0, i + 1).join('/'));
    });
  }
  return [...found];
}

const directories = ['dev', 'proc', 'sys', 'tmp', 'bin'];
export const suite = {
  kernels: ['6.18', '7.3'],
  sources: [`${here}guest.c`],
  get directories() {
    const files = Object.assign({}, ...PROGRAMS.map(withLibraries));
    return [...new Set([...directories, ...parents(Object.keys(files))])];
  },
  files: async () => Object.assign({}, ...PROGRAMS.map(withLibraries)),
  recordings: () => fileURLToPath(new URL('../../workload/fixtures/recorded', import.meta.url)),
  async record(text, kernel) {
    if (!text.includes('@ done')) throw new Error(`the guest did not come to its end:\n${text.slice(-3000)}`);
    const recorded = {};
    for (const [, name, body] of text.matchAll(/^@ begin (\S+)\n((?:\| .*\n)*)@ end$/gm)) {
      if (KEPT.includes(name)) recorded[`${kernel.release}.${name}.txt`] = body.replace(/^\| /gm, '');
    }
    return recorded;
  },
};
