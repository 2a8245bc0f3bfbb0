import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// The recordings as ../README.md describes them.

/** A number, an fd ("$M") or something that the kernel's BTF or the case's objects decide. */
export type Symbolic =
  | number
  | string
  | {
      u64?: string;
      id?: string;
      struct?: string;
      func?: string;
      bytes?: string;
      vlen?: string;
      index?: string;
      offset?: string;
      at?: string;
      end?: string;
      plus?: number;
    };

export interface ValueBuffer {
  value: string;
  set: Record<string, Symbolic>;
  common?: { refcnt?: number; state?: number };
  patch?: [Symbolic, number][];
}
export type RecordedBuffer = null | { u32: Symbolic[] } | { hex: string } | ValueBuffer;
export type RecordedInsn = [code: number, dst: number, src: number, off: number, imm: Symbolic];

/** What MAP_LOOKUP_ELEM showed. */
export interface ShownValue {
  refcnt: number;
  state: 'INIT' | 'INUSE' | 'TOBEFREE' | 'READY';
  data: Record<string, unknown>;
  padding?: string;
}

export interface Answer {
  ret: number | string;
  errno?: string;
  value?: ShownValue;
  next_key?: number;
  info?: Record<string, unknown>;
  retval?: number;
  log_buf?: string;
  dmesg?: string[];
  revents?: number;
  content?: string | Record<string, unknown>;
}
export interface Call extends Answer {
  cmd: string;
  attr: Record<string, unknown>;
  as?: string;
  size?: number;
  patch?: [number, number][];
}
export interface Deed extends Answer {
  do: string;
  as?: string;
  fd?: string;
  path?: string;
  name?: string;
  events?: number;
  length?: number;
}
export type RecordedStep = Call | Deed;

export interface RecordedCase {
  id: string;
  what: string;
  given: string[];
  steps: RecordedStep[];
}
export interface Recording {
  kernel: string;
  title: string;
  notRecorded: { id: string; why: string }[];
  objects: Record<string, RecordedStep>;
  cases: RecordedCase[];
}

const folder = (release: string) => fileURLToPath(new URL(`../recordings/${release}/`, import.meta.url));

/** Every recording of a release, in the order of their file names. */
export function readRecordings(release: string): Recording[] {
  return readdirSync(folder(release))
    .sort()
    .map((file) => JSON.parse(readFileSync(folder(release) + file, 'utf8')) as Recording);
}
