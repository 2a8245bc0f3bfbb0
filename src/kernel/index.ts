export { Clock, type ClockEvent, Timer } from './clock.js';
export { type FaultPlace, ProgramFault } from './fault.js';
export { hzOf, jiffies64 } from './jiffies.js';
export { Kernel, type ObjectOptions } from './kernel.js';
export { POLLERR, POLLHUP, POLLIN, POLLOUT } from './link.js';
export { MapMapping, type Mapping } from './map/mapping.js';
export { type CgroupOptions, CgroupTree, type CpuMax, type Css, KernelCgroup } from './model/cgroup.js';
export { Cpumasks } from './model/cpumask.js';
export { Layout } from './model/layout.js';
export { RunQueue, RunQueues } from './model/rq.js';
export { EXIT_STATE, KernelTask, PF, SCHED_POLICY, TASK_STATE } from './model/task.js';
export { type TaskOptions, TaskTable } from './model/tasks.js';
export { objNameCopy } from './name.js';
export {
  kernelVersion,
  loadProfile,
  type OwnProfileOptions,
  PROFILE_NAMES,
  type ProfileName,
  parseRelease,
  profileFromBtf,
} from './profile.js';
export { Random } from './random.js';
export { Rcu, type RcuFlavour } from './rcu.js';
export type { KdataRef, StructOps } from './struct_ops/struct_ops.js';
export type * from './types.js';
export { type Field, type FieldKind, StructType, Types } from './view.js';
