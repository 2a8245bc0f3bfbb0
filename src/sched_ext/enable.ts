import { ERRNO, ErrnoError } from '../errno.js';
import { CidTables } from './cid.js';
import { QUEUE } from './core.js';
import { OP, type OpName } from './op_names.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS } from './task.js';
import { errnoOf } from './task_states.js';

const HOTPLUG_OPS: readonly OpName[] = ['cpu_online', 'cpu_offline'];
/** Called by their pointer in the vtable, whatever has become live; see Disable for ops.exit. */
const ALWAYS_OPS: readonly OpName[] = ['init', 'init_cids'];

/** How a scheduler comes (scx_root_enable_workfn; on 6.12 scx_ops_enable_workfn). */
export class Enable {
  constructor(private readonly scx: SchedExt) {}

  /**
   * 0 once the scheduler counts as being enabled: a failure becomes its exit, and ops.exit says why.
   */
  run(sched: ScxSched): number {
    const { disabling, consts, exitReserve } = this.scx;
    try {
      exitReserve.hold(sched.exitDumpLen);
    } catch (error) {
      if (!(error instanceof ErrnoError)) throw error;
      return -error.errno;
    }
    this.scx.root = sched;
    this.scx.state = 'enabling';
    this.scx.nrRejected = 0;
    sched.onClaim = () => disabling.claimed(sched);
    for (const rq of this.scx.rqs) {
      rq.cpuperfTarget = consts.cpuperfOne;
      this.scx.core.cpuperfChanged(rq.cpu);
      rq.local.sched = sched;
    }
    const err = this.#enable(sched);
    if (err !== 0) {
      const name = consts.globalDsqHash ? 'scx_ops_enable' : consts.subScheds ? 'scx_root_enable' : 'scx_enable';
      sched.error(`${name}() failed (${err})`);
      disabling.flush(sched);
    }
    return 0;
  }

  #enable(sched: ScxSched): number {
    const { consts, disabling, watchdog } = this.scx;
    if (consts.subScheds) watchdog.start(sched);
    this.scx.idle.enable(sched);
    this.#makeLive(sched, (op) => ALWAYS_OPS.includes(op));
    const err = this.#initialize(sched);
    if (err !== 0) return err;
    if (!consts.subScheds) watchdog.start(sched);
    disabling.bypass(true);
    this.#makeLive(sched, (op) => op !== 'exit' && !HOTPLUG_OPS.includes(op));
    sched.cpuPreempt = sched.ops.cpu_acquire !== undefined || sched.ops.cpu_release !== undefined;
    this.scx.initTaskEnabled = true;
    const refused = this.#initTasks(sched);
    if (refused !== 0) {
      // The disable work takes it up again.
      disabling.bypass(false);
      return refused;
    }
    this.#switchTasks(sched);
    disabling.bypass(false);
    if (sched.exit) return -ERRNO.EBUSY;
    this.scx.state = 'enabled';
    this.scx.switchedAll = this.scx.switchingAll;
    this.scx.kernel.printk(
      `sched_ext: BPF scheduler "${sched.name}" enabled${this.scx.switchedAll ? '' : ' (partial)'}`,
    );
    this.scx.enableSeq++;
    return 0;
  }

  #makeLive(sched: ScxSched, which: (op: OpName) => boolean): void {
    for (const op of Object.keys(sched.ops) as OpName[]) if (which(op)) sched.setLive(op, this.scx.calls);
  }

  /** CPU ids, ops.init, and what can be seen to be wrong; CPUs neither come nor go meanwhile. */
  #initialize(sched: ScxSched): number {
    const { consts, core, calls, cidMasks } = this.scx;
    if (consts.subScheds) {
      const shardSize = Number(sched.kdata.get('cid_shard_size'));
      const tables = new CidTables(core.topology, (cpu) => core.online(cpu), shardSize);
      sched.cids = tables;
      if (sched.form === 'cid' && sched.has(OP.init_cids)) {
        const err = errnoOf(sched, 'init_cids', calls.call(sched, OP.init_cids, null, null, null));
        if (err !== 0) return this.#fail(sched, `ops.init_cids() failed (${err})`, err);
      }
      this.scx.cids = tables;
      try {
        cidMasks.allocate(sched);
      } catch (error) {
        if (!(error instanceof ErrnoError)) throw error;
        return -error.errno;
      }
    }
    if (sched.has(OP.init)) {
      const err = errnoOf(sched, 'init', calls.call(sched, OP.init, null, null, null));
      if (err !== 0) return this.#fail(sched, `ops.init() failed (${err})`, err);
      if (sched.fault !== undefined) return -ERRNO.EFAULT;
      sched.initialized = true;
    }
    this.#makeLive(sched, (op) => HOTPLUG_OPS.includes(op));
    if (!this.#hotplugSeqMatches(sched) && consts.subScheds) return -ERRNO.EBUSY;
    const invalid = this.#invalidOps(sched);
    return invalid === null ? 0 : this.#fail(sched, invalid, -ERRNO.EINVAL);
  }

  #fail(sched: ScxSched, message: string, err: number): number {
    sched.error(message);
    return err;
  }

  /** check_hotplug_seq: CPUs came or went since the scheduler looked at them. */
  #hotplugSeqMatches(sched: ScxSched): boolean {
    const expected = BigInt(sched.kdata.get('hotplug_seq'));
    if (expected === 0n || expected === this.scx.hotplugSeq) return true;
    const { exit, codeRestartHotplug } = this.scx.consts;
    const message = `expected hotplug seq ${expected} did not match actual ${this.scx.hotplugSeq}`;
    sched.claimExit(exit.unregKern, codeRestartHotplug, message, this.scx.kernel.currentCpu);
    return false;
  }

  /** scx_validate_ops, on 6.12 validate_ops: what is wrong with the ops and flags together, or null. */
  #invalidOps(sched: ScxSched): string | null {
    const { consts, kernel } = this.scx;
    const { enqLast, builtinIdlePerNode, keepBuiltinIdle } = consts.ops;
    if (sched.wants(enqLast) && !sched.ops.enqueue) {
      return 'SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented';
    }
    const perNode = builtinIdlePerNode !== 0 && sched.wants(builtinIdlePerNode);
    if (perNode && sched.ops.update_idle && !sched.wants(keepBuiltinIdle)) {
      return 'SCX_OPS_BUILTIN_IDLE_PER_NODE requires CPU idle selection enabled';
    }
    if (!consts.subScheds || sched.form === 'cid') return null;
    if (sched.ops.cpu_acquire || sched.ops.cpu_release) {
      kernel.printk('ops->cpu_acquire/release() are deprecated, use sched_switch TP instead');
    }
    if (!sched.ops.sub_attach && !sched.ops.sub_detach) return null;
    return 'sub_attach/sub_detach requires cid-form struct_ops';
  }

  /** ops.cgroup_init and ops.init_task; forks and cgroup changes are locked out. */
  #initTasks(sched: ScxSched): number {
    const { consts, states, cgroups } = this.scx;
    const err = cgroups.init(sched);
    if (err !== 0) return err;
    for (const task of this.scx.tasks) {
      if (consts.task.initBegin !== 0) states.setState(task, consts.task.initBegin);
      const refused = states.initTask(sched, task, false);
      if (refused !== 0) {
        states.setState(task, consts.task.none);
        sched.error(`ops.init_task() failed (${refused}) for ${task.label}`);
        return refused;
      }
      states.setState(task, consts.task.init);
      task.sched = sched;
      states.setState(task, consts.task.ready);
    }
    return 0;
  }

  /** From here on enabling cannot fail: every task gets the class that its policy has now. */
  #switchTasks(sched: ScxSched): void {
    const { consts, states, enqueue } = this.scx;
    this.scx.switchingAll = !sched.wants(consts.ops.switchPartial);
    this.scx.enabled = true;
    for (const task of this.scx.tasks) {
      if (states.stateOf(task) !== consts.task.ready) continue;
      const cls = task.cls === CLASS.stop ? CLASS.stop : states.classFor(task);
      const flags = QUEUE.save | QUEUE.move | enqueue.classFlag(cls !== task.cls);
      enqueue.change(task, flags, () => {
        task.slice = sched.sliceDefault;
        return cls;
      });
    }
  }
}
