import { BTF_KIND, type BtfView } from '../btf/types.js';
import { UnsupportedError } from '../errors.js';
import type { Profile } from '../kernel/types.js';

/** A flag that this kernel lacks: no value has it. */
const ABSENT = 0;

/**
 * Numbers of sched_ext that differ between kernels, read from the enums of the profile's BTF, and the behaviours that follow
 * from the kernel's age. [12], [18] and [N] below are 6.12, 6.18 and 7.x of kernel/sched/ext.c.
 */
export class ScxConsts {
  readonly dsq: { invalid: bigint; global: bigint; local: bigint; bypass: bigint };
  readonly enq: {
    wakeup: number;
    head: number;
    cpuSelected: number;
    preempt: number;
    /** ABSENT before [N]. */
    immed: number;
    rescue: number;
    reenq: number;
    last: number;
    /** An internal one that ops.runnable sees of a running task that is changed; 0 before [N]. */
    ignoreCaps: bigint;
  };
  readonly deq: {
    sleep: number;
    coreSchedExec: number;
    /** Set on every dequeue that is neither sleep nor core scheduling; ABSENT before [N]. */
    schedChange: number;
  };
  readonly ops: {
    keepBuiltinIdle: number;
    enqLast: number;
    enqExiting: number;
    switchPartial: number;
    enqMigrationDisabled: number;
    allowQueuedWakeup: number;
    builtinIdlePerNode: number;
    alwaysEnqImmed: number;
    tidToTask: number;
    hasCgroupWeight: number;
    known: bigint;
  };
  readonly task: {
    queued: number;
    inCustody: number;
    resetRunnableAt: number;
    dequeuedForSleep: number;
    immed: number;
    stateMask: number;
    stateShift: number;
    none: number;
    initBegin: number;
    init: number;
    ready: number;
    enabled: number;
    dead: number;
    reenqMask: number;
    reenqKfunc: number;
    reenqImmed: number;
    reenqPreempted: number;
  };
  readonly rq: {
    online: number;
    canStopTick: number;
    balPending: number;
    balKeep: number;
    bypassing: number;
    balCbPending: number;
    rootIdleRenotify: number;
    inWakeup: number;
    /** SCX_RQ_IN_DISPATCH, SCX_RQ_IN_BALANCE before [N]. */
    inDispatch: number;
  };
  readonly exit: {
    none: number;
    done: number;
    unreg: number;
    unregBpf: number;
    unregKern: number;
    sysrq: number;
    error: number;
    errorBpf: number;
    errorStall: number;
    /** undefined before [N]. */
    errorReenq: number | undefined;
  };
  /** SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG. */
  readonly codeRestartHotplug: bigint;
  readonly kick = { idle: 1, preempt: 2, wait: 4 };
  readonly pickIdle = { core: 1, inNode: 2 };
  readonly wake: { exec: number; fork: number; ttwu: number; sync: number };
  readonly iterRev: number;
  readonly reenqAny: number;
  readonly sliceDefault: number;
  readonly sliceBypass: number;
  readonly flagInitialized: bigint;
  readonly maxBatch: number;
  readonly maxDispatchLoops: number;
  readonly maxReenqueues: number;
  readonly exitDumpLen: number;
  readonly cpuperfOne: number;
  readonly maxTimeoutMs = 30_000;
  /** ns a jiffy. */
  readonly jiffyNs: number;

  /** Which kfuncs an op may call is checked when they are called, by a mask [12, 18]; [N] leaves it to the verifier. */
  readonly kfMask: boolean;
  /** A CPU can be chosen outside of ops.select_cpu, too (6.16). */
  readonly selectsOutside: boolean;
  /** Sub-schedulers and the cid form exist [N]; what runs inside itself then gets a stack of its own. */
  readonly subScheds: boolean;
  /** Programs of ops.cgroup_set_bandwidth may sleep [N]. */
  readonly setBandwidthSleeps: boolean;
  /** A vtable whose last scheduler has not been unregistered cannot be registered again [N]. */
  readonly privBinds: boolean;
  /** User queues are the kernel's, not a scheduler's [12]. */
  readonly globalDsqHash: boolean;
  /** ops.dequeue is called whenever a task leaves the BPF scheduler's hands, also towards a CPU [N]. */
  readonly custody: boolean;
  /** Slice and vtime of an insert travel with it and are stored when the task is queued [N], not at the call [12, 18]. */
  readonly lateSlice: boolean;
  /** `non-existent DSQ 0x%llx for comm[pid]`; [N] leaves the task out. */
  readonly dsqErrorNamesTask: boolean;
  /** update_idle runs after the idle masks changed (6.16), not before [12]. */
  readonly idleMasksFirst: boolean;
  /** Idle masks start empty and fill when bypass is lifted [N]; before, every online CPU counts as idle at first. */
  readonly idleStartsBusy: boolean;
  /** The default CPU selection looks at caches and nodes, and at a mask of the caller (6.15, scx_bpf_select_cpu_and). */
  readonly topologyAware: boolean;
  /** It tries the siblings of the previous CPU before it goes further away [N]. */
  readonly idleSiblingFirst: boolean;
  /**
   * A sync wake-up looks for idle CPUs in the mask of the waker's node, which nobody keeps unless there is one for each node
   * (6.15 up to [N]): it never finds one.
   */
  readonly wakerMaskOfNode: boolean;
  /** Bypassed tasks wait on a queue of their CPU [N], not on the node's global one. */
  readonly bypassDsqs: boolean;
  /** pick_task dispatches by itself [N]; before, the core calls balance first. */
  readonly dispatchInPick: boolean;
  /** A dequeue for a class change ends in the old class before the task is queued again (6.19: sched_change). */
  readonly switchedFromFirst: boolean;
  /** CONFIG_SCHED_AUTOGROUP: a task that exits is moved out of its group, whether it is in one or not. */
  readonly autogroup: boolean;
  /** Who takes a CPU down does it itself [N], and has no worker do it, for which it waits (cpu_down_maps_locked). */
  readonly cpuDownByCaller: boolean;
  /** The core compares classes with rq->next_class when it preempts for a wakeup [N]. */
  readonly nextClass: boolean;
  /** A claimed exit ends every walk over a queue of the scheduler [N]. */
  readonly abortStopsWalks: boolean;
  /** Moving a task to the local queue of its own CPU wakes that CPU (6.16). */
  readonly moveWakesLocal: boolean;
  /** The previous CPU must be one that the task may use to be chosen by default (6.15). */
  readonly prevMustBeAllowed: boolean;
  /** A task that leaves its scheduler loses slice and vtime [N]. */
  readonly disableResets: boolean;
  /** Members of struct scx_event_stats (6.14). */
  readonly eventNames: readonly string[];
  /** The kernel tells which CPU caused an exit, in exit_cpu and in the dump [N]. */
  readonly exitCpu: boolean;
  /** update_locked_rq tracks the run queue that an op works on (6.17). */
  readonly locksTracked: boolean;
  /**
   * ops.dispatch is called until the run queue goes offline, and not only while the CPU is active (balance_one,
   * scx_dispatch_sched): so in 7.3.4 and 6.12.117, not in 6.18.15.
   */
  readonly dispatchUntilOffline: boolean;
  /** Whoever waits for a child is frozen where it is (do_wait, TASK_FREEZABLE): so in 7.3.4 and 6.12.117, not in 6.18.15. */
  readonly waitFreezable: boolean;
  /** comm of the helper thread: `sched_ext_helper` (6.16) or `sched_ext_ops_helper`, of which 15 bytes fit. */
  readonly helperComm: string;
  /** ops.cgroup_set_idle and set_bandwidth exist where the struct has them; older kernels warn of missing weights [12]. */
  readonly cgroupWarnings: boolean;

  constructor(profile: Profile) {
    const { btf, version } = profile;
    const value = (name: string) => required(btf, name);
    const number = (name: string) => Number(value(name));
    const optional = (name: string) => Number(btf.enumerator(name) ?? BigInt(ABSENT));
    this.dsq = {
      invalid: u64(value('SCX_DSQ_INVALID')),
      global: u64(value('SCX_DSQ_GLOBAL')),
      local: u64(value('SCX_DSQ_LOCAL')),
      bypass: u64(btf.enumerator('SCX_DSQ_BYPASS') ?? 0n),
    };
    this.enq = {
      wakeup: number('SCX_ENQ_WAKEUP'),
      head: number('SCX_ENQ_HEAD'),
      cpuSelected: number('SCX_ENQ_CPU_SELECTED'),
      preempt: number('SCX_ENQ_PREEMPT'),
      immed: optional('SCX_ENQ_IMMED'),
      rescue: optional('SCX_ENQ_RESCUE'),
      reenq: number('SCX_ENQ_REENQ'),
      last: number('SCX_ENQ_LAST'),
      ignoreCaps: btf.enumerator('SCX_ENQ_IGNORE_CAPS') ?? 0n,
    };
    this.deq = {
      sleep: number('SCX_DEQ_SLEEP'),
      coreSchedExec: number('SCX_DEQ_CORE_SCHED_EXEC'),
      schedChange: optional('SCX_DEQ_SCHED_CHANGE'),
    };
    this.ops = {
      keepBuiltinIdle: number('SCX_OPS_KEEP_BUILTIN_IDLE'),
      enqLast: number('SCX_OPS_ENQ_LAST'),
      enqExiting: number('SCX_OPS_ENQ_EXITING'),
      switchPartial: number('SCX_OPS_SWITCH_PARTIAL'),
      enqMigrationDisabled: optional('SCX_OPS_ENQ_MIGRATION_DISABLED'),
      allowQueuedWakeup: optional('SCX_OPS_ALLOW_QUEUED_WAKEUP'),
      builtinIdlePerNode: optional('SCX_OPS_BUILTIN_IDLE_PER_NODE'),
      alwaysEnqImmed: optional('SCX_OPS_ALWAYS_ENQ_IMMED'),
      tidToTask: optional('SCX_OPS_TID_TO_TASK'),
      hasCgroupWeight: optional('SCX_OPS_HAS_CGROUP_WEIGHT'),
      known: value('SCX_OPS_ALL_FLAGS'),
    };
    const stateShift = number('SCX_TASK_STATE_SHIFT');
    const stateMask = number('SCX_TASK_STATE_MASK');
    // Up to 6.18 the states are small numbers, later they are already in place.
    const inPlace = (raw: number) => ((raw & stateMask) === 0 ? raw << stateShift : raw);
    const init = inPlace(number('SCX_TASK_INIT'));
    this.task = {
      queued: number('SCX_TASK_QUEUED'),
      inCustody: optional('SCX_TASK_IN_CUSTODY'),
      resetRunnableAt: number('SCX_TASK_RESET_RUNNABLE_AT'),
      dequeuedForSleep: number('SCX_TASK_DEQD_FOR_SLEEP'),
      immed: optional('SCX_TASK_IMMED'),
      stateMask,
      stateShift,
      none: 0,
      initBegin: optional('SCX_TASK_INIT_BEGIN'),
      init,
      ready: inPlace(number('SCX_TASK_READY')),
      enabled: inPlace(number('SCX_TASK_ENABLED')),
      dead: optional('SCX_TASK_DEAD'),
      reenqMask: optional('SCX_TASK_REENQ_REASON_MASK'),
      reenqKfunc: optional('SCX_TASK_REENQ_KFUNC'),
      reenqImmed: optional('SCX_TASK_REENQ_IMMED'),
      reenqPreempted: optional('SCX_TASK_REENQ_PREEMPTED'),
    };
    this.rq = {
      online: number('SCX_RQ_ONLINE'),
      canStopTick: number('SCX_RQ_CAN_STOP_TICK'),
      balPending: optional('SCX_RQ_BAL_PENDING'),
      balKeep: optional('SCX_RQ_BAL_KEEP'),
      bypassing: optional('SCX_RQ_BYPASSING'),
      balCbPending: optional('SCX_RQ_BAL_CB_PENDING'),
      rootIdleRenotify: optional('SCX_RQ_ROOT_IDLE_RENOTIFY'),
      inWakeup: number('SCX_RQ_IN_WAKEUP'),
      inDispatch: optional('SCX_RQ_IN_DISPATCH') || number('SCX_RQ_IN_BALANCE'),
    };
    const errorReenq = btf.enumerator('SCX_EXIT_ERROR_REENQ');
    this.exit = {
      none: number('SCX_EXIT_NONE'),
      done: number('SCX_EXIT_DONE'),
      unreg: number('SCX_EXIT_UNREG'),
      unregBpf: number('SCX_EXIT_UNREG_BPF'),
      unregKern: number('SCX_EXIT_UNREG_KERN'),
      sysrq: number('SCX_EXIT_SYSRQ'),
      error: number('SCX_EXIT_ERROR'),
      errorBpf: number('SCX_EXIT_ERROR_BPF'),
      errorStall: number('SCX_EXIT_ERROR_STALL'),
      errorReenq: errorReenq === undefined ? undefined : Number(errorReenq),
    };
    this.codeRestartHotplug = value('SCX_ECODE_ACT_RESTART') | value('SCX_ECODE_RSN_HOTPLUG');
    // WF_EXEC is no enumerator of a type that BTF knows.
    this.wake = {
      exec: 2,
      fork: number('SCX_WAKE_FORK'),
      ttwu: number('SCX_WAKE_TTWU'),
      sync: number('SCX_WAKE_SYNC'),
    };
    this.iterRev = number('SCX_DSQ_ITER_REV');
    this.reenqAny = optional('SCX_REENQ_ANY') || 1;
    this.sliceDefault = number('SCX_SLICE_DFL');
    this.sliceBypass = optional('SCX_SLICE_BYPASS') || this.sliceDefault;
    this.flagInitialized = btf.enumerator('SCX_EFLAG_INITIALIZED') ?? 0n;
    this.maxBatch = number('SCX_DSP_DFL_MAX_BATCH');
    this.maxDispatchLoops = number('SCX_DSP_MAX_LOOPS');
    this.maxReenqueues = optional('SCX_REENQ_MAX_REPEAT');
    this.exitDumpLen = number('SCX_EXIT_DUMP_DFL_LEN');
    this.cpuperfOne = number('SCX_CPUPERF_ONE');
    this.jiffyNs = (this.maxTimeoutMs * 1_000_000) / number('SCX_WATCHDOG_MAX_TIMEOUT');

    const struct = (name: string) => btf.find(name, BTF_KIND.STRUCT);
    const func = (name: string) => btf.find(name, BTF_KIND.FUNC) !== 0;
    const newest = struct('sched_ext_ops_cid') !== 0;
    this.kfMask = btf.enumerator('SCX_KF_ENQUEUE') !== undefined;
    this.selectsOutside = func('scx_bpf_select_cpu_and');
    this.subScheds = newest;
    this.setBandwidthSleeps = newest;
    this.privBinds = newest;
    this.globalDsqHash = version < KERNEL(6, 16);
    this.custody = this.task.inCustody !== 0;
    this.lateSlice = btf.member(struct('sched_ext_entity'), 'ddsp_slice') !== undefined;
    this.dsqErrorNamesTask = !newest;
    this.idleMasksFirst = version >= KERNEL(6, 16);
    this.idleStartsBusy = newest;
    this.topologyAware = func('scx_bpf_select_cpu_and');
    this.idleSiblingFirst = newest;
    this.wakerMaskOfNode = this.topologyAware && !newest;
    this.bypassDsqs = this.dsq.bypass !== 0n;
    this.dispatchInPick = this.rq.balKeep === 0;
    this.switchedFromFirst = version >= KERNEL(6, 19);
    this.cpuDownByCaller = this.dispatchInPick;
    this.autogroup = func('sched_autogroup_exit_task');
    this.nextClass = btf.member(struct('rq'), 'next_class') !== undefined;
    this.abortStopsWalks = newest;
    this.moveWakesLocal = version >= KERNEL(6, 16);
    this.prevMustBeAllowed = this.topologyAware;
    this.disableResets = newest;
    this.exitCpu = btf.member(struct('scx_exit_info'), 'exit_cpu') !== undefined;
    this.locksTracked = func('scx_bpf_locked_rq');
    this.dispatchUntilOffline = newest || (version >= KERNEL(6, 12) + 117 && version < KERNEL(6, 13));
    this.waitFreezable = this.dispatchUntilOffline;
    this.helperComm = version >= KERNEL(6, 16) ? 'sched_ext_helpe' : 'sched_ext_ops_h';
    this.cgroupWarnings = version < KERNEL(6, 16);
    const events = btf.type(struct('scx_event_stats'));
    this.eventNames = events.kind === BTF_KIND.STRUCT ? events.members.map(({ name }) => name) : [];
  }
}

function KERNEL(major: number, minor: number): number {
  return (major << 16) | (minor << 8);
}

function required(btf: BtfView, name: string): bigint {
  const value = btf.enumerator(name);
  if (value === undefined) throw new UnsupportedError(`sched_ext: this kernel's BTF has no enumerator ${name}`);
  return value;
}

function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}
