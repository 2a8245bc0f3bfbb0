import type { KernelCgroup } from '../kernel/model/cgroup.js';
import { CLASS } from '../sched_ext/task.js';
import type { SimMachine } from './machine.js';
import type { SimTask } from './sim_task.js';

const NS_PER_US = 1000;

/** cpu.max of one cgroup (kernel: struct cfs_bandwidth). */
interface Pool {
  readonly cgroup: KernelCgroup;
  /** Left of this period; what was used beyond it is taken off the next one. */
  runtimeNs: number;
  throttled: boolean;
  /** The period timer runs. */
  running: boolean;
  /** Somebody ran in this period. */
  used: boolean;
}

/**
 * cpu.max for tasks of the fair class (kernel/sched/fair.c; sched_ext hears of it, and sees to it itself): those of a cgroup whose
 * quota is used up wait until its next period. What is left is one sum, where the kernel hands it to CPUs in slices of 5 ms; as
 * there, run time is looked at in ticks and switches. Periods end when nobody has run in one, and begin again with who runs next: in
 * the kernel when a CPU has used up the millisecond that it kept (min_cfs_rq_runtime).
 */
export class FairBandwidth {
  readonly #pools = new Map<KernelCgroup, Pool>();
  #throttled = 0;

  constructor(private readonly machine: SimMachine) {}

  /** tg_set_cfs_bandwidth(): nobody is throttled any more, and a period begins, whether somebody runs or not. */
  set(cgroup: KernelCgroup): void {
    const found = this.#pools.get(cgroup);
    const { quotaUs } = cgroup.cpuMax;
    if (quotaUs === Number.POSITIVE_INFINITY) {
      if (found) this.#unthrottle(found);
      return;
    }
    const pool = found ?? this.#pool(cgroup);
    if (found) {
      found.runtimeNs = Math.max(0, found.runtimeNs);
      this.#fill(found);
      this.#unthrottle(found);
    } else pool.used = true;
    if (!pool.running) this.#start(pool);
  }

  /** account_cfs_rq_runtime(), of every cgroup that the task is in. */
  charge(task: SimTask, ns: number): void {
    for (let at: KernelCgroup | null = task.kt.cgroup.cpuCgroup; at?.parent; at = at.parent) {
      const { quotaUs } = at.cpuMax;
      if (quotaUs === Number.POSITIVE_INFINITY) continue;
      const pool = this.#pool(at);
      pool.used = true;
      pool.runtimeNs -= ns;
      if (!pool.running) this.#start(pool);
      if (pool.runtimeNs <= 0 && !pool.throttled) {
        pool.throttled = true;
        this.#throttled++;
        this.#changed();
      }
    }
  }

  /** throttled_hierarchy() */
  throttled(task: SimTask): boolean {
    if (this.#throttled === 0 || task.scx.cls !== CLASS.fair) return false;
    for (let at: KernelCgroup | null = task.kt.cgroup.cpuCgroup; at?.parent; at = at.parent) {
      if (this.#pools.get(at)?.throttled) return true;
    }
    return false;
  }

  /** Waiting tasks of the fair class may be throttled from now on, or no more. */
  #changed(): void {
    const { machine } = this;
    if (!machine.onChanged) return;
    for (const cpu of machine.cpus) for (const task of cpu.fairQueue) machine.onChanged(task);
  }

  #pool(cgroup: KernelCgroup): Pool {
    const found = this.#pools.get(cgroup);
    if (found) return found;
    const runtimeNs = cgroup.cpuMax.quotaUs * NS_PER_US;
    const pool: Pool = { cgroup, runtimeNs, throttled: false, running: false, used: false };
    this.#pools.set(cgroup, pool);
    return pool;
  }

  #start(pool: Pool): void {
    const { machine } = this;
    pool.running = true;
    machine.at(machine.now + pool.cgroup.cpuMax.periodUs * NS_PER_US, () => this.#refill(pool));
  }

  /** do_sched_cfs_period_timer(): a period in which nobody ran ends the timer. */
  #refill(pool: Pool): void {
    pool.running = false;
    if (pool.cgroup.cpuMax.quotaUs === Number.POSITIVE_INFINITY) {
      this.#pools.delete(pool.cgroup);
      return;
    }
    this.#fill(pool);
    const goesOn = pool.used || pool.throttled;
    pool.used = false;
    if (pool.runtimeNs > 0) this.#unthrottle(pool);
    if (goesOn) this.#start(pool);
  }

  /** __refill_cfs_bandwidth_runtime() */
  #fill(pool: Pool): void {
    const { quotaUs, burstUs } = pool.cgroup.cpuMax;
    pool.runtimeNs = Math.min((quotaUs + burstUs) * NS_PER_US, pool.runtimeNs + quotaUs * NS_PER_US);
  }

  /** unthrottle_cfs_rq(): CPUs on which its tasks wait choose anew. */
  #unthrottle(pool: Pool): void {
    if (!pool.throttled) return;
    pool.throttled = false;
    this.#throttled--;
    this.#changed();
    for (const cpu of this.machine.cpus) if (cpu.fairQueue.length > 0) this.machine.resched(cpu.id);
  }
}
