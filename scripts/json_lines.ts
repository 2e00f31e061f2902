import { appendFileSync, existsSync, readFileSync } from "node:fs";

/** The records of a file that has one JSON value a line; none where it is absent. */
export function readJsonLines<T>(file: string): T[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as T);
}

/** Writes them at the file's end, at once: a run that is cut short keeps what it has. */
export function appendJsonLines(file: string, records: readonly object[]): void {
  appendFileSync(file, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
}
