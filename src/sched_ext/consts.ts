import { BTF_KIND, type BtfView } from '../btf/types.js';
import { UnsupportedError } from '../errors.js';
import type { Profile } from '../kernel/types.js';

/**
 * Numbers of sched_ext that differ between kernels, read from the enums of the profile's BTF, and the behaviours that
 * follow from the kernel's age. [12] and [N] below are 6.12 and 7.x of kernel/sched/ext.c.
 */
export class ScxConsts {
  readonly dsq: { flagBuiltin: bigint; local: bigint; localOn: bigint; global: bigint; cpuMask: bigint };
  readonly enq: {
    head: bigint;
    preempt: bigint;
    last: bigint;
    cpuSelected: bigint;
    internalMask: bigint;
  };
  readonly ops: {
    keepBuiltinIdle: bigint;
    enqLast: bigint;
    switchPartial: bigint;
    /** 0 on kernels that lack it. */
    builtinIdlePerNode: bigint;
    known: bigint;
  };
  /** Set on every dequeue that is neither sleep nor core scheduling; 0 before 7.x. */
  readonly deqSchedChange: bigint;
  readonly task: {
    queued: number;
    inCustody: number;
    resetRunnableAt: number;
    dequeuedForSleep: number;
    stateMask: number;
    ready: number;
    enabled: number;
  };
  readonly exit: {
    unreg: number;
    unregBpf: number;
    unregKern: number;
    sysrq: number;
    error: number;
    errorBpf: number;
    errorStall: number;
  };
  /** SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG. */
  readonly codeRestartHotplug: bigint;
  readonly kick: { idle: number; preempt: number; wait: number };
  readonly sliceDefault: bigint;
  readonly sliceInfinite: bigint;
  readonly wakeTtwu: number;
  readonly wakeSync: number;
  readonly flagInitialized: bigint;
  readonly maxBatch: number;
  readonly maxDispatchLoops: number;
  readonly exitDumpLen: number;
  readonly maxTimeoutMs = 30_000;

  /** Which kfuncs an op may call is checked when they are called, by a mask; [N] leaves it to the verifier. */
  readonly kfMask: boolean;
  /** select_cpu_dfl works outside of ops.select_cpu too (6.16, with scx_bpf_select_cpu_and). */
  readonly selectCpuAnywhere: boolean;
  /** ops.dequeue is called whenever a task leaves the BPF scheduler's hands, also towards a CPU [N]. */
  readonly custody: boolean;
  /** Slice and vtime of an insert travel with it and are stored when the task is queued [N], not at the call [12]. */
  readonly lateSlice: boolean;
  /** `non-existent DSQ 0x%llx for comm[pid]`; 7.x leaves the task out. */
  readonly dsqErrorNamesTask: boolean;
  /** Sub-schedulers and the cid form exist [N]; what runs inside itself then gets a stack of its own. */
  readonly subScheds: boolean;
  /** Programs of ops.cgroup_set_bandwidth may sleep [N]. */
  readonly setBandwidthSleeps: boolean;
  /** User queues are the kernel's, not a scheduler's [12]. */
  readonly globalDsqHash: boolean;
  /** A vtable whose last scheduler has not been unregistered cannot be registered again [N]. */
  readonly privBinds: boolean;
  /** update_idle runs after the idle masks changed [N], not before [12]. */
  readonly idleMasksFirst: boolean;

  constructor(profile: Profile) {
    const { btf } = profile;
    const value = (name: string) => required(btf, name);
    const optional = (name: string) => btf.enumerator(name) ?? 0n;
    const number = (name: string) => Number(value(name));
    this.dsq = {
      flagBuiltin: u64(value('SCX_DSQ_FLAG_BUILTIN')),
      local: u64(value('SCX_DSQ_LOCAL')),
      localOn: u64(value('SCX_DSQ_LOCAL_ON')),
      global: u64(value('SCX_DSQ_GLOBAL')),
      cpuMask: u64(value('SCX_DSQ_LOCAL_CPU_MASK')),
    };
    this.enq = {
      head: value('SCX_ENQ_HEAD'),
      preempt: value('SCX_ENQ_PREEMPT'),
      last: value('SCX_ENQ_LAST'),
      cpuSelected: value('SCX_ENQ_CPU_SELECTED'),
      internalMask: u64(value('__SCX_ENQ_INTERNAL_MASK')),
    };
    this.ops = {
      keepBuiltinIdle: value('SCX_OPS_KEEP_BUILTIN_IDLE'),
      enqLast: value('SCX_OPS_ENQ_LAST'),
      switchPartial: value('SCX_OPS_SWITCH_PARTIAL'),
      builtinIdlePerNode: optional('SCX_OPS_BUILTIN_IDLE_PER_NODE'),
      known: value('SCX_OPS_ALL_FLAGS'),
    };
    this.deqSchedChange = optional('SCX_DEQ_SCHED_CHANGE');
    const shift = number('SCX_TASK_STATE_SHIFT');
    const stateMask = number('SCX_TASK_STATE_MASK');
    // Up to 6.18 the states are small numbers, later they are already in place.
    const state = (name: string) => {
      const raw = number(name);
      return (raw & stateMask) === 0 ? raw << shift : raw;
    };
    this.task = {
      queued: number('SCX_TASK_QUEUED'),
      inCustody: Number(optional('SCX_TASK_IN_CUSTODY')),
      resetRunnableAt: number('SCX_TASK_RESET_RUNNABLE_AT'),
      dequeuedForSleep: number('SCX_TASK_DEQD_FOR_SLEEP'),
      stateMask,
      ready: state('SCX_TASK_READY'),
      enabled: state('SCX_TASK_ENABLED'),
    };
    this.exit = {
      unreg: number('SCX_EXIT_UNREG'),
      unregBpf: number('SCX_EXIT_UNREG_BPF'),
      unregKern: number('SCX_EXIT_UNREG_KERN'),
      sysrq: number('SCX_EXIT_SYSRQ'),
      error: number('SCX_EXIT_ERROR'),
      errorBpf: number('SCX_EXIT_ERROR_BPF'),
      errorStall: number('SCX_EXIT_ERROR_STALL'),
    };
    this.codeRestartHotplug = value('SCX_ECODE_ACT_RESTART') | value('SCX_ECODE_RSN_HOTPLUG');
    this.kick = {
      idle: number('SCX_KICK_IDLE'),
      preempt: number('SCX_KICK_PREEMPT'),
      wait: number('SCX_KICK_WAIT'),
    };
    this.sliceDefault = value('SCX_SLICE_DFL');
    this.sliceInfinite = u64(value('SCX_SLICE_INF'));
    this.wakeTtwu = number('SCX_WAKE_TTWU');
    this.wakeSync = number('SCX_WAKE_SYNC');
    this.flagInitialized = optional('SCX_EFLAG_INITIALIZED');
    this.maxBatch = number('SCX_DSP_DFL_MAX_BATCH');
    this.maxDispatchLoops = number('SCX_DSP_MAX_LOOPS');
    this.exitDumpLen = number('SCX_EXIT_DUMP_DFL_LEN');
    this.kfMask = btf.enumerator('SCX_KF_ENQUEUE') !== undefined;
    this.selectCpuAnywhere = btf.find('scx_bpf_select_cpu_and', BTF_KIND.FUNC) !== 0;
    this.custody = this.task.inCustody !== 0;
    this.lateSlice = btf.member(btf.find('sched_ext_entity', BTF_KIND.STRUCT), 'ddsp_slice') !== undefined;
    this.dsqErrorNamesTask = profile.version < 7 * 65536;
    this.subScheds = btf.find('sched_ext_ops_cid', BTF_KIND.STRUCT) !== 0;
    this.setBandwidthSleeps = this.subScheds;
    this.globalDsqHash = btf.find('scx_sched', BTF_KIND.STRUCT) === 0;
    this.privBinds = this.subScheds;
    this.idleMasksFirst = profile.version >= 7 * 65536;
  }
}

function required(btf: BtfView, name: string): bigint {
  const value = btf.enumerator(name);
  if (value === undefined) throw new UnsupportedError(`sched_ext: this kernel's BTF has no enumerator ${name}`);
  return value;
}

function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}
