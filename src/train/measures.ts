import type { Manifest } from "../format/manifest.js";
import { gather, type EvaluatedBatch, type Measure } from "./evaluate.js";
import { accuracy, classifierMetrics, f1, regressorMetrics, rocAuc } from "./metrics.js";

const named = (
  metrics: readonly string[],
  measure: (batches: readonly EvaluatedBatch[]) => Record<string, number>,
): Measure => Object.assign(measure, { metrics });

/**
 * What is usual to measure for the package's loss; undefined where the model computes its own. Classes: accuracy, Matthews'
 * correlation, F1 (macro above two classes), and for two classes the AUC. Numbers: mean squared error, Pearson's and Spearman's correlation.
 */
export function usualMeasure({ loss, outputs, targets }: Manifest): Measure | undefined {
  const logits = loss.logits ?? loss.output;
  const [labels] = Object.keys(targets);
  const shape = logits === undefined ? undefined : outputs[logits]?.shape;
  if (logits === undefined || labels === undefined || shape === undefined) return undefined;
  switch (loss.kind) {
    case "cross-entropy": {
      const classes = shape.at(-1);
      if (typeof classes !== "number") return undefined;
      const ignore = typeof loss.ignoreIndex === "number" ? loss.ignoreIndex : undefined;
      return named(["accuracy", "matthews", ...(classes === 2 ? ["f1", "auc"] : ["f1_macro"])], (batches) =>
        classifierMetrics(gather(batches, logits), gather(batches, labels), classes, ignore),
      );
    }
    case "mse":
      return named(["mse", "pearson", "spearman"], (batches) =>
        regressorMetrics(gather(batches, logits), gather(batches, labels)),
      );
    case "bce-with-logits": {
      const single = shape.length === 1 || shape.at(-1) === 1;
      return named(["accuracy", "f1", ...(single ? ["auc"] : [])], (batches) => {
        const scores = gather(batches, logits);
        const truth = gather(batches, labels).map((v) => Number(v > 0.5));
        const predicted = scores.map((v) => Number(v > 0));
        const common = { accuracy: accuracy(predicted, truth), f1: f1(predicted, truth) };
        return single ? { ...common, auc: rocAuc(scores, truth) } : common;
      });
    }
    default:
      return undefined;
  }
}
