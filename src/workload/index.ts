export {
  describeLibrary,
  isLibraryName,
  LIBRARY,
  type LibraryEntry,
  libraryWorkload,
  type Parameter,
} from './library/index.js';
export { loadWorkload, type WorkloadFormat, workloadFormat } from './load.js';
export { compileRtApp } from './rt_app/compile.js';
export { parseRtApp } from './rt_app/parse.js';
export type { RtAppSpec } from './rt_app/spec.js';
export type { LoadedWorkload, WorkloadTarget } from './target.js';
export { compileTrace } from './trace/compile.js';
export { importTrace } from './trace/import.js';
export { linesOf } from './trace/lines.js';
export type { TraceSpec } from './trace/spec.js';
