import type { Manifest } from "../../format/manifest.js";
import { gather, type EvaluatedBatch, type Measure } from "../../train/evaluate.js";
import {
  accuracy,
  argmaxRows,
  averagePrecision,
  rocAuc,
  rootMeanSquaredError,
  type Values,
} from "../../train/metrics.js";

type Metrics = Record<string, number>;

/**
 * The Open Graph Benchmark's evaluators, by the kind of the package's loss: `rocauc` and `ap` of binary tasks, the mean over the tasks that
 * have both classes; `rmse` of numbers, the mean over the tasks; `acc` of classes. undefined where the model computes its own loss.
 */
export function graphMeasure({ loss, outputs, targets }: Manifest): Measure | undefined {
  const [labels] = Object.keys(targets);
  const { kind, logits, ignoreIndex } = loss;
  const shape = logits === undefined ? undefined : outputs[logits]?.shape;
  if (logits === undefined || labels === undefined || shape === undefined) return undefined;
  const width = shape.length > 1 ? shape.at(-1) : 1;
  if (typeof width !== "number") return undefined;
  const named = (metrics: readonly string[], of: (scores: Values, truth: Values) => Metrics): Measure =>
    Object.assign((batches: readonly EvaluatedBatch[]) => of(gather(batches, logits), gather(batches, labels)), {
      metrics,
    });
  switch (kind) {
    case "cross-entropy":
      return named(["acc"], (scores, truth) => {
        const predicted = argmaxRows(scores, width);
        const counted = Array.from(predicted.keys()).filter((i) => truth[i] !== ignoreIndex);
        const of = (values: Values): number[] => counted.map((i) => values[i] ?? NaN);
        return { acc: accuracy(of(predicted), of(truth)) };
      });
    case "bce-with-logits":
      return named(["rocauc", "ap"], (scores, truth) => ({
        rocauc: overTasks(rocAuc, scores, truth, width, hasBoth),
        ap: overTasks(averagePrecision, scores, truth, width, hasBoth),
      }));
    case "mse":
      return named(["rmse"], (scores, truth) => ({ rmse: overTasks(rootMeanSquaredError, scores, truth, width) }));
    default:
      return undefined;
  }
}

/** Whether both classes occur. */
const hasBoth = (labels: readonly number[]): boolean => new Set(labels).size === 2;

/** The mean of `metric` over the columns whose labels are `measurable`; NaN where there are none. */
export function overTasks(
  metric: (scores: Values, truth: Values) => number,
  scores: Values,
  truth: Values,
  width: number,
  measurable: (labels: readonly number[]) => boolean = () => true,
): number {
  const rows = Array.from({ length: truth.length / width }, (_, i) => i);
  const column = (values: Values, j: number): number[] => rows.map((i) => values[i * width + j] ?? NaN);
  const tasks = Array.from({ length: width }, (_, j) => [column(scores, j), column(truth, j)] as const);
  const measured = tasks.filter(([, labels]) => measurable(labels));
  return measured.reduce((sum, [task, labels]) => sum + metric(task, labels), 0) / measured.length;
}
