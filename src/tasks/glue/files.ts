import { zipSync } from "fflate";
import { writeFileAtomically } from "../../util/files.js";
import type { GlueTask } from "./tasks.js";

export const writeJson = (path: string, value: unknown): void =>
  writeFileAtomically(path, `${JSON.stringify(value, null, 4)}\n`);

/** A number as `run_glue.py` writes predictions of a regression. */
const score = (value: number): string => value.toFixed(3);

/** Predictions as `run_glue.py` writes them: a header, then `index<TAB>prediction`, classes by name. */
export function predictionTable(task: GlueTask, predictions: readonly number[]): string {
  const rows = predictions.map((p, i) => `${i}\t${task.labels ? (task.labels[p] ?? String(p)) : score(p)}`);
  return `index\tprediction\n${rows.join("\n")}\n`;
}

/** Scores of STS-B are limited to what the leaderboard takes: 0 to 5. */
export const submissionTable = (task: GlueTask, predictions: readonly number[]): string =>
  predictionTable(task, task.labels ? predictions : predictions.map((p) => Math.min(5, Math.max(0, p))));

/** The zip that GLUE's leaderboard takes: one TSV a task part, at its root. */
export function writeSubmission(path: string, tables: ReadonlyMap<string, string>): void {
  const entries = [...tables].map(([name, text]) => [name, new TextEncoder().encode(text)] as const);
  // A date of its own would make equal submissions differ.
  const zip = zipSync(Object.fromEntries(entries), { mtime: new Date("1980-01-01T00:00:00") });
  writeFileAtomically(path, zip);
}
