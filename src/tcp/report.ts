import { checkArgument } from '../argument.js';
import { lackingLines } from '../loader/index.js';
import { callbackLines } from '../table.js';
import { CA_STATES } from './consts.js';
import type { CurvePoint } from './flow.js';
import type { TcpRunResult } from './run.js';

export interface TcpReportOptions {
  /** Columns of the terminal; default 100. */
  width?: number;
  /** Rows of the chart; default 16. */
  rows?: number;
}

/** A run as text: what the path was, what came of it, and the window over time. */
export function formatTcp(result: TcpRunResult, options: TcpReportOptions = {}): string {
  checkArgument('formatTcp: result', result, 'options');
  checkArgument('formatTcp: path', result.path, 'options');
  const { path, segments, queue } = result;
  const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
  const marks = path.markPackets === null ? '' : `, marks from ${path.markPackets} on`;
  const loss = path.loss === 0 ? '' : `, ${(100 * path.loss).toPrecision(2)}% lost by chance`;
  const events = [
    count(result.recoveries, 'fast recovery').replace('recoverys', 'recoveries'),
    count(result.timeouts, 'timeout'),
    count(result.ecnReductions, 'reduction after ECN').replace(/ECNs$/, 'ECN'),
    `${result.undone} undone`,
  ];
  return [
    `${result.algorithm} of ${result.object}, Linux ${result.kernel}`,
    `path: ${mbit(path.rate)} Mbit/s, ${ms(path.rttNs)} ms round trip, queue of ${path.queuePackets} packets${marks}${loss}`,
    `${seconds(result.simulatedNs)} s: ${mbit(result.throughput)} Mbit/s (${percent(result.utilization)} of the bottleneck), ` +
      `${segments.sent} packets sent, ${segments.retransmitted} of them again`,
    `queue: ${queue.mean.toFixed(1)} packets on average, ${queue.max} at most; ${segments.droppedByQueue} dropped, ` +
      `${segments.droppedByChance} lost, ${segments.marked} marked`,
    events.join(', '),
    '',
    ...chart(result.curve, options.width ?? 100, options.rows ?? 16),
    '',
    ...callbackLines(result.callbacks),
    ...result.output.map((line) => `bpf_printk: ${line}`),
    ...(result.fault === undefined ? [] : ['', `stopped: ${result.fault}`, ...lackingLines(result.lacking ?? [])]),
    '',
  ].join('\n');
}

/** The window over time: `*` while it may grow, the state's first letter (D, C, R, L) otherwise; `-` the threshold. */
function chart(curve: readonly CurvePoint[], width: number, rows: number): string[] {
  if (curve.length === 0) return [];
  const most = Math.max(...curve.map(({ cwnd }) => cwnd), 1);
  const label = (value: number) => `${String(value).padStart(String(most).length)} |`;
  const columns = Math.max(Math.min(width - label(0).length - 1, curve.length), 10);
  const columnPoints = Array.from({ length: columns }, (_, i) => pick(curve, i, columns));
  const row = (value: number) => Math.min(Math.floor((value * rows) / (most + 1)), rows - 1);
  const lines: string[] = [];
  for (let r = rows - 1; r >= 0; r--) {
    const cells = columnPoints.map(({ cwnd, ssthresh, state }) => {
      if (row(cwnd) === r) return state === 0 ? '*' : CA_STATES[state]!.charAt(0);
      return ssthresh !== null && ssthresh <= most && row(ssthresh) === r ? '-' : ' ';
    });
    lines.push(`${label(Math.ceil(((r + 1) * (most + 1)) / rows) - 1)}${cells.join('')}`.trimEnd());
  }
  const last = curve.at(-1)!.time;
  const axis = `${' '.repeat(String(most).length)} +${'-'.repeat(columns)}`;
  const times = `${' '.repeat(String(most).length + 2)}0${`${seconds(last)} s`.padStart(columns - 1)}`;
  return ['packets in the window (*; D, C, R, L: disorder, CWR, recovery, loss), threshold (-)', ...lines, axis, times];
}

/** The point of a column: the one with the largest window, so that no peak is lost. */
function pick(curve: readonly CurvePoint[], column: number, columns: number): CurvePoint {
  const from = Math.floor((column * curve.length) / columns);
  const to = Math.max(Math.floor(((column + 1) * curve.length) / columns), from + 1);
  return curve.slice(from, to).reduce((best, point) => (point.cwnd > best.cwnd ? point : best));
}

const mbit = (bits: number) => (bits / 1e6).toFixed(bits < 1e7 ? 2 : 1);
const ms = (ns: number) => String(Number((ns / 1e6).toFixed(3)));
const seconds = (ns: number) => String(Number((ns / 1e9).toFixed(3)));
const percent = (share: number) => `${Math.round(100 * share)}%`;
