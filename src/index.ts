export { type ArgumentKind, checkArgument, checkOptions } from './argument.js';
export { assemble, disassemble } from './asm/index.js';
export { BTF_KIND, Btf, BtfBuilder, type BtfMember, type BtfType, type BtfView, moduleBtf } from './btf/index.js';
export { findObjects } from './elf/index.js';
export { ERRNO, ErrnoError, errnoName, LackingError } from './errno.js';
export { InputError, UnsupportedError, VmtableError } from './errors.js';
export * from './kernel/index.js';
export * from './loader/index.js';
export {
  type CodeReloc,
  type CoReReloc,
  type ExternSpec,
  type FunctionSpec,
  type LineInfo,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
  parseObject,
  type StructOpsSpec,
  type SubprogramSpec,
  type VariableSpec,
} from './object/index.js';
export * as qdisc from './qdisc/index.js';
export * as schedExt from './sched_ext/index.js';
export * as sim from './sim/index.js';
export { type CallbackRow, callbackLines, tableLines } from './table.js';
export * as tcp from './tcp/index.js';
export * from './uapi.js';
export { mapTypeName, progTypeName } from './uapi_names.js';
export type {
  AccessClass,
  CheckStrength,
  EngineName,
  FaultPolicy,
  GuestMemory,
  GuestPtr,
  HostCall,
  HostFn,
  VmFault,
} from './vm/types.js';
export * as workload from './workload/index.js';
