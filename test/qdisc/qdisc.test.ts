import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type BpfObject, ERRNO, type ErrnoError, openObject } from '../../src/index.js';
import { flowHash } from '../../src/qdisc/device.js';
import { addQdisc, Device, type PacketFlow, Qdisc, type QdiscHost, runQdisc } from '../../src/qdisc/index.js';
import { selftest } from '../selftests.js';
import { attachVtable, helper, kfunc, loadMember, newKernel } from '../tcp/programs.js';

const bytes = new Uint8Array(readFileSync(new URL('../../samples/qdisc_fifo.bpf.o', import.meta.url)));
const MBIT = 1_000_000;
const MS = 1_000_000;

/** What a FIFO in front of a link does, without a program: departures and drops by arrival, for one source of bursts. */
function fifoModel(
  flow: Required<Pick<PacketFlow, 'rate' | 'bytes' | 'burst'>>,
  rate: number,
  limit: number,
  ns: number,
) {
  const service = Math.ceil((flow.bytes * 8 * 1e9) / rate);
  const gap = Math.round((flow.burst * flow.bytes * 8 * 1e9) / flow.rate);
  let free = 0;
  let sent = 0;
  let dropped = 0;
  const starts: number[] = [];
  for (let now = 0; now <= ns; now += gap) {
    for (let i = 0; i < flow.burst; i++) {
      // The packet on the link does not wait any more.
      const waiting = starts.filter((start) => start > now).length;
      if (waiting * flow.bytes + flow.bytes > limit) {
        dropped++;
        continue;
      }
      const start = Math.max(free, now);
      starts.push(start);
      free = start + service;
      if (free <= ns) sent++;
    }
  }
  return { sent, dropped };
}

interface Bench {
  host: QdiscHost;
  object: BpfObject;
  qdisc: Qdisc;
  device: Device;
}

async function bench(flows: PacketFlow[], set: Record<string, number> = {}, rate = 10 * MBIT): Promise<Bench> {
  const kernel = await newKernel({ windowBytes: 1 << 25 });
  const host = addQdisc(kernel);
  const object = openObject(bytes);
  for (const [name, value] of Object.entries(set)) object.variable(name).set(value);
  object.load(kernel).attach();
  const qdisc = new Qdisc(host, host.find('bpf_fifo')!);
  const device = new Device(host, qdisc, rate, flows);
  device.start();
  return { host, object, qdisc, device };
}

describe.each(['7.3', '6.18'])('qdisc_fifo, a FIFO with a limit, on %s', (profile) => {
  it('shares the link as packets arrive, and tells the same twice', async () => {
    const run = async () => {
      const { host, ...result } = await runQdisc(bytes, { kernel: { profile, windowBytes: 1 << 25 }, durationNs: 5e8 });
      expect(host.wallMs).toBeGreaterThan(0);
      return result;
    };
    const [a, b] = [await run(), await run()];
    expect(a).toEqual(b);
    expect(a.utilization).toBeGreaterThan(0.99);
    expect(a.utilization).toBeLessThanOrEqual(1);
    for (const { packets, offered, throughput } of a.flows) {
      expect(packets.offered).toBe(packets.sent + packets.dropped + packets.queued);
      expect(throughput).toBeLessThanOrEqual(offered);
    }
    expect(a.flows.reduce((sum, { packets }) => sum + packets.dropped, 0)).toBeGreaterThan(50);
    const sent = a.flows.reduce((sum, { packets }) => sum + packets.sent, 0);
    // One more is on the link.
    expect(a.counted.packets - sent).toBeLessThanOrEqual(1);
    expect(Math.max(...a.curve.map(({ backlog }) => backlog))).toBeLessThanOrEqual(64 * 1024);
  });
});

describe('qdisc_fifo', () => {
  it.each([
    [{ rate: 20 * MBIT, bytes: 1000, burst: 1 }, 8000],
    [{ rate: 9 * MBIT, bytes: 500, burst: 40 }, 12_000],
    [{ rate: 5 * MBIT, bytes: 1500, burst: 1 }, 3000],
  ])('sends and drops what a FIFO of that size does: %o, %i bytes', async (flow, limit) => {
    const { device, host } = await bench([{ name: 'one', ...flow }], { limit_bytes: limit });
    host.kernel.clock.advance(200 * MS);
    const { sent, dropped } = device.counts[0]!;
    expect({ sent, dropped }).toEqual(fifoModel(flow, 10 * MBIT, limit, 200 * MS));
  });

  it('counts drops by flow', async () => {
    const flows = [10, 7].map((rate) => ({ name: `at ${rate}`, rate: rate * MBIT }));
    const { device, host, object, qdisc } = await bench(flows, { limit_bytes: 6000 });
    host.kernel.clock.advance(100 * MS);
    for (const [i, { name }] of flows.entries()) {
      expect(object.map('drops').lookup(flowHash(name)) ?? 0n).toBe(BigInt(device.counts[i]!.dropped));
    }
    expect(device.counts[0]!.dropped + device.counts[1]!.dropped).toBeGreaterThan(50);
    expect(qdisc.qlen).toBe(4);
  });

  it('lets every packet go when it is destroyed, and the vtable when the last device is gone', async () => {
    const { device, host, qdisc, object } = await bench([{ name: 'a', rate: 30 * MBIT }]);
    host.kernel.clock.advance(50 * MS);
    expect(qdisc.qlen).toBeGreaterThan(10);
    device.stop();
    qdisc.destroy();
    host.kernel.clock.advance(1e9);
    const { offered, sent, dropped } = device.counts[0]!;
    expect(offered).toBe(sent + dropped);
    expect(device.queued).toBe(0);
    expect(host.kernel.clock.pending).toBe(0);
    expect(host.kernel.objects.at(qdisc.ptr)).toBeUndefined();
    object.close();
  });

  it('is for the root of a device', async () => {
    const kernel = await newKernel();
    const host = addQdisc(kernel);
    openObject(bytes).load(kernel).attach();
    expect(() => new Qdisc(host, host.find('bpf_fifo')!, { parent: 'class' })).toThrow(
      'BPF qdisc only supported on root or mq',
    );
  });
});

describe('programs of Qdisc_ops', () => {
  const EXIT = 'r0 = 0\nexit';
  const skb = 'r1 = *(u64 *)(r1 + 0)\n';

  async function faultOf(enqueue: (call: (name: string) => string, offset: (path: string) => number) => string) {
    const kernel = await newKernel();
    const host = addQdisc(kernel);
    const text = enqueue(
      (name) => kfunc(kernel, name),
      (path) => {
        const [struct = '', field = ''] = path.split(/\.(.*)/s);
        return kernel.types.struct(struct).field(field).offset;
      },
    );
    const programs = { enqueue: text, dequeue: EXIT, init: EXIT, reset: EXIT, destroy: EXIT };
    expect(attachVtable(kernel, 'Qdisc_ops', { id: 'bad' }, programs)).toBeGreaterThan(0);
    const qdisc = new Qdisc(host, host.find('bad')!);
    const device = new Device(host, qdisc, MBIT, [{ name: 'f', rate: MBIT }]);
    device.start();
    let message = '';
    try {
      kernel.clock.advance(MS);
    } catch (error) {
      message = (error as Error).message;
    }
    return { message, counts: device.counts[0]! };
  }

  it('must give their packet away', async () => {
    const { message, counts } = await faultOf(() => EXIT);
    expect(message).toContain('(struct sk_buff) is still held when the program ends');
    expect(counts.dropped).toBe(1);
  });

  it('must not give it away twice', async () => {
    const free = (call: (name: string) => string) => `r1 = r6\n${call('bpf_kfree_skb')}\n`;
    const { message } = await faultOf((call) => `r6 = *(u64 *)(r1 + 0)\n${free(call)}${free(call)}${EXIT}`);
    expect(message).toContain('no live sk_buff');
  });

  it('must not read fields that are not modelled, nor write those that are not theirs', async () => {
    const read = await faultOf((_call, offset) => `${skb}r0 = *(u32 *)(r1 + ${offset('sk_buff.data_len')})\n${EXIT}`);
    expect(read.message).toContain('sk_buff.data_len of sk_buff 1 of flow "f" is not modelled');
    const write = await faultOf((_call, offset) => `${skb}*(u32 *)(r1 + ${offset('sk_buff.len')}) = 1\n${EXIT}`);
    expect(write.message).toContain('may not be written');
    const sch = await faultOf(
      (_call, offset) => `r1 = *(u64 *)(r1 + 8)\n*(u32 *)(r1 + ${offset('Qdisc.flags')}) = 1\n${EXIT}`,
    );
    expect(sch.message).toContain('Qdisc.flags of Qdisc "bad" may not be written');
  });

  it('may write limit, queue length and statistics, tstamp and their part of cb', async () => {
    const { message } = await faultOf((call, offset) =>
      [
        'r6 = *(u64 *)(r1 + 0)\nr7 = *(u64 *)(r1 + 8)',
        ...['limit', 'q.qlen', 'qstats.drops'].map((path) => `*(u32 *)(r7 + ${offset(`Qdisc.${path}`)}) = 1`),
        `*(u64 *)(r6 + ${offset('sk_buff.tstamp')}) = 1`,
        `*(u32 *)(r6 + ${offset('sk_buff.cb') + offset('qdisc_skb_cb.data') + 16}) = 1`,
        `r1 = r6\n${call('bpf_kfree_skb')}\n${EXIT}`,
      ].join('\n'),
    );
    expect(message).toBe('');
  });

  it('are called again when their watchdog goes off, until they are reset', async () => {
    const kernel = await newKernel();
    const host = addQdisc(kernel);
    const programs = {
      enqueue: `r1 = *(u64 *)(r1 + 0)\n${kfunc(kernel, 'bpf_kfree_skb')}\n${EXIT}`,
      dequeue: [
        'r6 = *(u64 *)(r1 + 0)',
        helper(kernel, 'ktime_get_ns'),
        `r2 = r0\nr2 += ${3 * MS}\nr1 = r6\nr3 = 0`,
        kfunc(kernel, 'bpf_qdisc_watchdog_schedule'),
        EXIT,
      ].join('\n'),
      init: EXIT,
      reset: EXIT,
      destroy: EXIT,
    };
    attachVtable(kernel, 'Qdisc_ops', { id: 'timed' }, programs);
    const kdata = host.find('timed')!;
    const qdisc = new Qdisc(host, kdata);
    const device = new Device(host, qdisc, MBIT, [{ name: 'one', rate: MBIT, to: 1 }]);
    device.start();
    kernel.clock.advance(10 * MS);
    // After the packet, and at 3, 6 and 9 ms.
    expect(kdata.ops.dequeue!.stats.runs).toBe(4);
    qdisc.reset();
    kernel.clock.advance(20 * MS);
    expect(kdata.ops.dequeue!.stats.runs).toBe(4);
  });

  it.each([
    ['bpf_qdisc_skb_drop', ['enqueue']],
    ['bpf_qdisc_watchdog_schedule', ['enqueue', 'dequeue']],
    ['bpf_qdisc_bstats_update', ['dequeue']],
    ['bpf_kfree_skb', ['enqueue', 'dequeue', 'init', 'reset', 'destroy']],
    ['bpf_qdisc_init_prologue', []],
  ])('call %s from %j only', async (name, members) => {
    const kernel = await newKernel();
    addQdisc(kernel);
    const loads = ['enqueue', 'dequeue', 'init', 'reset', 'destroy'].filter((member) => {
      const log = { text: '' };
      const fd = loadMember(kernel, 'Qdisc_ops', member, `${kfunc(kernel, name)}\n${EXIT}`, log);
      if (fd < 0) expect([fd, log.text]).toEqual([-ERRNO.EACCES, expect.stringContaining(`${name} is not allowed`)]);
      return fd > 0;
    });
    expect(loads).toEqual(members);
  });

  it('have no type on kernels before 6.16', async () => {
    const kernel = await newKernel({ profile: '6.12' });
    expect(() => addQdisc(kernel)).toThrow('bpf_sched_data');
  });
});

selftest('bpf_qdisc_fifo', 'carries everything in order', async (object) => {
  const result = await runQdisc(object, { durationNs: 3e8, kernel: { faults: 'strict' } });
  expect(result.fault).toBeUndefined();
  expect(result.utilization).toBeGreaterThan(0.99);
  // Its limit is 1000 packets.
  expect(result.flows.every(({ packets }) => packets.dropped === 0)).toBe(true);
});

selftest('bpf_qdisc_fq', 'shares the link fairly and lets thin flows pass', async (object) => {
  const result = await runQdisc(object, { durationNs: 6e8, kernel: { faults: 'strict', windowBytes: 1 << 29 } });
  expect(result.fault).toBeUndefined();
  const [bulk1, bulk2, bursts, voice] = result.flows;
  // Who wants less than a third gets it; what remains is shared by the two others.
  expect(bulk1!.throughput / bulk2!.throughput).toBeLessThan(1.15);
  expect(bursts!.throughput / bursts!.offered).toBeGreaterThan(0.9);
  expect(voice!.packets.dropped).toBe(0);
  expect(voice!.delay.mean).toBeLessThan(bulk1!.delay.mean / 10);
});

selftest('bpf_qdisc_fail__incompl_ops', 'is refused when it is attached', async (object) => {
  const kernel = await newKernel();
  addQdisc(kernel);
  const map = openObject(object).load(kernel).structOps[0]!;
  let errno = 0;
  try {
    map.attach();
  } catch (error) {
    errno = (error as ErrnoError).errno;
  }
  expect(errno).toBe(ERRNO.EINVAL);
});

selftest('bpf_qdisc_fail__untrusted_write', 'stops where it writes to what it may not', async (object) => {
  const result = await runQdisc(object, { durationNs: 1e7 });
  expect(result.fault).toContain('member "enqueue"');
  expect(result.fault).toContain('Qdisc.next_sched');
});
