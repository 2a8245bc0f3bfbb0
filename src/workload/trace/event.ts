// Lines of perf script, of ftrace's trace and trace_pipe, and of trace-cmd report. All of them have who, where and when in
// front of an event, and the event in the kernel's format string (include/trace/events/sched.h) or as the plugin of
// libtraceevent for sched_switch and sched_wakeup prints it.
//
//   perf script       bash  1234 [002]  3854.085452:       sched:sched_wakeup: comm=cc pid=1101 prio=120 target_cpu=000
//   ftrace            bash-1234    [002] d..2.  3854.085452: sched_wakeup: comm=cc pid=1101 prio=120 target_cpu=000
//   trace-cmd         bash-1234  [002]  3854.085452: sched_wakeup:         cc:1101 [120] CPU:000
//   trace-cmd -l      bash-1234    2d..2. 3854.085452: sched_wakeup:       cc:1101 [120] CPU:000
//   trace-cmd -R      bash-1234  [002]  3854.085452: sched_wakeup:         comm=cc pid=1101 prio=120 target_cpu=000

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
    /** An interrupt's handler begins or ends. */
    | { readonly type: 'irq_entry' | 'irq_exit' }
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

// comm-pid (tgid) [cpu] flags seconds.fraction: event: … or, with latencies, comm-pid cpu and flags seconds.fraction: event: …
const FTRACE =
  /^(.{1,48}?)-(\d+)\s+(?:\(\s*[-\d]+\)\s+)?(?:\[(\d+)\]\s+(?:([A-Za-z.#][^\s:]{3,6})\s+)?|(\d+)([A-Za-z.#][^\s:]{3,6})\s+)(\d+)\.(\d{1,9}):\s+(\w+):\s*(.*)$/;
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
    const flags = ftrace[4] ?? ftrace[6];
    const irq = flags === undefined ? undefined : flags[2] !== '.';
    const timeNs = nanoseconds(ftrace[7]!, ftrace[8]!);
    const cpu = Number(ftrace[3] ?? ftrace[5]);
    return eventOf(timeNs, cpu, Number(ftrace[2]), ftrace[1]!, irq, ftrace[9]!, ftrace[10]!);
  }
  const perf = PERF.exec(text);
  if (perf) {
    const timeNs = nanoseconds(perf[4]!, perf[5]!);
    return eventOf(timeNs, Number(perf[3]), Number(perf[2]), perf[1]!, undefined, perf[6]!, perf[7]!);
  }
  const lost = LOST.exec(text);
  if (lost) return { is: 'lost', cpu: Number(lost[1]), events: Number(lost[2] ?? lost[3] ?? 1) };
  const perfLost = PERF_LOST.exec(text);
  if (perfLost) return { is: 'lost', cpu: undefined, events: Number(perfLost[1]) };
  return STACK.test(line) ? NOTHING : UNKNOWN;
}

function nanoseconds(seconds: string, fraction: string): number {
  return Number(seconds) * 1_000_000_000 + Number(fraction) * 10 ** (9 - fraction.length);
}

const SWITCH =
  /^prev_comm=(.*) prev_pid=(\d+) prev_prio=(-?\d+) prev_state=(\S+) (?:==> )?next_comm=(.*) next_pid=(\d+) next_prio=(-?\d+)/;
const SWITCH_SHORT = /^(.*):(\d+) \[(-?\d+)\] (\S+) ==> (.*):(\d+) \[(-?\d+)\]/;
const WAKE = /^comm=(.*) pid=(\d+) prio=(-?\d+)(?: success=([01]))? target_cpu=\d+/;
const WAKE_SHORT = /^(.*):(\d+) \[(-?\d+)\](?: success=([01]))? CPU:\d+/;
const FORK = /^(?:parent_)?comm=.* (?:parent_)?pid=(\d+) child_comm=(.*) child_pid=(\d+)/;
const EXIT = /^comm=.* pid=(\d+) prio=-?\d+/;
const EXEC = /^filename=.* pid=(\d+) old_pid=\d+/;

/** Handlers whose begin and end are events of their own (include/trace/events/irq.h, timer.h, arch/x86's irq_vectors.h). */
const IRQ =
  /^(?:irq_handler|softirq|tasklet|ipi|local_timer|reschedule|call_function|call_function_single|irq_work|x86_platform_ipi|hrtimer_expire|timer_expire)_(entry|exit)$/;

const WAKES = { sched_waking: 'waking', sched_wakeup: 'wakeup', sched_wakeup_new: 'wakeup_new' } as const;

const named = (comm: string, pid: string, prio: string): Named => ({ comm, pid: Number(pid), prio: Number(prio) });

// Objects are written out, and matches read by their places: a trace has millions of lines, and spreading costs ten times as much.
function eventOf(
  timeNs: number,
  cpu: number,
  pid: number,
  comm: string,
  irq: boolean | undefined,
  name: string,
  fields: string,
): TraceLine {
  if (!(Number.isSafeInteger(timeNs) && Number.isSafeInteger(cpu) && Number.isSafeInteger(pid))) return UNKNOWN;
  switch (name) {
    case 'sched_switch': {
      const match = SWITCH.exec(fields) ?? SWITCH_SHORT.exec(fields);
      if (!match) return UNKNOWN;
      const prev = named(match[1]!, match[2]!, match[3]!);
      const next = named(match[5]!, match[6]!, match[7]!);
      const state = stateOf(match[4]!);
      return { is: 'event', event: { timeNs, cpu, pid, comm, irq, type: 'switch', prev, state, next } };
    }
    case 'sched_waking':
    case 'sched_wakeup':
    case 'sched_wakeup_new': {
      const match = WAKE.exec(fields) ?? WAKE_SHORT.exec(fields);
      if (!match) return UNKNOWN;
      // Old kernels tell of wake-ups that woke nobody, too.
      if (match[4] === '0') break;
      const task = named(match[1]!, match[2]!, match[3]!);
      return { is: 'event', event: { timeNs, cpu, pid, comm, irq, type: WAKES[name], task } };
    }
    case 'sched_process_fork': {
      const match = FORK.exec(fields);
      if (!match) return UNKNOWN;
      const parent = Number(match[1]);
      const child = { pid: Number(match[3]), comm: match[2]! };
      return { is: 'event', event: { timeNs, cpu, pid, comm, irq, type: 'fork', parent, child } };
    }
    case 'sched_process_exit':
    case 'sched_process_exec': {
      const exit = name === 'sched_process_exit';
      const match = (exit ? EXIT : EXEC).exec(fields);
      if (!match) return UNKNOWN;
      const type = exit ? 'exit' : 'exec';
      return { is: 'event', event: { timeNs, cpu, pid, comm, irq, type, who: Number(match[1]) } };
    }
  }
  const handler = IRQ.exec(name);
  const type = handler ? (handler[1] === 'entry' ? 'irq_entry' : 'irq_exit') : 'other';
  return { is: 'event', event: { timeNs, cpu, pid, comm, irq, type } };
}

const TASK_REPORT = 0xff;
/** EXIT_DEAD, EXIT_ZOMBIE (__trace_sched_switch_state). */
const GONE = 0x30;

/** A state as letters, also where it stands as a number. */
function stateOf(text: string): string {
  if (!/^\d+$/.test(text)) return text;
  const state = Number(text) & TASK_REPORT;
  return state === 0 ? 'R' : (state & GONE) !== 0 ? 'X' : 'S';
}
