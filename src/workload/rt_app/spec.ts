// What a file of rt-app says (github.com/scheduler-tools/rt-app, doc/tutorial.txt and src/rt-app_parse_config.c), as plain data.
// Times are µs, as there.

/** A file. */
export interface RtAppSpec {
  /** global.duration, in seconds; null for none. */
  readonly seconds: number | null;
  readonly tasks: readonly RtAppTask[];
  /** What the file asks for and has no effect here: one line each. */
  readonly notes: readonly string[];
}

/** A thread object. */
export interface RtAppTask extends RtAppAttributes {
  readonly name: string;
  /** Where it stands in the file. */
  readonly place: string;
  /** 0 for a task that is only forked. */
  readonly instances: number;
  readonly delayUs: number;
  /** How often all phases are done, Infinity included. */
  readonly loop: number;
  readonly phases: readonly RtAppPhase[];
}

export interface RtAppPhase extends RtAppAttributes {
  readonly place: string;
  readonly loop: number;
  readonly events: readonly RtAppEvent[];
}

/** What thread and phase objects set; what is absent stays as it was. */
export interface RtAppAttributes {
  readonly sched?: RtAppSched;
  readonly cpus?: readonly number[];
  /** Absolute path of a cgroup. */
  readonly taskgroup?: string;
}

export type RtAppPolicy = 'other' | 'batch' | 'idle' | 'ext' | 'fifo' | 'rr' | 'deadline';

export interface RtAppSched {
  readonly place: string;
  readonly policy?: RtAppPolicy;
  /** A nice value, or an RT priority: the policy in force decides. */
  readonly priority?: number;
  readonly deadline?: { readonly runtimeUs: number; readonly deadlineUs: number; readonly periodUs: number };
}

/** One event; `place` is for what is wrong with it in context. */
export type RtAppEvent = { readonly place: string } & (
  | { readonly type: 'run' | 'runtime' | 'sleep'; readonly us: number }
  | { readonly type: 'mem' | 'iorun'; readonly bytes: number }
  | { readonly type: 'timer'; readonly ref: string; readonly us: number; readonly absolute: boolean }
  | { readonly type: 'lock' | 'unlock' | 'signal' | 'broad' | 'barrier' | 'suspend' | 'resume'; readonly ref: string }
  | { readonly type: 'wait' | 'sync'; readonly ref: string; readonly mutex: string }
  | { readonly type: 'fork'; readonly ref: string }
  | { readonly type: 'yield' }
);

/** Timers whose names begin so belong to each thread alone; all others are shared by all threads. */
export const isUnique = (ref: string): boolean => ref.startsWith('unique');
