/** Columns padded to their widest cell; numbers stand right. A blank line ends nothing: callers join the lines. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[], indent = ''): string {
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  const right = header.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'));
  const line = (cells: readonly (string | number)[]) =>
    (
      indent +
      cells
        .map((cell, column) =>
          right[column] ? String(cell).padStart(widths[column]!) : String(cell).padEnd(widths[column]!),
        )
        .join('  ')
    ).trimEnd();
  return `${[line(header), ...rows.map(line)].join('\n')}\n`;
}
