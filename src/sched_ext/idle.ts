import type { ScxTask } from './task.js';

/**
 * The built-in tracking of idle CPUs (kernel: ext_idle.c; on 6.12 part of ext.c) of a machine with one node and one last-level
 * cache and without SMT: each CPU is a core of its own, so the core mask equals the CPU mask.
 */
export class IdleCpus {
  readonly #idle: boolean[];
  /** Where each CPU's last search ended (distribute_cpu_mask_prev, lib/cpumask.c). */
  readonly #lastPick: number[];
  enabled = true;

  constructor(readonly cpus: number) {
    this.#idle = new Array<boolean>(cpus).fill(false);
    this.#lastPick = new Array<number>(cpus).fill(0);
  }

  reset(idle: (cpu: number) => boolean): void {
    for (let cpu = 0; cpu < this.cpus; cpu++) this.#idle[cpu] = idle(cpu);
  }

  set(cpu: number, idle: boolean): void {
    this.#idle[cpu] = idle;
  }

  isIdle(cpu: number): boolean {
    return this.#idle[cpu] === true;
  }

  /** Claims a CPU: of those who ask, one gets it. */
  testAndClear(cpu: number): boolean {
    const was = this.isIdle(cpu);
    this.#idle[cpu] = false;
    return was;
  }

  /** Claims one of the allowed idle CPUs; -1 if there is none. */
  pick(allowed: (cpu: number) => boolean, callerCpu: number): number {
    const cpu = this.distribute((candidate) => this.isIdle(candidate) && allowed(candidate), callerCpu);
    if (cpu >= 0) this.#idle[cpu] = false;
    return cpu;
  }

  /** One of the wanted CPUs, each caller CPU going round (cpumask_any_and_distribute); -1 if there is none. */
  distribute(wanted: (cpu: number) => boolean, callerCpu: number): number {
    const from = this.#lastPick[callerCpu] ?? 0;
    for (let step = 1; step <= this.cpus; step++) {
      const cpu = (from + step) % this.cpus;
      if (!wanted(cpu)) continue;
      this.#lastPick[callerCpu] = cpu;
      return cpu;
    }
    return -1;
  }

  /** Default CPU selection (scx_select_cpu_dfl) for a wakeup that is not synchronous: the previous CPU, else any; or -1. */
  selectDefault(task: ScxTask, prevCpu: number, callerCpu: number): number {
    if (task.allows(prevCpu) && this.testAndClear(prevCpu)) return prevCpu;
    if (task.allowedCount === 1) return -1;
    return this.pick((cpu) => task.allows(cpu), callerCpu);
  }
}
