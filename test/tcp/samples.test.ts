import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERRNO, openObject } from '../../src/index.js';
import { addTcp, runTcp, TcpFlow } from '../../src/tcp/index.js';
import { newKernel } from './programs.js';

const MS = 1_000_000;
const bytes = new Uint8Array(readFileSync(new URL('../../samples/tcp_aimd.bpf.o', import.meta.url)));

// The BTF of 6.12 has no struct module, without which that kernel registers no tcp_congestion_ops.
describe.each(['7.3', '6.18'])('tcp_aimd, congestion control, on %s', (profile) => {
  it('does what Reno does, packet by packet', async () => {
    const kernel = await newKernel({ profile });
    const tcp = addTcp(kernel);
    openObject(bytes).load(kernel).attach();
    const path = { rate: 10e6, rttNs: 40 * MS };
    const flows = ['bpf_aimd', 'reno'].map((name) => {
      const flow = new TcpFlow(tcp, name, path);
      flow.run(6e9);
      flow.close();
      return flow;
    });
    const [ours, theirs] = flows.map(({ curve }) => curve.map(({ cwnd, ssthresh }) => [cwnd, ssthresh]));
    expect(ours).toEqual(theirs);
  });

  it('counts its losses', async () => {
    const kernel = await newKernel({ profile });
    const tcp = addTcp(kernel);
    const object = openObject(bytes).load(kernel);
    object.attach();
    const flow = new TcpFlow(tcp, 'bpf_aimd', { rate: 10e6, rttNs: 40 * MS });
    flow.run(6e9);
    expect(object.variable('losses').get()).toBe(flow.sender.counts.recoveries);
    expect(flow.sender.counts.recoveries).toBeGreaterThan(1);
  });
});

it('a link is not updated to the map that it has: refused where a kernel stops, and logged', async () => {
  const kernel = await newKernel();
  const tcp = addTcp(kernel);
  const object = openObject(bytes).load(kernel);
  const [link] = object.attach();
  const attr = { link_fd: link!.fd!, new_map_fd: object.structOps[0]!.fd };
  expect(kernel.bpf('LINK_UPDATE', attr)).toBe(-ERRNO.EINVAL);
  expect(kernel.log.at(-1)).toMatch(/^TCP: bpf_aimd is the link's algorithm already/);
  expect(tcp.algorithms.available).toBe('reno cubic bpf_aimd');
  link!.destroy();
  expect(tcp.algorithms.available).toBe('reno cubic');
});

describe('runTcp', () => {
  it('tells the same twice, with counts of every op', async () => {
    const run = async () => {
      const { host, ...result } = await runTcp(bytes, { name: 'tcp_aimd.bpf.o', durationNs: 2e9, loss: 0.002 });
      expect(host.wallMs).toBeGreaterThan(0);
      return result;
    };
    const [a, b] = [await run(), await run()];
    expect(a).toEqual(b);
    expect(a.algorithm).toBe('bpf_aimd');
    expect(a.fault).toBeUndefined();
    expect(Object.keys(a.callbacks)).toEqual(['ssthresh', 'cong_avoid', 'undo_cwnd', 'init']);
    expect(a.callbacks.init!.count).toBe(2);
    expect(a.callbacks.cong_avoid!.insns).toBeGreaterThan(a.callbacks.cong_avoid!.count * 5);
    expect(a.utilization).toBeGreaterThan(0.3);
    expect(a.utilization).toBeLessThanOrEqual(1);
  });

  it('names the algorithms there are when another is wanted', async () => {
    await expect(runTcp(bytes, { map: 'vegas' })).rejects.toThrow('no algorithm "vegas" (tcp_congestion_ops: aimd)');
  });
});
