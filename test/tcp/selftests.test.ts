import { expect } from 'vitest';
import { ERRNO, ErrnoError, openObject } from '../../src/index.js';
import { addTcp, type FlowOptions, runTcp, TcpFlow } from '../../src/tcp/index.js';
import { selftest } from '../selftests.js';
import { newKernel } from './programs.js';

// What tools/testing/selftests/bpf/prog_tests/bpf_tcp_ca.c of 7.3 expects of a kernel, on a path instead of the loopback device,
// and what the algorithms are known for.

const MS = 1_000_000;
const SMALL: FlowOptions = { rate: 10_000_000, rttNs: 40 * MS };

async function loaded(bytes: Uint8Array, set: Record<string, string> = {}) {
  const kernel = await newKernel({ windowBytes: 1 << 25 });
  const tcp = addTcp(kernel);
  const object = openObject(bytes);
  for (const [name, value] of Object.entries(set)) object.variable(name).set(value);
  object.load(kernel);
  const map = (name: string) => object.structOps.find((candidate) => candidate.name === name)!;
  return { kernel, tcp, object, map };
}

function errnoOf(body: () => unknown): number {
  try {
    body();
  } catch (error) {
    if (error instanceof ErrnoError) return error.errno;
    throw error;
  }
  return 0;
}

selftest('bpf_cubic', 'carries data, is told of acks, may not set TCP_NODELAY', async (bytes) => {
  const { tcp, object, map } = await loaded(bytes);
  map('cubic').attach();
  const flow = new TcpFlow(tcp, 'bpf_cubic', SMALL);
  flow.run(3e9);
  expect(flow.sender.tp.bytes_acked).toBeGreaterThan(2_000_000);
  expect(object.variable('bpf_cubic_acked_called').get()).toBe(1);
  expect(object.variable('nodelay_init_reject').get()).toBe(true);
  expect(object.variable('nodelay_cwnd_event_tx_start_reject').get()).toBe(true);
});

selftest('bpf_cubic', 'is concave up to the window of the loss and convex beyond', async (bytes) => {
  const path = { rate: 15e6, rttNs: 100 * MS, queuePackets: 100_000, drops: [500], sampleNs: 100 * MS };
  const { curve, fault } = await runTcp(bytes, { ...path, durationNs: 14e9 });
  expect(fault).toBeUndefined();
  const loss = curve.findIndex(({ state }) => state === 3);
  const wMax = Math.max(...curve.slice(0, loss).map(({ cwnd }) => cwnd));
  const epoch = curve.slice(loss).filter(({ state }) => state === 0);
  const plateau = epoch.findIndex(({ cwnd }) => cwnd >= wMax);
  const half = Math.floor(plateau / 2);
  const rest = Math.floor((epoch.length - 1 - plateau) / 2);
  const growth = (from: number, to: number) => epoch[to]!.cwnd - epoch[from]!.cwnd;
  expect(growth(0, half)).toBeGreaterThan(growth(half, plateau));
  expect(growth(plateau + rest, plateau + 2 * rest)).toBeGreaterThan(growth(plateau, plateau + rest));
});

selftest('bpf_cubic', 'follows the curve of the kernel’s own cubic', async (bytes) => {
  const { tcp, map } = await loaded(bytes);
  map('cubic').attach();
  const [ours, theirs] = ['bpf_cubic', 'cubic'].map((name) => {
    const flow = new TcpFlow(tcp, name, { ...SMALL, rate: 20e6, sampleNs: 100 * MS });
    flow.run(6e9);
    flow.close();
    return flow.curve;
  });
  const mean = (curve: typeof ours) => curve!.reduce((sum, { cwnd }) => sum + cwnd, 0) / curve!.length;
  expect(mean(ours) / mean(theirs)).toBeGreaterThan(0.95);
  expect(mean(ours) / mean(theirs)).toBeLessThan(1.05);
});

selftest('bpf_dctcp', 'keeps the queue at the threshold of the marks', async (bytes) => {
  const path = { rate: 100e6, rttNs: 4 * MS, markPackets: 20, queuePackets: 300 };
  const result = await runTcp(bytes, { ...path, map: 'dctcp', durationNs: 2e9, sampleNs: MS });
  const late = result.curve.filter(({ time }) => time > 0.5e9).map(({ queue }) => queue);
  expect(Math.max(...late)).toBeLessThanOrEqual(26);
  const mean = late.reduce((sum, queue) => sum + queue, 0) / late.length;
  expect(mean).toBeGreaterThan(10);
  expect(mean).toBeLessThan(24);
  expect(result.utilization).toBeGreaterThan(0.95);
  expect(result.segments.droppedByQueue).toBe(0);
  expect(result.segments.marked).toBeGreaterThan(100);
  expect(result.callbacks.cwnd_event!.count).toBeGreaterThan(1000);
});

selftest('bpf_dctcp', 'falls back from init without ECN, once', async (bytes) => {
  const { tcp, object, map } = await loaded(bytes, { fallback_cc: 'cubic' });
  map('dctcp').attach();
  const flow = new TcpFlow(tcp, 'bpf_dctcp', { ...SMALL, ecn: false });
  expect(flow.sender.sk.ca.name).toBe('cubic');
  expect(object.variable('cc_res').get()).toBe('cubic');
  expect(object.variable('tcp_cdg_res').get()).toBe(-ERRNO.ENOTSUPP);
  // Three by each of the two sockets.
  expect(object.variable('ebusy_cnt').get()).toBe(6);
});

selftest('bpf_dctcp', 'lacks what a vtable of init and set_state alone lacks', async (bytes) => {
  const { map } = await loaded(bytes);
  expect(errnoOf(() => map('dctcp_nouse').attach())).toBe(ERRNO.EINVAL);
});

selftest('bpf_dctcp_release', 'may not change the socket in release', async (bytes) => {
  const kernel = await newKernel();
  addTcp(kernel);
  expect(() => openObject(bytes).load(kernel)).toThrow('program of this type cannot use helper bpf_setsockopt');
});

selftest('bpf_cc_cubic', 'controls the window alone, by kfuncs of the kernel’s module', async (bytes) => {
  const result = await runTcp(bytes, { ...SMALL, durationNs: 3e9 });
  expect(result.fault).toBeUndefined();
  expect(result.segments.delivered).toBeGreaterThan(1000);
  expect(result.callbacks.cong_control!.count).toBeGreaterThan(1000);
});

selftest('tcp_ca_write_sk_pacing', 'sets the pacing rate', async (bytes) => {
  const { tcp, map } = await loaded(bytes);
  map('write_sk_pacing').attach();
  const { sender } = new TcpFlow(tcp, 'bpf_w_sk_pacing', SMALL);
  expect(sender.tp.sk_pacing_status).toBe(1);
  tcp.kernel.clock.advance(1e9);
  // cwnd * mss / srtt; the program's unit is that of its source.
  expect(sender.tp.sk_pacing_rate).toBe(Math.floor((10 * 1448 * 1e6 * 8) / sender.tp.srtt_us));
  expect(sender.tp.app_limited).toBeGreaterThan(0);
});

selftest('tcp_ca_incompl_cong_ops', 'is refused when it is attached', async (bytes) => {
  const { map, kernel } = await loaded(bytes);
  expect(errnoOf(() => map('incompl_cong_ops').attach())).toBe(ERRNO.EINVAL);
  expect(kernel.log.at(-1)).toBe('TCP: bpf_incompl_ops does not implement required ops');
});

selftest('tcp_ca_unsupp_cong_op', 'is refused when it is loaded', async (bytes) => {
  const kernel = await newKernel();
  addTcp(kernel);
  expect(() => openObject(bytes).load(kernel)).toThrow('attach to unsupported member get_info');
});

selftest('tcp_ca_kfunc', 'needs the modules of bbr and dctcp', async (bytes) => {
  const kernel = await newKernel();
  addTcp(kernel);
  expect(() => openObject(bytes).load(kernel)).toThrow("'bbr_init': not found in kernel or module BTFs");
});

selftest('tcp_ca_update', 'replaces an algorithm under its name; sockets keep the one they have', async (bytes) => {
  const { tcp, object, map } = await loaded(bytes);
  const link = map('ca_update_1').attach();
  const count = (name: string) => object.variable(name).get();
  const old = new TcpFlow(tcp, 'tcp_ca_update', SMALL);
  expect(count('ca1_cnt')).toBe(2);
  link.update(map('ca_update_2'));
  new TcpFlow(tcp, 'tcp_ca_update', SMALL);
  expect([count('ca1_cnt'), count('ca2_cnt')]).toEqual([2, 2]);
  old.run(1e8);
  expect(old.sender.tp.bytes_acked).toBeGreaterThan(0);
  expect(errnoOf(() => link.update(map('ca_wrong')))).toBe(ERRNO.EINVAL);
  link.destroy();
  expect(tcp.algorithms.available).toBe('reno cubic');
  map('ca_update_1').attach().destroy();
  map('ca_update_1').attach();
  expect(tcp.algorithms.available).toBe('reno cubic tcp_ca_update');
});
