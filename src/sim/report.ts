import { VmtableError } from '../errors.js';
import type { Finding } from '../loader/index.js';
import type { ExitInfo } from '../sched_ext/exit.js';
import { opOf } from '../sched_ext/forms.js';
import type { OpName } from '../sched_ext/op_names.js';
import type { ScxSched } from '../sched_ext/sched.js';
import type { Machine } from './simulator.js';
import type { CallStats } from './stats/call_stats.js';
import { type Fairness, fairness } from './stats/fairness.js';
import type { Percentiles } from './stats/histogram.js';
import type { GroupStats, Migrations, TaskStats } from './stats/task_stats.js';

/** How a run ended for its scheduler: `clean` in any way that is no error, nor had a program stopped; a stall is the watchdog's verdict. */
export type Outcome = 'clean' | 'error' | 'stall';

export interface CallbackReport {
  program: string;
  count: number;
  insns: number;
  /** Of one call; all 0 where the kernel counted none. */
  insnsPerCall: Percentiles;
}

interface Times {
  runNs: number;
  waitNs: number;
  sleepNs: number;
  /** Runnable, but held back by cpu.max or SCHED_DEADLINE's runtime. */
  throttledNs: number;
  wakeups: number;
  slices: number;
  migrations: number;
  wakeupLatencyNs: Percentiles;
  /** Time between becoming runnable, for whatever reason, and running. */
  runDelayNs: Percentiles;
}

export interface TaskReport extends Times {
  name: string;
  pid: number;
  group: string;
  weight: number;
  maxSliceNs: number;
  preemptions: number;
  /** CPU time that it is behind its fair share in the end, below 0 if ahead, and at most; null if it had no share. */
  lagNs: number | null;
  maxLagNs: number | null;
  bornAtNs: number;
  /** -1 while it lives. */
  exitedAtNs: number;
}

export interface GroupReport extends Omit<Times, 'migrations'> {
  name: string;
  tasks: number;
  sliceNs: Percentiles;
  migrations: Migrations;
}

export interface CpuReport {
  cpu: number;
  busyNs: number;
  idleNs: number;
  switches: number;
  online: boolean;
  /** Left out where it is 0. */
  offlineNs?: number;
  /** Of 1024; left out where it is 1024. */
  capacity?: number;
}

/** A user queue by its id, or all queues of a built-in kind: `local`, `global`, `bypass`. */
export interface DsqReport {
  name: string;
  inserts: number;
  /** Tasks on it, over all the time. */
  meanDepth: number;
  /** Of a single queue. */
  maxDepth: number;
  /** Time that a task spent on it. */
  latencyNs: Percentiles;
}

/** Everything in it follows from object, scenario and seed: two runs give the same. Times are ns of the simulated machine. */
export interface SimReport {
  kernel: string;
  scheduler: string | null;
  outcome: Outcome;
  /** Null while the scheduler is there; `code` is a string where a Number would round it. */
  exit: {
    kind: number;
    kindName: string;
    code: number | string;
    reason: string;
    message: string;
    /** Where the scheduler made the mistake: program, insn, line; or after which op the kernel found it. */
    place?: string;
  } | null;
  /** The program that was stopped, if one was, with the place in its source. */
  fault?: string;
  /** It was stopped because it needed what is not modelled, or not there. */
  unsupported?: true;
  /** Then: all else that the object needs and that is not there either, as the doctor knows it. */
  lacking?: Finding[];
  simulatedNs: number;
  seed: number;
  /** Things that happened: timers, interrupts, ticks, steps of tasks. */
  events: number;
  /** Ops with a program, in the order of the kernel's struct. */
  callbacks: Record<string, CallbackReport>;
  /** Counters of the scheduler's events (scx_event_stats), where the kernel has them. */
  scxEvents: Record<string, number>;
  tasks: TaskReport[];
  groups: GroupReport[];
  cpus: CpuReport[];
  dsqs: DsqReport[];
  fairness: Fairness;
  /** CPU time that passed idle while a task waited that could have had it, and its share of all idle time. */
  workConservation: { lostNs: number; shareOfIdle: number };
  /** Lines of bpf_printk, and of the kernel's log. */
  output: string[];
  log: string[];
  /** The debug dump of an error. */
  dump?: string;
}

export function outcomeOf({ kind, kindName }: Pick<ExitInfo, 'kind' | 'kindName'>): Outcome {
  if (kindName === 'ERROR_STALL') return 'stall';
  return kind >= FIRST_ERROR ? 'error' : 'clean';
}

/** SCX_EXIT_ERROR */
const FIRST_ERROR = 1024;

export function buildReport(machine: Machine): SimReport {
  const { scx, stats, kernel, elapsed: now } = machine;
  stats.settle();
  const gone = scx.lastExit;
  const sched = scx.root ?? gone?.sched ?? null;
  const exit = scx.root ? null : (gone?.exit ?? null);
  const fault = sched?.fault;
  const cpus = machine.cpus.map((cpu): CpuReport => {
    const { idleNs, offlineNs, switches } = stats.cpus[cpu.id]!;
    const capacity = machine.capacity(cpu.id);
    return {
      cpu: cpu.id,
      busyNs: now - idleNs - offlineNs,
      idleNs,
      switches,
      online: cpu.online,
      ...(offlineNs > 0 && { offlineNs }),
      ...(capacity !== 1024 && { capacity }),
    };
  });
  const lostNs = stats.conservation.lostNs(now);
  const idleNs = cpus.reduce((sum, cpu) => sum + cpu.idleNs, 0);
  return {
    kernel: kernel.profile.release,
    scheduler: sched?.name ?? null,
    outcome: fault !== undefined ? 'error' : exit ? outcomeOf(exit) : 'clean',
    exit: exit && exitReport(exit),
    ...(fault !== undefined && { fault: (fault as Error).message }),
    ...(fault instanceof VmtableError && fault.exitCode === 3 && { unsupported: true }),
    simulatedNs: now,
    seed: machine.seed,
    events: kernel.clock.fired,
    callbacks: sched ? callbacks(sched, stats.calls) : {},
    scxEvents: sched ? Object.fromEntries(sched.events.entries()) : {},
    tasks: stats.tasks.map(taskReport),
    groups: [...stats.groups.values()].map(groupReport),
    cpus,
    dsqs: [...stats.dsqs.groups.values()].map((dsq) => ({
      name: dsq.name,
      inserts: dsq.inserts,
      meanDepth: dsq.meanDepth(now),
      maxDepth: dsq.maxDepth,
      latencyNs: dsq.latency.percentiles(),
    })),
    fairness: fairness(stats.tasks, now),
    workConservation: { lostNs, shareOfIdle: idleNs === 0 ? 0 : lostNs / idleNs },
    output: [...kernel.trace],
    log: [...kernel.log],
    ...(exit?.dump && { dump: exit.dump }),
  };
}

function exitReport({ kind, kindName, code, reason, message, place }: ExitInfo): NonNullable<SimReport['exit']> {
  const number = Number(code);
  const shown = Number.isSafeInteger(number) ? number : String(code);
  return { kind, kindName, code: shown, reason, message, ...(place !== undefined && { place }) };
}

function callbacks(sched: ScxSched, calls: CallStats): Record<string, CallbackReport> {
  const result: Record<string, CallbackReport> = {};
  for (const [op, callable] of Object.entries(sched.kdata.ops)) {
    if (!callable) continue;
    const { runs, insns } = callable.stats;
    const insnsPerCall = calls.insns(opOf(op) as OpName).percentiles();
    result[op] = { program: callable.prog.fullName, count: runs, insns, insnsPerCall };
  }
  return result;
}

function taskReport(task: TaskStats): TaskReport {
  return {
    name: task.name,
    pid: task.pid,
    group: task.group.name,
    weight: task.weight,
    runNs: task.runNs,
    waitNs: task.waitNs,
    sleepNs: task.sleepNs,
    throttledNs: task.throttledNs,
    wakeups: task.wakeups,
    slices: task.slices,
    maxSliceNs: task.maxSliceNs,
    preemptions: task.preemptions,
    migrations: task.migrations,
    wakeupLatencyNs: task.wakeupLatency.percentiles(),
    runDelayNs: task.runDelay.percentiles(),
    lagNs: task.shared ? Math.round(task.lagNs) + 0 : null,
    maxLagNs: task.shared ? Math.round(task.maxLagNs) : null,
    bornAtNs: task.bornAt,
    exitedAtNs: task.exitedAt,
  };
}

function groupReport(group: GroupStats): GroupReport {
  const { tasks } = group;
  const sum = (of: (task: TaskStats) => number) => tasks.reduce((total, task) => total + of(task), 0);
  return {
    name: group.name,
    tasks: tasks.length,
    runNs: sum(({ runNs }) => runNs),
    waitNs: sum(({ waitNs }) => waitNs),
    sleepNs: sum(({ sleepNs }) => sleepNs),
    throttledNs: sum(({ throttledNs }) => throttledNs),
    wakeups: sum(({ wakeups }) => wakeups),
    slices: sum(({ slices }) => slices),
    migrations: { ...group.migrations },
    wakeupLatencyNs: group.wakeupLatency.percentiles(),
    runDelayNs: group.runDelay.percentiles(),
    sliceNs: group.slice.percentiles(),
  };
}
