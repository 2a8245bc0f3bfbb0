import { describe, expect, it } from 'vitest';
import { type Kernel, UnsupportedError } from '../../src/index.js';
import { addTcp, type CurvePoint, type FlowOptions, TcpFlow } from '../../src/tcp/index.js';
import { attachVtable, helper, newKernel } from './programs.js';

const MS = 1_000_000;
const S = 1_000_000_000;
const OPEN = 0;
const RECOVERY = 3;

/** A path that holds 34 packets, and a queue for as many: small, so that few packets tell the story. */
const SMALL: FlowOptions = { rate: 10_000_000, rttNs: 40 * MS };

async function flowOf(algorithm: string, options: FlowOptions, seconds: number, kernel?: Kernel): Promise<TcpFlow> {
  const flow = new TcpFlow(addTcp(kernel ?? (await newKernel())), algorithm, options);
  flow.run(seconds * S);
  return flow;
}

/** Stretches of the curve in which nothing was lost, the first (slow start) left out. */
function epochs(curve: readonly CurvePoint[]): CurvePoint[][] {
  const result: CurvePoint[][] = [[]];
  for (const point of curve) {
    if (point.state === OPEN) result.at(-1)!.push(point);
    else if (result.at(-1)!.length > 0) result.push([]);
  }
  return result.slice(1).filter((epoch) => epoch.length > 0);
}

describe('Reno', () => {
  it('saws: half of the window after a loss, then one packet a round trip', async () => {
    const { curve } = await flowOf('reno', SMALL, 30);
    const saws = epochs(curve);
    expect(saws.length).toBeGreaterThanOrEqual(3);
    for (const [i, saw] of saws.slice(1, -1).entries()) {
      const peak = saws[i]!.at(-1)!.cwnd;
      expect(Math.abs(saw[0]!.cwnd - peak / 2)).toBeLessThanOrEqual(1.5);
    }
    const first = saws[1]!;
    // A round trip takes what the queue makes of it.
    let rounds = 0;
    for (let i = 1; i < first.length; i++) rounds += (first[i]!.time - first[i - 1]!.time) / 1000 / first[i]!.srttUs;
    expect((first.at(-1)!.cwnd - first[0]!.cwnd) / rounds).toBeCloseTo(1, 1);
  });

  it('doubles the window each round trip in slow start', async () => {
    const { curve } = await flowOf('reno', { rate: 1e9, rttNs: 100 * MS, sampleNs: 100 * MS }, 0.45);
    expect(curve.map(({ cwnd }) => cwnd)).toEqual([10, 10, 20, 40, 80].slice(0, curve.length));
  });
});

describe('CUBIC', () => {
  it('grows concavely up to where packets were lost, convexly beyond', async () => {
    // Two drops by hand, a queue without an end: nothing else stops the curve.
    const options = { rate: 15e6, rttNs: 100 * MS, queuePackets: 100_000, drops: [500], sampleNs: 100 * MS };
    const { curve } = await flowOf('cubic', options, 16);
    const [epoch] = epochs(curve) as [CurvePoint[]];
    const wMax = Math.max(...curve.filter(({ time }) => time < epoch[0]!.time).map(({ cwnd }) => cwnd));
    const plateau = epoch.findIndex(({ cwnd }) => cwnd >= wMax);
    expect(plateau).toBeGreaterThan(10);
    const growth = (from: number, to: number) => epoch[to]!.cwnd - epoch[from]!.cwnd;
    const third = Math.floor(plateau / 3);
    expect(growth(0, third)).toBeGreaterThan(growth(third, 2 * third));
    expect(growth(third, 2 * third)).toBeGreaterThanOrEqual(growth(2 * third, 3 * third));
    const rest = Math.floor((epoch.length - 1 - plateau) / 3);
    expect(rest).toBeGreaterThan(10);
    expect(growth(plateau + 2 * rest, plateau + 3 * rest)).toBeGreaterThan(growth(plateau + rest, plateau + 2 * rest));
    expect(growth(plateau + rest, plateau + 2 * rest)).toBeGreaterThan(growth(plateau, plateau + rest));
  });

  it('keeps seven tenths of the window after a loss', async () => {
    const { curve } = await flowOf('cubic', SMALL, 10);
    const saws = epochs(curve);
    const peak = saws[0]!.at(-1)!.cwnd;
    expect(saws[1]![0]!.cwnd / peak).toBeGreaterThan(0.66);
    expect(saws[1]![0]!.cwnd / peak).toBeLessThan(0.74);
  });

  it('leaves slow start before it overflows the queue (HyStart)', async () => {
    const { path, curve } = await flowOf('cubic', { ...SMALL, rate: 50e6 }, 0.5);
    expect(path.counts.droppedByQueue).toBe(0);
    expect(curve.at(-1)!.ssthresh).not.toBeNull();
  });
});

describe('a sender', () => {
  it('accounts for every packet', async () => {
    const { sender, path } = await flowOf('reno', { ...SMALL, loss: 0.01, seed: 7 }, 10);
    const { tp } = sender;
    const { packets, droppedByChance, droppedByQueue } = path.counts;
    expect(droppedByChance).toBeGreaterThan(20);
    expect(packets).toBe(tp.data_segs_out);
    // Sent once, acked or still on their way.
    const once = packets - tp.total_retrans;
    expect(once).toBe(tp.bytes_acked / 1448 + tp.packets_out);
    expect(tp.total_retrans).toBeGreaterThanOrEqual(droppedByChance + droppedByQueue - tp.packets_out);
    expect(tp.lost).toBeGreaterThanOrEqual(tp.total_retrans);
    expect(tp.delivered).toBe(tp.bytes_acked / 1448 + tp.sacked_out);
    expect(tp.snd_nxt - tp.snd_una).toBe(tp.packets_out * 1448);
  });

  it('measures round trips and the rate of the bottleneck', async () => {
    const { sender } = await flowOf('reno', SMALL, 6);
    const { tp, sk } = sender;
    const packetUs = (1514 * 8) / 10;
    // The handshake met no queue and no packet of its own.
    expect(sk.minRtt).toBe(40_000);
    const queued = sk.inFlight * packetUs;
    expect(tp.srtt_us / 8 / queued).toBeGreaterThan(0.9);
    expect(tp.srtt_us / 8 / queued).toBeLessThan(1.1);
    const { delivered, interval_us: interval, acked_sacked: acked, rtt_us: rtt } = sender.rateSample.fields;
    expect(acked).toBe(1);
    expect((delivered * packetUs) / interval).toBeCloseTo(1, 1);
    expect(tp.rate_delivered * packetUs).toBeCloseTo(tp.rate_interval_us, -4);
    expect(rtt / (tp.srtt_us / 8)).toBeCloseTo(1, 1);
    // RTTVAR is never below 200 ms.
    expect(tp.icsk_rto).toBe(Math.ceil(((tp.srtt_us >> 3) + 200_000) / 4000));
  });

  it('recovers from one lost packet with one retransmission and no timeout', async () => {
    const { sender, receiver } = await flowOf('reno', { ...SMALL, drops: [40], queuePackets: 10_000 }, 1);
    expect(sender.counts).toEqual({ recoveries: 1, timeouts: 0, ecnReductions: 0, undone: 0 });
    expect(sender.tp.total_retrans).toBe(1);
    expect(receiver.sk.tp.rcv_nxt).toBeGreaterThan(sender.tp.high_seq);
  });

  it('retransmits a lost retransmission', async () => {
    // The retransmission is the first packet that follows three acks for what came behind the hole.
    const once = await flowOf('reno', { ...SMALL, drops: [15], queuePackets: 10_000 }, 1);
    expect(once.sender.tp.total_retrans).toBe(1);
    const candidates = Array.from({ length: 10 }, (_, i) => 16 + 4 * i);
    for (const second of candidates) {
      const { sender } = await flowOf('reno', { ...SMALL, drops: [15, second], queuePackets: 10_000 }, 1);
      expect(sender.tp.total_retrans).toBe(2);
      expect(sender.tp.snd_una).toBeGreaterThan(100_000);
    }
  }, 120_000);

  it('waits for the timeout when the last packets are lost, and doubles it', async () => {
    const options = { ...SMALL, writes: [{ at: 0, bytes: 10 * 1448 }], drops: [10, 11, 12] };
    const flow = await flowOf('reno', options, 0.2);
    expect(flow.sender.counts.timeouts).toBe(0);
    const first = flow.sender.tp.icsk_rto;
    flow.run(5 * S);
    expect(flow.sender.counts.timeouts).toBe(3);
    expect(flow.sender.tp.bytes_acked).toBe(10 * 1448);
    // SRTT and 200 ms, twice that, four times that.
    const tickNs = S / 250;
    expect((first * tickNs) / MS).toBeGreaterThan(240);
    expect((first * tickNs) / MS).toBeLessThan(260);
    const done = flow.curve.find(({ delivered }) => delivered === 10)!.time;
    expect(done / (first * tickNs)).toBeGreaterThan(7);
    expect(done / (first * tickNs)).toBeLessThan(7.6);
    expect(flow.curve.some(({ state, cwnd }) => state === 4 && cwnd === 1)).toBe(true);
  });

  it('takes a timeout back that was needless (F-RTO, timestamps)', async () => {
    const stall = { from: 2 * S, to: 2.6 * S };
    const { sender, curve } = await flowOf('reno', { ...SMALL, stalls: [stall] }, 4);
    expect(sender.counts.timeouts).toBeGreaterThan(0);
    expect(sender.counts.undone).toBeGreaterThan(0);
    const before = curve.find(({ time }) => time >= 2 * S)!.cwnd;
    const after = curve.find(({ time }) => time >= 2.9 * S)!.cwnd;
    expect(after).toBeGreaterThanOrEqual(before);
  });

  it('halves its window once a round trip on classic ECN, and loses nothing', async () => {
    const { sender, path, curve } = await flowOf('reno', { ...SMALL, markPackets: 20, queuePackets: 200 }, 10);
    expect(path.counts.droppedByQueue).toBeLessThanOrEqual(0);
    expect(sender.counts.recoveries).toBe(0);
    expect(sender.counts.ecnReductions).toBeGreaterThanOrEqual(3);
    const late = curve.filter(({ time }) => time > 3 * S);
    expect(Math.max(...late.map(({ queue }) => queue))).toBeLessThan(30);
    expect(sender.tp.delivered_ce).toBeGreaterThan(0);
  });

  it('begins anew after idleness', async () => {
    const writes = [
      { at: 0, bytes: 300 * 1448 },
      { at: 3 * S, bytes: 300 * 1448 },
    ];
    const flow = await flowOf('reno', { ...SMALL, rate: 1e8, writes }, 2.9);
    const grown = flow.sender.tp.snd_cwnd;
    expect(grown).toBeGreaterThan(60);
    flow.run(0.101 * S);
    expect(flow.sender.tp.snd_cwnd).toBe(10);
    flow.run(1 * S);
    expect(flow.sender.tp.bytes_acked).toBe(600 * 1448);
  });

  it('does not grow a window that it does not fill', async () => {
    const writes = Array.from({ length: 40 }, (_, i) => ({ at: i * 100 * MS, bytes: 4 * 1448 }));
    const { sender } = await flowOf('reno', { ...SMALL, writes }, 4);
    expect(sender.tp.snd_cwnd).toBeLessThan(20);
    expect(sender.tp.bytes_acked).toBe(160 * 1448);
  });

  it('is cut by its send buffer only at the kernel’s limit', async () => {
    const { sender } = await flowOf('reno', { rate: 1e9, rttNs: 200 * MS, queuePackets: 1e6 }, 3);
    expect(sender.tp.sk_sndbuf).toBe(4 * 1024 * 1024);
    expect(sender.sk.inFlight).toBe(Math.floor((4 * 1024 * 1024) / 1448));
  });

  it('does the same in every run', async () => {
    const run = () => flowOf('cubic', { ...SMALL, loss: 0.005, seed: 3, markPackets: 25 }, 5);
    const [a, b] = [await run(), await run()];
    expect(a.curve).toEqual(b.curve);
    expect(a.path.counts).toEqual(b.path.counts);
    const other = await flowOf('cubic', { ...SMALL, loss: 0.005, seed: 4, markPackets: 25 }, 5);
    expect(other.curve).not.toEqual(a.curve);
  });

  it('does the same on another kernel, whose tcp_sock is laid out otherwise', async () => {
    const [a, b] = await Promise.all(
      ['7.3', '6.18'].map(async (profile) => flowOf('cubic', SMALL, 3, await newKernel({ profile }))),
    );
    expect(a!.curve).toEqual(b!.curve);
  });

  it('gives all its memory back', async () => {
    const kernel = await newKernel();
    const tcp = addTcp(kernel);
    const before = kernel.objects.at(0);
    const flow = new TcpFlow(tcp, 'reno', SMALL);
    flow.run(S);
    const { ptr } = flow.sender.sk;
    expect(kernel.objects.at(ptr)).toBeDefined();
    flow.close();
    flow.close();
    kernel.clock.advance(10 * S);
    expect(kernel.objects.at(ptr)).toBe(before);
    expect(kernel.clock.pending).toBe(0);
  });
});

describe('a program', () => {
  const OPS = { ssthresh: 'r0 = 2\nexit', undo_cwnd: 'r0 = 10\nexit', cong_avoid: 'r0 = 0\nexit' };
  const offset = (kernel: Kernel, path: string) => kernel.types.struct('tcp_sock').field(path).offset;
  const sk = 'r1 = *(u64 *)(r1 + 0)\n';

  async function stopped(init: (kernel: Kernel) => string): Promise<unknown> {
    const kernel = await newKernel();
    const tcp = addTcp(kernel);
    expect(attachVtable(kernel, 'tcp_congestion_ops', { name: 'bad' }, { ...OPS, init: init(kernel) })).toBeGreaterThan(
      0,
    );
    try {
      new TcpFlow(tcp, 'bad', SMALL);
    } catch (error) {
      return error;
    }
    throw new Error('it went on');
  }

  it('that reads a field which is not modelled stops by its name', async () => {
    const error = await stopped((kernel) => `${sk}r0 = *(u32 *)(r1 + ${offset(kernel, 'tlp_high_seq')})\nr0 = 0\nexit`);
    expect(String(error)).toContain('tcp_sock.tlp_high_seq of tcp socket "sender" is not modelled');
    expect(String(error)).toContain('member "init"');
  });

  it('that writes what the kernel does not let it write stops by its name', async () => {
    const error = await stopped(
      (kernel) => `${sk}r2 = 1\n*(u32 *)(r1 + ${offset(kernel, 'srtt_us')}) = r2\nr0 = 0\nexit`,
    );
    expect(String(error)).toContain('tcp_sock.srtt_us of tcp socket "sender" may not be written');
  });

  it('may write the fields of bpf_tcp_ca_btf_struct_access', async () => {
    const kernel = await newKernel();
    const tcp = addTcp(kernel);
    const writable = ['snd_cwnd', 'snd_cwnd_cnt', 'snd_cwnd_stamp', 'snd_ssthresh', 'app_limited'];
    const stores = writable.map((path) => `*(u32 *)(r1 + ${offset(kernel, path)}) = r2\n`).join('');
    const init = `${sk}r2 = 77\n${stores}r0 = 0\nexit`;
    attachVtable(kernel, 'tcp_congestion_ops', { name: 'good' }, { ...OPS, init });
    const { sender } = new TcpFlow(tcp, 'good', SMALL);
    expect(writable.map((name) => sender.tp[name as 'snd_cwnd'])).toEqual(writable.map(() => 77));
  });

  it('with nothing that grows the window keeps it', async () => {
    const kernel = await newKernel();
    const tcp = addTcp(kernel);
    attachVtable(kernel, 'tcp_congestion_ops', { name: 'still' }, OPS);
    const flow = new TcpFlow(tcp, 'still', SMALL);
    flow.run(2 * S);
    const { curve } = flow;
    expect(new Set(curve.map(({ cwnd }) => cwnd))).toEqual(new Set([10]));
  });

  it('at the receiving end is told of each mark', async () => {
    const kernel = await newKernel();
    const tcp = addTcp(kernel);
    const cwnd = offset(kernel, 'snd_cwnd');
    const isCe = kernel.profile.btf.enumerator('CA_EVENT_ECN_IS_CE');
    const count = [
      'r6 = *(u64 *)(r1 + 0)\nr2 = *(u32 *)(r1 + 8)',
      `if r2 != ${isCe} goto +3`,
      `r3 = *(u32 *)(r6 + ${cwnd})\nr3 += 1\n*(u32 *)(r6 + ${cwnd}) = r3`,
      'r0 = 0\nexit',
    ].join('\n');
    // TCP_CONG_NEEDS_ECN
    const values = { name: 'marks', flags: '\x02' };
    attachVtable(kernel, 'tcp_congestion_ops', values, { ...OPS, cwnd_event: count });
    const flow = new TcpFlow(tcp, 'marks', { ...SMALL, rttNs: 5 * MS, markPackets: 3, queuePackets: 100 });
    flow.run(2 * S);
    const { marked } = flow.path.counts;
    const seen = flow.receiver.sk.tp.snd_cwnd - 10;
    expect(marked).toBeGreaterThan(5);
    expect(marked - seen).toBeGreaterThanOrEqual(0);
    expect(marked - seen).toBeLessThanOrEqual(flow.sender.sk.inFlight);
  });

  it('paces: with a rate of its own and SK_PACING_NEEDED packets go one after the other', async () => {
    const kernel = await newKernel();
    const tcp = addTcp(kernel);
    const rate = 500_000;
    const control = [
      `r6 = *(u64 *)(r1 + 0)`,
      `r2 = ${rate}`,
      `*(u64 *)(r6 + ${offset(kernel, 'inet_conn.icsk_inet.sk.sk_pacing_rate')}) = r2`,
      `r2 = 1`,
      `*(u32 *)(r6 + ${offset(kernel, 'inet_conn.icsk_inet.sk.sk_pacing_status')}) = r2`,
      `r2 = 1000`,
      `*(u32 *)(r6 + ${offset(kernel, 'snd_cwnd')}) = r2`,
      'r0 = 0\nexit',
    ].join('\n');
    attachVtable(
      kernel,
      'tcp_congestion_ops',
      { name: 'paced' },
      { ssthresh: OPS.ssthresh, undo_cwnd: OPS.undo_cwnd, cong_control: control, min_tso_segs: 'r0 = 1\nexit' },
    );
    const flow = new TcpFlow(tcp, 'paced', { ...SMALL, rate: 1e8 });
    flow.run(4 * S);
    const bytes = flow.sender.tp.bytes_acked;
    expect(bytes / 4 / rate).toBeGreaterThan(0.95);
    expect(bytes / 4 / rate).toBeLessThan(1.05);
    expect(flow.curve.some(({ state }) => state === RECOVERY)).toBe(false);
  });

  it('a socket is a tcp_sock, and keeps the cookie that it got first', async () => {
    const error = await stopped((kernel) => {
      const [cast, cookie] = ['skc_to_tcp_sock', 'get_socket_cookie'].map((name) => helper(kernel, name));
      // A load from r0 + 1, or from 0: what is wrong is in the fault's address.
      const check = `${cast}\nr8 = r0\nr8 -= r7\nr1 = r7\n${cookie}\nr9 = r0\nr1 = r7\n${cookie}\nr9 -= r0\nr8 |= r9`;
      return `${sk}r7 = r1\n${check}\nr1 = r8\nr1 += 4096\nr0 = *(u64 *)(r1 + 0)\nexit`;
    });
    expect(String(error)).toContain('8-byte load at 0x0000000000001000 ');
  });

  it('refused options stop by their numbers', async () => {
    const error = await stopped((kernel) => {
      const call = `call ${kernel.profile.btf.enumerator('BPF_FUNC_setsockopt')}`;
      return `${sk}r2 = 6\nr3 = 2\nr4 = r10\nr4 += -8\n*(u64 *)(r10 - 8) = 0\nr5 = 4\n${call}\nr0 = 0\nexit`;
    });
    expect(String(error)).toContain('bpf_setsockopt: level 6, option 2 is not modelled');
    expect((error as { fault?: { error?: unknown } }).fault?.error).toBeInstanceOf(UnsupportedError);
  });
});

describe('a path', () => {
  it.each([
    [{ rate: 1 }, 'rate'],
    [{ rttNs: 0 }, 'rttNs'],
    [{ loss: 2 }, 'loss'],
    [{ queuePackets: -1 }, 'queuePackets'],
    [{ mss: 0 }, 'segment'],
    [{ sampleNs: 0 }, 'sampleNs'],
  ])('%o cannot be', async (options, word) => {
    const tcp = addTcp(await newKernel());
    expect(() => new TcpFlow(tcp, 'reno', options)).toThrow(word);
  });

  it('needs an algorithm that is there', async () => {
    const tcp = addTcp(await newKernel());
    expect(() => new TcpFlow(tcp, 'bbr')).toThrow('no algorithm "bbr" (there are reno cubic)');
  });
});

it('a socket is freed once', async () => {
  const socket = addTcp(await newKernel()).socket('once');
  socket.free();
  expect(() => socket.free()).toThrow('freed before');
});
