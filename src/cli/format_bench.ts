import { type BenchReport, type BenchRow, type Compared, type Skipped, setupName } from '../bench/index.js';
import { table, tableLines } from '../table.js';

const HEADER = ['', 'engine', 'checks', 'ns/call', '±%', 'ns/insn', 'insns', 'calls'];

/** Three significant digits, none of them lost before the point. */
function digits(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/** Rows as a table, names only where they change, and what was left out. */
export function formatBench(report: BenchReport): string {
  const rows = report.rows.map((row, i) => [
    sameName(report.rows, i) ? '' : label(row),
    row.engine,
    row.checks,
    digits(row.nsPerCall),
    row.rme.toFixed(1),
    row.nsPerInsn === 0 ? '–' : row.nsPerInsn.toFixed(2),
    digits(row.insns),
    String(row.calls),
  ]);
  const left = formatSkipped(report.skipped);
  const head = `${report.object} on kernel ${report.kernel}; ${report.host.runtime}\n\n`;
  const body = rows.length > 0 ? `${tableLines(HEADER, rows, 3).join('\n')}\n` : '';
  return head + body + (left === '' ? '' : `\n${left}`);
}

/** One line a reason: the setups, the names. */
function formatSkipped(skipped: readonly Skipped[]): string {
  const setups = group(skipped, ({ name, why }) => `${name}\n${why}`);
  const alike = group([...setups.values()], (same) => [same[0]!.why, ...same.map(setupName)].join('\n'));
  return [...alike.values()]
    .map((same) => {
      const [first] = same;
      const where = first!.map(setupName).join('; ') || 'any';
      return `not timed (${where}): ${same.map(([one]) => one!.name).join(', ')}: ${first![0]!.why}\n`;
    })
    .join('');
}

function group<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

function sameName(rows: readonly BenchRow[], i: number): boolean {
  return rows[i - 1]?.name === rows[i]!.name;
}

function label({ name, program }: BenchRow): string {
  return program === undefined ? name : `${name} (${program})`;
}

export function formatComparison(
  compared: readonly Compared[],
  threshold: number,
  before: BenchReport,
  after: BenchReport,
): string {
  const change = (factor: number) => `${factor >= 1 ? '+' : ''}${((factor - 1) * 100).toFixed(1)}`;
  const rows = compared.map(({ name, engine, checks, verdict, shift, insns }) => [
    name,
    engine,
    checks,
    shift ? `${change(shift.ratio)} %` : '',
    shift && Number.isFinite(shift.high) ? `${change(shift.low)} to ${change(shift.high)} %` : '',
    !insns || insns.before === insns.after ? '' : `${digits(insns.before)} → ${digits(insns.after)}`,
    verdict,
  ]);
  const slower = compared.filter(({ verdict }) => verdict === 'slower').length;
  const rule = `slower: all of the 99.8 % confidence interval lies above +${threshold * 100} %`;
  const hosts =
    before.host.runtime === after.host.runtime ? '' : `before: ${before.host.runtime}; now: ${after.host.runtime}\n`;
  return `\n${table(['', 'engine', 'checks', 'time', 'interval', 'insns', 'verdict'], rows)}\n${hosts}${slower} slower (${rule})\n`;
}
