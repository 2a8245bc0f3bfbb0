import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Scenario } from './suite.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** ns since the first event of the console, CPU, event, task, other, a, b; see README.md. */
export type RecordedEvent = [
  ns: number,
  cpu: number,
  event: string,
  task: string,
  other: number | string,
  a: number | string,
  b: number | string,
];

export interface Recording extends Scenario {
  kernel: string;
  pids: Record<string, number>;
  loaded: number;
  status: number;
  exit: { kind: number; code: number; reason: string; message: string };
  events: RecordedEvent[];
}

/** Releases that have been recorded. */
export const RELEASES = ['7.3.4', '6.18.15', '6.12.117'] as const;

/** One scenario of a release; undefined if it was not recorded there. */
export function readRecording(release: string, topic: string, id: string): Recording | undefined {
  const path = join(HERE, 'recordings', release, topic, `${id}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Recording) : undefined;
}

/** Every recording of a release by `topic/id`. */
export function recordingNames(release: string): string[] {
  const folder = join(HERE, 'recordings', release);
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length).replaceAll('\\', '/'))
    .sort();
}
