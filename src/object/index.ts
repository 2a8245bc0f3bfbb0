export { objectName, parseObject } from './parse.js';
export { functionAt, reachableSubprograms } from './reach.js';
export { findSectionDef, type SectionDef } from './sections.js';
export type {
  CodeReloc,
  CoReReloc,
  ExternSpec,
  FunctionSpec,
  LineInfo,
  MapSpec,
  ObjectSpec,
  ProgramSpec,
  StructOpsSpec,
  SubprogramSpec,
  VariableSpec,
} from './spec.js';
