/** One thing that a task does. Times are ns; `task` is `self` or the name of another task. */
export type SimStep =
  | { verb: 'run' | 'sleep'; ns: number }
  | { verb: 'yield' | 'wait' | 'exec' }
  | { verb: 'fork'; task: string }
  | { verb: 'exit'; status: number }
  | { verb: 'kill'; task: string; signal: number }
  | { verb: 'nice'; task: string; value: number }
  | { verb: 'affinity'; task: string; cpus: readonly number[] }
  | { verb: 'policy'; task: string; name: PolicyName; priority: number }
  | { verb: 'write' | 'read'; pipe: number }
  | { verb: 'futexwait' | 'futexwake'; word: number }
  | { verb: 'mkcgroup' | 'rmcgroup'; cgroup: string }
  | { verb: 'cgweight'; cgroup: string; weight: number }
  | { verb: 'cgroup'; task: string; cgroup: string }
  | { verb: 'cpu'; cpu: number; online: boolean };

export type PolicyName = 'ext' | 'other' | 'batch' | 'idle' | 'fifo' | 'rr';

/** Tasks by name. The first is the root of the workload, the others are forked by steps. */
export type SimTasks = Readonly<Record<string, readonly SimStep[]>>;

export const us = (n: number): number => n * 1000;
export const ms = (n: number): number => n * 1_000_000;

const KILL = 9;
const CONT = 18;
const STOP = 19;

/** Uses the CPU for so long. */
export const run = (ns: number): SimStep => ({ verb: 'run', ns });
export const sleep = (ns: number): SimStep => ({ verb: 'sleep', ns });
export const yieldCpu = (): SimStep => ({ verb: 'yield' });
/** Starts another task of the scenario as a child. */
export const fork = (task: string): SimStep => ({ verb: 'fork', task });
/** Waits until every child has exited. */
export const wait = (): SimStep => ({ verb: 'wait' });
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
/** A byte into or out of a pipe, by number; the reader sleeps until there is one. The writer's wake-up is a sync one. */
export const write = (pipe: number): SimStep => ({ verb: 'write', pipe });
export const read = (pipe: number): SimStep => ({ verb: 'read', pipe });
/** Sleeps until another task wakes the word, by number; the wake-up is not a sync one. */
export const futexWait = (word: number): SimStep => ({ verb: 'futexwait', word });
export const futexWake = (word: number): SimStep => ({ verb: 'futexwake', word });
/** Goes on with the next step as a new program image. */
export const exec = (): SimStep => ({ verb: 'exec' });
export const makeCgroup = (cgroup: string): SimStep => ({ verb: 'mkcgroup', cgroup });
export const removeCgroup = (cgroup: string): SimStep => ({ verb: 'rmcgroup', cgroup });
export const cgroupWeight = (cgroup: string, weight: number): SimStep => ({ verb: 'cgweight', cgroup, weight });
export const enterCgroup = (task: string, cgroup: string): SimStep => ({ verb: 'cgroup', task, cgroup });
/** CPU hotplug. */
export const cpu = (number: number, online: boolean): SimStep => ({ verb: 'cpu', cpu: number, online });
