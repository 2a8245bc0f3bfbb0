import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type BpfObject, Kernel, openObject } from '../../src/index.js';
import { MS, PROFILES } from '../sched_ext/harness.js';
import { Machine } from '../sched_ext/scripted_machine.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function kernelOf(profile: string): Promise<Kernel> {
  const kernel = await Kernel.create({ profile, windowBytes: 1 << 24, faults: 'strict' });
  kernels.push(kernel);
  return kernel;
}

async function bytes(name: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(new URL(`../../samples/${name}.bpf.o`, import.meta.url)));
}

async function open(name: string): Promise<BpfObject> {
  return openObject(await bytes(name), { name });
}

describe.each(PROFILES)('scx_vtime, a weighted fair scheduler, on %s', (profile) => {
  it('shares a CPU by weight', async () => {
    const machine = new Machine(await kernelOf(profile));
    // Nobody can have more than half: when a slice ends the next task is chosen among the others.
    const weights = { light: 50, normal: 100, heavy: 150, other: 100 };
    for (const [name, weight] of Object.entries(weights)) {
      machine.spawn({ name, steps: [{ run: 900 * MS }], weight, cpus: [0] });
    }
    const object = await open('scx_vtime');
    object.variable('slice_ns').set(1 * MS);
    object.load(machine.kernel).attach();
    machine.run(800 * MS);
    const shares = machine.runs.map((run) => run.runNs / MS);
    const wanted = [100, 200, 300, 200];
    expect(Math.max(...shares.map((share, i) => Math.abs(share - (wanted[i] ?? 0))))).toBeLessThanOrEqual(2);
  });

  it('lets a task that slept claim one slice, not all that it missed', async () => {
    const machine = new Machine(await kernelOf(profile));
    for (const name of ['busy-1', 'busy-2']) machine.spawn({ name, steps: [{ run: 500 * MS }], cpus: [0] });
    const sleeper = machine.spawn({ name: 'sleeper', steps: [{ run: 90 * MS }], startNs: 100 * MS, cpus: [0] });
    const object = await open('scx_vtime');
    object.variable('slice_ns').set(2 * MS);
    object.load(machine.kernel).attach();
    machine.run(100 * MS + 60 * MS);
    // A third of the time since it woke, and what one slice may bring.
    expect(sleeper.runNs).toBeGreaterThanOrEqual(20 * MS);
    expect(sleeper.runNs).toBeLessThanOrEqual(24 * MS);
    const late = (object.map('stats').lookup(0) as { late: bigint }[]).reduce((sum, cpu) => sum + Number(cpu.late), 0);
    expect(late).toBe(1);
  });
});

describe.each(PROFILES)('xdp_filter, a packet filter, on %s', (profile) => {
  const TCP = 6;
  const UDP = 17;

  /** Ethernet, IPv4 with `options` extra words, ports. */
  function packet(
    protocol: number,
    port: number,
    { type = 0x0800, options = 0, fragment = 0, cut = 0 } = {},
  ): Uint8Array {
    const bytes = new Uint8Array(14 + 20 + options * 4 + 8);
    const view = new DataView(bytes.buffer);
    view.setUint16(12, type);
    view.setUint8(14, 0x45 + options);
    view.setUint16(20, fragment);
    view.setUint8(23, protocol);
    view.setUint16(14 + 20 + options * 4 + 2, port);
    return bytes.subarray(0, bytes.length - cut);
  }

  const ABORTED = 0;
  const DROP = 1;
  const PASS = 2;

  it('drops what goes to a blocked port and counts it', async () => {
    const object = (await open('xdp_filter')).load(await kernelOf(profile));
    object.map('blocked').update(53, 0n);
    const run = (data: Uint8Array) => object.program('filter').testRun({ data }).retval;
    expect(run(packet(UDP, 53))).toBe(DROP);
    expect(run(packet(TCP, 53))).toBe(DROP);
    expect(run(packet(TCP, 53, { options: 5 }))).toBe(DROP);
    expect(run(packet(TCP, 80))).toBe(PASS);
    expect(run(packet(1, 53))).toBe(PASS);
    expect(run(packet(UDP, 53, { type: 0x86dd }))).toBe(PASS);
    expect(run(packet(UDP, 53, { fragment: 100 }))).toBe(PASS);
    expect(object.map('blocked').lookup(53)).toBe(3n);
    const verdicts = [ABORTED, DROP, PASS].map((action) =>
      (object.map('verdicts').lookup(action) as bigint[]).reduce((sum, count) => sum + count, 0n),
    );
    expect(verdicts).toEqual([0n, 3n, 4n]);
  });

  it('reads nothing behind the end of a packet', async () => {
    const object = (await open('xdp_filter')).load(await kernelOf(profile));
    for (let cut = 5; cut <= 28; cut++) {
      const { retval } = object.program('filter').testRun({ data: packet(UDP, 53, { cut }) });
      expect([cut, retval]).toEqual([cut, ABORTED]);
    }
  });
});
