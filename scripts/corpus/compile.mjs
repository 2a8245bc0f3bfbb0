// Compiles the corpus with the flags of the kernel's own Makefiles.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CLANG = 'clang-19';
const SELFTESTS = 'tools/testing/selftests';

/** One folder of sources: `pattern` finds them, `flags` is what its Makefile adds. */
const FOLDERS = {
  tools: {
    title: 'tools/sched_ext',
    folder: 'tools/sched_ext',
    flags: (src) => schedExt(src),
  },
  sched_ext: {
    title: 'selftests/sched_ext',
    folder: `${SELFTESTS}/sched_ext`,
    flags: (src) => [
      `-I${src}/${SELFTESTS}/sched_ext/include`,
      ...schedExt(src),
      '-Wno-incompatible-function-pointer-types',
    ],
  },
  bpf: {
    title: 'selftests/bpf',
    folder: `${SELFTESTS}/bpf/progs`,
    flags: (src) => [
      ...['-std=gnu11', '-fno-strict-aliasing', '-DENABLE_ATOMICS_TESTS'],
      ...[`-I${src}/${SELFTESTS}/bpf/progs`, `-I${src}/${SELFTESTS}/bpf`, `-I${src}/${SELFTESTS}/bpf/libarena/include`],
      // Behind the others: its linux/types.h does not go with vmlinux.h.
      ...['-idirafter', `${src}/tools/include`],
    ],
  },
};

function schedExt(src) {
  return [`-I${src}/tools/sched_ext/include`, `-I${src}/tools/sched_ext/include/bpf-compat`];
}

/** A set of objects: one folder of one kernel at one instruction set version. */
export const SETS = [
  { id: 'tools-6.12', folder: 'tools', kernel: '6.12', cpu: 'v3' },
  { id: 'tools-7.3', folder: 'tools', kernel: '7.3', cpu: 'v3' },
  { id: 'sched_ext-6.12', folder: 'sched_ext', kernel: '6.12', cpu: 'v3' },
  { id: 'sched_ext-7.3', folder: 'sched_ext', kernel: '7.3', cpu: 'v3' },
  { id: 'bpf-6.12', folder: 'bpf', kernel: '6.12', cpu: 'v3' },
  { id: 'bpf-7.3-v3', folder: 'bpf', kernel: '7.3', cpu: 'v3' },
  { id: 'bpf-7.3-v4', folder: 'bpf', kernel: '7.3', cpu: 'v4', onlyAll: true },
].map((set) => ({ ...set, title: FOLDERS[set.folder].title }));

/** Names of selftests/bpf programs for a kernel, from selftests.txt; starred ones only without `all`. */
function chosenSelftests(list, kernel, all) {
  const names = [];
  let section;
  for (const line of list.split('\n')) {
    if (line.startsWith('[')) section = line.slice(1, -1);
    else if (line !== '' && !line.startsWith('#') && section === kernel && (all || line.endsWith(' *')))
      names.push(line.replace(' *', ''));
  }
  return names;
}

function sourcesOf(set, src, list, all) {
  const dir = join(src, FOLDERS[set.folder].folder);
  if (set.folder === 'bpf') return chosenSelftests(list, set.kernel, all).map((name) => join(dir, `${name}.c`));
  return readdirSync(dir)
    .filter((file) => file.endsWith('.bpf.c'))
    .sort()
    .map((file) => join(dir, file));
}

/**
 * Compiles one set into `<kernel dir>/objects/<set id>`; what is there from the same flags stays. Returns the objects as
 * `{name, path}` in the order of their names and what did not compile as `{name, message}`.
 */
export async function compileSet(set, kernel, list, all) {
  const into = join(kernel.dir, 'objects', set.id);
  mkdirSync(into, { recursive: true });
  const flags = await flagsOf(set, kernel);
  const key = createHash('sha256')
    .update(`${kernel.package}\n${flags.join('\n').replaceAll(kernel.dir, '')}`)
    .digest('hex');
  const stamp = join(into, '.flags');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== key) {
    for (const old of readdirSync(into)) rmSync(join(into, old), { recursive: true });
    writeFileSync(stamp, key);
  }
  const queue = sourcesOf(set, kernel.src, list, all).map((source) => {
    const name = basename(source).replace(/(\.bpf)?\.c$/, '');
    return { name, source, path: join(into, `${name}.bpf.o`) };
  });
  const failed = [];
  let next = 0;
  const worker = async () => {
    while (next < queue.length) {
      const { name, source, path } = queue[next++];
      if (existsSync(path)) continue;
      const part = `${path}.part`;
      try {
        await run(CLANG, [...flags, '-c', source, '-o', part], { cwd: kernel.src, maxBuffer: 1 << 26 });
        renameSync(part, path);
      } catch (error) {
        failed.push({ name, message: firstError(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const bad = new Set(failed.map(({ name }) => name));
  return { failed, objects: queue.filter(({ name }) => !bad.has(name)).map(({ name, path }) => ({ name, path })) };
}

/** BTF of the kernel's test module, as an object beside those of `set`: what selftests/bpf programs are loaded with. */
export async function compileTestmod(set, kernel) {
  const source = fileURLToPath(new URL('testmod/testmod.c', import.meta.url));
  const path = join(kernel.dir, 'objects', 'testmod.o');
  if (existsSync(path) && statSync(path).mtimeMs > statSync(source).mtimeMs) return path;
  const seven = set.kernel.startsWith('7.') ? ['-DTESTMOD_7'] : [];
  // The module's header asks for types that vmlinux.h has already.
  const guards = ['-D_LINUX_TYPES_H', '-D_UAPI_LINUX_TYPES_H', '-D_TOOLS_LINUX_TYPES_H_'];
  const flags = [...(await flagsOf(set, kernel)), ...guards, ...seven, '-c', source, '-o', path];
  await run(CLANG, flags, { cwd: kernel.src, maxBuffer: 1 << 26 });
  return path;
}

async function flagsOf(set, { src, include }) {
  return [
    ...['-g', '-O2', `-mcpu=${set.cpu}`, '--target=bpfel', '-D__TARGET_ARCH_x86'],
    ...FOLDERS[set.folder].flags(src),
    ...[`-I${include}`, `-I${src}/tools/include/uapi`, `-I${src}/include/uapi`],
    ...(await systemIncludes()),
    ...['-fms-extensions', '-fdebug-compilation-dir=.', `-ffile-prefix-map=${src}/=`, '-w'],
  ];
}

let system;
/** Folders where the host's clang looks for headers, behind all others. */
async function systemIncludes() {
  if (!system) {
    const { stderr } = await run('sh', ['-c', `${CLANG} -v -E - </dev/null`]);
    const [, list] = /#include <\.\.\.> search starts here:\n([\s\S]*?)End of search list/.exec(stderr);
    system = list
      .trim()
      .split('\n')
      .flatMap((dir) => ['-idirafter', dir.trim()]);
  }
  return system;
}

function firstError({ stderr, message }) {
  return (stderr ?? message).split('\n').find((line) => line.includes('error')) ?? message;
}
