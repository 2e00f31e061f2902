import { check, UserError } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";

export const tableFormats = ["tsv", "csv", "jsonl", "parquet"] as const;
export type TableFormat = (typeof tableFormats)[number];

/**
 * The wanted columns of a file. Row i is `columns.get(name)[i]` and ends at line `lines[i]` of the file, counted from 1; in a file
 * that has no lines, it is row `lines[i]`, and `unit` says so.
 */
export interface Table {
  path: string;
  unit: "line" | "row";
  lines: number[];
  columns: Map<string, Cell[]>;
  /** Names of the classes behind columns of integers, where the file tells. */
  classes?: ReadonlyMap<string, readonly string[]>;
}

export type Cell = string | number | boolean;

/** `path line 3`: how errors name a row. */
export const at = (path: string, line: number | undefined, unit: Table["unit"] = "line"): string =>
  `${path} ${unit} ${line ?? "?"}`;

/** Throws the one line for a file that the operating system does not give. */
export function unreadable(path: string, error: unknown): never {
  const { code, message = "" } = error as Partial<NodeJS.ErrnoException>;
  if (code === "ENOENT") throw new UserError(`${path}: no such file`);
  if (code === "EISDIR") throw new UserError(`${path}: is a folder; expected a file`);
  throw new UserError(`${path}: cannot be read: ${message}`);
}

/** Where the wanted columns stand among `names`; throws for one that is not there, or there twice. */
export function locate(path: string, names: readonly string[], wanted: readonly string[], header: boolean): number[] {
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
