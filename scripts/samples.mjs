#!/usr/bin/env node
// npm run samples: writes samples/include/vmlinux.h and compiles every samples/*.bpf.c to the committed *.bpf.o beside it.
// The same compiler gives the same bytes: no path, date or compiler name gets into an object.
//
//   node scripts/samples.mjs [--check] [NAME…]      --check compares with the committed files instead of writing them
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { Btf } from '../dist/src/btf/index.js';
import { kernelHeader } from './vmlinux_h.mjs';

const PROFILE = 'profiles/7.3.btf.gz';
const FLAGS = [
  ...['--target=bpfel', '-mcpu=v3', '-O2', '-g', '-Isamples/include'],
  ...['-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter'],
  ...['-fno-addrsig', '-fdebug-compilation-dir=.'],
];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false } },
});
const root = fileURLToPath(new URL('..', import.meta.url));
const samples = join(root, 'samples');
const scratch = mkdtempSync(join(tmpdir(), 'samples-'));
let differ = 0;

try {
  for (const tool of ['clang-19', 'llvm-strip-19']) {
    try {
      execFileSync(tool, ['--version'], { stdio: 'ignore' });
    } catch {
      throw new Error(`${tool} is not installed: apt-get install clang-19 llvm-19`);
    }
  }
  const btf = Btf.parse(gunzipSync(readFileSync(join(root, PROFILE))));
  const list = readFileSync(join(samples, 'include/vmlinux.list'), 'utf8');
  emit('include/vmlinux.h', Buffer.from(kernelHeader(btf, list, PROFILE)));
  const sources = readdirSync(samples).filter((file) => file.endsWith('.bpf.c'));
  for (const file of sources.sort()) {
    const name = file.slice(0, -'.bpf.c'.length);
    if (positionals.length === 0 || positionals.includes(name)) emit(`${name}.bpf.o`, compile(file));
  }
} catch (error) {
  console.error(`samples: ${error.message}`);
  differ++;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = differ > 0 ? 1 : 0;

function compile(file) {
  const object = join(scratch, 'out.o');
  // In the root, because the compiler looks for the lines it puts into BTF under the name that the object tells.
  execFileSync('clang-19', [...FLAGS, `-ffile-prefix-map=${root}=`, '-c', join(samples, file), '-o', object], {
    cwd: root,
    stdio: 'inherit',
  });
  // DWARF names the compiler and is of no use to a loader; BTF stays.
  execFileSync('llvm-strip-19', ['-g', object]);
  return readFileSync(object);
}

function emit(file, bytes) {
  const path = join(samples, file);
  if (!options.check) {
    writeFileSync(path, bytes);
  } else if (!readFileSync(path).equals(bytes)) {
    differ++;
    console.log(`samples/${file} differs`);
    return;
  }
  console.log(`samples/${file}  ${bytes.length} bytes${options.check ? ', as committed' : ''}`);
}
