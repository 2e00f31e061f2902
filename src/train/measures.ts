import type { Manifest } from "../format/manifest.js";
import { gather, type Measure } from "./evaluate.js";
import { accuracy, classifierMetrics, f1, regressorMetrics, rocAuc } from "./metrics.js";

/** What is usual to measure for the package's loss; undefined where the model computes its own. */
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
      return (batches) => classifierMetrics(gather(batches, logits), gather(batches, labels), classes, ignore);
    }
    case "mse":
      return (batches) => regressorMetrics(gather(batches, logits), gather(batches, labels));
    case "bce-with-logits":
      return (batches) => {
        const scores = gather(batches, logits);
        const truth = gather(batches, labels).map((v) => Number(v > 0.5));
        const predicted = scores.map((v) => Number(v > 0));
        const common = { accuracy: accuracy(predicted, truth), f1: f1(predicted, truth) };
        return shape.length === 1 || shape.at(-1) === 1 ? { ...common, auc: rocAuc(scores, truth) } : common;
      };
    default:
      return undefined;
  }
}
