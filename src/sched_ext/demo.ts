import { InputError, VmtableError } from '../errors.js';
import { Kernel } from '../kernel/kernel.js';
import type { KernelOptions } from '../kernel/types.js';
import type { BtfInput, StructOpsMap } from '../loader/index.js';
import { openObject } from '../loader/index.js';
import { opOf } from './forms.js';
import { Machine } from './machine.js';
import type { TaskScript } from './task_run.js';
import { afterScxLoad, beforeScxLoad } from './user_space/index.js';

export interface DemoOptions {
  /** What the object is called in the result; default `object`. */
  name?: string;
  kernel?: KernelOptions;
  /** Which struct_ops map, if the object has several schedulers. */
  map?: string;
  /** Values of global variables, set before load. */
  set?: Readonly<Record<string, BtfInput>>;
  /** Default demoTasks. */
  tasks?: readonly TaskScript[];
  /** Simulated time at most; default one second. */
  durationNs?: number;
}

/** What a run showed. All of it is the same in every run of the same object, except what stands under `host`. */
export interface DemoResult {
  object: string;
  kernel: string;
  scheduler: string;
  map: string;
  /** Why the scheduler went; `code` is a string where a Number would round it. */
  exit: { kind: number; kindName: string; code: number | string; reason: string; message: string };
  /** The program that was stopped, if one was. */
  fault?: string;
  simulatedNs: number;
  /** Ops with a program, in the order of the kernel's struct. */
  callbacks: Record<string, { program: string; count: number; insns: number }>;
  /** Ops with a program that this machine has no occasion to call. */
  neverCalled: string[];
  tasks: {
    name: string;
    pid: number;
    weight: number;
    runNs: number;
    waitNs: number;
    wakeups: number;
    switches: number;
    migrations: number;
    exited: boolean;
  }[];
  cpus: { cpu: number; busyNs: number; idleNs: number; spans: { pid: number; start: number; end: number }[] }[];
  /** Lines of bpf_printk. */
  output: string[];
  /** Of each op: all calls together, and the median of one. */
  host: { wallMs: number; callbacks: Record<string, { ns: number; medianNs: number }> };
}

const MS = 1_000_000;
const DEFAULT_DURATION = 1000 * MS;

/** Work that overlaps: compilers that want every CPU, a player and a shell that wake often, one task bound to a CPU. */
export function demoTasks(): TaskScript[] {
  const build = [{ run: 25 * MS }, { sleep: 2 * MS }];
  return [
    { name: 'make-1', steps: build, repeat: 4 },
    { name: 'make-2', steps: build, repeat: 4, startNs: 1 * MS },
    { name: 'make-3', steps: build, repeat: 4, startNs: 2 * MS },
    { name: 'backup', steps: [{ run: 60 * MS }], weight: 33 },
    { name: 'player', steps: [{ run: 2 * MS }, { sleep: 8 * MS }], repeat: 8, startNs: 4 * MS },
    { name: 'shell', steps: [{ run: 1 * MS }, { sleep: 12 * MS }], repeat: 6, startNs: 3 * MS },
    { name: 'irq-daemon', steps: [{ run: 3 * MS }, { sleep: 5 * MS }], repeat: 8, cpus: [1] },
  ];
}

/** Ops that this machine has no occasion to call: it has no tick, no other classes, no cgroups, no hotplug. */
const NEVER_CALLED = /^(tick|yield|core_sched_before|cpu_|cid_|cgroup_|cpuctl_|sub_)/;

/** Host time is asked of warm code: runs before it, until this much time has gone. */
const WARM_UP_MS = 300;

/**
 * Loads a sched_ext object, attaches its scheduler, runs the tasks under it, detaches. Does so on several kernels: one that
 * counts insns, which takes time, some to let the host compile what it runs, one for the host's clock. Throws InputError for
 * bytes that are no such object, ErrnoError where a kernel would refuse it, UnsupportedError for what is not modelled.
 */
export async function runSchedExtDemo(bytes: Uint8Array, options: DemoOptions = {}): Promise<DemoResult> {
  const started = performance.now();
  const counted = await onKernel(options, (kernel) => {
    kernel.statsHolders++;
    return run(kernel, bytes, options);
  });
  let timed: DemoResult;
  do timed = await onKernel(options, (kernel) => run(kernel, bytes, options));
  while (performance.now() - started < WARM_UP_MS);
  return { ...counted, host: { wallMs: performance.now() - started, callbacks: timed.host.callbacks } };
}

async function onKernel(options: DemoOptions, body: (kernel: Kernel) => DemoResult): Promise<DemoResult> {
  const kernel = await Kernel.create(options.kernel);
  try {
    return body(kernel);
  } finally {
    kernel.dispose();
  }
}

function run(kernel: Kernel, bytes: Uint8Array, options: DemoOptions): DemoResult {
  const machine = new Machine(kernel);
  const name = options.name ?? 'object';
  const object = openObject(bytes, { name: name.replace(/\.(bpf\.)?o$/, '') });
  const map = schedulerMap(object.structOps, name, options.map);
  for (const other of object.structOps) other.autoattach = other === map;
  beforeScxLoad(object, kernel);
  for (const [path, value] of Object.entries(options.set ?? {})) object.variable(path).set(value);
  object.load(kernel);
  afterScxLoad(object, kernel);
  for (const task of options.tasks ?? demoTasks()) machine.spawn(task);
  const hostNs = new Map<string, number[]>();
  machine.scx.calls.observer = (op, _sched, ns) => {
    const times = hostNs.get(op);
    if (times) times.push(ns);
    else hostNs.set(op, [ns]);
  };
  const link = map.attach();
  machine.run(options.durationNs ?? DEFAULT_DURATION);
  link.destroy();
  const result = resultOf(machine, name, map, hostNs);
  object.close();
  return result;
}

function resultOf(
  machine: Machine,
  object: string,
  map: StructOpsMap,
  hostNs: ReadonlyMap<string, readonly number[]>,
): DemoResult {
  const { kernel } = machine;
  const gone = machine.scx.lastExit;
  if (!gone) throw new VmtableError(`scheduler "${map.name}": detached, but it is still there`);
  const { sched, exit, fault } = gone;
  const callbacks: DemoResult['callbacks'] = {};
  const host: DemoResult['host']['callbacks'] = {};
  for (const [op, callable] of Object.entries(sched.kdata.ops)) {
    if (!callable) continue;
    callbacks[op] = { program: callable.prog.fullName, count: callable.stats.runs, insns: callable.stats.insns };
    const times = [...(hostNs.get(opOf(op)) ?? [])].sort((a, b) => a - b);
    host[op] = { ns: times.reduce((sum, ns) => sum + ns, 0), medianNs: times[times.length >> 1] ?? 0 };
  }
  return {
    object,
    kernel: kernel.profile.release,
    scheduler: sched.name,
    map: map.name,
    exit: {
      kind: exit.kind,
      kindName: exit.kindName,
      code: jsonInteger(exit.code),
      reason: exit.reason,
      message: exit.message,
    },
    ...(fault === undefined ? {} : { fault: (fault as Error).message }),
    simulatedNs: machine.now,
    callbacks,
    neverCalled: Object.keys(callbacks).filter((op) => NEVER_CALLED.test(op)),
    tasks: machine.runs.map((run) => ({
      name: run.script.name,
      pid: run.task.pid,
      weight: run.script.weight ?? 100,
      runNs: run.runNs,
      waitNs: run.waitNs,
      wakeups: run.wakeups,
      switches: run.switches,
      migrations: run.migrations,
      exited: run.exited,
    })),
    cpus: Array.from({ length: machine.cpus }, (_, cpu) => ({
      cpu,
      busyNs: machine.busyNs(cpu),
      idleNs: machine.now - machine.busyNs(cpu),
      spans: machine.spans(cpu).map((span) => ({ ...span })),
    })),
    output: [...kernel.trace],
    host: { wallMs: 0, callbacks: host },
  };
}

function schedulerMap(maps: readonly StructOpsMap[], object: string, wanted: string | undefined): StructOpsMap {
  const schedulers = maps.filter((map) => /^sched_ext_ops(_cid)?(___|$)/.test(map.structName));
  const names = schedulers.map((map) => map.name).join(', ');
  const found = wanted === undefined ? schedulers[0] : schedulers.find((map) => map.name === wanted);
  if (!found) {
    throw new InputError(
      `${object}: no scheduler${wanted ? ` "${wanted}"` : ''} (sched_ext_ops${names ? `: ${names}` : ''})`,
    );
  }
  if (schedulers.length > 1 && wanted === undefined) {
    throw new InputError(`${object}: several schedulers, name one of ${names}`);
  }
  return found;
}

function jsonInteger(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}
