// Lines of perf script, of ftrace's trace and trace_pipe, and of trace-cmd report. All of them have who, where and when in
// front of an event, and the event in the kernel's format string (include/trace/events/sched.h) or as the plugin of
// libtraceevent for sched_switch and sched_wakeup prints it.
//
//   perf script       bash  1234 [002]  3854.085452:       sched:sched_wakeup: comm=cc pid=1101 prio=120 target_cpu=000
//   ftrace            bash-1234    [002] d..2.  3854.085452: sched_wakeup: comm=cc pid=1101 prio=120 target_cpu=000
//   trace-cmd         bash-1234  [002]  3854.085452: sched_wakeup:         cc:1101 [120] CPU:000

/** Who a line is about. */
export interface Named {
  readonly pid: number;
  readonly comm: string;
  /** As the kernel prints it: 120 for nice 0, below 100 real time, -1 deadline. */
  readonly prio: number;
}

/** What stands in front of an event. */
export interface Where {
  readonly timeNs: number;
  readonly cpu: number;
  /** Who was on the CPU. */
  readonly pid: number;
  /** `<...>` where the tracer did not know. */
  readonly comm: string;
  /** In an interrupt; undefined where the line does not say. */
  readonly irq: boolean | undefined;
}

export type TraceEvent = Where &
  (
    | { readonly type: 'switch'; readonly prev: Named; readonly state: string; readonly next: Named }
    | { readonly type: 'waking' | 'wakeup' | 'wakeup_new'; readonly task: Named }
    | {
        readonly type: 'fork';
        readonly parent: number;
        readonly child: { readonly pid: number; readonly comm: string };
      }
    | { readonly type: 'exec' | 'exit'; readonly who: number }
    /** Anything else. */
    | { readonly type: 'other' }
  );

/** What a line is: an event, a mark of lost ones, nothing to heed, or not understood. */
export type TraceLine =
  | { readonly is: 'event'; readonly event: TraceEvent }
  | { readonly is: 'nothing' | 'unknown' }
  /** `cpu` is undefined if the line does not say where. */
  | { readonly is: 'lost'; readonly cpu: number | undefined; readonly events: number };

const NOTHING: TraceLine = { is: 'nothing' };
const UNKNOWN: TraceLine = { is: 'unknown' };

// comm-pid (tgid) [cpu] flags seconds.fraction: event: …
const FTRACE =
  /^(.{1,48}?)-(\d+)\s+(?:\(\s*[-\d]+\)\s+)?\[(\d+)\]\s+(?:([A-Za-z.#][^\s:]{3,6})\s+)?(\d+)\.(\d{1,9}):\s+(\w+):\s*(.*)$/;
// comm pid/tid [cpu] seconds.fraction: period system:event: …
const PERF = /^(.{1,48}?)\s+(?:\d+\/)?(\d+)\s+\[(\d+)\]\s+(\d+)\.(\d{1,9}):\s+(?:\d+\s+)?(?:[\w-]+:)?(\w+):\s*(.*)$/;

const LOST = /^CPU:(\d+) \[(?:LOST (\d+) EVENTS|(?:(\d+) )?EVENTS DROPPED)\]/;
const PERF_LOST = /PERF_RECORD_LOST(?:_SAMPLES)?\s+(?:lost\s+|lost=)?(\d+)/;
// Comments, heads of files, and stack traces of both tools.
const HEAD = /^(?:#|version = |cpus=|CPU \d+ is empty|\[|=> )/;
const STACK = /^\s+(?:=>|[0-9a-f]{6,16} )/;

/** One line of a trace. */
export function parseLine(line: string): TraceLine {
  const text = line.trimStart();
  if (text === '' || HEAD.test(text)) return NOTHING;
  const ftrace = FTRACE.exec(text);
  if (ftrace) {
    const [, comm, pid, cpu, flags, seconds, fraction, event, fields] = ftrace;
    const irq = flags === undefined ? undefined : flags[2] !== '.';
    const timeNs = nanoseconds(seconds!, fraction!);
    return eventOf({ timeNs, cpu: Number(cpu), pid: Number(pid), comm: comm!, irq }, event!, fields!);
  }
  const perf = PERF.exec(text);
  if (perf) {
    const [, comm, pid, cpu, seconds, fraction, event, fields] = perf;
    const timeNs = nanoseconds(seconds!, fraction!);
    return eventOf({ timeNs, cpu: Number(cpu), pid: Number(pid), comm: comm!, irq: undefined }, event!, fields!);
  }
  const lost = LOST.exec(text);
  if (lost) return { is: 'lost', cpu: Number(lost[1]), events: Number(lost[2] ?? lost[3] ?? 1) };
  const perfLost = PERF_LOST.exec(text);
  if (perfLost) return { is: 'lost', cpu: undefined, events: Number(perfLost[1]) };
  return STACK.test(line) ? NOTHING : UNKNOWN;
}

function nanoseconds(seconds: string, fraction: string): number {
  return Number(seconds) * 1_000_000_000 + Number(fraction.padEnd(9, '0'));
}

const SWITCH =
  /^prev_comm=(.*) prev_pid=(\d+) prev_prio=(-?\d+) prev_state=(\S+) ==> next_comm=(.*) next_pid=(\d+) next_prio=(-?\d+)/;
const SWITCH_SHORT = /^(.*):(\d+) \[(-?\d+)\] (\S+) ==> (.*):(\d+) \[(-?\d+)\]/;
const WAKE = /^comm=(.*) pid=(\d+) prio=(-?\d+)(?: success=([01]))? target_cpu=\d+/;
const WAKE_SHORT = /^(.*):(\d+) \[(-?\d+)\](?: success=([01]))? CPU:\d+/;
const FORK = /^comm=.* pid=(\d+) child_comm=(.*) child_pid=(\d+)/;
const EXIT = /^comm=.* pid=(\d+) prio=-?\d+/;
const EXEC = /^filename=.* pid=(\d+) old_pid=\d+/;

const named = (comm: string, pid: string, prio: string): Named => ({ comm, pid: Number(pid), prio: Number(prio) });

function eventOf(where: Where, name: string, fields: string): TraceLine {
  const { timeNs, cpu, pid } = where;
  const other: TraceLine = { is: 'event', event: { ...where, type: 'other' } };
  if (![timeNs, cpu, pid].every(Number.isSafeInteger)) return UNKNOWN;
  switch (name) {
    case 'sched_switch': {
      const match = SWITCH.exec(fields) ?? SWITCH_SHORT.exec(fields);
      if (!match) return UNKNOWN;
      const [, prevComm, prevPid, prevPrio, state, nextComm, nextPid, nextPrio] = match as unknown as string[];
      const prev = named(prevComm!, prevPid!, prevPrio!);
      const next = named(nextComm!, nextPid!, nextPrio!);
      return { is: 'event', event: { ...where, type: 'switch', prev, state: state!, next } };
    }
    case 'sched_waking':
    case 'sched_wakeup':
    case 'sched_wakeup_new': {
      const match = WAKE.exec(fields) ?? WAKE_SHORT.exec(fields);
      if (!match) return UNKNOWN;
      if (match[4] === '0') return other;
      const type = name.slice('sched_'.length) as 'waking' | 'wakeup' | 'wakeup_new';
      return { is: 'event', event: { ...where, type, task: named(match[1]!, match[2]!, match[3]!) } };
    }
    case 'sched_process_fork': {
      const match = FORK.exec(fields);
      if (!match) return UNKNOWN;
      const child = { pid: Number(match[3]), comm: match[2]! };
      return { is: 'event', event: { ...where, type: 'fork', parent: Number(match[1]), child } };
    }
    case 'sched_process_exit': {
      const match = EXIT.exec(fields);
      return match ? { is: 'event', event: { ...where, type: 'exit', who: Number(match[1]) } } : UNKNOWN;
    }
    case 'sched_process_exec': {
      const match = EXEC.exec(fields);
      return match ? { is: 'event', event: { ...where, type: 'exec', who: Number(match[1]) } } : UNKNOWN;
    }
    default:
      return other;
  }
}
