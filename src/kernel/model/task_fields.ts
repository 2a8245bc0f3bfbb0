import type { Field } from '../view.js';
import type { TASK_FIELDS } from './fields.js';
import type { Layout } from './layout.js';

/** task_struct's modelled fields, compiled once for all tasks; undefined where a kernel may lack them. */
export class TaskFields {
  readonly infoCpu: Field;
  readonly state: Field;
  readonly exitState: Field;
  readonly exitCode: Field;
  readonly usage: Field;
  readonly rcuUsers: Field;
  readonly flags: Field;
  readonly onCpu: Field;
  readonly onRq: Field;
  readonly recentUsedCpu: Field;
  readonly wakeCpu: Field;
  readonly prio: Field;
  readonly staticPrio: Field;
  readonly normalPrio: Field;
  readonly rtPriority: Field;
  readonly policy: Field;
  readonly schedClass: Field;
  readonly loadWeight: Field;
  readonly execStart: Field;
  readonly sumExecRuntime: Field;
  readonly nrMigrations: Field;
  readonly schedTaskGroup: Field;
  /** Undefined in a kernel without CONFIG_SCHED_INFO, together with the next three. */
  readonly infoPcount: Field | undefined;
  readonly infoRunDelay: Field | undefined;
  readonly infoLastArrival: Field | undefined;
  readonly infoLastQueued: Field | undefined;
  readonly nrCpusAllowed: Field;
  readonly cpusPtr: Field;
  readonly cpusMask: Field;
  readonly migrationDisabled: Field | undefined;
  readonly mm: Field;
  readonly pid: Field;
  readonly tgid: Field;
  readonly realParent: Field;
  readonly parent: Field;
  readonly threadPid: Field;
  readonly nsproxy: Field;
  readonly groupLeader: Field;
  readonly threadNext: Field;
  readonly threadPrev: Field;
  readonly signal: Field;
  readonly workerPrivate: Field | undefined;
  readonly utime: Field;
  readonly stime: Field;
  readonly nvcsw: Field;
  readonly nivcsw: Field;
  readonly startTime: Field;
  readonly startBoottime: Field;
  readonly realCred: Field;
  readonly cred: Field;
  readonly comm: Field;
  readonly cgroups: Field;
  readonly numaPreferredNid: Field | undefined;
  /** Undefined in a kernel without sched_ext. */
  readonly scx: ScxEntityFields | undefined;

  constructor(layout: Layout<keyof typeof TASK_FIELDS>) {
    this.infoCpu = layout.field('thread_info.cpu');
    this.state = layout.field('__state');
    this.exitState = layout.field('exit_state');
    this.exitCode = layout.field('exit_code');
    this.usage = layout.field('usage.refs.counter');
    this.rcuUsers = layout.field('rcu_users.refs.counter');
    this.flags = layout.field('flags');
    this.onCpu = layout.field('on_cpu');
    this.onRq = layout.field('on_rq');
    this.recentUsedCpu = layout.field('recent_used_cpu');
    this.wakeCpu = layout.field('wake_cpu');
    this.prio = layout.field('prio');
    this.staticPrio = layout.field('static_prio');
    this.normalPrio = layout.field('normal_prio');
    this.rtPriority = layout.field('rt_priority');
    this.policy = layout.field('policy');
    this.schedClass = layout.field('sched_class');
    this.loadWeight = layout.field('se.load.weight');
    this.execStart = layout.field('se.exec_start');
    this.sumExecRuntime = layout.field('se.sum_exec_runtime');
    this.nrMigrations = layout.field('se.nr_migrations');
    this.schedTaskGroup = layout.field('sched_task_group');
    this.infoPcount = layout.tryField('sched_info.pcount');
    this.infoRunDelay = layout.tryField('sched_info.run_delay');
    this.infoLastArrival = layout.tryField('sched_info.last_arrival');
    this.infoLastQueued = layout.tryField('sched_info.last_queued');
    this.nrCpusAllowed = layout.field('nr_cpus_allowed');
    this.cpusPtr = layout.field('cpus_ptr');
    this.cpusMask = layout.field('cpus_mask');
    this.migrationDisabled = layout.tryField('migration_disabled');
    this.mm = layout.field('mm');
    this.pid = layout.field('pid');
    this.tgid = layout.field('tgid');
    this.realParent = layout.field('real_parent');
    this.parent = layout.field('parent');
    this.threadPid = layout.field('thread_pid');
    this.nsproxy = layout.field('nsproxy');
    this.groupLeader = layout.field('group_leader');
    this.threadNext = layout.field('thread_node.next');
    this.threadPrev = layout.field('thread_node.prev');
    this.signal = layout.field('signal');
    this.workerPrivate = layout.tryField('worker_private');
    this.utime = layout.field('utime');
    this.stime = layout.field('stime');
    this.nvcsw = layout.field('nvcsw');
    this.nivcsw = layout.field('nivcsw');
    this.startTime = layout.field('start_time');
    this.startBoottime = layout.field('start_boottime');
    this.realCred = layout.field('real_cred');
    this.cred = layout.field('cred');
    this.comm = layout.field('comm');
    this.cgroups = layout.field('cgroups');
    this.numaPreferredNid = layout.tryField('numa_preferred_nid');
    this.scx = layout.tryField('scx.flags') && new ScxEntityFields(layout);
  }
}

/** The same of its struct sched_ext_entity. */
export class ScxEntityFields {
  readonly flags: Field;
  readonly weight: Field;
  readonly stickyCpu: Field;
  readonly holdingCpu: Field;
  readonly selectedCpu: Field | undefined;
  readonly runnableAt: Field;
  readonly ddspDsqId: Field;
  readonly ddspEnqFlags: Field;
  readonly slice: Field;
  readonly dsqVtime: Field;
  readonly disallow: Field;
  readonly tid: Field | undefined;

  constructor(layout: Layout<keyof typeof TASK_FIELDS>) {
    this.flags = layout.field('scx.flags');
    this.weight = layout.field('scx.weight');
    this.stickyCpu = layout.field('scx.sticky_cpu');
    this.holdingCpu = layout.field('scx.holding_cpu');
    this.selectedCpu = layout.tryField('scx.selected_cpu');
    this.runnableAt = layout.field('scx.runnable_at');
    this.ddspDsqId = layout.field('scx.ddsp_dsq_id');
    this.ddspEnqFlags = layout.field('scx.ddsp_enq_flags');
    this.slice = layout.field('scx.slice');
    this.dsqVtime = layout.field('scx.dsq_vtime');
    this.disallow = layout.field('scx.disallow');
    this.tid = layout.tryField('scx.tid');
  }
}
