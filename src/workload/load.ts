import { checkArgument } from '../argument.js';
import { parseScenario } from '../sim/index.js';
import { compileRtApp } from './rt_app/compile.js';
import { parseRtApp } from './rt_app/parse.js';
import { checkTarget, type LoadedWorkload, type WorkloadTarget } from './target.js';
import { compileTrace } from './trace/compile.js';
import { importTrace } from './trace/import.js';
import { linesOf } from './trace/lines.js';

/** What a file of a workload holds. */
export type WorkloadFormat = 'scenario' | 'rt-app' | 'trace';

/** A file that begins like JSON is a scenario or rt-app's, which has an object of tasks; others are traces. */
export function workloadFormat(bytes: Uint8Array): WorkloadFormat {
  checkArgument('workloadFormat: bytes', bytes, 'bytes');
  const head = new TextDecoder().decode(bytes.subarray(0, HEAD)).replace(/^\uFEFF?\s+/, '');
  if (!/^(?:\{|\[|\/[*/])/.test(head) || /^\[\d+\]/.test(head)) return 'trace';
  if (/^\//.test(head)) return 'rt-app';
  const tasks = /"tasks"\s*:\s*(?:\/\*.*?\*\/\s*)?([[{])/s.exec(new TextDecoder().decode(bytes));
  return tasks?.[1] === '{' ? 'rt-app' : 'scenario';
}

const HEAD = 4096;

/**
 * A workload of any format, for a machine. Throws InputError, one line with the JSON path or the number of the line, for what is
 * malformed.
 */
export function loadWorkload(bytes: Uint8Array, target: WorkloadTarget): LoadedWorkload {
  checkTarget('loadWorkload', target);
  const text = () => new TextDecoder().decode(bytes);
  switch (workloadFormat(bytes)) {
    case 'scenario':
      return { scenario: parseScenario(text()), notes: [] };
    case 'rt-app':
      return compileRtApp(parseRtApp(text()), target);
    case 'trace':
      return compileTrace(importTrace(linesOf(bytes)), target);
  }
}
