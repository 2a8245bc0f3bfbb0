import { checkOptions } from '../argument.js';
import { Kernel, type StructOpsCallable } from '../kernel/index.js';
import {
  type BpfObject,
  chooseStructOps,
  loadAndAttach,
  type RunSettings,
  type Stop,
  type StructOpsKind,
  type StructOpsMap,
  stopOf,
  withObject,
} from '../loader/index.js';
import { OPS } from './ca_ops.js';
import { type CurvePoint, type FlowOptions, TcpFlow } from './flow.js';
import { addTcp, type Tcp } from './tcp.js';

export interface TcpRunOptions extends FlowOptions, RunSettings {
  /** Simulated time; default 10 s. */
  durationNs?: number;
}

/** What a flow under an algorithm did. All of it is the same in every run, except what stands under `host`. */
export interface TcpRunResult extends Partial<Stop> {
  object: string;
  kernel: string;
  algorithm: string;
  map: string;
  simulatedNs: number;
  /** Bits a second, nanoseconds, packets; `markPackets` null for no ECN marking. */
  path: { rate: number; rttNs: number; queuePackets: number; markPackets: number | null; loss: number; mss: number };
  segments: {
    sent: number;
    retransmitted: number;
    delivered: number;
    droppedByQueue: number;
    droppedByChance: number;
    marked: number;
  };
  /** Payload that was acked, bits a second, and its share of what the bottleneck can carry. */
  throughput: number;
  utilization: number;
  /** Packets before the bottleneck, over the points of the curve. */
  queue: { mean: number; max: number };
  recoveries: number;
  timeouts: number;
  ecnReductions: number;
  undone: number;
  curve: CurvePoint[];
  /** Ops with a program, in the order of the kernel's struct; both ends run them. */
  callbacks: Record<string, { program: string; count: number; insns: number }>;
  /** Lines of bpf_printk. */
  output: string[];
  host: { wallMs: number };
}

const DEFAULT_DURATION = 10_000_000_000;
/** Bytes on the wire that are no payload; see path.ts. */
const HEADER_BYTES = 66;

/**
 * Loads an object with a tcp_congestion_ops vtable, registers the algorithm, and lets one flow use it. Throws InputError for bytes
 * that are no such object and for a path that cannot be, ErrnoError where a kernel would refuse the object, UnsupportedError for
 * what is not modelled.
 */
export async function runTcp(bytes: Uint8Array, options: TcpRunOptions = {}): Promise<TcpRunResult> {
  checkOptions('runTcp:', options, { name: 'text', map: 'text', set: 'options' });
  const kernel = await Kernel.create(options.kernel);
  try {
    const tcp = addTcp(kernel);
    const { name = 'object' } = options;
    return await withObject(bytes, name, kernel, (object) => run(kernel, tcp, object, name, options));
  } finally {
    kernel.dispose();
  }
}

async function run(
  kernel: Kernel,
  tcp: Tcp,
  object: BpfObject,
  name: string,
  options: TcpRunOptions,
): Promise<TcpRunResult> {
  const began = performance.now();
  const map = chooseStructOps(object.structOps, ALGORITHM, options.map);
  kernel.statsHolders++;
  const link = await loadAndAttach(object, kernel, map, options);
  const algorithm = String(map.get('name'));
  const ca = tcp.algorithms.find(algorithm);
  const flow = new TcpFlow(tcp, algorithm, options);
  let stop: Stop | undefined;
  try {
    flow.run(options.durationNs ?? DEFAULT_DURATION);
    flow.close();
  } catch (error) {
    stop = stopOf(error, object, kernel);
  }
  const result = resultOf(kernel, flow, { object: name, algorithm, map: map.name });
  for (const op of OPS) {
    const callable: StructOpsCallable | undefined = ca?.kdata?.ops[op];
    if (!callable) continue;
    const { runs, insns } = callable.stats;
    result.callbacks[op] = { program: callable.prog.fullName, count: runs, insns };
  }
  link.destroy();
  object.close();
  return { ...result, ...stop, host: { wallMs: performance.now() - began } };
}

function resultOf(
  kernel: Kernel,
  flow: TcpFlow,
  names: { object: string; algorithm: string; map: string },
): Omit<TcpRunResult, 'host'> {
  const { tp, counts } = flow.sender;
  const { counts: path } = flow.path;
  const { rate, rttNs, queuePackets, markPackets, loss } = flow.options;
  const simulatedNs = kernel.clock.now - flow.start;
  const throughput = simulatedNs === 0 ? 0 : (tp.bytes_acked * 8 * 1e9) / simulatedNs;
  const queues = flow.curve.map(({ queue }) => queue);
  return {
    ...names,
    kernel: kernel.profile.release,
    simulatedNs,
    path: {
      rate,
      rttNs,
      queuePackets,
      markPackets: Number.isFinite(markPackets) ? markPackets : null,
      loss,
      mss: flow.mss,
    },
    segments: {
      sent: path.packets,
      retransmitted: tp.total_retrans,
      delivered: tp.delivered,
      droppedByQueue: path.droppedByQueue,
      droppedByChance: path.droppedByChance,
      marked: path.marked,
    },
    throughput,
    utilization: (throughput * (flow.mss + HEADER_BYTES)) / flow.mss / rate,
    queue: {
      mean: queues.length === 0 ? 0 : queues.reduce((sum, queue) => sum + queue, 0) / queues.length,
      max: Math.max(0, ...queues),
    },
    ...counts,
    curve: flow.curve,
    callbacks: {},
    output: [...kernel.trace],
  };
}

/** Whose programs are enough for an algorithm. */
function complete(map: StructOpsMap): boolean {
  const members = new Set(map.programs.map(({ member }) => member));
  const grows = members.has('cong_avoid') || members.has('cong_control');
  return members.has('ssthresh') && members.has('undo_cwnd') && grows;
}

const ALGORITHM: StructOpsKind = { structs: ['tcp_congestion_ops'], what: 'algorithm', complete };
