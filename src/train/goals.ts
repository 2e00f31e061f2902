import { check } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";

/** What makes one evaluation better than another. */
export interface Goal {
  /** `loss`, or a metric of the evaluation. */
  metric: string;
  /** Whether less or more of it is better; default: less for losses and errors, more for everything else. */
  mode?: "min" | "max" | undefined;
}

export interface EarlyStopping extends Partial<Goal> {
  /** Training ends after so many evaluations in a row that were not better than the best before them. */
  patience: number;
  /** By how much an evaluation must be better to count; default 0: by anything. */
  minDelta?: number | undefined;
}

export interface ResolvedGoal {
  metric: string;
  mode: "min" | "max";
}

/** An evaluation and its step. */
export interface Scored {
  step: number;
  value: number;
}

/** How long an evaluation has not been better: what early stopping remembers. `by` is the goal that `best` belongs to. */
export interface Patience {
  by: string;
  best: number | null;
  stale: number;
}

/** The goal with its mode; without one it is the lowest loss. */
export function resolveGoal(goal: Partial<Goal> | undefined): ResolvedGoal {
  const metric = goal?.metric ?? "loss";
  const less = /loss|error|mse|mae|rmse|perplexity/i.test(metric);
  return { metric, mode: goal?.mode ?? (less ? "min" : "max") };
}

/** `lowest loss`: names a goal in messages and in checkpoints. */
export const goalName = ({ metric, mode }: ResolvedGoal): string =>
  `${mode === "min" ? "lowest" : "highest"} ${metric}`;

/** Whether `value` is better than `best` by more than `delta`. What is not a number is better than nothing. */
const better = (value: number, best: number | null, mode: "min" | "max", delta = 0): boolean =>
  Number.isFinite(value) && (best === null || (mode === "min" ? best - value : value - best) > delta);

/** The goal's value among the metrics of an evaluation, or a `UserError` that lists them. */
export function valueOf(goal: ResolvedGoal, metrics: Readonly<Record<string, number>>): number {
  checkMetric(goal, Object.keys(metrics));
  return metrics[goal.metric] ?? NaN;
}

/** Refuses a goal whose metric is not among `known`. */
export function checkMetric({ metric }: ResolvedGoal, known: readonly string[]): void {
  check(
    known.includes(metric),
    () => `the evaluation has no metric "${metric}"; it has ${known.join(", ")}${didYouMean(metric, known)}`,
  );
}

/** The best `count` of `ranking` and `entry`, best first, of equals the earlier one first. */
export function rank(ranking: readonly Scored[], entry: Scored, mode: "min" | "max", count: number): Scored[] {
  const place = ranking.findIndex(({ value }) => better(entry.value, value, mode));
  const all = [...ranking];
  if (Number.isFinite(entry.value)) all.splice(place < 0 ? all.length : place, 0, entry);
  return all.slice(0, count);
}

/** Early stopping after an evaluation of `value`. */
export function watch(before: Patience, value: number, mode: "min" | "max", minDelta: number): Patience {
  return better(value, before.best, mode, minDelta)
    ? { ...before, best: value, stale: 0 }
    : { ...before, stale: before.stale + 1 };
}
