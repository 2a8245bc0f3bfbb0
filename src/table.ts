import { checkArgument } from './argument.js';
/**
 * Lines of columns, each padded to its widest cell, the header first. The first `left` columns stand left, the others right;
 * without `left`, columns of nothing but numbers stand right.
 */
export function tableLines(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  left?: number,
): string[] {
  checkArgument('tableLines: header', header, 'list');
  checkArgument('tableLines: rows', rows, 'list');
  const widths = header.map((title, column) =>
    rows.reduce((most, row) => Math.max(most, String(row[column] ?? '').length), title.length),
  );
  const isNumeric = (column: number) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number');
  const right = header.map((_, column) => (left === undefined ? isNumeric(column) : column >= left));
  const cell = (value: string | number, column: number) =>
    right[column] ? String(value).padStart(widths[column]!) : String(value).padEnd(widths[column]!);
  return [header, ...rows].map((cells) => cells.map(cell).join('  ').trimEnd());
}

/** The same as one text that ends in a newline; numbers stand right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[], indent = ''): string {
  return `${tableLines(header, rows)
    .map((line) => indent + line)
    .join('\n')}\n`;
}

/** What a run called, op by op. */
export interface CallbackRow {
  program: string;
  count: number;
  insns: number;
}

/** The header and a row an op: its program, calls, insns of each; `more` are cells of further columns. */
export function callbackLines(
  callbacks: Readonly<Record<string, CallbackRow>>,
  more: { header: readonly string[]; cells: (op: string) => readonly string[] } = { header: [], cells: () => [] },
): string[] {
  checkArgument('callbackLines: callbacks', callbacks, 'options');
  const rows = Object.entries(callbacks).map(([op, { program, count, insns }]) => [
    op,
    program,
    String(count),
    count === 0 ? '' : (insns / count).toFixed(0),
    ...more.cells(op),
  ]);
  return tableLines(['op', 'program', 'calls', 'insns/call', ...more.header], rows, 2);
}
