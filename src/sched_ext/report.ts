import pc from 'picocolors';
import type { DemoResult } from './demo.js';

export interface FormatOptions {
  /** Default: no colours. */
  color?: boolean;
  /** Columns of the terminal; default 100. */
  width?: number;
}

/** Letters of tasks in the timelines, in order of their pids. */
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const TASK_COLORS = ['green', 'yellow', 'blue', 'magenta', 'cyan', 'red'] as const;

/** What a run showed, for a person to read: callbacks, tasks, one timeline a CPU, why the scheduler went. */
export function formatDemo(result: DemoResult, options: FormatOptions = {}): string {
  const colors = pc.createColors(options.color ?? false);
  const letter = letters(result);
  const paint = (pid: number, text: string) => {
    const index = result.tasks.findIndex((task) => task.pid === pid);
    return colors[TASK_COLORS[index % TASK_COLORS.length] ?? 'green'](text);
  };
  const { exit } = result;
  const failed = demoFailed(result);
  const reason = `${exit.reason}${exit.message ? ` (${exit.message})` : ''}`;
  return [
    `${colors.bold(result.object)}  scheduler "${result.scheduler}" (sched_ext_ops ${result.map}) on Linux ${result.kernel}`,
    '',
    ...callbackTable(result, colors),
    '',
    ...taskTable(result, letter, paint, colors),
    '',
    ...timelines(result, letter, paint, options.width ?? 100),
    '',
    `${ms(result.simulatedNs)} ms simulated. Scheduler gone: ${failed ? colors.red(reason) : reason}, ${exit.kindName} ${exit.kind}${
      exit.code === 0 ? '' : `, code ${exit.code}`
    }.`,
    ...result.output.map((line) => `bpf_printk: ${line}`),
    '',
  ].join('\n');
}

/** SCX_EXIT_ERROR */
const FIRST_ERROR = 1024;

/** A program was stopped, or the scheduler went with an error. */
export function demoFailed({ fault, exit }: DemoResult): boolean {
  return fault !== undefined || exit.kind >= FIRST_ERROR;
}

type Colors = ReturnType<typeof pc.createColors>;
type Paint = (pid: number, text: string) => string;

function callbackTable(result: DemoResult, colors: Colors): string[] {
  const rows = Object.entries(result.callbacks).map(([op, { program, count, insns }]) => {
    const ns = result.host.callbacks[op]?.medianNs ?? 0;
    const [insnsPerCall, nsPerCall] = count === 0 ? ['', ''] : [(insns / count).toFixed(0), ns.toFixed(0)];
    return [op, program, String(count), insnsPerCall, nsPerCall];
  });
  const lines = table(['callback', 'program', 'calls', 'insns/call', 'median ns'], rows, 2, colors);
  if (result.neverCalled.length > 0) {
    lines.push(`This machine has no occasion to call ${result.neverCalled.join(', ')}.`);
  }
  return lines;
}

function taskTable(result: DemoResult, letter: Map<number, string>, paint: Paint, colors: Colors): string[] {
  const header = ['task', 'pid', 'weight', 'ran ms', 'waited ms', 'wakeups', 'switches', 'migrations'];
  const rows = result.tasks.map((task) => [
    `${letter.get(task.pid)} ${task.name}${task.exited ? '' : ' (still there)'}`,
    ...[task.pid, task.weight].map(String),
    ...[task.runNs, task.waitNs].map(ms),
    ...[task.wakeups, task.switches, task.migrations].map(String),
  ]);
  const lines = table(header, rows, 1, colors);
  return lines.map((line, i) => {
    const task = result.tasks[i - 1];
    return task ? paint(task.pid, line.slice(0, 1)) + line.slice(1) : line;
  });
}

/** Columns padded to their widest cell; the first `left` ones stand left, the others right. */
function table(header: string[], rows: string[][], left: number, colors: Colors): string[] {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: string[]) =>
    cells
      .map((cell, i) => (i < left ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [colors.dim(line(header)), ...rows.map(line)];
}

/** One character a stretch of time: the task that had most of it, `·` where the CPU was mostly idle. */
function timelines(result: DemoResult, letter: Map<number, string>, paint: Paint, width: number): string[] {
  const label = (cpu: number) => `cpu ${cpu}  `;
  const columns = Math.max(width - label(0).length - 6, 10);
  const step = Math.max(result.simulatedNs / columns, 1);
  const lines = result.cpus.map(({ cpu, busyNs, spans }) => {
    let bar = '';
    for (let column = 0; column < columns; column++) {
      const pid = dominant(spans, column * step, (column + 1) * step);
      bar += pid === undefined ? '·' : paint(pid, letter.get(pid) ?? '?');
    }
    const share = result.simulatedNs === 0 ? 0 : Math.round((100 * busyNs) / result.simulatedNs);
    return `${label(cpu)}${bar} ${String(share).padStart(3)}%`;
  });
  return [...lines, `${' '.repeat(label(0).length)}one character is ${(step / 1000).toFixed(0)} us`];
}

/** The task with most time between two instants, if it had more than idling. */
function dominant(spans: DemoResult['cpus'][number]['spans'], from: number, to: number): number | undefined {
  const shares = new Map<number, number>();
  let idle = to - from;
  for (const { pid, start, end } of spans) {
    const share = Math.min(end, to) - Math.max(start, from);
    if (share <= 0) continue;
    shares.set(pid, (shares.get(pid) ?? 0) + share);
    idle -= share;
  }
  let best: number | undefined;
  for (const [pid, share] of shares) if (share > idle && share > (shares.get(best ?? -1) ?? 0)) best = pid;
  return best;
}

function letters(result: DemoResult): Map<number, string> {
  return new Map(result.tasks.map((task, i) => [task.pid, LETTERS[i % LETTERS.length] ?? '?']));
}

function ms(ns: number): string {
  return (ns / 1_000_000).toFixed(1);
}
