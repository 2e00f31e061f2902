/** A cell of a table; numbers are written with `formatNumber`, null as a dash. */
export type TableCell = string | number | null;

/** `digits` significant digits without trailing zeros; 1e-4 and below, and 1e6 and above, in scientific notation. */
export function formatNumber(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (value === 0 || (Number.isInteger(value) && size < 1e6)) return String(value);
  if (size < 1e-4 || size >= 1e6) return value.toExponential(digits - 1).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(digits)));
}

/** A Markdown table. Columns that hold only numbers are set to the right; `|` and line ends in cells are escaped. */
export function markdownTable(header: readonly string[], rows: readonly (readonly TableCell[])[]): string {
  const escape = (text: string): string => text.replace(/\|/g, "\\|").replace(/\r?\n/g, "<br>");
  const text = (cell: TableCell | undefined): string =>
    cell === null || cell === undefined ? "–" : typeof cell === "number" ? formatNumber(cell) : escape(cell);
  const numeric = header.map((_, j) => {
    const cells = rows.map((row) => row[j]);
    return cells.some((cell) => typeof cell === "number") && cells.every((cell) => typeof cell !== "string");
  });
  const body = [header.map(escape), ...rows.map((row) => header.map((_, j) => text(row[j])))];
  const widths = header.map((_, j) => Math.max(3, ...body.map((row) => Array.from(row[j] ?? "").length)));
  const pad = (cell: string, j: number): string => {
    const fill = " ".repeat(Math.max(0, (widths[j] ?? 0) - Array.from(cell).length));
    return numeric[j] ? fill + cell : cell + fill;
  };
  const rule = widths.map((width, j) => (numeric[j] ? `${"-".repeat(width - 1)}:` : "-".repeat(width)));
  const [head = [], ...rest] = body.map((row) => row.map(pad));
  return [head, rule, ...rest].map((cells) => `| ${cells.join(" | ")} |`).join("\n") + "\n";
}
