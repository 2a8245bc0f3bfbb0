import { readdirSync, readFileSync } from 'node:fs';
import { Counter } from '../../samples/counter_ops.js';
import { ERRNO } from '../../src/errno.js';
import { VmtableError } from '../../src/errors.js';
import { Kernel, type KernelOptions } from '../../src/index.js';
import { type BpfObject, isDumpable, openObject } from '../../src/loader/index.js';
import { addQdisc } from '../../src/qdisc/index.js';
import { BPF_PROG_TYPE } from '../../src/uapi.js';
import { Machine } from '../sched_ext/scripted_machine.js';

const SAMPLES_FOLDER = new URL('../../samples/', import.meta.url);

/** Names of samples/*.bpf.o. */
export const SAMPLES: readonly string[] = readdirSync(SAMPLES_FOLDER)
  .filter((file) => file.endsWith('.bpf.o'))
  .map((file) => file.slice(0, -'.bpf.o'.length))
  .sort();

/** A fresh copy of a sample's bytes. */
export function sample(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`${name}.bpf.o`, SAMPLES_FOLDER)));
}

/** What one object may take. */
export const LIMIT_MS = 2000;
export const LIMIT_RSS = 200 * 2 ** 20;
/** Back-edges and calls of a run: enough for every sample, few enough for thousands of endless loops. */
const FUEL = 20_000;
/** Simulated time that a scheduler is driven for. */
const DRIVE_NS = 3_000_000;
/** Maps of more entries are not walked. */
const MOST_ENTRIES = 4096;
/** Context of SYSCALL programs: as much as any sample's. */
const CONTEXT_BYTES = 64;
const PACKET = Uint8Array.from({ length: 64 }, (_, i) => i * 7);

export interface Outcome {
  /** The error that ended it, or none: the object was loaded, attached, driven and given back. */
  error?: VmtableError;
  /** How far it came. */
  stage: 'open' | 'load' | 'attach' | 'drive' | 'done';
  /** Further errors of programs that were run. */
  stopped: VmtableError[];
  /** Of the processor: what else runs on the machine does not count. */
  ms: number;
  /** Growth of the process in bytes; below 0 if the collector ran. */
  rss: number;
}

/** What a kernel holds: all of it must be the same before and after an object. */
export interface Holdings {
  fds: number;
  maps: number;
  progs: number;
  links: number;
  btfs: number;
  pendingRcu: number;
  heapBytes: number;
  liveBytes: number;
  liveObjects: number;
  coreMaps: number;
  /** Kernel symbols get their memory when they are first named, and keep it. */
  ksyms: number;
  /** Contexts of runs that were nested deeper than any before are kept, too. */
  contexts: number;
}

export function holdings(kernel: Kernel): Holdings {
  // Freed objects wait in quarantine before their memory and its bookkeeping are given back.
  kernel.vm.exports.windowFlush();
  const { heapBytes, liveBytes, liveObjects, maps } = kernel.vm.memory.usage;
  return {
    fds: kernel.fds.openFds().length,
    maps: kernel.maps.size,
    progs: kernel.progs.size,
    links: kernel.links.size,
    btfs: kernel.btfs.size,
    pendingRcu: kernel.rcu.pending,
    heapBytes,
    liveBytes,
    liveObjects,
    coreMaps: maps,
    ksyms: kernel.ksyms.size,
    contexts: kernel.vm.pooled,
  };
}

/** A type that takes every tcp_congestion_ops, so that such objects come as far as their attachment. */
function registerTcp(kernel: Kernel): void {
  kernel.registerStructOps({
    name: 'tcp_congestion_ops',
    stubs: { init: {}, ssthresh: {}, cong_avoid: {}, undo_cwnd: {} },
    init_member: (member, kdata, udata) => {
      if (member !== 'name') return 0;
      if (udata.get('name') === '') return -ERRNO.EINVAL;
      kdata.set('name', udata.get('name'));
      return 1;
    },
    reg: () => 0,
    unreg: () => {},
  });
}

/** A kernel with every subsystem that the samples ask for, used for one object after another. */
export class ObjectBench {
  private constructor(
    readonly kernel: Kernel,
    private readonly machine: Machine,
    private readonly counter: Counter,
  ) {}

  static async create(options: KernelOptions = {}): Promise<ObjectBench> {
    const kernel = await Kernel.create(options);
    // A mutated program that loops for ever is stopped sooner than by default: what matters here comes after it.
    Object.assign(kernel.vm, { fuel: FUEL });
    const machine = new Machine(kernel);
    for (let i = 0; i < 6; i++) {
      const steps = [{ run: 1_000_000 }, { sleep: 300_000 }];
      machine.spawn({ name: `task-${i}`, steps, repeat: 1_000_000 });
    }
    registerTcp(kernel);
    addQdisc(kernel);
    return new ObjectBench(kernel, machine, new Counter(kernel));
  }

  /** Everything that can be done with an object. Errors other than VmtableError pass through. */
  run(bytes: Uint8Array): Outcome {
    const outcome: Outcome = { stage: 'open', stopped: [], ms: 0, rss: 0 };
    const rss = process.memoryUsage.rss();
    const start = process.cpuUsage();
    let object: BpfObject | undefined;
    try {
      object = openObject(bytes, { name: 'hostile' });
      outcome.stage = 'load';
      object.load(this.kernel);
      outcome.stage = 'attach';
      object.attach();
      outcome.stage = 'drive';
      this.drive(object, outcome.stopped);
      outcome.stage = 'done';
    } catch (error) {
      if (!(error instanceof VmtableError)) throw error;
      outcome.error = error;
    } finally {
      const { user, system } = process.cpuUsage(start);
      outcome.ms = (user + system) / 1000;
      outcome.rss = process.memoryUsage.rss() - rss;
      object?.close();
      this.kernel.trace.length = 0;
      this.kernel.log.length = 0;
    }
    return outcome;
  }

  /** Guest address of a task_struct of the machine. */
  taskAddress(index: number): bigint {
    const { ptr } = this.machine.runs[index % this.machine.runs.length]!.task;
    return this.kernel.memory.address(ptr);
  }

  /** An object that is loaded and attached; its close gives it back. */
  attached(bytes: Uint8Array): BpfObject {
    const object = openObject(bytes, { name: 'hostile' });
    try {
      object.load(this.kernel).attach();
    } catch (error) {
      object.close();
      throw error;
    }
    return object;
  }

  /** Load, attach, detach, free; the error that ended it, if one did. */
  round(bytes: Uint8Array): VmtableError | undefined {
    try {
      const object = this.attached(bytes);
      for (const link of object.links) link.detach();
      object.close();
      return undefined;
    } catch (error) {
      if (!(error instanceof VmtableError)) throw error;
      return error;
    } finally {
      this.kernel.trace.length = 0;
      this.kernel.log.length = 0;
    }
  }

  /** Runs every program that something can run; each may stop with an error of its own. */
  private drive(object: BpfObject, stopped: VmtableError[]): void {
    const attempt = (body: () => unknown) => {
      try {
        body();
      } catch (error) {
        if (!(error instanceof VmtableError)) throw error;
        stopped.push(error);
      }
    };
    attempt(() => this.machine.run(DRIVE_NS));
    attempt(() => this.counter.count([2, 3, 4]));
    for (const prog of object.programs) {
      if (!prog.loaded) continue;
      if (prog.type === BPF_PROG_TYPE.SYSCALL) attempt(() => prog.testRun({ ctx: new Uint8Array(CONTEXT_BYTES) }));
      if (prog.type === BPF_PROG_TYPE.XDP) attempt(() => prog.testRun({ data: PACKET }));
    }
    for (const map of object.maps) {
      // entries() first takes a copy of all keys: what that costs is the caller's choice, not the object's.
      const { type, maxEntries } = map.spec;
      if (map.created && isDumpable(type) && maxEntries <= MOST_ENTRIES) attempt(() => take(map.entries(), 10));
    }
    for (const variable of object.variables) attempt(() => variable.get());
    for (const link of [...object.links].reverse()) attempt(() => link.detach());
  }

  dispose(): void {
    this.kernel.dispose();
  }
}

function take<T>(items: Iterable<T>, count: number): void {
  let left = count;
  for (const _ of items) if (--left <= 0) return;
}

/** What a message must not show: a value that the code did not expect. */
const CARELESS = /\bundefined\b|\bNaN\b|\[object |\bInfinity\b/;
/** Words that say where: every message has one. */
const PLACE =
  /section|symbol|map|prog|insn|BTF|type|struct_ops|reloc|ELF|offset|object|function|license|variable|extern|byte|version/i;

/** What grows when something is made once and kept. */
const KEPT: ReadonlySet<keyof Holdings> = new Set(['ksyms', 'contexts', 'liveBytes', 'liveObjects', 'heapBytes']);

/** What is wrong with an outcome, in words; undefined if nothing is. */
export function complaint(outcome: Outcome, before: Holdings, after: Holdings): string | undefined {
  for (const error of [outcome.error, ...outcome.stopped]) {
    if (!error) continue;
    if (CARELESS.test(error.message)) return `careless message: ${error.message}`;
    if (!PLACE.test(error.message)) return `message names no place: ${error.message}`;
    for (let cause: unknown = error; cause !== undefined; cause = (cause as Error).cause) {
      if (cause instanceof TypeError || cause instanceof RangeError)
        return `${error.message}: because of ${cause.stack}`;
    }
  }
  const kept = after.ksyms > before.ksyms || after.contexts > before.contexts;
  for (const key of Object.keys(before) as (keyof Holdings)[]) {
    // An object that is the first to name a kernel symbol, or to nest so deep, leaves that behind.
    if (kept && KEPT.has(key)) continue;
    if (before[key] !== after[key]) return `${key}: ${before[key]} before, ${after[key]} afterwards`;
  }
  return undefined;
}

function costs({ ms, rss }: Outcome): string | undefined {
  if (ms > LIMIT_MS) return `took ${Math.round(ms)} ms`;
  if (rss > LIMIT_RSS) return `took ${Math.round(rss / 2 ** 20)} MiB`;
  return undefined;
}

/**
 * Runs an object on a bench that others used before; throws what is wrong with how it went. Costs that look too high are
 * measured again on a kernel of its own: on this one, memory that another object left behind had to be cleared.
 */
export async function check(bench: ObjectBench, bytes: Uint8Array): Promise<Outcome> {
  const before = holdings(bench.kernel);
  const outcome = bench.run(bytes);
  let wrong = complaint(outcome, before, holdings(bench.kernel));
  if (!wrong && costs(outcome)) {
    const fresh = await ObjectBench.create();
    wrong = costs(fresh.run(bytes));
    fresh.dispose();
  }
  if (wrong) throw new Error(wrong);
  return outcome;
}

/** A bench that has seen every sample: what is made once and kept is made. */
export async function warmBench(): Promise<ObjectBench> {
  const bench = await ObjectBench.create();
  for (const name of SAMPLES) bench.run(sample(name));
  return bench;
}
