import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runCli } from './run.js';

const SETUP = 'samples/setup.bpf.o';
const RUN = ['run', SETUP, '--prog', 'fill_squares', '--ctx', '00'.repeat(16), '--maps', '--json'];
const folder = mkdtempSync(join(tmpdir(), 'hooks-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** Values of the map that the sample's program fills. */
async function squares(argv: readonly string[]): Promise<number[]> {
  const { status, out, err } = await runCli([...RUN, ...argv]);
  expect(err).toBe('');
  expect(status).toBe(0);
  return JSON.parse(out).maps.squares.map(({ value }: { value: string }) => Number(value));
}

describe('--hooks', () => {
  it('the example of the docs makes the map smaller and fills it', async () => {
    expect(await squares(['--hooks', 'docs/hooks/squares.mjs'])).toEqual([100, 121, 144, 169, 196]);
    expect(readFileSync('docs/hooks.md', 'utf8')).toContain(readFileSync('docs/hooks/squares.mjs', 'utf8'));
  });

  it('may be TypeScript', { timeout: 60_000 }, async () => {
    const path = file(
      'hooks.ts',
      `import type { BpfObject } from 'vmtable';
       export const beforeLoad = (object: BpfObject): void => { object.map('squares').define({ maxEntries: 2 as number }); };`,
    );
    expect(await squares(['--hooks', path])).toEqual([0, 0]);
  });

  it('runs around load and before --set, whose values win', async () => {
    const path = file(
      'order.mjs',
      `export function beforeLoad(object) { object.variable('ticks_per_second').set(1); }
       export async function afterLoad(object) {
         await null;
         if (object.variable('ticks_per_second').get() !== 2) throw new Error('--set came first');
         if (object.state !== 'loaded') throw new Error(object.state);
       }`,
    );
    expect(await squares(['--hooks', path, '--set', 'ticks_per_second=2'])).toHaveLength(256);
  });

  it('--set takes enumerators of the kernel for integers that the object only counts with', async () => {
    const path = file(
      'enumerator.mjs',
      "export const afterLoad = (object) => { throw new Error(String(object.variable('ticks_per_second').get())); };",
    );
    const set = (value: string) => runCli([...RUN, '--hooks', path, '--set', `ticks_per_second=${value}`]);
    expect((await set('SCX_KICK_WAIT')).err).toContain('afterLoad: 4\n');
    expect((await set('SCX_NO_SUCH_THING')).err).toContain('"SCX_NO_SUCH_THING" for integer');
  });

  const LAYERS = ['sim', 'samples/scx_layers.bpf.o', '--set', 'cfg.nr_layers=2', '--duration', '350ms'];
  const DOMAIN = ['--init-prog', 'add_domain={"id": 0, "cpus": 15}'];

  it('round makes user space a task of the machine, whose pid beforeLoad gets', async () => {
    const path = file(
      'round.mjs',
      `let rounds = 0;
       export const comm = 'by_hand';
       export function beforeLoad(object, kernel, pid) { object.variable('scheduler_pid').set(pid); }
       export function round(object) {
         if (++rounds === 20) throw new Error('pid ' + object.variable('scheduler_pid').get());
       }`,
    );
    const argv = ['sim', 'test/sim/fixtures/handed.bpf.o', '--topology', '1c', '--hooks', path];
    const { status, err } = await runCli(argv);
    expect(err).toMatch(/round\.mjs:5: round: pid [1-9]\d*\n$/);
    expect(status).toBe(2);
  });

  it('periodically is called each period while a simulation runs, and finds what programs wrote', async () => {
    expect(readFileSync('docs/hooks.md', 'utf8')).toContain(readFileSync('docs/hooks/monitor.mjs', 'utf8'));
    const path = file(
      'loop.mjs',
      `const seen = [];
       export const periodNs = 100e6;
       export function periodically(object, kernel) {
         seen.push([kernel.clock.now - 60e9, object.variable('layers[0].run_ns').get() > 0n]);
         if (seen.length === 3) throw new Error(JSON.stringify(seen));
       }`,
    );
    const { status, err } = await runCli([...LAYERS, ...DOMAIN, '--hooks', path]);
    expect(status).toBe(2);
    expect(err).toBe(
      `vmtable: samples/scx_layers.bpf.o: ${path}:5: periodically: [[100000000,true],[200000000,true],[300000000,true]]\n`,
    );
  });

  it.each([
    ['async.mjs', 'export async function periodically() {}', 'periodically: is async, and nobody can wait for it'],
    [
      'zero.mjs',
      'export function periodically() {} export const periodNs = 0;',
      'periodNs is 0, not a whole number of ns',
    ],
  ])('%s is refused', async (name, text, message) => {
    const { status, err } = await runCli([...LAYERS, ...DOMAIN, '--duration', '2s', '--hooks', file(name, text)]);
    expect(status).toBe(2);
    expect(err).toContain(message);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });

  it('--set takes values of struct_ops maps, and flags of them joined as in C', async () => {
    const path = file(
      'flags.mjs',
      "export const afterLoad = (object) => { throw new Error(String(object.structOps[0].get('flags'))); };",
    );
    const set = (value: string) =>
      runCli(['struct_ops', 'samples/scx_fifo.bpf.o', '--hooks', path, '--set', `fifo_ops.flags=${value}`]);
    expect((await set('SCX_OPS_ENQ_LAST|SCX_OPS_ENQ_EXITING')).err).toContain('afterLoad: 6\n');
    expect((await set('SCX_OPS_KEEP_BUILTIN_IDLE')).err).toContain('afterLoad: 1\n');
    expect((await set('SCX_OPS_ENQ_LAST|SCX_NOTHING')).err).toContain('"SCX_OPS_ENQ_LAST|SCX_NOTHING" for integer');
  });

  it('beforeAttach comes before struct_ops maps are attached', async () => {
    const path = file('attach.mjs', `export function beforeAttach() { throw new Error('stopped right before'); }`);
    const { status, err } = await runCli(['struct_ops', 'samples/scx_fifo.bpf.o', '--hooks', path]);
    expect(status).toBe(2);
    expect(err).toBe(`vmtable: ${path}:1: beforeAttach: stopped right before\n`);
  });

  it.each([
    ['none.mjs', 'export const other = 1;', 'exports none of beforeLoad, afterLoad, beforeAttach, periodically, round'],
    ['number.mjs', 'export const beforeLoad = 1;', 'export beforeLoad is no function'],
    ['throws.mjs', 'export function beforeLoad() {\n  throw new TypeError("broken");\n}', 'beforeLoad: broken', 2],
    ['refused.mjs', '\n\nexport function beforeLoad(object) { object.map("nope"); }', 'beforeLoad: no map "nope"', 3],
    [
      'later.mjs',
      'const look = (object) =>\n  object.map("nope");\nexport async function beforeLoad(object) {\n  await null;\n  look(object);\n}',
      'beforeLoad: no map "nope"',
      2,
    ],
    ['thrown text.mjs', 'export function beforeLoad() { throw "just text"; }', 'beforeLoad: just text'],
  ])('%s is refused by name and line', async (name, text, why, line?: number) => {
    const path = file(name, text);
    const { status, err, out } = await runCli([...RUN, '--hooks', path]);
    expect(out).toBe('');
    expect(err).toContain(`${path}${line === undefined ? '' : `:${line}`}: ${why}`);
    expect([1, 2]).toContain(status);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });
});

it('a hook file that is no JavaScript is told with its line where Node tells it', async () => {
  // vitest puts its own loader before Node's: only a process of its own shows the real one.
  const path = file('syntax.mjs', 'export const a = 1;\nexport const = ;');
  const { stderr, status } = spawnSync('node', ['dist/lib/cli.js', ...RUN, '--hooks', path], { encoding: 'utf8' });
  expect(stderr).toMatch(new RegExp(`${path}:2: cannot be imported \\(`));
  expect(status).toBe(2);
});

describe('--init-prog', () => {
  it.each([
    ['JSON for the argument', 'fill_squares={"first": 3, "count": 2}'],
    ['hex bytes', 'fill_squares=03000000020000000000000000000000'],
  ])('takes its context as %s', async (_, text) => {
    expect((await squares(['--init-prog', text])).slice(0, 3)).toEqual([9, 16, 0]);
  });

  it('takes it from a file', async () => {
    const path = join(folder, 'request');
    writeFileSync(path, new Uint8Array(Uint32Array.of(1, 3, 0, 0).buffer));
    expect((await squares(['--init-prog', `fill_squares=@${path}`])).slice(0, 4)).toEqual([1, 4, 9, 0]);
  });

  it('fails with a negative result', async () => {
    const { status, err } = await runCli([...RUN, '--init-prog', 'fill_squares={"count": 1000}']);
    expect(status).toBe(1);
    expect(err).toBe(`vmtable: ${SETUP}: --init-prog fill_squares: returned -22\n`);
  });

  it('refuses a member that the struct does not have, and bytes that are none', async () => {
    expect((await runCli([...RUN, '--init-prog', 'fill_squares={"last": 1}'])).err).toContain('no member "last"');
    expect((await runCli([...RUN, '--init-prog', 'fill_squares=xyz'])).err).toContain('the context is not hex bytes');
    expect((await runCli([...RUN, '--init-prog', 'nope'])).err).toContain('no program "nope"');
  });
});
