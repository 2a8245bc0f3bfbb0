import { afterEach } from 'vitest';
import { Kernel } from '../../src/kernel/kernel.js';
import { ArenaMap } from '../../src/kernel/map/arena.js';
import type { Kdata, OpArg, StructOpsCallable } from '../../src/kernel/types.js';
import { registerScxKfuncs } from '../../src/sched_ext/kfuncs.js';
import { structOpsDef } from '../../src/sched_ext/ops.js';
import { ScxTask } from '../../src/sched_ext/task.js';
import { type CpuPlace, Topology } from '../../src/sched_ext/topology.js';
import type { ArenaPointer, HostCall, HostFn } from '../../src/vm/types.js';
import { Machine } from './scripted_machine.js';

// A machine whose scheduler is written in TypeScript: ops are functions, kfuncs are called by name. What a compiled scheduler
// sees of sched_ext is the same, without a program in between.

export const MS = 1_000_000;
export const PROFILES = ['7.3', '6.18', '6.12'] as const;

/** How arguments of ops are logged, where it is not as a plain number: flags, pointers. */
const ARGS: Readonly<Record<string, readonly (string | undefined)[]>> = {
  enqueue: ['*', '0x'],
  dequeue: ['*', '0x'],
  runnable: ['*', '0x'],
  quiescent: ['*', '0x'],
  dispatch: [undefined, '*'],
  yield: ['*', '*'],
  set_cpumask: ['*', '*'],
  init_task: ['*', '*'],
  exit_task: ['*', '*'],
  exit: ['*'],
  dump: ['*'],
  dump_cpu: ['*'],
  dump_task: ['*', '*'],
  cpu_acquire: [undefined, '*'],
  cpu_release: [undefined, '*'],
  cgroup_init: ['*', '*'],
  cgroup_exit: ['*'],
  cgroup_prep_move: ['*', '*', '*'],
  cgroup_move: ['*', '*', '*'],
  cgroup_cancel_move: ['*', '*', '*'],
  cgroup_set_weight: ['*'],
  cgroup_set_bandwidth: ['*'],
  cgroup_set_idle: ['*'],
};

export type Op = (...args: never[]) => unknown;

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

export class Bench {
  /** One line a callback: `ms op args`, and what a test adds. */
  readonly log: string[] = [];
  readonly #kfuncs = new Map<string, HostFn>();
  #nextKdata = 0x1000;

  constructor(
    readonly kernel: Kernel,
    readonly machine: Machine,
  ) {
    registerScxKfuncs(
      machine.scx,
      (name, fn) => this.#kfuncs.set(name, fn),
      () => machine.scx.root,
    );
  }

  static async create(profile: string = '7.3', places?: readonly CpuPlace[]): Promise<Bench> {
    const kernel = await Kernel.create({ profile, windowBytes: 1 << 24, ...(places ? { cpus: places.length } : {}) });
    kernels.push(kernel);
    return new Bench(kernel, places ? new Machine(kernel, new Topology(places)) : new Machine(kernel));
  }

  /** A struct cpumask of these CPUs, as a kfunc's argument. */
  mask(...cpus: number[]): bigint {
    return this.kernel.memory.address(this.kernel.cpumasks.of(cpus, 'test mask'));
  }

  /** A vtable; ops that are not given are logged and do nothing if they are named in `logged`. */
  kdata(ops: Record<string, Op>, values: Record<string, number | bigint | string> = {}): Kdata {
    const members: Record<string, number | bigint | string> = {
      name: 'test',
      flags: 0n,
      dispatch_max_batch: 0,
      timeout_ms: 0,
      ...values,
    };
    const callables = Object.entries(ops).map(([name, op]) => [name, this.#callable(name, op)] as const);
    return {
      ptr: this.#nextKdata++,
      mapId: 1,
      mapName: 'test_ops',
      ops: Object.fromEntries(callables),
      get: (member) => members[member] ?? 0,
      set: (member, value) => {
        members[member] = value;
      },
    };
  }

  #callable(name: string, op: Op): StructOpsCallable {
    const stats = { runs: 0, insns: 0, ns: 0, lastNs: -1 };
    const call = (...args: OpArg[]) => {
      stats.runs++;
      // What the kernel passes as an address a test gets as the task that is there.
      while (args.length > 0 && args[args.length - 1] === undefined) args.pop();
      const given = args.map((arg) => (typeof arg === 'number' && this.machine.scx.taskAt(arg)) || arg);
      const shown = given.map((arg, i) => ` ${this.#show(arg, ARGS[name]?.[i])}`);
      this.log.push(`${this.machine.now / MS} ${name}${shown.join('')}`);
      return (op as (...args: unknown[]) => number | undefined)(...given) ?? undefined;
    };
    const prog = { id: 1, name, sleepable: false, aux: { used_maps: [], arena: null } };
    return Object.assign(call, { prog, stats }) as unknown as StructOpsCallable;
  }

  #show(arg: OpArg | ScxTask, kind: string | undefined): string {
    if (arg instanceof ScxTask) return arg.comm;
    if (kind === '0x') return `0x${BigInt(arg as number | bigint).toString(16)}`;
    if (kind === '*') return arg === 0 ? '-' : '*';
    return String(arg);
  }

  /** Attaches a scheduler as a link does; what reg() returns. */
  attach(kdata: Kdata): number {
    return structOpsDef(this.machine.scx, 'cpu').reg(kdata, null);
  }

  detach(kdata: Kdata): void {
    structOpsDef(this.machine.scx, 'cpu').unreg(kdata, null);
  }

  /** Calls a kfunc as a program on the running CPU does; its r0. Pointers and tasks go as their addresses. */
  kf(name: string, ...args: (number | bigint | boolean | ScxTask)[]): bigint {
    const fn = this.#kfuncs.get(name);
    if (!fn) throw new Error(`no kfunc ${name}`);
    const call = new FakeCall(this.kernel, args);
    fn(call as unknown as HostCall);
    return BigInt.asIntN(64, call.r0);
  }

  /** Guest memory with these bytes. */
  bytes(content: Uint8Array | string): bigint {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(`${content}\0`) : content;
    const ptr = this.kernel.alloc(bytes.length, 'test data');
    this.kernel.memory.bytes(ptr, bytes.length).set(bytes);
    return this.kernel.memory.address(ptr);
  }

  /** How the last scheduler went: `kind reason: message`. */
  get exit(): string {
    const exit = this.machine.scx.lastExit?.exit;
    return exit ? `${exit.kind} ${exit.reason}: ${exit.message}` : 'still there';
  }

  /** Lines of the log that begin with one of these ops, without their time. */
  ops(...names: string[]): string[] {
    return this.log
      .map((line) => line.replace(/^[\d.]+ /, ''))
      .filter((line) => names.includes(line.split(' ')[0] ?? ''));
  }
}

/** The arguments of one kfunc call. */
class FakeCall {
  r0 = 0n;
  readonly memory;
  readonly cpu;
  readonly #args: bigint[];

  constructor(
    private readonly kernel: Kernel,
    args: (number | bigint | boolean | ScxTask)[],
  ) {
    this.memory = kernel.memory;
    this.cpu = kernel.currentCpu;
    this.#args = args.map((arg) =>
      typeof arg === 'object' ? kernel.memory.address(arg.ptr) : BigInt.asUintN(64, BigInt(arg)),
    );
  }

  u64(i: number): bigint {
    return this.#args[i] ?? 0n;
  }
  u64n(i: number): number {
    return Number(this.u64(i));
  }
  lo(i: number): number {
    return Number(BigInt.asUintN(32, this.u64(i)));
  }
  hi(i: number): number {
    return Number(this.u64(i) >> 32n);
  }
  u32(i: number): number {
    return Number(BigInt.asUintN(32, this.u64(i)));
  }
  s32(i: number): number {
    return Number(BigInt.asIntN(32, this.u64(i)));
  }
  ptr(i: number): number {
    return this.memory.fromAddress(this.u64(i));
  }
  mem(i: number): number {
    return this.ptr(i);
  }
  /** Of the kernel's only arena. */
  arena(i: number): ArenaPointer {
    const user = this.u64(i);
    const arena = this.kernel.maps.values().find((map) => map instanceof ArenaMap);
    return { user, ptr: user === 0n ? 0 : arena!.guestPtr(user) };
  }
  cstring(i: number, max: number): string {
    return this.memory.cstring(this.ptr(i), max);
  }
  readonly prog = undefined;
  readonly insn = 0;
  access(ptr: number): number {
    return ptr;
  }
  ret(value: number): void {
    this.r0 = BigInt(value);
  }
  retU64(value: bigint): void {
    this.r0 = value;
  }
  retPtr(ptr: number): void {
    this.r0 = this.memory.address(ptr);
  }
  fail(error: Error): never {
    throw error;
  }
}
