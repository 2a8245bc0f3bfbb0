import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from './run.js';

const OBJECT = 'test/loader/fixtures/snapshot.bpf.o';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'snapshot-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...argv: string[]) => runCli(['run', OBJECT, '--cpus', '2', '--ctx', '00'.repeat(64), ...argv]);

test('--dump-maps writes what --load-maps stores: a second run goes on where the first ended', async () => {
  const [first, second] = [join(folder, 'first.json'), join(folder, 'second.json')];
  expect((await run('--set', 'counter=40', '--dump-maps', first)).status).toBe(0);
  expect((await run('--load-maps', first, '--dump-maps', second)).status).toBe(0);
  const counter = (file: string) => {
    const maps = JSON.parse(readFileSync(file, 'utf8')) as {
      name: string;
      elements: { formatted: { value: unknown } }[];
    }[];
    return maps.find(({ name }) => name === 'snapshot.data')!.elements[0]!.formatted.value;
  };
  expect(counter(first)).toEqual({ '.data': [{ counter: 41 }, { name: 'state' }] });
  expect(counter(second)).toEqual({ '.data': [{ counter: 42 }, { name: 'state' }] });
});

test('a simulation leaves its maps, and one that starts with them goes on from there', async () => {
  const file = join(folder, 'sim.json');
  const sim = (...argv: string[]) =>
    runCli(['sim', 'samples/scx_fifo.bpf.o', '--duration', '20ms', '--dump-maps', file, ...argv]);
  const queued = () => {
    const maps = JSON.parse(readFileSync(file, 'utf8')) as {
      type: string;
      elements: { formatted: { values: object[] } }[];
    }[];
    const counts = maps.find(({ type }) => type === 'percpu_array')!.elements[0]!.formatted;
    return JSON.stringify(counts)
      .match(/\d+/g)!
      .map(Number)
      .reduce((sum, count) => sum + count, 0);
  };
  expect((await sim()).status).toBe(0);
  const once = queued();
  expect(once).toBeGreaterThan(20);
  expect((await sim('--load-maps', file)).status).toBe(0);
  expect(queued()).toBeGreaterThan(1.5 * once);
});

test('maps that the object lacks are told, what is no snapshot is bad input', async () => {
  const file = join(folder, 'other.json');
  writeFileSync(file, '[{"id":1,"type":"hash","name":"gone","flags":0,"elements":[]}]');
  const { status, err } = await run('--load-maps', file);
  expect(status).toBe(0);
  expect(err).toContain('map "gone" is not stored: the object has no such map');
  for (const argv of [
    ['tcp', 'samples/tcp_aimd.bpf.o', '--seconds', '0.1'],
    ['qdisc', 'samples/qdisc_fifo.bpf.o', '--seconds', '0.1'],
    ['struct_ops', 'samples/tcp_aimd.bpf.o'],
  ]) {
    const other = await runCli([...argv, '--load-maps', file]);
    expect([argv[0], other.status, other.err]).toEqual([
      argv[0],
      0,
      expect.stringContaining('map "gone" is not stored'),
    ]);
  }
  writeFileSync(file, '{}');
  const bad = await run('--load-maps', file);
  expect(bad.status).toBe(2);
  expect(bad.err).toMatch(/^vmtable: .*other\.json: snapshot: an array of maps expected\n$/);
  expect((await run('--load-maps', join(folder, 'none.json'))).status).toBe(2);
  expect((await run('--dump-maps', join(folder, 'no', 'such', 'folder'))).status).toBe(2);
});
