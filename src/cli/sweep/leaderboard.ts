import { markdownTable, type TableCell } from "../../report/table.js";
import { mean, standardError } from "../../util/statistics.js";
import type { OptionValue, SweepFile } from "./file.js";
import type { SweepResult } from "./results.js";
import type { SweepRun } from "./runs.js";

/** The runs that differ in their seed alone. */
export interface Standing {
  parameters: Readonly<Record<string, OptionValue>>;
  /** How many seeds are finished. */
  seeds: number;
  failed: number;
  /** Mean of the metric over the seeds, and its standard error; null where there is none. */
  mean: number | null;
  error: number | null;
  /** Means over the seeds. */
  seconds: number | null;
  gradients: number | null;
}

/** Standings, the best first; those without a metric last. */
export function standings(
  { goal }: SweepFile,
  runs: readonly SweepRun[],
  of: (run: SweepRun) => SweepResult | undefined,
): Standing[] {
  const groups = new Map<string, { run: SweepRun; results: SweepResult[] }>();
  for (const run of runs) {
    const key = JSON.stringify(Object.entries(run.parameters));
    const group = groups.get(key) ?? { run, results: [] };
    const result = of(run);
    if (result) group.results.push(result);
    groups.set(key, group);
  }
  const all = [...groups.values()].map(({ run, results }) => {
    const good = results.filter(({ error }) => error === null);
    const values = known(good.map(({ metrics }) => metrics[goal.metric]));
    return {
      parameters: run.parameters,
      seeds: good.length,
      failed: results.length - good.length,
      mean: orNull(mean(values)),
      error: orNull(standardError(values)),
      seconds: orNull(mean(known(good.map(({ seconds }) => seconds)))),
      gradients: orNull(mean(known(good.map(({ gradients }) => gradients)))),
    };
  });
  const sign = goal.mode === "min" ? 1 : -1;
  return all.sort((a, b) => {
    if (a.mean === null || b.mean === null) return Number(a.mean === null) - Number(b.mean === null);
    return sign * (a.mean - b.mean);
  });
}

/** The standings as a Markdown table. */
export function leaderboard({ goal }: SweepFile, all: readonly Standing[]): string {
  const names = [...new Set(all.flatMap(({ parameters }) => Object.keys(parameters)))];
  const failed = all.some((each) => each.failed > 0);
  const cell = (value: OptionValue | undefined): TableCell =>
    typeof value === "boolean" ? String(value) : (value ?? null);
  return markdownTable(
    [...names, goal.metric, "± s.e.", "seeds", ...(failed ? ["failed"] : []), "time, s", "gradients"],
    all.map(({ parameters, mean, error, seeds, failed: lost, seconds, gradients }) => [
      ...names.map((name) => cell(parameters[name])),
      ...[mean, error, seeds],
      ...(failed ? [lost] : []),
      ...[seconds, gradients],
    ]),
  );
}

const known = (values: readonly (number | null | undefined)[]): number[] =>
  values.filter((value): value is number => typeof value === "number");

const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
