import type { ScxTask } from './task.js';
import type { Topology } from './topology.js';

/**
 * What sched_ext asks of the scheduler core below it and of the machine (kernel: kernel/sched/core.c, the other scheduling
 * classes, timekeeping). The machine in turn calls the class methods of SchedExt, in the kernel's order.
 */
export interface SchedCore {
  readonly topology: Topology;

  /** cpu_online() and cpu_active(): an active CPU is online, and not about to go. */
  online(cpu: number): boolean;
  active(cpu: number): boolean;

  /** Does some CPU get further with tasks, instead of going through one scheduling cycle after the other? */
  runsTasks(): boolean;

  /** resched_curr(): the CPU goes through __schedule() as soon as it can; not inside of the call. */
  resched(cpu: number): void;

  /** set_tsk_need_resched() of the task that a switch in progress on this CPU has settled on. */
  reschedNext(cpu: number): void;

  /**
   * irq_work_queue_on(): runs `work` on that CPU in interrupt context, as soon as its interrupts are on: after whatever runs
   * there now. Not inside of the call.
   */
  irqWork(cpu: number, work: () => void): void;

  /** kthread_queue_work(): runs `work` in the scheduler's helper, a kernel thread of class RT. Not inside of the call. */
  kthreadWork(work: () => void): void;

  /** The helper sleeps for a grace period (synchronize_rcu() and locks that take one), then it runs `work`. */
  afterGracePeriod(work: () => void): void;
  /** Runs `work` in that thread as soon as no CPU is on its way down or up: at once where none is (cpus_read_lock). */
  readCpus(work: () => void): void;

  /** update_curr_common(): accounts the time that the CPU's current task has run since the last call; that many ns. */
  updateCurr(cpu: number): number;

  /** ns since boot, as ktime_get_ns() on this CPU. */
  readonly now: number;

  /** scx_bpf_now(): the run queue's clock while it is valid, else a fresh one. Absent: always that of ktime_get_ns(). */
  clock?(cpu: number): number;

  /** cpufreq_update_util(): the target of scx_bpf_cpuperf_set changed. */
  cpuperfChanged(cpu: number): void;
  /** arch_scale_cpu_capacity() and arch_scale_freq_capacity(), of 1024. */
  capacity(cpu: number): number;
  frequency(cpu: number): number;

  /**
   * The calling CPU spins until `cpu` went through a scheduling cycle (SCX_KICK_WAIT): it is busy, with interrupts on, and
   * does not switch. The machine asks `done` after each cycle of that CPU.
   */
  waitFor(caller: number, cpu: number, done: () => boolean): void;

  // Tasks of other classes, whose class changes or that run where sched_ext changes something: the methods of their class.
  enqueueOther(task: ScxTask, flags: number): void;
  dequeueOther(task: ScxTask, flags: number): void;
  putPrevOther(task: ScxTask): void;
  setNextOther(task: ScxTask): void;

  /** set_task_cpu(): the task moves, inside of sched_ext, to another CPU. */
  migrated(task: ScxTask, from: number, to: number): void;
}

/** DEQUEUE_* and ENQUEUE_*, the bits that all kernels agree on (kernel/sched/sched.h). */
export const QUEUE = {
  sleep: 0x1,
  wakeup: 0x1,
  save: 0x2,
  restore: 0x2,
  move: 0x4,
  noclock: 0x8,
  class: 0x40,
} as const;
