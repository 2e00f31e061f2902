import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type FileMetaData,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { stat } from "node:fs/promises";
import { check, UserError } from "../util/assert.js";
import { locate, unreadable, type Cell, type Table } from "./cells.js";

const magic = "PAR1";

/**
 * Reads the columns `wanted` of a Parquet file, whatever its compression: text, numbers (64-bit integers where they are safe) and
 * booleans. Rows count from 1. Throws `UserError` where the file is truncated, and for what is null or nested.
 */
export async function readParquet(path: string, wanted: readonly string[]): Promise<Table> {
  const size = await stat(path).then(
    (stats) => (stats.isDirectory() ? unreadable(path, { code: "EISDIR" }) : stats.size),
    (error: unknown) => unreadable(path, error),
  );
  const file = await asyncBufferFromFile(path);
  await checkEnds(path, size, async (start, end) => Buffer.from(await file.slice(start, end)).toString("latin1"));
  const metadata = await orDamaged(path, () => parquetMetadataAsync(file));
  const names = parquetSchema(metadata).children.map(({ element }) => element.name);
  locate(path, names, wanted, true);
  const columns = new Map(wanted.map((name): [string, Cell[]] => [name, []]));
  // A row group at a time: what is decoded of one can go before the next.
  let start = 0;
  for (const group of metadata.row_groups) {
    const rows = Number(group.num_rows);
    const rowStart = start;
    const rowEnd = (start += rows);
    const read = await orDamaged(path, () =>
      parquetReadObjects({ file, metadata, columns: [...columns.keys()], rowStart, rowEnd, compressors }),
    );
    check(
      read.length === rows,
      `${path}: ${read.length} of ${rows} rows from row ${rowStart + 1} on; the file is damaged`,
    );
    for (const [name, cells] of columns) {
      read.forEach((row, i) =>
        cells.push(toCell(row[name], `${path} row ${rowStart + i + 1}: ${JSON.stringify(name)}`)),
      );
    }
  }
  const lines = Array.from({ length: start }, (_, i) => i + 1);
  return { path, unit: "row", lines, columns, classes: classLabels(metadata) };
}

/** A Parquet file begins and ends with the same four bytes: which of them are there tells what is wrong. */
async function checkEnds(
  path: string,
  size: number,
  read: (start: number, end: number) => Promise<string>,
): Promise<void> {
  check(size >= 12, `${path}: ${size} bytes are no Parquet file; it is truncated`);
  const [first, last] = [await read(0, 4), await read(size - 4, size)];
  check(last !== "PARE", `${path}: the Parquet file is encrypted; decrypt it first`);
  check(first === magic, `${path}: not a Parquet file: it does not begin with ${magic}`);
  check(
    last === magic,
    `${path}: the Parquet file is truncated: its ${size} bytes do not end with ${magic}; get it anew`,
  );
}

async function orDamaged<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    const reason = (error as Error).message.split("\n", 1)[0] ?? "";
    throw new UserError(`${path}: the Parquet file is damaged, or of a kind that is not supported: ${reason}`);
  }
}

function toCell(value: unknown, where: string): Cell {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value === "bigint") {
    check(Number.isSafeInteger(Number(value)), `${where}: ${value} is beyond the integers that numbers hold exactly`);
    return Number(value);
  }
  const kind = value === null || value === undefined ? "null" : kindOf(value);
  throw new UserError(`${where} is ${kind}; expected text or a number`);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a time";
  return ArrayBuffer.isView(value) ? "bytes" : "a structure";
}

/** Names of the classes of those columns that Hugging Face's `datasets` wrote as ClassLabel: integers with names beside. */
function classLabels({ key_value_metadata: entries = [] }: FileMetaData): Map<string, readonly string[]> {
  const classes = new Map<string, readonly string[]>();
  const text = entries.find(({ key }) => key === "huggingface")?.value;
  if (text === undefined) return classes;
  try {
    const { info } = JSON.parse(text) as { info?: { features?: Record<string, { _type?: string; names?: string[] }> } };
    for (const [name, { _type, names }] of Object.entries(info?.features ?? {})) {
      if (_type === "ClassLabel" && Array.isArray(names)) classes.set(name, names);
    }
  } catch {
    // What another program wrote beside the data is no reason to refuse the data.
  }
  return classes;
}
