/** What things cost on the simulated machine, in ns. All of them are CPU time of whoever does them, but for `ipi`. */
export interface Costs {
  /** From the entry of a system call to its effect, and from there back to the program. */
  syscall: number;
  syscallReturn: number;
  /** fork(2) up to the point where the child exists, and from there to its wake-up. */
  fork: number;
  forkWake: number;
  /** What a new task does before its first step. */
  start: number;
  exec: number;
  /** A move to another cgroup, from the scheduler's consent to the move itself. */
  cgroupMove: number;
  /** exit(2): to PF_EXITING, to the end of its memory and files, to the parent's notice, to the last switch. */
  exit: number;
  exitRelease: number;
  exitNotify: number;
  exitDead: number;
  /** Caught when a task is put on a CPU; when it comes from another one, both. */
  contextSwitch: number;
  migration: number;
  /** What a kernel thread's piece of work takes. */
  kthread: number;
  /** Until another CPU has noticed an inter-processor interrupt. */
  ipi: number;
  /** Between the end of a task and the end of its task_struct: a grace period. */
  gracePeriod: number;
}

/** Of the order of a recent x86 server; order of events does not hang on them, except where tasks race. */
export const DEFAULT_COSTS: Costs = {
  syscall: 300,
  syscallReturn: 200,
  fork: 40_000,
  forkWake: 3_000,
  start: 20_000,
  exec: 300_000,
  cgroupMove: 10_000,
  exit: 1_000,
  exitRelease: 40_000,
  exitNotify: 2_000,
  exitDead: 2_000,
  contextSwitch: 1_200,
  migration: 2_000,
  kthread: 2_000,
  ipi: 1_500,
  gracePeriod: 8_000_000,
};
