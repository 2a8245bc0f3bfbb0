/**
 * The ops of a scheduler by the cpu form's names, and the place of each where they are listed: calls of ops are looked up a
 * million times a second.
 */
export const OP = {
  select_cpu: 0,
  enqueue: 1,
  dequeue: 2,
  dispatch: 3,
  tick: 4,
  runnable: 5,
  running: 6,
  stopping: 7,
  quiescent: 8,
  yield: 9,
  core_sched_before: 10,
  set_weight: 11,
  set_cpumask: 12,
  update_idle: 13,
  cpu_acquire: 14,
  cpu_release: 15,
  init_task: 16,
  exit_task: 17,
  enable: 18,
  disable: 19,
  dump: 20,
  dump_cpu: 21,
  dump_task: 22,
  cgroup_init: 23,
  cgroup_exit: 24,
  cgroup_prep_move: 25,
  cgroup_move: 26,
  cgroup_cancel_move: 27,
  cgroup_set_weight: 28,
  cgroup_set_bandwidth: 29,
  cgroup_set_idle: 30,
  sub_attach: 31,
  sub_detach: 32,
  sub_caps_updated: 33,
  sub_ecaps_updated: 34,
  cpu_online: 35,
  cpu_offline: 36,
  init_cids: 37,
  init: 38,
  exit: 39,
} as const;

export type OpName = keyof typeof OP;
export type Op = (typeof OP)[OpName];

export const OP_NAMES = Object.keys(OP) as readonly OpName[];
