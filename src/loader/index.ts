export { BpfLink } from './attach.js';
export type { KernelDoor, MapMemory } from './door.js';
export { BpfMap, type MapDefinition } from './map.js';
export { BpfObject, type OpenOptions, openObject } from './object.js';
export { BpfProgram, type TestRunOptions, type TestRunResult } from './program.js';
export { type Requirement, requirements } from './requirements.js';
export { StructOpsMap } from './struct_ops.js';
export type { BtfInput, BtfValue } from './value.js';
export type { Variable } from './variable.js';
