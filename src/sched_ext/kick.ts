import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS, classAbove } from './task.js';

/** scx_bpf_kick_cpu and what comes of it, in an interrupt of the CPU that the program ran on. */
export class Kicks {
  constructor(private readonly scx: SchedExt) {}

  /** scx_kick_cpu; `locked`: by a caller outside of any op that holds the lock of that CPU's run queue. */
  kick(sched: ScxSched, cpu: number, flags: number, locked = false): void {
    const { consts, kernel, core } = this.scx;
    const here = this.scx.rq(kernel.currentCpu);
    if (here.bypassing) return;
    const { idle, preempt, wait } = consts.kick;
    if ((flags & idle) !== 0) {
      if ((flags & (preempt | wait)) !== 0) sched.error('PREEMPT/WAIT cannot be used with SCX_KICK_IDLE');
      // Only a glance: where the lock is held, the interrupt looks (raw_spin_rq_trylock).
      const target = this.scx.rq(cpu);
      const held = locked || this.scx.calls.lockedRq === target;
      if (!held && this.#goesThroughACycle(target)) return;
      here.toKickIfIdle.add(cpu);
    } else {
      here.toKick.add(cpu);
      if ((flags & preempt) !== 0) here.toPreempt.add(cpu);
      if ((flags & wait) !== 0) here.toWait.add(cpu);
    }
    if (here.kickQueued) return;
    here.kickQueued = true;
    core.irqWork(here.cpu, () => this.#deliver(here));
  }

  /** can_skip_idle_kick(): the CPU is busy, and not about to find nothing. */
  #goesThroughACycle(rq: ScxRq): boolean {
    return rq.curr.cls !== CLASS.idle && !rq.hasFlags(this.scx.consts.rq.inDispatch);
  }

  /** kick_cpus_irq_workfn */
  #deliver(here: ScxRq): void {
    here.kickQueued = false;
    for (const cpu of ascending(here.toKick)) {
      here.toKickIfIdle.delete(cpu);
      this.#kickOne(here, cpu);
    }
    for (const cpu of ascending(here.toKickIfIdle)) {
      const rq = this.scx.rq(cpu);
      if (!this.#goesThroughACycle(rq) && this.#reachable(here, cpu)) this.scx.core.resched(cpu);
    }
    here.toKick.clear();
    here.toKickIfIdle.clear();
    if (here.toSync.size === 0) return;
    for (const [cpu, seen] of here.toSync) {
      if (cpu !== here.cpu) this.scx.core.waitFor(here.cpu, cpu, () => this.scx.rq(cpu).kickSync !== seen);
    }
    here.toSync.clear();
  }

  /** While it goes down a CPU may depend on kicking itself. */
  #reachable(here: ScxRq, cpu: number): boolean {
    return this.scx.core.online(cpu) || cpu === here.cpu;
  }

  /** kick_one_cpu: a CPU that runs a higher class is out of this one's control. */
  #kickOne(here: ScxRq, cpu: number): void {
    const rq = this.scx.rq(cpu);
    const { curr } = rq;
    const preempt = here.toPreempt.delete(cpu);
    const wait = here.toWait.delete(cpu);
    if (!this.#reachable(here, cpu) || classAbove(curr.cls, CLASS.ext)) return;
    if (preempt && curr.cls === CLASS.ext) {
      curr.slice = 0;
      curr.sliceRequest = -1;
    }
    if (wait && curr.cls === CLASS.ext) here.toSync.set(cpu, rq.kickSync);
    this.scx.core.resched(cpu);
  }
}

/** for_each_cpu */
function ascending(cpus: ReadonlySet<number>): number[] {
  return [...cpus].sort((a, b) => a - b);
}
