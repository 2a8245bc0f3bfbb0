import pc from 'picocolors';
import { checkArgument } from '../argument.js';
import { lackingLines } from '../loader/index.js';
import { callbackLines, tableLines } from '../table.js';
import type { SimReport } from './report.js';
import type { Span } from './stats/collector.js';
import type { Percentiles } from './stats/histogram.js';

export interface FormatOptions {
  /** Columns; default 100. */
  width?: number;
  color?: boolean;
  /** What the object is called. */
  object?: string;
  /** What CPUs did, for a picture of it. */
  spans?: readonly (readonly Span[])[];
  /** The host's time for a call of each op, which no report has: it differs from run to run. */
  nsPerCall?: Readonly<Record<string, Percentiles>>;
}

type Colors = ReturnType<typeof pc.createColors>;

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** More rows than this are no table to read. */
const MAX_TASKS = 16;
const MAX_CPUS = 32;

/** A report as text for a terminal. */
export function formatReport(report: SimReport, options: FormatOptions = {}): string {
  checkArgument('formatReport: report', report, 'options');
  checkArgument('formatReport: groups', report.groups, 'list');
  const colors = pc.createColors(options.color ?? false);
  const letters = new Map(report.groups.map(({ name }, i) => [name, LETTERS[i] ?? '*']));
  const groupOf = new Map(report.tasks.map((task) => [task.pid, letters.get(task.group)!]));
  const name = options.object ? `${colors.bold(options.object)}  ` : '';
  const cpus = report.cpus.length === 1 ? '1 CPU' : `${report.cpus.length} CPUs`;
  const where = `on Linux ${report.kernel}, ${cpus}, ${ms(report.simulatedNs)} ms simulated`;
  const few = report.tasks.length <= MAX_TASKS && report.groups.some(({ tasks }) => tasks > 1);
  return [
    `${name}scheduler "${report.scheduler}" ${where}`,
    '',
    ...callbackTable(report, colors, options.nsPerCall),
    '',
    ...groupTable(report, letters, colors),
    '',
    ...(few ? [...taskTable(report, letters, colors), ''] : []),
    ...cpuLines(report, groupOf, options),
    '',
    ...summary(report),
    ...report.output.map((line) => `bpf_printk: ${line}`),
    ending(report, colors),
    '',
  ].join('\n');
}

function callbackTable(report: SimReport, colors: Colors, nsPerCall?: FormatOptions['nsPerCall']): string[] {
  const more = nsPerCall && {
    header: ['host ns/call p50'],
    cells: (op: string) => [nsPerCall[op]?.p50.toFixed(0) ?? ''],
  };
  return dimHeader(callbackLines(report.callbacks, more), colors);
}

const TIMES = ['ran ms', 'waited ms', 'slept ms', 'wakeups'];
const LATENCY = ['wakeup p50 us', 'p99', 'max'];

function groupTable(report: SimReport, letters: Map<string, string>, colors: Colors): string[] {
  const header = ['tasks', '', ...TIMES, ...LATENCY, 'slices', 'mean us', 'migrations'];
  const rows = report.groups.map((group) => [
    `${letters.get(group.name)} ${group.name}`,
    group.tasks > 1 ? `×${group.tasks}` : '',
    ...times(group),
    ...latency(group.wakeupLatencyNs),
    String(group.slices),
    us(group.sliceNs.mean),
    String(Object.values(group.migrations).reduce((sum, count) => sum + count, 0)),
  ]);
  return table(header, rows, 1, colors);
}

function taskTable(report: SimReport, letters: Map<string, string>, colors: Colors): string[] {
  const header = ['task', 'pid', 'weight', ...TIMES, ...LATENCY, 'slices', 'migrations'];
  const rows = report.tasks.map((task) => [
    `${letters.get(task.group)} ${task.name}`,
    String(task.pid),
    String(task.weight),
    ...times(task),
    ...latency(task.wakeupLatencyNs),
    String(task.slices),
    String(task.migrations),
  ]);
  return table(header, rows, 1, colors);
}

function times(of: { runNs: number; waitNs: number; sleepNs: number; wakeups: number }): string[] {
  return [ms(of.runNs), ms(of.waitNs), ms(of.sleepNs), String(of.wakeups)];
}

function latency({ count, p50, p99, max }: Percentiles): string[] {
  return count === 0 ? ['', '', ''] : [us(p50), us(p99), us(max)];
}

/** One character a stretch of time: the group of the task that had most of it, `·` where the CPU was mostly idle. */
function cpuLines(report: SimReport, letters: Map<number, string>, options: FormatOptions): string[] {
  const cpus = report.cpus.slice(0, MAX_CPUS);
  const pad = String(cpus.length - 1).length;
  const label = (cpu: number) => `cpu ${String(cpu).padStart(pad)}  `;
  const columns = Math.max((options.width ?? 100) - label(0).length - 6, 10);
  const step = Math.max(report.simulatedNs / columns, 1);
  const lines = cpus.map(({ cpu, busyNs }) => {
    const share = report.simulatedNs === 0 ? 0 : Math.round((100 * busyNs) / report.simulatedNs);
    const spans = options.spans?.[cpu];
    return `${label(cpu)}${spans ? bar(spans, letters, columns, step) : ''} ${String(share).padStart(3)}%`;
  });
  if (report.cpus.length > cpus.length) lines.push(`and ${report.cpus.length - cpus.length} more`);
  if (options.spans) lines.push(`${' '.repeat(label(0).length)}one character is ${(step / 1000).toFixed(0)} us`);
  return lines;
}

function bar(spans: readonly Span[], letters: Map<number, string>, columns: number, step: number): string {
  let text = '';
  let first = 0;
  for (let column = 0; column < columns; column++) {
    const [from, to] = [column * step, (column + 1) * step];
    while (first < spans.length && spans[first]!.end <= from) first++;
    const shares = new Map<number, number>();
    let idle = to - from;
    for (let i = first; i < spans.length && spans[i]!.start < to; i++) {
      const { pid, start, end } = spans[i]!;
      const share = Math.min(end, to) - Math.max(start, from);
      shares.set(pid, (shares.get(pid) ?? 0) + share);
      idle -= share;
    }
    let best: number | undefined;
    for (const [pid, share] of shares) if (share > idle && share > (shares.get(best ?? -1) ?? 0)) best = pid;
    text += best === undefined ? '·' : (letters.get(best) ?? '*');
  }
  return text;
}

function summary(report: SimReport): string[] {
  const { fairness, workConservation } = report;
  const lines = [];
  if (fairness.weightedJain !== null) {
    lines.push(
      `fairness by weight of ${fairness.backlogged} tasks that always wanted a CPU: ${fairness.weightedJain.toFixed(3)}`,
    );
  }
  if (fairness.maxLagNs !== null) lines.push(`a task was ${ms(fairness.maxLagNs)} ms behind its fair share at most`);
  const share = (100 * workConservation.shareOfIdle).toFixed(1);
  lines.push(
    `idle while a task waited that could have run: ${ms(workConservation.lostNs)} ms, ${share} % of idle time`,
  );
  for (const { name, inserts, meanDepth, maxDepth, latencyNs } of report.dsqs) {
    if (inserts === 0 || name === 'bypass') continue;
    const depth = `depth ${meanDepth.toFixed(2)} on average, ${maxDepth} at most`;
    lines.push(
      `DSQ ${name}: ${inserts} inserts, ${depth}, ${us(latencyNs.p50)} us there at p50, ${us(latencyNs.p99)} at p99`,
    );
  }
  const counted = Object.entries(report.scxEvents).filter(([, count]) => count > 0);
  if (counted.length > 0)
    lines.push(counted.map(([name, count]) => `${name.replace('SCX_EV_', '')} ${count}`).join(', '));
  return lines;
}

function ending({ outcome, exit, fault, unsupported, lacking, simulatedNs }: SimReport, colors: Colors): string {
  if (!exit) return `The scheduler is still there after ${ms(simulatedNs)} ms.`;
  const reason = `${exit.reason}${exit.message ? ` (${exit.message})` : ''}`;
  const text = outcome === 'clean' ? reason : colors.red(`${outcome}: ${reason}`);
  const code = exit.code === 0 ? '' : `, code ${exit.code}`;
  const where = fault ?? exit.place;
  const why = where ? `\n${colors.red(where)}` : '';
  const more = unsupported
    ? lackingLines(lacking ?? [])
        .map((line) => `\n${line}`)
        .join('')
    : '';
  return `Scheduler gone: ${text}, ${exit.kindName} ${exit.kind}${code}.${why}${more}`;
}

/** The header is dimmed. */
function table(header: string[], rows: string[][], left: number, colors: Colors): string[] {
  return dimHeader(tableLines(header, rows, left), colors);
}

function dimHeader([header, ...rows]: string[], colors: Colors): string[] {
  return [colors.dim(header!), ...rows];
}

function ms(ns: number): string {
  return (ns / 1e6).toFixed(1);
}

function us(ns: number): string {
  return (ns / 1e3).toFixed(0);
}
