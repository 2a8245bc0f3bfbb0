// The kernel of this machine as judge: the same random operations on its maps and on the core's. BPF_F_ZERO_SEED makes its
// hash function the one that the core uses, so that even the order of keys must agree.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../src/uapi.js';
import type { VmMap } from '../../src/vm/types.js';
import { mapSpec, newCore } from './new_core.js';

const { ARRAY, HASH } = BPF_MAP_TYPE;
const { NO_PREALLOC, ZERO_SEED } = BPF_MAP_FLAG;

interface Shape {
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
}

const dir = mkdtempSync(join(tmpdir(), 'map-oracle-'));
const binary = join(dir, 'map_run');
afterAll(() => rmSync(dir, { recursive: true }));

function unavailable(): string | undefined {
  const source = new URL('../oracle/map_run.c', import.meta.url).pathname;
  const compiled = spawnSync('clang-19', ['-O1', '-o', binary, source], { encoding: 'utf8' });
  if (compiled.error) return 'no clang-19';
  if (compiled.status !== 0) throw new Error(compiled.stderr);
  const probe = spawnSync(binary, ['2', '4', '8', '1', '0'], { input: '', encoding: 'utf8' });
  return probe.status === 77 ? `no bpf(2): ${probe.stderr}` : undefined;
}

function kernel(shape: Shape, lines: readonly string[]): { status: number | null; out: string[]; err: string } {
  const { type, keySize, valueSize, maxEntries, flags } = shape;
  const run = spawnSync(binary, [type, keySize, valueSize, maxEntries, flags].map(String), {
    input: `${lines.join('\n')}\n`,
    encoding: 'utf8',
  });
  return { status: run.status, out: run.stdout.split('\n').slice(0, -1), err: run.stderr };
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
const unhex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));

/** A small generator of our own: lines must be the same in every run. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function script(shape: Shape, seed: number, count: number): string[] {
  const next = random(seed);
  const keys = Array.from({ length: shape.maxEntries + 4 }, (_, i) => {
    const key = new Uint8Array(shape.keySize);
    if (shape.type === ARRAY) new DataView(key.buffer).setUint32(0, i, true);
    else for (let j = 0; j < key.length; j++) key[j] = (i * 37 + j * 11) & 0xff;
    return hex(key);
  });
  const key = () => keys[next(keys.length)] as string;
  const value = () => hex(Uint8Array.from({ length: shape.valueSize }, () => next(256)));
  const flags = [0, 0, 0, 0, 1, 2, 3, 4, 8];
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    const op = next(10);
    if (op < 4) lines.push(`u ${key()} ${value()} ${flags[next(flags.length)]}`);
    else if (op < 6) lines.push(`d ${key()}`);
    else if (op < 8) lines.push(`l ${key()}`);
    else lines.push(`n ${next(5) === 0 ? '-' : key()}`);
  }
  return lines;
}

function ours(map: VmMap, bytes: (ptr: number) => Uint8Array, line: string, keySize: number): string {
  const [op, k = '', v = '', f = ''] = line.split(' ');
  const key = unhex(k);
  switch (op) {
    case 'u':
      return String(map.update(key, unhex(v), Number(f)));
    case 'd':
      return String(map.delete(key));
    case 'l': {
      const ptr = map.lookup(key);
      return ptr === 0 ? '-2' : hex(bytes(ptr));
    }
    default: {
      const next = new Uint8Array(keySize);
      const result = map.nextKey(k === '-' ? null : key, next);
      return result === 0 ? hex(next) : String(result);
    }
  }
}

const shapes: Shape[] = [
  { type: ARRAY, keySize: 4, valueSize: 12, maxEntries: 9, flags: 0 },
  ...[4, 8, 5, 12, 16, 23, 64].flatMap((keySize) => [
    { type: HASH, keySize, valueSize: 20, maxEntries: 16, flags: ZERO_SEED },
    { type: HASH, keySize, valueSize: 3, maxEntries: 100, flags: ZERO_SEED | NO_PREALLOC },
  ]),
  { type: HASH, keySize: 4, valueSize: 8, maxEntries: 1, flags: ZERO_SEED },
];

const missing = unavailable();
if (missing) console.warn(`map oracle skipped: ${missing}`);

describe.skipIf(missing)('maps agree with the kernel of this machine', () => {
  test.each(shapes)('type $type, key $keySize, $maxEntries entries, flags $flags', async (shape) => {
    const { memory, maps } = await newCore();
    for (let seed = 1; seed <= 3; seed++) {
      const lines = script(shape, seed, 1500);
      const judge = kernel(shape, lines);
      expect(judge.status, judge.err).toBe(0);
      const map = maps.create(mapSpec(shape));
      const answers = lines.map((line) => ours(map, (ptr) => memory.bytes(ptr, shape.valueSize), line, shape.keySize));
      map.free();
      expect(judge.out).toHaveLength(lines.length);
      answers.forEach((answer, i) => {
        expect(answer, `seed ${seed}, operation ${i}: ${lines[i]}`).toBe(judge.out[i]);
      });
    }
  });

  const refused: [string, Partial<Shape>][] = [
    ['no entries', { maxEntries: 0 }],
    ['no key', { keySize: 0 }],
    ['no value', { valueSize: 0 }],
    ['unknown flag', { flags: 1 << 30 }],
    ['LRU flag', { flags: 2 }],
    ['read-only and write-only', { flags: BPF_MAP_FLAG.RDONLY | BPF_MAP_FLAG.WRONLY }],
    ['read-only and write-only for programs', { flags: BPF_MAP_FLAG.RDONLY_PROG | BPF_MAP_FLAG.WRONLY_PROG }],
    ['mmapable', { flags: BPF_MAP_FLAG.MMAPABLE }],
    ['inner map', { flags: BPF_MAP_FLAG.INNER_MAP }],
    ['no prealloc', { flags: NO_PREALLOC }],
    ['preserve elements', { flags: BPF_MAP_FLAG.PRESERVE_ELEMS }],
    ['key of 8', { keySize: 8 }],
    ['value of 4 MiB', { valueSize: 4 << 20 }],
    ['value just below the limit', { valueSize: (4 << 20) - 48 - 5 }],
    ['value at the limit', { valueSize: (4 << 20) - 48 - 4 }],
    ['value of 32 KiB', { valueSize: 32768 }],
    ['value above 32 KiB', { valueSize: 32769 }],
    ['value above 2 GiB', { valueSize: 0x80000000 }],
  ];
  const types = [HASH, ARRAY, BPF_MAP_TYPE.PERCPU_HASH, BPF_MAP_TYPE.PERCPU_ARRAY];
  const cases = types.flatMap((type) => refused.map(([what, change]) => ({ type, what, change })));
  test.each(cases)('creation, type $type: $what', async ({ type, change }) => {
    const shape = { type, keySize: 4, valueSize: 8, maxEntries: 2, flags: 0, ...change };
    const small = Math.max(shape.keySize, shape.valueSize) <= 65536;
    const judge = small ? kernel(shape, []) : creation(shape);
    const { maps } = await newCore({ windowBytes: 2 ** 26 });
    const expected = judge.status === 0 ? 0 : Number(judge.err.split(' ')[0]);
    let errno = 0;
    try {
      maps.create(mapSpec(shape)).free();
    } catch (error) {
      errno = (error as { errno: number }).errno;
    }
    expect(errno).toBe(expected);
  });

  /** Sizes that map_run has no room for: creation only. */
  function creation(shape: Shape): { status: number | null; err: string } {
    const { type, keySize, valueSize, maxEntries, flags } = shape;
    const args = [type, keySize, valueSize, maxEntries, flags, 'create'].map(String);
    const run = spawnSync(binary, args, { input: '', encoding: 'utf8' });
    return { status: run.status, err: run.stderr };
  }
});
