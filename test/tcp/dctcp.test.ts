import { describe, expect, it } from 'vitest';
import { Dctcp } from '../../src/tcp/dctcp.js';
import { addTcp, type FlowOptions, TcpFlow } from '../../src/tcp/index.js';
import { attachVtable, caller, newKernel } from './programs.js';

// On 6.12, which has the module built in.

const MS = 1_000_000;
const S = 1_000_000_000;
const MARKED: FlowOptions = { rate: 100e6, rttNs: 4 * MS, markPackets: 20, queuePackets: 300, sampleNs: MS };

const kernel612 = () => newKernel({ profile: '6.12' });

async function flowOf(options: FlowOptions): Promise<TcpFlow> {
  const flow = new TcpFlow(addTcp(await kernel612()), 'dctcp', options);
  flow.run(2 * S);
  return flow;
}

describe('DCTCP', () => {
  it('keeps the queue at the threshold of the marks', async () => {
    const flow = await flowOf(MARKED);
    const late = flow.curve.filter(({ time }) => time > S / 2).map(({ queue }) => queue);
    expect(Math.max(...late)).toBeLessThanOrEqual(26);
    const mean = late.reduce((sum, queue) => sum + queue, 0) / late.length;
    expect(mean).toBeGreaterThan(10);
    expect(mean).toBeLessThan(24);
    expect(flow.path.counts.droppedByQueue).toBe(0);
    expect((flow.sender.tp.bytes_acked * 8) / 2 / 100e6).toBeGreaterThan(0.9);
  });

  it.each([0, 0.1, 0.5, 1])('has an alpha that follows a share of %d marked packets, in 1/1024', async (share) => {
    const kernel = await kernel612();
    const sk = addTcp(kernel).socket('dctcp');
    const dctcp = new Dctcp(kernel);
    dctcp.init(sk);
    expect(dctcp.state.get(sk, 'dctcp_alpha')).toBe(1024);
    const round = () => {
      sk.tp.snd_nxt += 1000;
      sk.tp.delivered += 1000;
      sk.tp.delivered_ce += 1000 * share;
      dctcp.updateAlpha(sk);
      return dctcp.state.get(sk, 'dctcp_alpha');
    };
    // Of the rounds the first sees its end as reached, the others where that one began.
    sk.tp.snd_una = sk.tp.snd_nxt;
    expect(round()).toBe(1024 - 64 + Math.floor(64 * share));
    const within = dctcp.state.get(sk, 'dctcp_alpha');
    expect(round()).toBe(within);
    for (let i = 0; i < 100; i++) {
      sk.tp.snd_una = sk.tp.snd_nxt;
      round();
    }
    const alpha = dctcp.state.get(sk, 'dctcp_alpha');
    expect(Math.abs(alpha - 1024 * share)).toBeLessThanOrEqual(16);
    sk.tp.snd_cwnd = 1000;
    expect(dctcp.ssthresh(sk)).toBe(1000 - Math.floor((1000 * alpha) / 2048));
    sk.tp.snd_cwnd = 10;
    expect(dctcp.undoCwnd(sk)).toBe(1000);
  });

  it('halves the window for packets that got lost', async () => {
    const flow = await flowOf({ ...MARKED, markPackets: Infinity, drops: [5000], queuePackets: 10_000 });
    const loss = flow.curve.findIndex(({ state }) => state === 3);
    expect(flow.curve[loss]!.ssthresh).toBe(flow.curve[loss - 1]!.cwnd >>> 1);
  });

  it('is Reno on a connection without ECN', async () => {
    const flow = await flowOf({ ...MARKED, ecn: false });
    expect(flow.sender.sk.ca.name).toBe('dctcp-reno');
    expect(flow.path.counts.marked).toBe(0);
  });

  it('is the same as a vtable of programs that call its functions', async () => {
    const kernel = await kernel612();
    const tcp = addTcp(kernel);
    expect(tcp.algorithms.available).toContain('dctcp');
    const fd = attachVtable(
      kernel,
      'tcp_congestion_ops',
      { name: 'calls', flags: '\x02' },
      {
        init: caller(kernel, 'dctcp_init', 1),
        in_ack_event: caller(kernel, 'dctcp_update_alpha', 2),
        cwnd_event: caller(kernel, 'dctcp_cwnd_event', 2),
        ssthresh: caller(kernel, 'dctcp_ssthresh', 1, true),
        cong_avoid: caller(kernel, 'tcp_reno_cong_avoid', 3),
        undo_cwnd: caller(kernel, 'dctcp_cwnd_undo', 1, true),
        set_state: caller(kernel, 'dctcp_state', 2),
      },
    );
    expect(fd).toBeGreaterThan(0);
    const options = { ...MARKED, loss: 0.001, stalls: [{ from: 0.3 * S, to: 0.8 * S }] };
    const flow = new TcpFlow(tcp, 'calls', options);
    flow.run(2 * S);
    expect(flow.curve).toEqual((await flowOf(options)).curve);
    expect(flow.sender.counts.timeouts).toBeGreaterThan(0);
  });
});
