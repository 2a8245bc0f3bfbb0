export { Clock, type ClockEvent } from './clock.js';
export { type FaultPlace, ProgramFault } from './fault.js';
export { hzOf, jiffies64 } from './jiffies.js';
export { Kernel, type ObjectOptions } from './kernel.js';
export { POLLERR, POLLHUP, POLLIN, POLLOUT } from './link.js';
export { MapMapping, type Mapping } from './map/mapping.js';
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
