import { QUEUE } from './core.js';
import { OP } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { SchedExt } from './sched_ext.js';

/** CPUs that come and go (handle_hotplug, rq_online_scx, rq_offline_scx), and the machine's sleep. */
export class Hotplug {
  constructor(private readonly scx: SchedExt) {}

  /** scx_rq_activate: the CPU is active; rqOnline follows. */
  activate(rq: ScxRq): void {
    this.#handle(rq, true);
  }

  /** scx_rq_deactivate: the CPU is about to go. */
  deactivate(rq: ScxRq): void {
    this.#handle(rq, false);
  }

  #handle(rq: ScxRq, online: boolean): void {
    const { consts, root, idle, core, cidMasks } = this.scx;
    this.scx.hotplugSeq++;
    if (!root) return;
    if (this.scx.enabled) idle.updateTopology(root);
    cidMasks.refreshOnline((cpu) => (cpu === rq.cpu ? online : core.active(cpu)));
    const op = online ? OP.cpu_online : OP.cpu_offline;
    if (root.has(op)) {
      this.scx.calls.call(root, op, null, null, null, this.scx.cpuArg(rq.cpu));
      return;
    }
    const message = `cpu ${rq.cpu} going ${online ? 'online' : 'offline'}, exiting scheduler`;
    root.claimExit(consts.exit.unregKern, consts.codeRestartHotplug, message, this.scx.kernel.currentCpu);
  }

  /** rq_online_scx */
  rqOnline(rq: ScxRq): void {
    rq.flags |= this.scx.consts.rq.online;
  }

  /**
   * rq_offline_scx: what waits here elsewhere than on the local queue comes to it, so that the CPU can get rid of it.
   */
  rqOffline(rq: ScxRq): void {
    rq.flags &= ~this.scx.consts.rq.online;
    if (this.scx.core.active(rq.cpu)) return;
    for (const task of rq.runnable.reverse()) {
      if (task.dsq === rq.local) continue;
      this.scx.enqueue.change(task, QUEUE.save | QUEUE.move, () => undefined);
    }
  }

  /** scx_pm_handler: while the machine is being suspended the scheduler is bypassed. */
  suspend(): void {
    this.scx.disabling.bypass(true);
  }

  resume(): void {
    this.scx.disabling.bypass(false);
  }
}
