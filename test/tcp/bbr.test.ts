import { describe, expect, it } from 'vitest';
import type { Kernel } from '../../src/index.js';
import { Random } from '../../src/kernel/index.js';
import { Bbr } from '../../src/tcp/bbr.js';
import { CaPriv } from '../../src/tcp/ca_priv.js';
import { addTcp, type FlowOptions, type Tcp, TcpFlow } from '../../src/tcp/index.js';
import { attachVtable, caller, newKernel } from './programs.js';

// On 6.12, which has the module built in.

const MS = 1_000_000;
const S = 1_000_000_000;
/** 50 Mbit/s, 40 ms: 165 packets fill it, and four times as many may wait. */
const PATH: FlowOptions = { rate: 50e6, rttNs: 40 * MS, queuePackets: 660, sampleNs: 5 * MS };
const BDP = 165;

const [STARTUP, DRAIN, PROBE_BW, PROBE_RTT] = [0, 1, 2, 3];
const MEMBERS = [
  'mode',
  'cycle_idx',
  'pacing_gain',
  'min_rtt_us',
  'lt_use_bw',
  'lt_bw',
  'bw.s[0].v',
  'idle_restart',
] as const;

const kernel612 = (seed = 1) => newKernel({ profile: '6.12', seed });

/** A flow, and what its private state was every millisecond. */
async function flowOf(options: FlowOptions, ms: number, kernel?: Kernel, algorithm = 'bbr', tcp?: Tcp) {
  const on = kernel ?? (await kernel612());
  const flow = new TcpFlow(tcp ?? addTcp(on), algorithm, options);
  const state = new CaPriv(on, 'bbr', MEMBERS);
  const states: Record<(typeof MEMBERS)[number] | 'ms' | 'cwnd', number>[] = [];
  for (let at = 0; at < ms; at++) {
    flow.run(MS);
    const { sk, tp } = flow.sender;
    const values = Object.fromEntries(MEMBERS.map((member) => [member, state.get(sk, member)]));
    states.push({ ms: at, cwnd: tp.snd_cwnd, ...values } as (typeof states)[number]);
  }
  const modes = states.map(({ mode }) => mode).filter((mode, i, all) => mode !== all[i - 1]);
  return { flow, states, modes };
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('BBR', () => {
  it('starts up, drains, and probes for bandwidth with a short queue', async () => {
    const { flow, states, modes } = await flowOf(PATH, 4000);
    expect(modes).toEqual([STARTUP, DRAIN, PROBE_BW]);
    const startup = states.filter(({ mode }) => mode === STARTUP);
    expect(new Set(startup.slice(100).map((state) => state.pacing_gain))).toEqual(new Set([739]));
    expect(startup.length).toBeLessThan(700);
    const drain = states.filter(({ mode }) => mode === DRAIN);
    expect(new Set(drain.map((state) => state.pacing_gain))).toEqual(new Set([88]));
    const late = flow.curve.filter(({ time }) => time > 2 * S);
    expect(mean(late.map(({ queue }) => queue))).toBeLessThan(BDP / 4);
    expect(Math.max(...late.map(({ queue }) => queue))).toBeLessThan(BDP / 2);
    // The queue that startup made was longer.
    expect(Math.max(...flow.curve.map(({ queue }) => queue))).toBeGreaterThan(BDP / 2);
    const delivered = late.at(-1)!.delivered - late[0]!.delivered;
    const capacity = ((late.at(-1)!.time - late[0]!.time) / S) * (50e6 / 8 / 1514);
    expect(delivered / capacity).toBeGreaterThan(0.95);
    // Packets per µs in 1/2^24.
    expect(states.at(-1)!['bw.s[0].v'] / 2 ** 24 / (50 / 8 / 1514)).toBeCloseTo(1, 1);
    expect(states.at(-1)!.min_rtt_us).toBeGreaterThanOrEqual(40_000);
    expect(states.at(-1)!.min_rtt_us).toBeLessThan(41_000);
  });

  it('cycles through its gains, a phase each round trip', async () => {
    const { states } = await flowOf(PATH, 4000);
    const phases = states
      .filter(({ mode, ms }) => mode === PROBE_BW && ms > 1500)
      .filter((state, i, all) => state.cycle_idx !== all[i - 1]?.cycle_idx)
      .slice(1);
    expect(phases.length).toBeGreaterThan(30);
    for (const [i, { cycle_idx, pacing_gain }] of phases.entries()) {
      if (i > 0) expect(cycle_idx).toBe((phases[i - 1]!.cycle_idx + 1) % 8);
      expect(pacing_gain).toBe([320, 192, 256, 256, 256, 256, 256, 256][cycle_idx]);
    }
  });

  it('begins PROBE_BW in a phase that comes of the seed', async () => {
    const first = async (seed: number) => {
      const { states } = await flowOf(PATH, 800, await kernel612(seed));
      return states.find(({ mode }) => mode === PROBE_BW)!.cycle_idx;
    };
    const phases = [];
    for (let seed = 1; seed <= 6; seed++) phases.push(await first(seed));
    expect(new Set(phases).size).toBeGreaterThan(1);
    expect(phases).not.toContain(1);
    expect(await first(3)).toBe(phases[2]);
  });

  it('cuts its window after ten seconds to measure the least RTT, for 200 ms', async () => {
    const { states, modes } = await flowOf({ ...PATH, rate: 10e6, queuePackets: 200 }, 12_000);
    expect(modes.slice(0, 5)).toEqual([STARTUP, DRAIN, PROBE_BW, PROBE_RTT, PROBE_BW]);
    const probing = states.filter(({ mode }) => mode === PROBE_RTT);
    expect(probing.length).toBeGreaterThanOrEqual(200);
    expect(probing.length).toBeLessThan(400);
    expect(probing.at(-1)!.cwnd).toBe(4);
    const after = states.find(({ ms }) => ms === probing.at(-1)!.ms + 1)!;
    expect(after.cwnd).toBeGreaterThan(30);
    expect(probing[0]!.ms).toBeGreaterThan(10_000);
  });

  it('goes on through losses by chance', async () => {
    const { flow } = await flowOf({ ...PATH, loss: 0.02 }, 5000);
    const late = flow.curve.filter(({ time }) => time > 2 * S);
    const delivered = late.at(-1)!.delivered - late[0]!.delivered;
    expect(delivered / (((late.at(-1)!.time - late[0]!.time) / S) * (50e6 / 8 / 1514))).toBeGreaterThan(0.85);
    expect(flow.sender.counts.recoveries).toBeGreaterThan(5);
  });

  it('keeps to the rate of what drops a steady share', async () => {
    const { states } = await flowOf({ ...PATH, loss: 0.3 }, 6000);
    const kept = states.filter((state) => state.lt_use_bw === 1);
    expect(kept.length).toBeGreaterThan(500);
    expect(new Set(kept.map((state) => state.pacing_gain))).toEqual(new Set([256]));
    expect(states.some((state) => state.lt_use_bw === 0 && state.lt_bw !== 0)).toBe(true);
  });

  it('knows that it starts again after the application was idle', async () => {
    const writes = [
      { at: 0, bytes: 5_000_000 },
      { at: 3 * S, bytes: 100_000 },
    ];
    const { states } = await flowOf({ ...PATH, writes }, 3500);
    expect(states.some((state) => state.idle_restart === 1 && state.ms >= 3000)).toBe(true);
    // The first flight counts as such a start.
    expect(states[0]!.idle_restart).toBe(1);
    expect(states.filter(({ ms }) => ms >= 100 && ms < 1000).every((state) => state.idle_restart === 0)).toBe(true);
  });

  it('takes whatever programs leave in its private area and in the window', async () => {
    const kernel = await kernel612();
    const tcp = addTcp(kernel);
    const { sender } = new TcpFlow(tcp, 'bbr', PATH);
    const { sk, tp } = sender;
    const bbr = new Bbr(kernel);
    const random = new Random(7);
    const wild = () => (random.u32() % 3 === 0 ? random.u32() : random.u32() % 100);
    const area = kernel.memory.bytes(sk.ptr + tcp.layout.caPriv.offset, tcp.layout.caPriv.size);
    for (let i = 0; i < 2000; i++) {
      for (let at = 0; at < area.length; at++) area[at] = random.u32();
      tp.snd_cwnd = wild();
      tcp.layout.pacingRate.setBig(sk.ptr, (BigInt(wild()) << 32n) | BigInt(wild()));
      tp.icsk_ca_state = random.u32() % 5;
      bbr.main(sk, {
        prior_delivered: wild(),
        delivered: wild() | 0,
        interval_us: wild() | 0,
        rtt_us: wild() | 0,
        losses: wild() | 0,
        acked_sacked: wild(),
        prior_in_flight: wild(),
        is_app_limited: random.u32() & 1,
        is_ack_delayed: 0,
      });
      bbr.txStart(sk);
      bbr.setState(sk, 4);
      expect(bbr.ssthresh(sk)).toBe(tp.snd_ssthresh);
      expect(bbr.undoCwnd(sk)).toBe(tp.snd_cwnd);
      expect([1, 2]).toContain(bbr.minTsoSegs(sk));
    }
    expect(kernel.log.filter((line) => line.startsWith('BBR bad mode'))).toHaveLength(1);
  });

  it('is the same as a vtable of programs that call its functions', async () => {
    const kernel = await kernel612();
    const tcp = addTcp(kernel);
    expect(tcp.algorithms.available).toBe('reno bbr cubic dctcp');
    const fd = attachVtable(
      kernel,
      'tcp_congestion_ops',
      { name: 'calls' },
      {
        init: caller(kernel, 'bbr_init', 1),
        cong_control: caller(kernel, 'bbr_main', 4),
        sndbuf_expand: caller(kernel, 'bbr_sndbuf_expand', 1, true),
        undo_cwnd: caller(kernel, 'bbr_undo_cwnd', 1, true),
        cwnd_event: caller(kernel, 'bbr_cwnd_event', 2),
        ssthresh: caller(kernel, 'bbr_ssthresh', 1, true),
        min_tso_segs: caller(kernel, 'bbr_min_tso_segs', 1, true),
        set_state: caller(kernel, 'bbr_set_state', 2),
      },
    );
    expect(fd).toBeGreaterThan(0);
    const options = { ...PATH, loss: 0.01, stalls: [{ from: 1 * S, to: 1.7 * S }] };
    const theirs = await flowOf(options, 3000, kernel, 'calls', tcp);
    const ours = await flowOf(options, 3000);
    expect(theirs.flow.curve).toEqual(ours.flow.curve);
    expect(theirs.states).toEqual(ours.states);
    expect(ours.flow.sender.counts.timeouts).toBeGreaterThan(0);
  });
});
