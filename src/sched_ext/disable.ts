import { QUEUE } from './core.js';
import { exitInfoObject } from './objects.js';
import { OP } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS, type ScxTask } from './task.js';

/** How a scheduler goes, and bypass, which keeps tasks running without it. */
export class Disable {
  /** scx_bypass() calls that have not been undone. */
  bypassDepth = 0;
  /** Schedulers whose exit was claimed, and on which CPU: the dump is due, then the disable work. */
  readonly #dumpDue = new Map<ScxSched, number>();
  /** CPUs whose interrupt is on its way. It serves whatever is due there by then, and so keeps no scheduler. */
  readonly #raised = new Set<number>();
  readonly #workDue = new Set<ScxSched>();
  /** How far the work has come that has begun. */
  readonly #stages = new Map<ScxSched, 'bypassed' | 'disabling' | 'without cgroups'>();

  constructor(private readonly scx: SchedExt) {}

  /** The exit of a scheduler was claimed: an interrupt dumps its state and wakes the helper that disables it. */
  claimed(sched: ScxSched): void {
    const { currentCpu } = this.scx.kernel;
    this.#dumpDue.set(sched, currentCpu);
    if (this.#raised.has(currentCpu)) return;
    this.#raised.add(currentCpu);
    this.scx.core.irqWork(currentCpu, () => this.#served(currentCpu));
  }

  /** sysrq-S (sysrq_handle_sched_ext_reset): tells of it, and claims the scheduler's exit for no CPU. */
  sysrq(): void {
    const { root, consts, kernel, lastExit } = this.scx;
    kernel.printk('sysrq: Disable sched_ext and revert all tasks to CFS');
    if (root) root.claimExit(consts.exit.sysrq, 0n, '');
    else if (!consts.globalDsqHash) kernel.printk('sched_ext: BPF schedulers not loaded');
    else if (!lastExit) kernel.printk('sched_ext: BPF scheduler not yet used');
  }

  /** irq_work_run: one interrupt does all the work that was queued on its CPU. */
  #served(cpu: number): void {
    this.#raised.delete(cpu);
    for (const [sched, claimedOn] of [...this.#dumpDue]) if (claimedOn === cpu) this.#interrupt(sched);
  }

  /** scx_disable_irq_workfn */
  #interrupt(sched: ScxSched): void {
    if (!this.#dump(sched)) return;
    this.#workDue.add(sched);
    this.scx.core.kthreadWork(() => this.#work(sched));
  }

  /** False if the scheduler's exit was not claimed, or the interrupt has been. */
  #dump(sched: ScxSched): boolean {
    if (!this.#dumpDue.delete(sched)) return false;
    this.scx.exitReserve.release();
    const { exit } = sched;
    if (exit && exit.kind >= this.scx.consts.exit.error) exit.dump = this.scx.dump.dump(sched, exit, sched.exitDumpLen);
    return true;
  }

  #work(sched: ScxSched): void {
    if (!this.#workDue.delete(sched)) return;
    const { core } = this.scx;
    this.#begin(sched);
    this.#disabling(sched);
    core.readCpus(() => {
      this.#unswitch(sched);
      core.afterGracePeriod(() => {
        this.#exitCgroups(sched);
        core.afterGracePeriod(() => this.#finish(sched));
      });
    });
  }

  /** scx_flush_disable_work: waits for what a claim has set going, here by doing it: nothing is left for the helper. */
  flush(sched: ScxSched): void {
    if (this.#dump(sched) || this.#workDue.delete(sched)) this.#begin(sched);
    this.#disabling(sched);
    this.#unswitch(sched);
    this.#exitCgroups(sched);
    this.#finish(sched);
  }

  // ---- Bypass

  /**
   * scx_bypass: from the first call on, until the last is undone, tasks run without the BPF scheduler, first come first
   * served. Those that wait are queued anew.
   */
  bypass(bypass: boolean): void {
    const { root, consts, core } = this.scx;
    this.bypassDepth += bypass ? 1 : -1;
    if (this.bypassDepth !== (bypass ? 1 : 0)) return;
    if (root) this.#accountBypass(root, bypass);
    for (const rq of this.scx.rqs) {
      const was = rq.bypassing;
      rq.bypassing = bypass;
      if (consts.rq.bypassing !== 0)
        rq.flags = bypass ? rq.flags | consts.rq.bypassing : rq.flags & ~consts.rq.bypassing;
      if (was && !bypass) rq.flags |= consts.rq.rootIdleRenotify;
      if (!this.scx.enabled) continue;
      for (const task of rq.runnable.reverse()) this.scx.enqueue.change(task, QUEUE.save | QUEUE.move, () => undefined);
      if (core.online(rq.cpu)) core.resched(rq.cpu);
    }
  }

  #accountBypass(root: ScxSched, bypass: boolean): void {
    const { consts, core } = this.scx;
    root.sliceDefault = bypass ? consts.sliceBypass : consts.sliceDefault;
    if (bypass) {
      root.bypassedSince = core.now;
      root.events.add('BYPASS_ACTIVATE');
    } else {
      root.events.add('BYPASS_DURATION', core.now - root.bypassedSince);
    }
  }

  // ---- The disable work (scx_disable_workfn, scx_root_disable; on 6.12 scx_ops_disable_workfn)

  /** All CPUs are bypassed. */
  #begin(sched: ScxSched): void {
    if (!sched.exit || sched.exitDone) return;
    sched.exitDone = true;
    this.#stages.set(sched, 'bypassed');
    this.bypass(true);
  }

  /** From here on no task comes to the scheduler any more (SCX_DISABLING). */
  #disabling(sched: ScxSched): void {
    if (this.#stages.get(sched) !== 'bypassed') return;
    this.#stages.set(sched, 'disabling');
    this.scx.state = 'disabling';
  }

  /** static_branch_disable(&__scx_switched_all), which waits for CPUs that come or go. */
  #unswitch(sched: ScxSched): void {
    if (this.#stages.get(sched) !== 'disabling') return;
    this.scx.switchedAll = false;
    this.scx.switchingAll = false;
  }

  /** Then no cgroup is told of any more. */
  #exitCgroups(sched: ScxSched): void {
    if (this.#stages.get(sched) !== 'disabling') return;
    this.#stages.set(sched, 'without cgroups');
    this.scx.cgroups.exit(sched);
  }

  /** When forks are locked out, tasks leave, and the scheduler goes. */
  #finish(sched: ScxSched): void {
    const { exit } = sched;
    if (!exit || this.#stages.get(sched) !== 'without cgroups') return;
    this.#stages.delete(sched);
    const { kernel, calls, idle, watchdog } = this.scx;
    this.scx.initTaskEnabled = false;
    for (const task of this.scx.tasks) this.#takeOut(sched, task);
    sched.dumpDisabled = true;
    this.scx.enabled = false;
    // What is live is cleared after the tasks have gone: ops.exit is looked up in the vtable.
    sched.live.fill(undefined);
    idle.disable();
    this.#log(sched);
    if (sched.ops.exit) {
      sched.setLive('exit', calls);
      const info = exitInfoObject(kernel, sched, exit);
      calls.call(sched, OP.exit, null, null, null, info.ptr);
      info.free();
      sched.live[OP.exit] = undefined;
    }
    sched.dead = true;
    watchdog.stop();
    this.#discardRequests();
    for (const dsq of sched.dsqs.values()) sched.dsqs.remove(dsq);
    this.scx.cids = null;
    this.scx.cidMasks.release();
    this.scx.state = 'disabled';
    this.bypass(false);
    this.scx.root = null;
    this.scx.lastExit = { sched, exit, fault: sched.fault };
    this.scx.onExit?.(sched);
  }

  /** A task goes back to its own class, and out of the scheduler's knowledge. */
  #takeOut(sched: ScxSched, task: ScxTask): void {
    const { states, enqueue } = this.scx;
    const cls = task.cls === CLASS.stop ? CLASS.stop : states.classFor(task);
    const flags = QUEUE.save | QUEUE.move | enqueue.classFlag(cls !== task.cls);
    enqueue.change(task, flags, () => cls);
    if (task.sched === sched) states.exitTask(sched, task);
  }

  /** scx_log_sched_disable */
  #log({ name, exit }: ScxSched): void {
    if (!exit) return;
    const { kernel, consts } = this.scx;
    kernel.printk(`sched_ext: BPF scheduler "${name}" disabled (${exit.reason})`);
    if (exit.kind >= consts.exit.error && exit.message !== '') kernel.printk(`sched_ext: ${name}: ${exit.message}`);
  }

  #discardRequests(): void {
    const clear = (rq: ScxRq) => {
      rq.deferredReenq = 0;
      rq.deferredReenqUsers.clear();
      rq.cpuReleased = false;
      for (const set of [rq.toKick, rq.toKickIfIdle, rq.toPreempt, rq.toWait]) set.clear();
    };
    for (const rq of this.scx.rqs) clear(rq);
  }
}
