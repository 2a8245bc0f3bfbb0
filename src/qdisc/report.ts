import { checkArgument } from '../argument.js';
import { lackingLines } from '../loader/index.js';
import { callbackLines, tableLines } from '../table.js';
import type { QdiscRunResult } from './run.js';

export interface QdiscReportOptions {
  /** Columns of the terminal; default 100. */
  width?: number;
}

/** A run as text: what became of each flow, and the queue over time. */
export function formatQdisc(result: QdiscRunResult, options: QdiscReportOptions = {}): string {
  checkArgument('formatQdisc: result', result, 'options');
  checkArgument('formatQdisc: queue', result.queue, 'options');
  const { queue } = result;
  const flows = tableLines(
    ['flow', 'offered', 'carried Mbit/s', 'packets', 'sent', 'dropped', 'queued', 'mean ms', 'max ms'],
    result.flows.map(({ name, offered, throughput, packets, delay }) => [
      name,
      mbit(offered),
      mbit(throughput),
      ...[packets.offered, packets.sent, packets.dropped, packets.queued].map(String),
      ms(delay.mean),
      ms(delay.max),
    ]),
    1,
  );
  return [
    `${result.qdisc} of ${result.object}, Linux ${result.kernel}`,
    `link: ${mbit(result.rate)} Mbit/s, ${Number((result.simulatedNs / 1e9).toFixed(3))} s, ` +
      `${Math.round(100 * result.utilization)}% of it used`,
    '',
    ...flows,
    '',
    `queue: ${queue.mean.toFixed(1)} packets on average, ${queue.max} at most`,
    bars(result, options.width ?? 100),
    '',
    ...callbackLines(result.callbacks),
    ...result.output.map((line) => `bpf_printk: ${line}`),
    ...(result.fault === undefined ? [] : ['', `stopped: ${result.fault}`, ...lackingLines(result.lacking ?? [])]),
    '',
  ].join('\n');
}

const LEVELS = ' ▁▂▃▄▅▆▇█';

/** One character a stretch of time: the longest queue in it, of the longest of all. */
function bars({ curve, queue }: QdiscRunResult, width: number): string {
  const columns = Math.min(curve.length, Math.max(width - 2, 10));
  let line = '';
  for (let i = 0; i < columns; i++) {
    const part = curve.slice(
      Math.floor((i * curve.length) / columns),
      Math.max(Math.floor(((i + 1) * curve.length) / columns), 1),
    );
    const most = Math.max(0, ...part.map(({ queued }) => queued));
    line += queue.max === 0 ? ' ' : LEVELS[Math.ceil((most * (LEVELS.length - 1)) / queue.max)];
  }
  return line.trimEnd();
}

const mbit = (bits: number) => (bits / 1e6).toFixed(2);
const ms = (ns: number) => (ns / 1e6).toFixed(2);
