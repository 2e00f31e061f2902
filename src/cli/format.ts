/** `1234567` as `1,234,567`. */
export const grouped = (n: number): string => n.toLocaleString("en-US");

/** `1 node`, `2 nodes`. */
export const counted = (n: number, noun: string, plural = `${noun}s`): string =>
  `${grouped(n)} ${n === 1 ? noun : plural}`;

/** Bytes as people read them: `17.6 MB`. */
export function bytes(n: number): string {
  if (n < 1000) return counted(n, "byte");
  const power = Math.min(4, Math.floor(Math.log10(n) / 3));
  return `${(n / 1000 ** power).toFixed(1)} ${["", "kB", "MB", "GB", "TB"][power] ?? ""}`;
}

/** Rows under each other, columns aligned, indented by two. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd());
}

/** `loss 0.4031, accuracy 0.8203`. */
export const metricsText = (metrics: Readonly<Record<string, number>>): string =>
  Object.entries(metrics)
    .map(([name, value]) => `${name} ${value.toFixed(4)}`)
    .join(", ");
