// What a trace of the scheduler says that tasks did, as plain data.

export interface TraceSpec {
  readonly tasks: readonly TracedTask[];
  /** From the first event to the last. */
  readonly durationNs: number;
  /** The highest CPU number, and one. */
  readonly cpus: number;
  /** What was dropped or is not certain: one line each, with numbers of lines. */
  readonly notes: readonly string[];
}

export interface TracedTask {
  readonly pid: number;
  readonly comm: string;
  /** As the kernel prints it; undefined if no line says. */
  readonly prio: number | undefined;
  /** Where it was first seen. */
  readonly cpu: number;
  /** Since the trace's beginning; of a forked task when it was forked. */
  readonly startNs: number;
  /** A fork step of another task starts it. */
  readonly forked: boolean;
  readonly steps: readonly TracedStep[];
}

/** Tasks are given by their places in the list of tasks. */
export type TracedStep =
  /** CPU time, for which it was put on a CPU so many times. */
  | { readonly type: 'run'; readonly ns: number; readonly bouts: number }
  /** Until a timer, another interrupt or something that the trace does not show woke it. */
  | { readonly type: 'sleep'; readonly ns: number }
  /** Until another task woke it. */
  | { readonly type: 'wait'; readonly by: number }
  | { readonly type: 'wake'; readonly task: number }
  | { readonly type: 'fork'; readonly task: number }
  | { readonly type: 'exec' };
