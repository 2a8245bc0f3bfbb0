#!/usr/bin/env node
// npm run samples: compiles every C source whose object is committed, samples and benchmarks, with the kernel headers that they
// include. The same compiler gives the same bytes: no path, date or compiler name gets into an object.
//
//   node scripts/samples.mjs [--check] [NAME…]      --check compares with the committed files instead of writing them
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { kernelTypes, schedulerSource } from '../bench/load/scheduler.mjs';
import { Btf } from '../dist/src/btf/index.js';
import { kernelHeader } from './vmlinux_h.mjs';

const PROFILE = 'profiles/7.3.btf.gz';
const TARGET = ['--target=bpfel', '-mcpu=v3', '-O2'];
const FLAGS = [
  ...[...TARGET, '-g'],
  ...['-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter'],
  ...['-fno-addrsig', '-fdebug-compilation-dir=.'],
];
const GENERATED = 'build/bench/scheduler';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false } },
});
const root = fileURLToPath(new URL('..', import.meta.url));
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
  const list = readFileSync(join(root, 'samples/include/vmlinux.list'), 'utf8');
  const header = (types) => Buffer.from(kernelHeader(btf, types, PROFILE));
  emit('samples/include/vmlinux.h', header(list));
  const withBtf = [...sources('samples', '.bpf.c'), ...sources('bench/load', '.bpf.c')];
  for (const source of withBtf) emit(`${source.slice(0, -2)}.o`, compileWithBtf(source, 'samples/include'));
  for (const source of sources('bench/kernels', '.c')) {
    emit(`${source.slice(0, -2)}.bpf.o`, compile(source, TARGET));
  }
  if (isWanted('scheduler')) {
    const source = writeScheduler(header(kernelTypes(list)));
    emit('bench/load/scheduler.bpf.o.gz', compileWithBtf(source, GENERATED));
  }
} catch (error) {
  console.error(`samples: ${error.message}`);
  differ++;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = differ > 0 ? 1 : 0;

function isWanted(name) {
  return positionals.length === 0 || positionals.includes(name);
}

function sources(folder, extension) {
  return readdirSync(join(root, folder))
    .filter((file) => file.endsWith(extension) && isWanted(basename(file, extension)))
    .sort()
    .map((file) => `${folder}/${file}`);
}

/** The generated scheduler and its headers, in a folder of their own because it includes more of the kernel than the samples. */
function writeScheduler(header) {
  const folder = join(root, GENERATED);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'vmlinux.h'), header);
  for (const file of ['bpf.h', 'scx.h']) copyFileSync(join(root, 'samples/include', file), join(folder, file));
  writeFileSync(join(folder, 'scheduler.bpf.c'), schedulerSource());
  return `${GENERATED}/scheduler.bpf.c`;
}

function compile(source, flags) {
  const object = join(scratch, 'out.o');
  // In the root, because the compiler looks for the lines it puts into BTF under the name that the object tells.
  execFileSync('clang-19', [...flags, '-c', source, '-o', object], { cwd: root, stdio: 'inherit' });
  return readFileSync(object);
}

function compileWithBtf(source, include) {
  const prefix = `-ffile-prefix-map=${root}=`;
  compile(join(root, source), [...FLAGS, `-I${include}`, prefix]);
  // DWARF names the compiler and is of no use to a loader; BTF stays.
  execFileSync('llvm-strip-19', ['-g', join(scratch, 'out.o')]);
  return readFileSync(join(scratch, 'out.o'));
}

/** What ends in .gz is packed, and compared unpacked: what packs may differ. */
function emit(file, bytes) {
  const path = join(root, file);
  const packed = file.endsWith('.gz');
  if (!options.check) {
    writeFileSync(path, packed ? gzipSync(bytes, { level: 9 }) : bytes);
  } else if (!(packed ? gunzipSync(readFileSync(path)) : readFileSync(path)).equals(bytes)) {
    differ++;
    console.log(`${file} differs`);
    return;
  }
  console.log(`${file}  ${bytes.length} bytes${options.check ? ', as committed' : ''}`);
}
