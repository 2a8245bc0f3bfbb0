/** User address of the arena that `arena` cases have: four pages, the first allocated. */
export const ARENA_START = 0x7f0012340000n;

/** One program with its inputs and what must come out. */
export interface Case {
  /** The form under test, by its name in encodings.ts; the program must contain it. */
  form: string;
  /** Section of RFC 9669 that says so, or where else the meaning is laid down. */
  section: string;
  /** What this case is about, if the text does not show it. */
  about?: string;
  text: string;
  /** r1, r2, …; with `memory`, r1 is its address and these begin at r2. */
  args?: readonly bigint[];
  memory?: readonly number[];
  /** Expected results; memory that is not given must stay as it was. */
  r0?: bigint;
  after?: readonly number[];
  /** Name of the fault that the run must end in. */
  fault?: string;
  /** Only under these checks. */
  checks?: 'isolate' | 'object';
  /** The program must be refused at load, with this in the message. */
  refused?: RegExp;
  /** Helper and kfunc calls go to the test functions (functions.ts) by their number; others are missing. */
  calls?: boolean;
  /** The program has an arena (ARENA_START). */
  arena?: boolean;
}
