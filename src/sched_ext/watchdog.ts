import type { ClockEvent } from '../kernel/clock.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';

const MS = 1_000_000;

/** Finds tasks that wait and never run (scx_watchdog_workfn): every half of the scheduler's timeout. */
export class Watchdog {
  #event: ClockEvent | null = null;
  /** Jiffies of the last look. */
  #lastLook = 0;

  constructor(private readonly scx: SchedExt) {}

  start(sched: ScxSched): void {
    this.stop();
    this.#lastLook = this.scx.jiffies;
    this.#schedule(sched);
  }

  #schedule(sched: ScxSched): void {
    this.#lookIn(sched, Math.max(Math.floor(this.#timeout(sched) / 2), 1));
  }

  #lookIn(sched: ScxSched, jiffies: number): void {
    const { kernel, consts } = this.scx;
    this.#event = kernel.clock.schedule(kernel.clock.now + jiffies * consts.jiffyNs, () => this.#look(sched));
  }

  stop(): void {
    this.#event?.cancel();
    this.#event = null;
  }

  /** In jiffies, rounded up (msecs_to_jiffies). */
  #timeout(sched: ScxSched): number {
    return Math.ceil((sched.timeoutMs * MS) / this.scx.consts.jiffyNs);
  }

  #look(sched: ScxSched): void {
    if (!this.scx.core.runsTasks()) {
      // Nor does the worker that would look here: the tick notices that nobody does.
      this.#lookIn(sched, 1);
      return;
    }
    this.#lastLook = this.scx.jiffies;
    for (const rq of this.scx.rqs) {
      if (this.scx.core.online(rq.cpu) && this.#findStall(sched, rq)) break;
    }
    this.#schedule(sched);
  }

  /** check_rq_for_timeouts */
  #findStall(sched: ScxSched, rq: ScxRq): boolean {
    const { jiffies, consts } = this.scx;
    const timeout = this.#timeout(sched);
    for (const task of rq.runnable) {
      if (jiffies <= task.runnableAt + timeout) continue;
      const message = `${task.label} failed to run for ${this.#duration(jiffies - task.runnableAt)}`;
      sched.claimExit(consts.exit.errorStall, 0n, message, rq.cpu);
      return true;
    }
    return false;
  }

  #duration(jiffies: number): string {
    const ms = Math.floor((jiffies * this.scx.consts.jiffyNs) / MS);
    return `${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, '0')}s`;
  }

  /** scx_tick: every tick of every CPU sees that the watchdog itself is alive. */
  tick(): void {
    const { root, jiffies, consts, kernel } = this.scx;
    if (!this.scx.enabled || !root || jiffies <= this.#lastLook + this.#timeout(root)) return;
    const message = `watchdog failed to check in for ${this.#duration(jiffies - this.#lastLook)}`;
    root.claimExit(consts.exit.errorStall, 0n, message, kernel.currentCpu);
  }
}
