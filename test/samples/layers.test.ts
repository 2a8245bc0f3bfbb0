// samples/scx_layers.bpf.c: a scheduler that user space configures, with all that the large ones use.
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { runInitProg } from '../../src/cli/init_prog.js';
import { nodeIo } from '../../src/cli/node_io.js';
import { type BpfObject, Kernel, openObject } from '../../src/index.js';
import { beforeScxLoad } from '../../src/sched_ext/index.js';
import { runCli } from '../cli/run.js';
import { MS, PROFILES } from '../sched_ext/harness.js';
import { Machine } from '../sched_ext/scripted_machine.js';

const SAMPLE = 'samples/scx_layers.bpf.o';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

interface LayerState {
  run_ns: bigint;
  vtime: bigint;
  nr_tasks: bigint;
  util: bigint;
}

async function machineWith(profile: string, set: Record<string, number | boolean | string>, domains: number[] = []) {
  const kernel = await Kernel.create({ profile, cpus: 4, windowBytes: 1 << 25, faults: 'strict' });
  kernels.push(kernel);
  const machine = new Machine(kernel);
  const object = openObject(new Uint8Array(await readFile(SAMPLE)), { name: 'scx_layers' });
  beforeScxLoad(object, kernel);
  for (const [path, value] of Object.entries(set)) object.variable(`cfg.${path}`).set(value);
  object.load(kernel);
  for (const [id, cpus] of domains.entries()) runInitProg(nodeIo, object, `add_domain={"id":${id},"cpus":${cpus}}`);
  return { kernel, machine, object };
}

const layer = (object: BpfObject, i: number) => object.variable(`layers[${i}]`).get() as unknown as LayerState;

const TWO = { nr_layers: 2, 'layers[1].match[0].comm': 'batch' };

describe.each(PROFILES)('scx_layers on %s', (profile) => {
  it('puts tasks into layers by name, weight and kind', async () => {
    const set = { nr_layers: 3, 'layers[1].match[3].comm': 'batch', 'layers[2].match[1].min_weight': 500 };
    const { machine, object } = await machineWith(profile, set);
    const forever = [{ run: 900 * MS }];
    for (const name of ['batch-1', 'batch-2', 'other', 'bat']) machine.spawn({ name, steps: forever });
    machine.spawn({ name: 'heavy', weight: 900, steps: forever });
    object.attach();
    machine.run(1 * MS);
    expect([0, 1, 2].map((i) => Number(layer(object, i).nr_tasks))).toEqual([2, 2, 1]);
  });

  it('shares CPUs among layers by weight', async () => {
    const set = { ...TWO, 'layers[0].weight': 300, 'layers[0].slice_ns.dfl': 1 * MS, 'layers[1].slice_ns.dfl': 1 * MS };
    const { machine, object } = await machineWith(profile, set);
    for (let i = 0; i < 8; i++) machine.spawn({ name: `${i % 2 ? 'batch' : 'web'}-${i}`, steps: [{ run: 900 * MS }] });
    object.attach();
    machine.run(400 * MS);
    const [web, batch] = [0, 1].map((i) => Number(layer(object, i).run_ns));
    expect(web! / batch!).toBeGreaterThan(2.7);
    expect(web! / batch!).toBeLessThan(3.3);
  });

  it('keeps tasks to the domain of their layer while a CPU of it is idle', async () => {
    const set = { ...TWO, 'layers[1].domain': 1 };
    const { machine, object } = await machineWith(profile, set, [0b0011, 0b1100]);
    const naps = Array.from({ length: 40 }, () => [{ run: 1 * MS }, { sleep: 3 * MS }]).flat();
    for (const name of ['batch-1', 'web-1']) machine.spawn({ name, steps: naps });
    object.attach();
    machine.run(150 * MS);
    const busy = [0, 1, 2, 3].map((cpu) => machine.busyNs(cpu) / MS);
    expect(busy[0]! + busy[1]!).toBe(busy[2]! + busy[3]!);
    expect(busy[0]! + busy[1]!).toBeGreaterThan(30);
    expect(object.map('domains').lookup(1)).toMatchObject({ nr_cpus: 2 });
  });

  it('watches layers and CPUs from its timer, into an array that is as long as there are CPUs', async () => {
    const { machine, object } = await machineWith(profile, { ...TWO, 'monitor.period_ns': 20 * MS });
    for (let i = 0; i < 8; i++) machine.spawn({ name: `${i % 2 ? 'batch' : 'web'}-${i}`, steps: [{ run: 900 * MS }] });
    object.attach();
    machine.run(201 * MS);
    expect(object.map('monitors').lookup(0)).toMatchObject({ rounds: 10n });
    // Thousandths of one CPU, of which each layer has two.
    for (const i of [0, 1]) expect(Number(layer(object, i).util)).toBeGreaterThan(1500);
    const util = (object.variable('cpu_util').get() as unknown as bigint[]).map(Number);
    expect(util).toEqual([0, 1, 2, 3].map((cpu) => Number(object.variable(`cpu_util[${cpu}]`).get())));
    expect(Math.min(...util)).toBeGreaterThan(700);
  });

  it('uses contexts again, and gives back what tasks own', async () => {
    const { machine, object } = await machineWith(profile, {});
    for (let i = 0; i < 100; i++) machine.spawn({ name: `task-${i}`, steps: [{ run: 900 * MS }] });
    const made: number[] = [];
    for (let round = 0; round < 3; round++) {
      const link = object.structOpsMap('layers_ops').attach();
      machine.run(10 * MS);
      expect(Number(layer(object, 0).nr_tasks)).toBe(100);
      link.destroy();
      machine.run(10 * MS);
      expect(Number(layer(object, 0).nr_tasks)).toBe(0);
      made.push(Number(object.variable('nr_ctxs').get()));
    }
    expect(made[0]).toBeGreaterThanOrEqual(100);
    expect(made).toEqual([made[0], made[0], made[0]]);
  });

  it('ends with a message when it is set up wrongly', async () => {
    const { machine, object } = await machineWith(profile, { nr_layers: 9 });
    object.attach();
    machine.run(1 * MS);
    expect(object.variable('exit_record.message').get()).toContain('9 layers, from 1 to 8');
  });
});

it('runs under vmtable sim as its first lines say', async () => {
  const source = await readFile('samples/scx_layers.bpf.c', 'utf8');
  const [, first, second] = /\/\/\tvmtable (.*) \\\n\/\/\t\t(.*)\n/.exec(source)!;
  const argv = `${first} ${second}`.match(/'[^']*'|\S+/g)!.map((word) => word.replace(/^'|'$/g, ''));
  const { status, out, err } = await runCli([...argv, '--duration', '50ms', '--json']);
  expect(err).toBe('');
  expect(status).toBe(0);
  const { scheduler, exit, callbacks, dsqs } = JSON.parse(out);
  expect(scheduler).toBe('layers');
  // The name in quotes was found: tasks stood in the queue of its layer, too.
  expect(dsqs.map(({ name }: { name: string }) => name)).toEqual(expect.arrayContaining(['0x3e8', '0x3e9']));
  expect(exit.kindName).toBe('UNREG');
  for (const op of [
    'select_cpu',
    'enqueue',
    'dispatch',
    'running',
    'stopping',
    'init_task',
    'exit_task',
    'init',
    'exit',
  ])
    expect(callbacks[op].count, op).toBeGreaterThan(0);
});
