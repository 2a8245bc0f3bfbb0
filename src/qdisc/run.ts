import { checkOptions } from '../argument.js';
import { InputError, UnsupportedError } from '../errors.js';
import { Kernel } from '../kernel/index.js';
import {
  type BpfObject,
  chooseStructOps,
  loadAndAttach,
  type RunSettings,
  type Stop,
  type StructOpsKind,
  stopOf,
  withObject,
} from '../loader/index.js';
import { Device, type PacketFlow } from './device.js';
import { addQdisc, type QdiscHost } from './host.js';
import { Qdisc, type QdiscOptions } from './qdisc.js';

export interface QdiscRunOptions extends QdiscOptions, RunSettings {
  /** Bits a second of the link; default 10 Mbit/s. */
  rate?: number;
  /** Default packetFlows. */
  flows?: readonly PacketFlow[];
  /** Simulated time; default 1 s. */
  durationNs?: number;
  /** Time between points of the curve, nanoseconds; default 10 ms. */
  sampleNs?: number;
}

export interface QdiscFlowResult {
  name: string;
  /** Bits a second: what the source offered, what the link carried. */
  offered: number;
  throughput: number;
  packets: { offered: number; sent: number; dropped: number; queued: number };
  /** From source to the end of transmission, nanoseconds. */
  delay: { mean: number; max: number };
}

/** The queue at one moment. */
export interface QueuePoint {
  /** Nanoseconds since the start. */
  time: number;
  /** Packets in the discipline and on the link, as the device counts them. */
  queued: number;
  /** What the programs keep in Qdisc.q.qlen and Qdisc.qstats.backlog. */
  qlen: number;
  backlog: number;
}

/** What a discipline did with the packets. All of it is the same in every run, except what stands under `host`. */
export interface QdiscRunResult extends Partial<Stop> {
  object: string;
  kernel: string;
  qdisc: string;
  map: string;
  simulatedNs: number;
  rate: number;
  /** Share of the time in which the link was busy. */
  utilization: number;
  flows: QdiscFlowResult[];
  queue: { mean: number; max: number };
  /** What bpf_qdisc_bstats_update counted. */
  counted: { packets: number; bytes: number };
  curve: QueuePoint[];
  callbacks: Record<string, { program: string; count: number; insns: number }>;
  output: string[];
  host: { wallMs: number };
}

const MBIT = 1_000_000;
const DISCIPLINE: StructOpsKind = { structs: ['Qdisc_ops'], what: 'queueing discipline' };
const OPS = ['enqueue', 'dequeue', 'init', 'reset', 'destroy'] as const;

/** More than a link of 10 Mbit/s carries: two that fill it, one that comes in bursts, a thin one with small packets. */
export function packetFlows(): PacketFlow[] {
  return [
    { name: 'bulk-1', rate: 8 * MBIT },
    { name: 'bulk-2', rate: 4 * MBIT },
    { name: 'bursts', rate: 2 * MBIT, burst: 10, bytes: 1000 },
    { name: 'voice', rate: 0.1 * MBIT, bytes: 200, priority: 6 },
  ];
}

/**
 * Loads an object with a Qdisc_ops vtable, puts the discipline on a device, and sends packets through it. Throws InputError for
 * bytes that are no such object and for flows that cannot be, ErrnoError where a kernel would refuse the object, UnsupportedError
 * for what is not modelled.
 */
export async function runQdisc(bytes: Uint8Array, options: QdiscRunOptions = {}): Promise<QdiscRunResult> {
  checkOptions('runQdisc:', options, { name: 'text', map: 'text', set: 'options', flows: 'list' });
  const kernel = await Kernel.create(options.kernel);
  try {
    return await run(kernel, bytes, options);
  } finally {
    kernel.dispose();
  }
}

function check(what: string, value: number): void {
  if (!(Number.isFinite(value) && value > 0)) throw new InputError(`qdisc: ${what} ${value} is not above 0`);
}

async function run(kernel: Kernel, bytes: Uint8Array, options: QdiscRunOptions): Promise<QdiscRunResult> {
  const { rate = 10 * MBIT, flows = packetFlows(), sampleNs = 1e7 } = options;
  check('rate', rate);
  check('sampleNs', sampleNs);
  for (const flow of flows) {
    check(`rate of flow ${flow.name}`, flow.rate);
    check(`bytes of flow ${flow.name}`, flow.bytes ?? 1);
    check(`burst of flow ${flow.name}`, flow.burst ?? 1);
  }
  const host = addQdisc(kernel);
  const { name = 'object' } = options;
  return withObject(bytes, name, kernel, (object) => runObject(kernel, host, object, name, options));
}

async function runObject(
  kernel: Kernel,
  host: QdiscHost,
  object: BpfObject,
  name: string,
  options: QdiscRunOptions,
): Promise<QdiscRunResult> {
  const began = performance.now();
  const { rate = 10 * MBIT, flows = packetFlows(), durationNs = 1e9, sampleNs = 1e7 } = options;
  const map = chooseStructOps(object.structOps, DISCIPLINE, options.map);
  kernel.statsHolders++;
  const link = await loadAndAttach(object, kernel, map, options);
  const id = String(map.get('id'));
  const kdata = host.find(id);
  if (!kdata) throw new UnsupportedError(`qdisc "${id}" is the kernel's own`);
  const curve: QueuePoint[] = [];
  const start = kernel.clock.now;
  let stop: Stop | undefined;
  let device: Device | undefined;
  let counted = { packets: 0, bytes: 0 };
  try {
    const qdisc = new Qdisc(host, kdata, options);
    device = new Device(host, qdisc, rate, flows);
    const queue = device;
    const sample = () => {
      const time = kernel.clock.now - start;
      curve.push({ time, queued: queue.queued, qlen: qdisc.qlen, backlog: qdisc.backlog });
      if (time < durationNs) kernel.clock.schedule(kernel.clock.now + sampleNs, sample);
    };
    device.start();
    kernel.clock.schedule(start, sample);
    kernel.clock.advance(durationNs);
    counted = qdisc.counted;
    device.stop();
    const before = flowResults(device, flows, durationNs);
    qdisc.destroy();
    return { ...result(before), host: { wallMs: performance.now() - began } };
  } catch (error) {
    stop = stopOf(error, object, kernel);
    const elapsed = kernel.clock.now - start;
    return {
      ...result(device ? flowResults(device, flows, elapsed) : []),
      host: { wallMs: performance.now() - began },
    };
  } finally {
    link.destroy();
    object.close();
  }

  function result(flowsDone: QdiscFlowResult[]): Omit<QdiscRunResult, 'host'> {
    const lengths = curve.map(({ queued }) => queued);
    const callbacks: QdiscRunResult['callbacks'] = {};
    for (const op of OPS) {
      const callable = kdata?.ops[op];
      if (!callable) continue;
      callbacks[op] = { program: callable.prog.fullName, count: callable.stats.runs, insns: callable.stats.insns };
    }
    return {
      object: name,
      kernel: kernel.profile.release,
      qdisc: id,
      map: map.name,
      ...stop,
      simulatedNs: kernel.clock.now - start,
      rate,
      utilization: flowsDone.reduce((sum, { throughput }) => sum + throughput, 0) / rate,
      flows: flowsDone,
      queue: {
        mean: lengths.length === 0 ? 0 : lengths.reduce((sum, length) => sum + length, 0) / lengths.length,
        max: Math.max(0, ...lengths),
      },
      counted,
      curve,
      callbacks,
      output: [...kernel.trace],
    };
  }
}

function flowResults(device: Device, flows: readonly PacketFlow[], elapsed: number): QdiscFlowResult[] {
  const perSecond = (bytes: number) => (elapsed === 0 ? 0 : (bytes * 8 * 1e9) / elapsed);
  return device.counts.map((counts, i) => ({
    name: flows[i]!.name,
    offered: perSecond(counts.offeredBytes),
    throughput: perSecond(counts.sentBytes),
    packets: {
      offered: counts.offered,
      sent: counts.sent,
      dropped: counts.dropped,
      queued: counts.offered - counts.sent - counts.dropped,
    },
    delay: { mean: counts.sent === 0 ? 0 : counts.delayNs / counts.sent, max: counts.maxDelayNs },
  }));
}
