export { BpfLink } from './attach.js';
export {
  type Diagnosis,
  diagnose,
  type Finding,
  lacking,
  lackingLines,
  type ProgramOutlook,
  type Stop,
  stopOf,
  withLacking,
} from './doctor.js';
export type { EventDoor, KernelDoor, MapMemory } from './door.js';
export { BpfMap, type MapDefinition } from './map.js';
export { BpfObject, type OpenOptions, openObject } from './object.js';
export { PerfBuffer, type PerfBufferCallbacks } from './perf_buffer.js';
export { ProgLink } from './prog_link.js';
export { BpfProgram, type TestRunOptions, type TestRunResult } from './program.js';
export { type Requirement, requirements } from './requirements.js';
export { Ring, RingBuffer, type SampleCallback, UserRingBuffer, type UserSample } from './ring_buffer.js';
export { dumpMap, dumpMaps, isDumpable, loadMap, loadMaps, type Restored } from './snapshot.js';
export { StructOpsMap } from './struct_ops.js';
export {
  chooseStructOps,
  loadAndAttach,
  type RunSettings,
  type StructOpsKind,
  setVariables,
  type UserSpace,
  withObject,
} from './user_space.js';
export { type BtfInput, type BtfValue, encodeBtf } from './value.js';
export type { Variable } from './variable.js';
