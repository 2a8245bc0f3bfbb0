import type { RecordedEvent } from '../../recording.js';

// What an event of a recording is, and how exact its times are.

export const NS = 0;
export const CPU = 1;
export const EVENT = 2;
export const TASK = 3;
export const OTHER = 4;
export const A = 5;
export const B = 6;

/** A switch in the machine is over when the kernel's begins; the recording tells the end of it, so much later at most. */
export const SWITCH_NS = 30_000;
/** A machine's event is at most so much earlier than the kernel's. */
export const SKEW_NS = 15_000;
/** Less than what lies between two notes of a slice that differ. */
export const SHORT_NS = 500;
/** How long before a choice the tick came that led to it. */
export const HIDDEN_TICK_NS = 5_000;
/** Longest that an interrupt of another CPU takes to arrive: both CPUs of the emulator share one host thread. */
export const IPI_NS = 60_000_000;
export const DEFAULT_IPI_NS = 3_000;
/** How long after a task's end its task_struct goes. */
export const FREED_NS = 30_000_000;
export const TASK_UNINTERRUPTIBLE = 0x2;
export const TASK_DEAD = 0x80;

/** Callbacks and tracepoints that a system call of a task brings about for itself or another task. */
export const EFFECTS = new Set([
  ...[
    'enable',
    'disable',
    'set_weight',
    'set_cpumask',
    'stopping',
    'quiescent',
    'runnable',
    'enqueue',
    'dequeue',
    'yield',
  ],
  ...['tp_waking', 'cgroup_init', 'cgroup_exit', 'cgroup_set_weight', 'cgroup_prep_move', 'cpu_online', 'cpu_offline'],
]);

/** Longer than what a CPU does at once. */
export const STANDSTILL_NS = 20_000;

/** A switch away to sleep. */
export function sleepsAway(e: RecordedEvent, name: string): boolean {
  return e[EVENT] === 'tp_switch' && e[TASK] === name && e[A] === 0 && e[B] !== 0;
}

export function isHotplug(e: RecordedEvent): boolean {
  return e[EVENT] === 'cpu_offline' || e[EVENT] === 'cpu_online';
}

/** What a task that goes to sleep is noted with first. */
export function isFarewell(e: RecordedEvent, name: string): boolean {
  return e[EVENT] === 'stopping' && e[TASK] === name && e[A] === 0;
}

/** What is left of its task's slice, where an event tells; ops.yield sees what was left before the time until then is taken off. */
export function sliceIn(e: RecordedEvent): number | undefined {
  switch (e[EVENT]) {
    case 'running':
    case 'tick':
      return Number(e[A]);
    case 'stopping':
      return Number(e[B]);
    case 'dispatch':
      return e[TASK] === '-' ? undefined : Number(e[B]);
    default:
      return undefined;
  }
}

/** DEQUEUE_SLEEP */
export function isSleep(e: RecordedEvent): boolean {
  return (BigInt(e[A]) & 1n) !== 0n;
}
