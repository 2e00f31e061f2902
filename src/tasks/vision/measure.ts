import type { Manifest } from "../../format/manifest.js";
import { gather, type EvaluatedBatch, type Measure } from "../../train/evaluate.js";
import { usualMeasure } from "../../train/measures.js";
import { argmaxRows, topAccuracy, type Values } from "../../train/metrics.js";

/** With fewer classes, the five likeliest hold the right one too easily. */
const fewestForTop5 = 10;

/**
 * `accuracy`, from ten classes on `top5_accuracy`, and `cross_entropy` of a classifier, and its confusion matrix; the cross-entropy is that of the labels as they are, without the
 * loss's smoothing. undefined where the package has another loss.
 */
export function visionMeasure(manifest: Manifest): Measure | undefined {
  const { loss, targets } = manifest;
  const usual = usualMeasure(manifest);
  const [labels] = Object.keys(targets);
  const { kind, logits, classes } = loss;
  if (!usual || labels === undefined || logits === undefined || typeof classes !== "number") return undefined;
  const hasTop5 = classes >= fewestForTop5;
  const metrics = ["accuracy", ...(hasTop5 ? ["top5_accuracy"] : []), "cross_entropy"];
  const measure = (batches: readonly EvaluatedBatch[]) => {
    const truth = gather(batches, labels);
    const likely = (row: number, c: number): number =>
      kind === "soft-cross-entropy" ? (truth[row * classes + c] ?? NaN) : Number(truth[row] === c);
    const scores = gather(batches, logits);
    const isSoft = kind === "soft-cross-entropy";
    return {
      accuracy: usual(batches)["accuracy"] ?? NaN,
      ...(hasTop5 && { top5_accuracy: topAccuracy(scores, isSoft ? argmaxRows(truth, classes) : truth, 5) }),
      cross_entropy: crossEntropy(scores, classes, likely),
    };
  };
  const { confusion } = usual;
  return Object.assign(measure, { metrics, ...(confusion && { confusion }) });
}

/** Mean over rows of −Σ_c t_c log softmax(x)_c; `likely` gives t. */
export function crossEntropy(logits: Values, classes: number, likely: (row: number, c: number) => number): number {
  const rows = logits.length / classes;
  const ids = Array.from({ length: classes }, (_, c) => c);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const x = ids.map((c) => logits[row * classes + c] ?? NaN);
    const most = Math.max(...x);
    const normaliser = most + Math.log(x.reduce((total, each) => total + Math.exp(each - most), 0));
    sum += x.reduce((total, each, c) => total + likely(row, c) * (normaliser - each), 0);
  }
  return sum / rows;
}
