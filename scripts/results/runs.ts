import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { check, must } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import type { Study } from "./studies.js";

/** What these tables take of a line of a sweep's results. */
export interface Result {
  parameters: Record<string, string | number | boolean | null>;
  seed: number;
  metrics: Record<string, number | null>;
  seconds: number;
  gradients: number;
  steps: number;
  error: string | null;
}

/** The runs of a sweep that did not fail. */
export function readResults(name: string): Result[] {
  const file = join(root, "docs", "results", `${name}.jsonl`);
  check(existsSync(file), `${file}: absent; run curvsam sweep scripts/results/${name}.yaml`);
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Result).filter(({ error }) => error === null);
}

/** The part that gives a run's optimizer its name: the combine rule or the base where the sweep sets one, else the ascent; a package that is ready-made is named after its own. */
export const optimizerOf = ({ parameters: { combine, base, optimizer, package: made } }: Result): string =>
  String(combine ?? base ?? optimizer ?? basename(String(made)));

/** What the sweep varies besides the optimizer, as text. */
export const settingsOf = ({ parameters }: Result): string =>
  Object.entries(parameters)
    .filter(([name, value]) => !["optimizer", "combine", "base", "package"].includes(name) && value !== null)
    .map(([name, value]) => `${name === "learning_rate" ? "lr" : name} ${String(value)}`)
    .join(", ");

export const metricOf = (metric: string, { metrics, seed }: Result): number =>
  must(metrics[metric], `${metric} of seed ${seed}`);

/** The settings with which each optimizer did best on the tuning seed, of equals the first; and how many were tried of each. */
export function tuned({ name, metric, tuningMetric = metric, less }: Study): {
  settings: Map<string, string>;
  points: number;
} {
  const results = readResults(`${name}.tune`);
  const best = new Map<string, { score: number; settings: string }>();
  for (const result of results) {
    const score = (less ? -1 : 1) * metricOf(tuningMetric, result);
    const known = best.get(optimizerOf(result));
    if (!known || score > known.score) best.set(optimizerOf(result), { score, settings: settingsOf(result) });
  }
  const points = results.length / best.size;
  check(Number.isInteger(points), `${name}.tune: ${results.length} runs of ${best.size} optimizers; as many of each`);
  return { settings: new Map([...best].map(([optimizer, { settings }]) => [optimizer, settings])), points };
}
