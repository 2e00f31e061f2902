import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { check, UserError } from "../../util/assert.js";
import { at, unreadable } from "../cells.js";

/** A file of numbers: row i is `values[i·width …]`; an empty cell is NaN. */
export interface NumberTable {
  path: string;
  width: number;
  rows: number;
  values: Float64Array;
}

/**
 * Reads numbers with commas between them, without a header, from a file or its gzip (`.gz`). `width`: the columns that each row must
 * have; where it is not given, the first row's. Throws `UserError` with the line for what is malformed.
 */
export async function readNumbers(path: string, width?: number): Promise<NumberTable> {
  const lines = (await readText(path)).split(/\r?\n/);
  while (lines.at(-1) === "") lines.pop();
  const columns = width ?? lines[0]?.split(",").length ?? 0;
  const values = new Float64Array(lines.length * columns);
  let next = 0;
  lines.forEach((line, i) => {
    const cells = line.split(",");
    const counts = `${cells.length} ${cells.length === 1 ? "column" : "columns"}`;
    check(cells.length === columns, () => `${at(path, i + 1)}: ${counts}, expected ${columns}`);
    for (const cell of cells) {
      const value = cell.trim() === "" ? NaN : Number(cell);
      const isNumber = cell.trim() === "" || cell.trim().toLowerCase() === "nan" || !Number.isNaN(value);
      check(isNumber, () => `${at(path, i + 1)}: ${JSON.stringify(cell)} is not a number`);
      values[next++] = value;
    }
  });
  return { path, width: columns, rows: lines.length, values };
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => unreadable(path, error));
  if (!path.endsWith(".gz")) return bytes.toString("latin1");
  try {
    return gunzipSync(bytes).toString("latin1");
  } catch {
    throw new UserError(`${path}: it is not a gzip file, or it is cut off; fetch it again`);
  }
}
