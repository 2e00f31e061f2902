import { isUtf8 } from "node:buffer";
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { CsvError } from "csv-parse";
import { parse } from "csv-parse/sync";
import { check, UserError } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";

export const tableFormats = ["tsv", "csv", "jsonl"] as const;
export type TableFormat = (typeof tableFormats)[number];

export interface TableOptions {
  /** Default: by the file's extension. */
  format?: TableFormat;
  /** Whether the first line names the columns (default); without it they are called "0", "1", … JSON lines always have names. */
  header?: boolean;
}

/** The wanted columns of a file. Row i is `columns.get(name)[i]` and ends at line `lines[i]` of the file, counted from 1. */
export interface Table {
  path: string;
  lines: number[];
  columns: Map<string, Cell[]>;
}

export type Cell = string | number | boolean;

const extensions: Record<string, TableFormat> = {
  ".tsv": "tsv",
  ".tab": "tsv",
  ".csv": "csv",
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
};

/** `path line 3`: how errors name a row. */
export const at = (path: string, line: number | undefined): string => `${path} line ${line ?? "?"}`;

/**
 * Reads the columns `wanted` of a TSV file (no quoting, as in GLUE), a CSV file (quoted fields) or JSON lines; the rest of
 * each row is dropped while parsing. Throws `UserError` with the line for what is malformed, and where the file has no rows.
 */
export async function readTable(path: string, wanted: readonly string[], options: TableOptions = {}): Promise<Table> {
  const format = options.format ?? extensions[extname(path).toLowerCase()];
  check(
    format !== undefined,
    `${path}: the format does not show in the file's name; rename it to .tsv, .csv or .jsonl, or say which with --format`,
  );
  const bytes = await readBytes(path);
  const header = format !== "jsonl" && (options.header ?? true);
  const table =
    format === "jsonl" ? readJsonLines(path, bytes, wanted) : readDelimited(path, bytes, wanted, format, options);
  check(table.lines.length > 0, `${path}: the data set is empty: it has no rows${header ? " below its header" : ""}`);
  return table;
}

async function readBytes(path: string): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") throw new UserError(`${path}: no such file`);
    if (code === "EISDIR") throw new UserError(`${path}: is a folder; expected a file`);
    throw new UserError(`${path}: cannot be read: ${(error as Error).message}`);
  }
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

function locate(path: string, names: readonly string[], wanted: readonly string[], header: boolean): number[] {
  return wanted.map((name) => {
    const index = names.indexOf(name);
    if (index < 0) {
      const shown = names.slice(0, 20).map((column) => JSON.stringify(column));
      const list = shown.join(", ") + (names.length > 20 ? `, … (${names.length})` : "");
      const hint = header ? didYouMean(name, names) : "; without a header, columns go by number from 0";
      throw new UserError(`${path}: no column ${JSON.stringify(name)}; its columns are ${list}${hint}`);
    }
    check(names.lastIndexOf(name) === index, `${path}: two columns are called ${JSON.stringify(name)}; rename one`);
    return index;
  });
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
  return { path, lines, columns: new Map(wanted.map((name, i) => [name, cells[i] ?? []])) };
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
  return { path, lines, columns: new Map(wanted.map((name, i) => [name, cells[i] ?? []])) };
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
