/** Tables on stdout: the first column left, the others right. */

export function printTable(title: string, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  process.stdout.write(`\n${title}\n\n${[line(head), rule, ...rows.map(line)].join('\n')}\n`);
}

/**
 * A table whose rows are printed as they come.
 * @param firstWidth characters of the first column
 * @returns prints a row
 */
export function startTable(
  title: string,
  head: readonly string[],
  firstWidth: number,
): (row: readonly string[]) => void {
  const widths = head.map((name, column) => Math.max(name.length, column === 0 ? firstWidth : 0));
  const print = (row: readonly string[]): void => {
    const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)));
    process.stdout.write(`${cells.join('  ')}\n`);
  };
  process.stdout.write(`\n${title}\n\n`);
  print(head);
  print(widths.map((width) => '-'.repeat(width)));
  return print;
}

export const seconds = (value: number, digits = 2): string => `${value.toFixed(digits)} s`;
export const percent = (value: number, digits = 1): string => `${(value * 100).toFixed(digits)}%`;
export const mebibytes = (value: number, digits = 1): string => `${(value / 1_048_576).toFixed(digits)} MiB`;
