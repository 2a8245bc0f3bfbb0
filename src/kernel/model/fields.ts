/**
 * What is modelled: for each kernel type the fields that hold what a kernel keeps there, with what that is. Every other field
 * of these types is poisoned: a program that touches it faults by the field's name. A field that a kernel's BTF lacks is left
 * out; a subsystem that keeps more declares it (Layout.declare).
 */
export type FieldTable = Readonly<Record<string, string>>;

export const TASK_FIELDS = {
  'thread_info.cpu': 'CPU whose run queue it is on, or was on last',
  __state: 'TASK_RUNNING (0), TASK_INTERRUPTIBLE, … as whoever drives the machine sets it',
  exit_state: 'EXIT_ZOMBIE from exit on, EXIT_DEAD when it is reaped',
  exit_code: 'as wait(2) sees it',
  'usage.refs.counter': 'references to the memory: 1 until it is freed',
  'rcu_users.refs.counter':
    'references: 2 at birth, one for the pid and one for the scheduler, and those of bpf_task_acquire',
  flags: 'PF_KTHREAD, PF_IDLE, PF_FORKNOEXEC, PF_EXITING, …',
  jobctl: '0: no stops and traps of job control',
  on_cpu: 'it runs now',
  on_rq: '1 on a run queue',
  wakee_flips: 'times that it woke another task than before, of the fair class; halved each second that it does',
  wakee_flip_decay_ts: 'jiffies of the last halving',
  last_wakee: 'task of the fair class that it woke last',
  recent_used_cpu: 'CPU that it was on before this one',
  wake_cpu: 'CPU that it was woken on last',
  prio: 'effective priority: 0 to 99 real time, 100 to 139 by nice value, -1 deadline',
  static_prio: '120 + nice',
  normal_prio: 'priority without boosts',
  rt_priority: '1 to 99 for SCHED_FIFO and SCHED_RR, else 0',
  policy: 'SCHED_NORMAL, SCHED_FIFO, SCHED_EXT, …',
  sched_class: 'address of idle_sched_class, fair_sched_class, …; the class itself is not modelled',
  'se.load.weight': 'weight of the nice value, scaled up by 1024',
  'se.exec_start': 'clock_task when it was put on the CPU, or its run time was accounted last',
  'se.sum_exec_runtime': 'ns that it ran',
  'se.prev_sum_exec_runtime':
    '0, of tasks that the fair class never had: of others it is not modelled, nor are the next eight',
  'se.vruntime': '0, likewise',
  'se.vlag': '0, likewise',
  'se.avg.load_sum': '0, likewise: no other class attaches a task to the averages of its CPU',
  'se.avg.runnable_sum': '0, likewise',
  'se.avg.util_sum': '0, likewise',
  'se.avg.runnable_avg': '0, likewise',
  'se.avg.util_avg': '0, likewise',
  'se.avg.util_est': '0, likewise',
  'se.nr_migrations': 'times that it went to another CPU',
  sched_task_group: 'the task_group of its cgroup',
  'scx.flags': 'enum scx_ent_flags; kept by sched_ext',
  'scx.weight': '1 to 10000; kept by sched_ext',
  'scx.sticky_cpu': '-1, or the CPU it is bound to while it migrates',
  'scx.holding_cpu': '-1, or the CPU that dispatches it',
  'scx.selected_cpu': 'what ops.select_cpu chose',
  'scx.runnable_at': 'jiffies since when it waits',
  'scx.ddsp_dsq_id': 'queue of a direct dispatch, or SCX_DSQ_INVALID',
  'scx.ddsp_enq_flags': 'flags of that dispatch',
  'scx.slice': 'ns that it may still run',
  'scx.dsq_vtime': 'key of queues ordered by vtime',
  'scx.disallow': 'set in ops.init_task: keep it out of sched_ext',
  'scx.tid': 'number of the task, never used again',
  'sched_info.pcount': 'times that it was given a CPU',
  'sched_info.run_delay': 'ns that it waited for one, runnable',
  'sched_info.last_arrival': 'clock of the run queue when it was given one last',
  'sched_info.last_queued': 'the same when it began to wait; 0 while it does not',
  nr_cpus_allowed: 'bits in cpus_mask',
  cpus_ptr: 'cpus_mask, or a mask of one CPU while migration is disabled',
  cpus_mask: 'CPUs that it may run on',
  migration_disabled: 'depth of migrate_disable()',
  mm: 'NULL for kernel threads; the mm_struct itself is not modelled',
  pid: 'number of the thread',
  tgid: 'number of the process',
  real_parent: 'who forked it, or inherited it',
  parent: 'the same: nobody is traced',
  thread_pid: 'its struct pid',
  nsproxy: 'init_nsproxy: there is one namespace of each kind; NULL once the task has exited',
  group_leader: 'first thread of the process',
  'thread_node.next': 'next of the threads of the process, in a ring through signal->thread_head',
  'thread_node.prev': 'the one before; LIST_POISON2 when it is reaped',
  worker_private: 'NULL but for kernel threads, whose struct kthread is not modelled',
  utime: 'ns in user mode',
  stime: 'ns in the kernel',
  nvcsw: 'voluntary context switches',
  nivcsw: 'involuntary ones',
  start_time: 'ns since boot',
  start_boottime: 'the same',
  signal: 'signal_struct of the process',
  real_cred: 'struct cred of its user and group',
  cred: 'the same',
  comm: 'name, at most 15 bytes',
  cgroups: 'css_set of its cgroup',
  mempolicy: 'NULL: the default policy',
  numa_preferred_nid: '-1: none',
} as const satisfies FieldTable;

export const SIGNAL_FIELDS = {
  'live.counter': 'threads that have not exited',
  nr_threads: 'threads that are not reaped',
  'thread_head.next': 'ring of the threads, by thread_node; the first is the leader',
  'thread_head.prev': 'the last thread',
  'pids[1]': 'struct pid of the process (PIDTYPE_TGID); process groups and sessions are not modelled',
} as const satisfies FieldTable;

export const PID_FIELDS = {
  level: '0: there is one pid namespace',
  numbers: 'one struct upid: the pid, and init_pid_ns',
} as const satisfies FieldTable;

export const NSPROXY_FIELDS = {
  pid_ns_for_children: 'init_pid_ns',
} as const satisfies FieldTable;

export const PID_NAMESPACE_FIELDS = {
  level: '0',
  'ns.inum': 'PID_NS_INIT_INO',
} as const satisfies FieldTable;

export const CRED_FIELDS = {
  'uid.val': 'user',
  'gid.val': 'group',
  'suid.val': 'the same',
  'sgid.val': 'the same',
  'euid.val': 'the same',
  'egid.val': 'the same',
  'fsuid.val': 'the same',
  'fsgid.val': 'the same',
} as const satisfies FieldTable;

export const CGROUP_FIELDS = {
  'self.cgroup': 'the cgroup itself',
  'self.parent': 'self of the parent, NULL at the root',
  'self.flags': 'CSS_ONLINE, CSS_NO_REF at the root, CSS_DYING after rmdir',
  'self.id': 'number among the cgroups, 1 at the root',
  'self.serial_nr': 'grows with every cgroup',
  'self.refcnt.percpu_count_ptr': 'an opaque address; bit 1 (__PERCPU_REF_DEAD) from rmdir on',
  flags: '0',
  level: '0 at the root',
  nr_descendants: 'live cgroups below it',
  kn: 'its directory',
  'subsys[0]': 'state of the cpuset controller: at the root, NULL elsewhere, where it is off',
  'subsys[1]': 'state of the cpu controller, NULL where it is off; the other controllers are not modelled',
  dom_cgrp: 'the cgroup itself: no threaded subtrees',
  ancestors: 'from the root down to the cgroup itself',
} as const satisfies FieldTable;

export const KERNFS_FIELDS = {
  id: 'number of the directory, what bpf_cgroup_from_id takes; 1 at the root',
  name: 'last part of the path, empty at the root',
  parent: 'directory above, NULL at the root (before 6.15)',
  __parent: 'the same (since 6.15)',
} as const satisfies FieldTable;

export const CSS_SET_FIELDS = {
  'subsys[0]': 'that of the root',
  'subsys[1]': 'state of the cpu controller that applies',
  dfl_cgrp: 'the cgroup',
  dom_cset: 'itself',
  nr_tasks: 'tasks in the cgroup',
} as const satisfies FieldTable;

export const TASK_GROUP_FIELDS = {
  'css.cgroup': 'the cgroup',
  'css.parent': 'css of the task_group above, NULL at the root',
  'css.flags': 'as in the cgroup',
  'css.id': 'as in the cgroup',
  idle: 'cpu.idle',
  shares: 'weight of the fair class, scaled up by 1024',
  parent: 'the task_group above',
  scx_weight: 'cpu.weight (6.12)',
  'scx.weight': 'cpu.weight (since 6.17)',
  'scx.bw_period_us': 'period of cpu.max',
  'scx.bw_quota_us': 'quota of cpu.max, ~0 for none',
  'scx.bw_burst_us': 'cpu.max.burst',
} as const satisfies FieldTable;

export const CPUSET_FIELDS = {
  'css.cgroup': 'the root',
  'css.parent': 'NULL',
  'css.flags': 'as in the cgroup',
  'css.id': 'as in the cgroup',
  flags: '0',
  cpus_allowed: 'all possible CPUs: the mask, or its address where masks are large (CPUMASK_OFFSTACK)',
} as const satisfies FieldTable;

export const RQ_FIELDS = {
  nr_running: 'tasks on the queue, of all classes',
  nr_switches: 'context switches',
  curr: 'who runs',
  donor: 'the same: no proxy execution',
  idle: "the CPU's idle task",
  clock: 'ns since boot at the last update',
  clock_task: 'the same without interrupts',
  clock_pelt: 'the same, scaled by capacity and frequency: both full',
  lost_idle_time: '0',
  cpu: 'number of the CPU',
  online: '1 while the CPU is',
  cpu_capacity: 'of 1024',
  'scx.nr_running': 'tasks of sched_ext on the queue',
  'scx.flags': 'enum scx_rq_flags; kept by sched_ext',
  'scx.cpu_released': 'ops.cpu_release was called; kept by sched_ext',
  'scx.cpuperf_target': 'what scx_bpf_cpuperf_set asked for',
  'scx.clock': 'what scx_bpf_now answers while it is valid',
  'scx.local_dsq.id': 'SCX_DSQ_LOCAL',
  'scx.local_dsq.nr': 'tasks in the local queue',
} as const satisfies FieldTable;

export const CPUMASK_FIELDS = { bits: 'one bit a CPU' } as const satisfies FieldTable;

export const BPF_CPUMASK_FIELDS = {
  cpumask: 'the mask, written through kfuncs',
  'usage.refs.counter': 'references',
} as const satisfies FieldTable;

/** Pointers that are NULL as long as the machine runs: programs that ask first never follow them. */
export const ALWAYS_NULL: Readonly<Record<string, readonly string[]>> = { task_struct: ['mempolicy'] };

/** All of them, for the documentation. */
export const MODELLED: Readonly<Record<string, FieldTable>> = {
  task_struct: TASK_FIELDS,
  signal_struct: SIGNAL_FIELDS,
  pid: PID_FIELDS,
  nsproxy: NSPROXY_FIELDS,
  pid_namespace: PID_NAMESPACE_FIELDS,
  cred: CRED_FIELDS,
  cgroup: CGROUP_FIELDS,
  kernfs_node: KERNFS_FIELDS,
  css_set: CSS_SET_FIELDS,
  task_group: TASK_GROUP_FIELDS,
  cpuset: CPUSET_FIELDS,
  rq: RQ_FIELDS,
  cpumask: CPUMASK_FIELDS,
  bpf_cpumask: BPF_CPUMASK_FIELDS,
};
