// Map operations of a program, here and in this machine's own kernel: the same insns over the same map, timed by
// BPF_PROG_TEST_RUN of either. `node bench/maps.mjs` prints the table.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assemble } from '../dist/src/asm/index.js';
import { Kernel } from '../dist/src/kernel/index.js';
import { BPF_MAP_TYPE, BPF_PROG_TYPE } from '../dist/src/uapi.js';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Operations of one run of a program. */
const OPERATIONS = 64;
const ENTRIES = 1024;
const ROUNDS = 12;
const REPEAT_HERE = 200;
const REPEAT_KERNEL = 20_000;
const NO_PREALLOC = 1;

const { ARRAY, HASH, LRU_HASH, LPM_TRIE, QUEUE, ARRAY_OF_MAPS } = BPF_MAP_TYPE;

/** A loop of OPERATIONS; r6 counts, r7 is the sum of what is found, r8 the map. */
function program(body) {
  return `
    r6 = 0
    r7 = 0
    r8 = map_fd(0) ll
  next:
    ${body}
    if r0 == 0 goto missing
    r0 = *(u64 *)(r0 + 0)
    r7 += r0
  missing:
    r6 += 1
    if r6 < ${OPERATIONS} goto next
    r0 = r7
    exit
  `;
}

const KEY = '*(u32 *)(r10 - 4) = r6\n r2 = r10\n r2 += -4\n r1 = r8';
const VALUE = '*(u64 *)(r10 - 16) = r6\n r2 = r10\n r2 += -16\n r1 = r8';
const CASES = [
  { name: 'array, lookup', type: ARRAY, body: `${KEY}\n call 1` },
  { name: 'hash, lookup', type: HASH, body: `${KEY}\n call 1` },
  {
    name: 'hash, update',
    type: HASH,
    body: `*(u64 *)(r10 - 16) = r6\n ${KEY}\n r3 = r10\n r3 += -16\n r4 = 0\n call 2\n r0 = 0`,
  },
  { name: 'LRU hash, lookup', type: LRU_HASH, body: `${KEY}\n call 1` },
  {
    name: 'trie, lookup',
    type: LPM_TRIE,
    keySize: 8,
    flags: NO_PREALLOC,
    body: 'r1 = 32\n *(u32 *)(r10 - 8) = r1\n *(u32 *)(r10 - 4) = r6\n r2 = r10\n r2 += -8\n r1 = r8\n call 1',
  },
  {
    name: 'array of arrays, lookup',
    type: ARRAY_OF_MAPS,
    body: `${KEY}\n call 1\n if r0 == 0 goto missing\n r1 = r0\n r2 = r10\n r2 += -4\n call 1`,
  },
  {
    name: 'queue, push and pop',
    type: QUEUE,
    keySize: 0,
    body: `${VALUE}\n r3 = 0\n call 87\n r1 = r8\n r2 = r10\n r2 += -16\n call 88\n r0 = 0`,
  },
];

/** The timing program's path, or why there is none. */
function build() {
  const clang = ['clang-19', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0);
  if (!clang) return { missing: 'clang is not installed' };
  const dir = join(root, 'build/bench');
  mkdirSync(dir, { recursive: true });
  const path = join(dir, 'map_bench');
  const { status, stderr } = spawnSync(clang, ['-O2', '-o', path, join(root, 'bench/maps/map_bench.c')], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return { path };
}

function inKernel(path, { type, keySize = 4, flags = 0 }, insns) {
  const args = [type, keySize, ENTRIES, flags, REPEAT_KERNEL, Buffer.from(insns).toString('hex')].map(String);
  const { status, stdout, stderr } = spawnSync(path, args, { encoding: 'utf8' });
  if (status === 77) return { missing: `bpf(2) is not to be had: ${stderr.trim()}` };
  if (status !== 0) throw new Error(stderr);
  const [ns, result] = stdout.split(' ').map(Number);
  return { ns: ns / OPERATIONS, result };
}

function makeMap(kernel, { type, keySize = 4, flags = 0 }) {
  const attr = { map_type: type, key_size: keySize, value_size: 8, max_entries: ENTRIES, map_flags: flags };
  const inner = type === ARRAY_OF_MAPS ? kernel.bpf('MAP_CREATE', { ...attr, map_type: ARRAY }) : 0;
  const fd = kernel.bpf('MAP_CREATE', { ...attr, ...(inner && { value_size: 4, inner_map_fd: inner }) });
  for (let i = 0; keySize > 0 && i < ENTRIES; i++) {
    const key = new Uint8Array(Uint32Array.of(...(type === LPM_TRIE ? [32, i] : [i])).buffer);
    const value = new Uint8Array(BigUint64Array.of(BigInt(inner || i + 1)).buffer);
    kernel.bpf('MAP_UPDATE_ELEM', { map_fd: fd, key, value: inner ? value.slice(0, 4) : value });
  }
  return fd;
}

/** ns an operation here and in the kernel; `missing` says why the kernel's are left out. */
export async function benchMaps() {
  const { path, missing: noCompiler } = build();
  let missing = noCompiler;
  const rows = [];
  for (const each of CASES) {
    const insns = assemble(program(each.body));
    const row = { name: each.name };
    for (const checks of ['isolate', 'object']) {
      const kernel = await Kernel.create({ windowBytes: 16 * 2 ** 20, checks, engine: 'jit' });
      const fd = makeMap(kernel, each);
      const own = insns.slice();
      // The one LD_IMM64 names map fd 0.
      const at = own.findIndex((byte, i) => i % 8 === 0 && byte === 0x18);
      new DataView(own.buffer).setUint32(at + 4, fd, true);
      const prog_fd = kernel.bpf('PROG_LOAD', { prog_type: BPF_PROG_TYPE.SOCKET_FILTER, insns: own, license: 'GPL' });
      const run = () => {
        const attr = { prog_fd, data_in: new Uint8Array(64), repeat: REPEAT_HERE };
        const result = kernel.bpf('PROG_TEST_RUN', attr);
        if (result < 0) throw new Error(`${each.name}: PROG_TEST_RUN: ${result}`);
        row.result = attr.retval;
        return attr.duration / OPERATIONS;
      };
      for (let i = 0; i < 3; i++) run();
      row[checks] = Math.min(...Array.from({ length: ROUNDS }, run));
      kernel.dispose();
    }
    const judge = missing ? {} : inKernel(path, each, insns);
    missing ??= judge.missing;
    if (judge.ns !== undefined) {
      if (judge.result !== row.result)
        throw new Error(`${each.name}: ${row.result} here, ${judge.result} in the kernel`);
      row.kernel = Math.min(judge.ns, inKernel(path, each, insns).ns);
    }
    rows.push(row);
  }
  return { rows, missing };
}

/** Lines of text for a person. */
export function formatMaps({ rows, missing }) {
  const cell = (value, digits, width) => (value === undefined ? '–' : value.toFixed(digits)).padStart(width);
  const lines = rows.map(({ name, kernel, isolate, object }) => {
    const ratio = (ns) => (kernel === undefined ? undefined : ns / kernel);
    const cells = [cell(kernel, 1, 12), cell(isolate, 1, 12), cell(ratio(isolate), 1, 10), cell(object, 1, 12)];
    return `${name.padEnd(26)}${cells.join('')}${cell(ratio(object), 1, 10)}`;
  });
  return [
    'ns an operation on a map       kernel     isolate  × kernel      object  × kernel',
    ...lines,
    ...(missing ? [`the kernel's side is left out: ${missing}`] : []),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(formatMaps(await benchMaps()).join('\n'));
