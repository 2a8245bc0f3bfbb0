import type { Duration } from './duration.js';

/**
 * One thing that a task does. Times are ns; `task` is `self` or the name of another task; pipes, words, mutexes, conditions,
 * barriers, points and timers are named by whoever uses them.
 */
export type SimStep =
  | { verb: 'run' | 'spin' | 'sleep'; ns: Duration }
  | { verb: 'yield' | 'exec' }
  | { verb: 'wait'; task?: string }
  | { verb: 'fork'; task: string }
  | { verb: 'exit'; status: number }
  | { verb: 'kill'; task: string; signal: number }
  | { verb: 'nice'; task: string; value: number }
  | { verb: 'affinity'; task: string; cpus: readonly number[] }
  | { verb: 'policy'; task: string; name: PolicyName; priority: number; deadline?: DeadlineParams }
  | { verb: 'write'; pipe: number | string; sync?: boolean }
  | { verb: 'read'; pipe: number | string }
  | { verb: 'futexwait'; word: number | string }
  | { verb: 'futexwake'; word: number | string; sync?: boolean }
  | { verb: 'mkcgroup' | 'rmcgroup'; cgroup: string }
  | { verb: 'cgweight'; cgroup: string; weight: number }
  | { verb: 'cgidle'; cgroup: string; idle: boolean }
  | { verb: 'cgmax'; cgroup: string; max: CpuMaxNs }
  | { verb: 'cgroup'; task: string; cgroup: string }
  | { verb: 'cpu'; cpu: number; online: boolean }
  | { verb: 's2idle' | 'deep'; ns: number }
  | { verb: 'sysrq'; key: SysrqKey }
  | { verb: 'timer'; timer: string; ns: Duration; absolute?: boolean; shared?: boolean }
  | { verb: 'lock' | 'unlock'; mutex: string }
  | { verb: 'condwait'; cond: string; mutex: string }
  | { verb: 'signal' | 'broadcast'; cond: string; sync?: boolean }
  | { verb: 'barrier'; barrier: string; parties: number }
  | { verb: 'suspend' | 'resume'; point: string }
  | RepeatStep;

/** Steps that are done over and over; `times` may be Infinity. */
export interface RepeatStep {
  verb: 'repeat';
  times: number;
  steps: readonly SimStep[];
}

/** Keys of /proc/sysrq-trigger: `S` takes the scheduler out. */
export type SysrqKey = 'S';

export type PolicyName = 'ext' | 'other' | 'batch' | 'idle' | 'fifo' | 'rr' | 'deadline';

/** sched_setattr(2) of SCHED_DEADLINE. */
export interface DeadlineParams {
  runtimeNs: number;
  deadlineNs: number;
  periodNs: number;
}

/** cpu.max and cpu.max.burst; a quota of Infinity is none. */
export interface CpuMaxNs {
  quotaNs: number;
  periodNs: number;
  burstNs: number;
}

/** Tasks by name. The first is the root of the workload, the others are forked by steps. */
export type SimTasks = Readonly<Record<string, readonly SimStep[]>>;

/** A task of a scenario, or several alike. */
export interface TaskSpec {
  /** Its comm, at most 15 bytes. Of several copies each has `-0`, `-1`… behind it, in steps that name it. */
  name: string;
  /** Default 1. */
  copies?: number;
  /** Default its name, cut to 15 bytes. */
  comm?: string;
  steps: readonly SimStep[];
  /** How often the steps are done, Infinity included; default once. Then it exits. */
  repeat?: number;
  /** When it is forked, by nobody; default 0. A task that some step forks is not forked besides, unless this is given. */
  startNs?: Duration;
  /** Default `ext`: under the scheduler, whether it asks for all tasks or for those of SCHED_EXT alone. */
  policy?: PolicyName;
  /** Of `fifo` and `rr`, 1 to 99. */
  priority?: number;
  deadline?: DeadlineParams;
  /** -20 to 19; default 0. */
  nice?: number;
  /** CPUs that it may use; default all. */
  cpus?: readonly number[];
  /** Where it is forked; default the first of `cpus`, or else the first of the machine. */
  cpu?: number;
  /** Name of a cgroup of the scenario. */
  cgroup?: string;
  /** A kernel thread. */
  kthread?: boolean;
  /** Statistics are summed by this; default its name. */
  group?: string;
}

/** A cgroup below the root, with the cpu controller on. */
export interface CgroupSpec {
  /** `a`, or `a/b` for one below another, which is made, too. */
  name: string;
  /** cpu.weight, 1 to 10000; default 100. */
  weight?: number;
  /** cpu.idle; default false. Its weight cannot be set then. */
  idle?: boolean;
  /** Default: no limit. */
  max?: CpuMaxNs;
}

/** Something that happens to the machine or its tasks at a time. */
export type TimedEvent = { atNs: number } & EventStep;
export type EventStep = Extract<
  SimStep,
  {
    verb:
      | 'kill'
      | 'nice'
      | 'affinity'
      | 'policy'
      | 'cgroup'
      | 'cgweight'
      | 'cgidle'
      | 'cgmax'
      | 'cpu'
      | 's2idle'
      | 'deep'
      | 'sysrq';
  }
>;

/** A workload: what runs on a machine, and what happens to it. */
export interface Scenario {
  name?: string;
  cgroups?: readonly CgroupSpec[];
  tasks: readonly TaskSpec[];
  events?: readonly TimedEvent[];
}

export const us = (n: number): number => n * 1000;
export const ms = (n: number): number => n * 1_000_000;

const KILL = 9;
const CONT = 18;
const STOP = 19;

/** Uses the CPU for so long. */
export const run = (ns: Duration): SimStep => ({ verb: 'run', ns });
/** Uses the CPU, or waits for it, until so much time has passed. */
export const spin = (ns: Duration): SimStep => ({ verb: 'spin', ns });
export const sleep = (ns: Duration): SimStep => ({ verb: 'sleep', ns });
export const yieldCpu = (): SimStep => ({ verb: 'yield' });
/** Starts another task of the scenario as a child. */
export const fork = (task: string): SimStep => ({ verb: 'fork', task });
/** Waits until every child has exited, or this one. */
export const wait = (task?: string): SimStep => ({ verb: 'wait', ...(task !== undefined && { task }) });
export const exit = (status = 0): SimStep => ({ verb: 'exit', status });
export const kill = (task: string): SimStep => ({ verb: 'kill', task, signal: KILL });
export const stop = (task: string): SimStep => ({ verb: 'kill', task, signal: STOP });
export const cont = (task: string): SimStep => ({ verb: 'kill', task, signal: CONT });
export const nice = (task: string, value: number): SimStep => ({ verb: 'nice', task, value });
/** CPUs by number. */
export const affinity = (task: string, ...cpus: number[]): SimStep => ({ verb: 'affinity', task, cpus });
/** A priority goes with `fifo` and `rr` only. */
export const policy = (task: string, name: PolicyName, priority = 0): SimStep => ({
  verb: 'policy',
  task,
  name,
  priority,
});
/** A byte into or out of a pipe; the reader sleeps until there is one. The writer's wake-up is a sync one, unless told not to be. */
export const write = (pipe: number | string, sync = true): SimStep => ({ verb: 'write', pipe, ...(!sync && { sync }) });
export const read = (pipe: number | string): SimStep => ({ verb: 'read', pipe });
/** Sleeps until another task wakes the word; the wake-up is a sync one only if `sync` says so. */
export const futexWait = (word: number | string): SimStep => ({ verb: 'futexwait', word });
export const futexWake = (word: number | string, sync = false): SimStep => ({ verb: 'futexwake', word, sync });
/** Goes on with the next step as a new program image. */
export const exec = (): SimStep => ({ verb: 'exec' });
export const makeCgroup = (cgroup: string): SimStep => ({ verb: 'mkcgroup', cgroup });
export const removeCgroup = (cgroup: string): SimStep => ({ verb: 'rmcgroup', cgroup });
export const cgroupWeight = (cgroup: string, weight: number): SimStep => ({ verb: 'cgweight', cgroup, weight });
/** cpu.idle of a cgroup. */
export const cgroupIdle = (cgroup: string, idle: boolean): SimStep => ({ verb: 'cgidle', cgroup, idle });
export const enterCgroup = (task: string, cgroup: string): SimStep => ({ verb: 'cgroup', task, cgroup });
/** CPU hotplug. */
export const cpu = (number: number, online: boolean): SimStep => ({ verb: 'cpu', cpu: number, online });
/** Presses a key of sysrq: `S` disables the scheduler. */
export const sysrq = (key: SysrqKey): SimStep => ({ verb: 'sysrq', key });
/** Suspend to idle: the machine freezes its tasks and sleeps for so long, on clocks that go on then. */
export const suspendToIdle = (ns: number): SimStep => ({ verb: 's2idle', ns });
/** Suspends the machine to RAM for so long. */
export const suspendToRam = (ns: number): SimStep => ({ verb: 'deep', ns });
/** cpu.max of a cgroup, ns; a quota of Infinity lifts it. */
export const cgroupMax = (cgroup: string, quotaNs: number, periodNs = 100_000_000, burstNs = 0): SimStep => ({
  verb: 'cgmax',
  cgroup,
  max: { quotaNs, periodNs, burstNs },
});
/** Does the steps `times` times, Infinity included. */
export const repeat = (times: number, ...steps: SimStep[]): SimStep => ({ verb: 'repeat', times, steps });
export const forever = (...steps: SimStep[]): SimStep => repeat(Number.POSITIVE_INFINITY, ...steps);
/**
 * Sleeps until the next multiple of a period since the task's first use of the timer; a time that has gone does not sleep, and the
 * next period begins then. `absolute`: it begins when it was due. `shared`: the timer is one for all tasks.
 */
export const timer = (name: string, ns: Duration, options: { absolute?: boolean; shared?: boolean } = {}): SimStep => ({
  verb: 'timer',
  timer: name,
  ns,
  ...options,
});
export const lock = (mutex: string): SimStep => ({ verb: 'lock', mutex });
export const unlock = (mutex: string): SimStep => ({ verb: 'unlock', mutex });
/** Gives the mutex back, sleeps until the condition is signalled, takes the mutex. */
export const condWait = (cond: string, mutex: string): SimStep => ({ verb: 'condwait', cond, mutex });
/** Wakes one that waits for the condition, if there is one. */
export const signal = (cond: string, sync = false): SimStep => ({ verb: 'signal', cond, sync });
export const broadcast = (cond: string, sync = false): SimStep => ({ verb: 'broadcast', cond, sync });
/** Sleeps until so many tasks are at the barrier. */
export const barrier = (name: string, parties: number): SimStep => ({ verb: 'barrier', barrier: name, parties });
/** Sleeps until another task resumes the point; a resume that nobody sleeps for is lost. */
export const suspend = (point: string): SimStep => ({ verb: 'suspend', point });
export const resume = (point: string): SimStep => ({ verb: 'resume', point });
