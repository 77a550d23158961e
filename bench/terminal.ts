/** Writes a line to standard output. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`)
}

/** Writes a line about the progress to standard error, so that standard output holds only results. */
export function progress(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Prints columns: the first to the left, all others to the right. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map(cells => cells[column]?.length ?? 0)))
  const format = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
  print(format(header))
  print(widths.map(width => '-'.repeat(width)).join('  '))
  for (const cells of rows) print(format(cells))
}
