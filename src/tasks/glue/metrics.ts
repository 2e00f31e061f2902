import { mean } from "../../util/statistics.js";
import { accuracy, argmaxRows, f1, matthews, pearson, spearman, type Values } from "../../train/metrics.js";
import type { GlueMetric, GlueTask } from "./tasks.js";

const measures: Record<GlueMetric, (predicted: Values, labels: Values) => number> = {
  matthews_correlation: matthews,
  accuracy,
  f1,
  pearson,
  spearmanr: spearman,
};

/** Class ids, or for a regression the numbers, that logits [examples, outputs] stand for. */
export const predictionsOf = (task: GlueTask, logits: Values): Values =>
  task.labels ? argmaxRows(logits, task.labels.length) : logits;

/** The task's metrics by the names of Hugging Face's `run_glue.py`; where there are several, their mean as `combined_score`. */
export function glueMetrics(task: GlueTask, logits: Values, labels: Values): Record<string, number> {
  const predicted = predictionsOf(task, logits);
  const found = task.metrics.map((name) => [name, measures[name](predicted, labels)] as const);
  const all: Record<string, number> = Object.fromEntries(found);
  if (found.length > 1) all["combined_score"] = mean(found.map(([, value]) => value));
  return all;
}

/** The number that GLUE counts a task with: the mean of its metrics, for MNLI over both of its parts. */
export const taskScore = (parts: readonly Readonly<Record<string, number>>[], task: GlueTask): number =>
  mean(parts.map((part) => mean(task.metrics.map((name) => part[name] ?? NaN))));
