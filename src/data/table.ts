import { isUtf8 } from "node:buffer";
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { CsvError } from "csv-parse";
import { parse } from "csv-parse/sync";
import { check, UserError } from "../util/assert.js";
import { at, locate, unreadable, type Cell, type Table, type TableFormat } from "./cells.js";
import { readParquet } from "./parquet.js";

export interface TableOptions {
  /** Default: by the file's extension. */
  format?: TableFormat;
  /** Whether the first line names the columns (default); without it they are called "0", "1", … JSON lines and Parquet always have names. */
  header?: boolean;
}

const extensions: Record<string, TableFormat> = {
  ".tsv": "tsv",
  ".tab": "tsv",
  ".csv": "csv",
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".parquet": "parquet",
};

/**
 * Reads the columns `wanted` of a TSV file (no quoting, as in GLUE), a CSV file (quoted fields), JSON lines or Parquet; the
 * rest of each row is dropped while parsing. Throws `UserError` with the line for what is malformed, and where the file has no rows.
 */
export async function readTable(path: string, wanted: readonly string[], options: TableOptions = {}): Promise<Table> {
  const format = options.format ?? extensions[extname(path).toLowerCase()];
  check(
    format !== undefined,
    `${path}: the format does not show in the file's name; rename it to .tsv, .csv, .jsonl or .parquet, or say which with --format`,
  );
  const header = (format === "tsv" || format === "csv") && (options.header ?? true);
  const table = await readAs(format, path, wanted, options);
  check(table.lines.length > 0, `${path}: the data set is empty: it has no rows${header ? " below its header" : ""}`);
  return table;
}

async function readAs(
  format: TableFormat,
  path: string,
  wanted: readonly string[],
  options: TableOptions,
): Promise<Table> {
  if (format === "parquet") return readParquet(path, wanted);
  const bytes = await readBytes(path);
  return format === "jsonl" ? readJsonLines(path, bytes, wanted) : readDelimited(path, bytes, wanted, format, options);
}

async function readBytes(path: string): Promise<Buffer> {
  const bytes = await readFile(path).catch((error: unknown) => unreadable(path, error));
  if (!isUtf8(bytes)) {
    const line = firstLineNotUtf8(bytes);
    throw new UserError(`${at(path, line)}: not UTF-8; convert the file, for example with: iconv -f latin1 -t utf-8`);
  }
  return bytes;
}

function* linesOf(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(10, start);
    yield bytes.subarray(start, end < 0 ? bytes.length : end);
    start = end < 0 ? bytes.length : end + 1;
  }
}

function firstLineNotUtf8(bytes: Buffer): number {
  let line = 0;
  for (const slice of linesOf(bytes)) {
    line++;
    if (!isUtf8(slice)) return line;
  }
  return line;
}

function readDelimited(
  path: string,
  bytes: Buffer,
  wanted: readonly string[],
  format: "tsv" | "csv",
  options: TableOptions,
): Table {
  const header = options.header ?? true;
  const lines: number[] = [];
  const cells = wanted.map((): Cell[] => []);
  let width = -1;
  let firstLine = 0;
  let indexes: number[] = [];
  const take = (record: string[], line: number): void => {
    if (width < 0) {
      width = record.length;
      firstLine = line;
      const names = header ? record : record.map((_, i) => String(i));
      indexes = locate(path, names, wanted, header);
      if (header) return;
    }
    if (record.length !== width) {
      const cause = format === "csv" ? "; check the quoting" : "";
      const counts = `${record.length} ${record.length === 1 ? "column" : "columns"}, expected ${width} as in line ${firstLine}`;
      throw new UserError(`${at(path, line)}: ${counts}${cause}`);
    }
    lines.push(line);
    indexes.forEach((index, i) => cells[i]?.push(record[index] ?? ""));
  };
  try {
    parse(bytes, {
      bom: true,
      delimiter: format === "tsv" ? "\t" : ",",
      quote: format === "tsv" ? null : '"',
      record_delimiter: ["\r\n", "\n"],
      relax_column_count: true,
      skip_empty_lines: true,
      on_record: (record: string[], context) => {
        take(record, context.lines);
        return null;
      },
    });
  } catch (error) {
    if (error instanceof CsvError) throw new UserError(`${path}: not valid CSV: ${error.message}`);
    throw error;
  }
  return { path, unit: "line", lines, columns: new Map(wanted.map((name, i) => [name, cells[i] ?? []])) };
}

function readJsonLines(path: string, bytes: Buffer, wanted: readonly string[]): Table {
  const lines: number[] = [];
  const cells = wanted.map((): Cell[] => []);
  let line = 0;
  for (const slice of linesOf(bytes)) {
    line++;
    const text = slice
      .toString("utf8")
      .replace(/^\uFEFF/, "")
      .trim();
    if (text === "") continue;
    const row = parseJsonObject(text, at(path, line));
    wanted.forEach((name, i) => {
      if (!Object.hasOwn(row, name)) locate(at(path, line), Object.keys(row), [name], true);
      const value = row[name];
      const kind = value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
      check(
        typeof value === "string" || typeof value === "number" || typeof value === "boolean",
        `${at(path, line)}: ${JSON.stringify(name)} is ${kind}; expected text or a number`,
      );
      cells[i]?.push(value);
    });
    lines.push(line);
  }
  return { path, unit: "line", lines, columns: new Map(wanted.map((name, i) => [name, cells[i] ?? []])) };
}

function parseJsonObject(text: string, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${where}: not valid JSON: ${(error as Error).message}`);
  }
  check(
    typeof value === "object" && value !== null && !Array.isArray(value),
    `${where}: expected a JSON object, one to a line, such as {"text": "…", "label": 1}`,
  );
  return value as Record<string, unknown>;
}
