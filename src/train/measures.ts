import type { Manifest } from "../format/manifest.js";
import { gather, type EvaluatedBatch, type Measure } from "./evaluate.js";
import { accuracy, argmaxRows, classifierMetrics, confusionMatrix, f1, regressorMetrics, rocAuc } from "./metrics.js";

/** With more classes, nobody reads a confusion matrix, and a log of them grows large. */
const mostClasses = 100;

type Of<T> = (batches: readonly EvaluatedBatch[]) => T;

const named = (metrics: readonly string[], measure: Of<Record<string, number>>, confusion?: Of<number[][]>): Measure =>
  Object.assign((batches: readonly EvaluatedBatch[]) => measure(batches), { metrics, ...(confusion && { confusion }) });

/**
 * What is usual to measure for the package's loss; undefined where the model computes its own. Classes: accuracy, Matthews'
 * correlation, F1 (macro above two classes), for two classes the AUC, and up to a hundred the confusion matrix. Numbers: mean squared error, Pearson's and Spearman's correlation.
 */
export function usualMeasure({ loss, outputs, targets }: Manifest): Measure | undefined {
  const logits = loss.logits ?? loss.output;
  const [labels] = Object.keys(targets);
  const shape = logits === undefined ? undefined : outputs[logits]?.shape;
  if (logits === undefined || labels === undefined || shape === undefined) return undefined;
  switch (loss.kind) {
    case "cross-entropy":
    case "soft-cross-entropy": {
      const classes = shape.at(-1);
      if (typeof classes !== "number") return undefined;
      const ignore = typeof loss.ignoreIndex === "number" ? loss.ignoreIndex : undefined;
      // Of probabilities, the most likely class is the one that is counted.
      const truthOf = (batches: readonly EvaluatedBatch[]) => {
        const given = gather(batches, labels);
        return loss.kind === "cross-entropy" ? given : argmaxRows(given, classes);
      };
      return named(
        ["accuracy", "matthews", ...(classes === 2 ? ["f1", "auc"] : ["f1_macro"])],
        (batches) => classifierMetrics(gather(batches, logits), truthOf(batches), classes, ignore),
        classes <= mostClasses
          ? (batches) =>
              confusionMatrix(argmaxRows(gather(batches, logits), classes), truthOf(batches), classes, ignore)
          : undefined,
      );
    }
    case "mse":
      return named(["mse", "pearson", "spearman"], (batches) =>
        regressorMetrics(gather(batches, logits), gather(batches, labels)),
      );
    case "bce-with-logits": {
      const single = shape.length === 1 || shape.at(-1) === 1;
      const decided = (batches: readonly EvaluatedBatch[]) => {
        const scores = gather(batches, logits);
        const truth = gather(batches, labels).map((v) => Number(v > 0.5));
        return { scores, truth, predicted: scores.map((v) => Number(v > 0)) };
      };
      return named(
        ["accuracy", "f1", ...(single ? ["auc"] : [])],
        (batches) => {
          const { scores, truth, predicted } = decided(batches);
          const common = { accuracy: accuracy(predicted, truth), f1: f1(predicted, truth) };
          return single ? { ...common, auc: rocAuc(scores, truth) } : common;
        },
        (batches) => {
          const { truth, predicted } = decided(batches);
          return confusionMatrix(predicted, truth, 2);
        },
      );
    }
    default:
      return undefined;
  }
}
