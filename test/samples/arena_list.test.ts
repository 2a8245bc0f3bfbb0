import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { cli } from '../../src/cli/cli.js';
import { type BpfObject, Kernel, openObject } from '../../src/index.js';
import { ArenaMap } from '../../src/kernel/map/arena.js';
import { PROFILES } from '../sched_ext/harness.js';

// samples/arena_list.bpf.c: programs build a list in an arena, run by run; user space follows the same pointers.

const ENOMEM = 12;
const NODES_PER_PAGE = 256;
const ARENA_PAGES = 64;

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function load(profile: string): Promise<{ kernel: Kernel; object: BpfObject }> {
  const kernel = await Kernel.create({ profile, windowBytes: 1 << 24, faults: 'strict' });
  kernels.push(kernel);
  const bytes = new Uint8Array(await readFile(new URL('../../samples/arena_list.bpf.o', import.meta.url)));
  const object = openObject(bytes, { name: 'arena_list' });
  object.load(kernel);
  return { kernel, object };
}

/** struct request: value, sum, steps. */
function run(object: BpfObject, program: string, value = 0n): { retval: number; sum: bigint; steps: bigint } {
  const request = new Uint8Array(BigUint64Array.of(value, 0n, 0n).buffer);
  const { retval, ctx } = object.program(program).testRun({ ctx: request });
  const [, sum = -1n, steps = -1n] = new BigUint64Array(ctx!.slice().buffer);
  return { retval: retval | 0, sum, steps };
}

const usedPages = (kernel: Kernel) =>
  kernel.maps.values().reduce((sum, map) => sum + (map instanceof ArenaMap ? map.usedPages : 0), 0);

/** The list as user space sees it: struct node { next, value }. */
function follow(object: BpfObject): bigint[] {
  const memory = object.map('arena').memory!;
  const values: bigint[] = [];
  let node = object.variable('head').get() as bigint;
  while (node !== 0n) {
    const bytes = memory.read(Number(node - memory.address!), 16);
    const words = new DataView(bytes.buffer, bytes.byteOffset, 16);
    values.push(words.getBigUint64(8, true));
    node = words.getBigUint64(0, true);
  }
  return values;
}

describe.each(PROFILES)('arena_list on %s', (profile) => {
  it('grows a list from run to run, which user space reads through the arena', async () => {
    const { kernel, object } = await load(profile);
    expect(object.map('arena').memory?.address).toBe(1n << 44n);
    expect(run(object, 'total')).toEqual({ retval: 0, sum: 0n, steps: 0n });
    for (const value of [5n, 7n, 11n]) expect(run(object, 'push', value).retval).toBe(0);
    expect(run(object, 'total')).toEqual({ retval: 0, sum: 23n, steps: 3n });
    expect(object.variable('length').get()).toBe(3n);
    expect(follow(object)).toEqual([11n, 7n, 5n]);
    // One page of nodes, one of globals.
    expect(usedPages(kernel)).toBe(2);
  });

  it('reads what user space writes into a node, and the head that it sets', async () => {
    const { object } = await load(profile);
    for (const value of [1n, 2n]) run(object, 'push', value);
    const memory = object.map('arena').memory!;
    const head = object.variable('head').get() as bigint;
    memory.write(Number(head - memory.address!) + 8, new Uint8Array(BigUint64Array.of(40n).buffer));
    expect(run(object, 'total').sum).toBe(41n);
    object.variable('head').set(0n);
    expect(run(object, 'total')).toEqual({ retval: 0, sum: 0n, steps: 0n });
  });

  it('takes a page for every 256 nodes until the arena is full', async () => {
    const { kernel, object } = await load(profile);
    const full = (ARENA_PAGES - 1) * NODES_PER_PAGE;
    for (let i = 0; i < NODES_PER_PAGE; i++) run(object, 'push', 1n);
    expect(usedPages(kernel)).toBe(2);
    run(object, 'push', 1n);
    expect(usedPages(kernel)).toBe(3);
    for (let i = NODES_PER_PAGE + 1; i < full; i++) run(object, 'push', 1n);
    expect(usedPages(kernel)).toBe(ARENA_PAGES);
    expect(run(object, 'push', 1n).retval).toBe(-ENOMEM);
    expect(run(object, 'total')).toEqual({ retval: 0, sum: BigInt(full), steps: BigInt(full) });
    expect(follow(object).length).toBe(full);
  });
});

it('runs from the command line', async () => {
  let out = '';
  const status = await cli(
    ['run', 'samples/arena_list.bpf.o', '--prog', 'push', '--ctx', '07'.padEnd(48, '0'), '--json'],
    {
      readFile: (path) => readFileSync(path),
      readStdin: () => new Uint8Array(0),
      writeFile: () => {
        throw new Error('no file is asked for');
      },
      appendFile: () => {
        throw new Error('no file is asked for');
      },
      importModule: () => Promise.reject(new Error('no module is asked for')),
      out: (text) => {
        out += text;
      },
      err: (text) => {
        out += text;
      },
      colour: false,
      width: 100,
    },
  );
  expect([status, JSON.parse(out).r0]).toEqual([0, '0x0']);
});
