import { check, invariant } from "../util/assert.js";

/** Any list of numbers: class ids, scores, targets. */
export type Values = ArrayLike<number>;

function sameLength(a: Values, b: Values): void {
  invariant(a.length === b.length, `${a.length} predictions for ${b.length} targets`);
  check(a.length > 0, "no examples to measure on");
}

const indexes = function* (values: Values): Generator<number> {
  for (let i = 0; i < values.length; i++) yield i;
};

/** The value at `i`, which the caller knows to exist. */
const get = (values: Values, i: number): number => values[i] ?? NaN;

/** The index of the largest of each row of `width` numbers; the first of equals. A row with a NaN gives its first NaN. */
export function argmaxRows(values: Values, width: number): Int32Array {
  return Int32Array.from({ length: values.length / width }, (_, row) => {
    let best = 0;
    for (let j = 1; j < width && !Number.isNaN(get(values, row * width + best)); j++) {
      const value = get(values, row * width + j);
      if (value > get(values, row * width + best) || Number.isNaN(value)) best = j;
    }
    return best;
  });
}

/** The share of predictions that equal their labels. */
export function accuracy(predicted: Values, labels: Values): number {
  sameLength(predicted, labels);
  let hits = 0;
  for (const i of indexes(labels)) if (predicted[i] === labels[i]) hits++;
  return hits / labels.length;
}

/** The share of examples, of logits [examples, classes], for whose label fewer than `k` classes have a larger logit; none with a NaN counts. */
export function topAccuracy(logits: Values, labels: Values, k: number): number {
  check(labels.length > 0, "no examples to measure on");
  const width = logits.length / labels.length;
  let hits = 0;
  for (const i of indexes(labels)) {
    const own = get(logits, i * width + get(labels, i));
    let notBelow = 0;
    for (let j = 0; j < width; j++) if (!(get(logits, i * width + j) <= own)) notBelow++;
    if (notBelow < k) hits++;
  }
  return hits / labels.length;
}

/** Examples of class i that were taken for class j, `[i][j]`, of `classes` × `classes`; those labelled `ignore` are left out. */
export function confusionMatrix(predicted: Values, labels: Values, classes: number, ignore?: number): number[][] {
  sameLength(predicted, labels);
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (const i of indexes(labels)) {
    const label = get(labels, i);
    const row = counts[label];
    const taken = get(predicted, i);
    if (label !== ignore && row?.[taken] !== undefined) row[taken]++;
  }
  return counts;
}

interface ClassCounts {
  label: number;
  /** Predicted and true, predicted, true. */
  both: number;
  predicted: number;
  actual: number;
}

function countClasses(predicted: Values, labels: Values): Map<number, ClassCounts> {
  sameLength(predicted, labels);
  const counts = new Map<number, ClassCounts>();
  const of = (label: number): ClassCounts => {
    const found = counts.get(label) ?? { label, both: 0, predicted: 0, actual: 0 };
    counts.set(label, found);
    return found;
  };
  for (const i of indexes(labels)) {
    of(get(predicted, i)).predicted++;
    of(get(labels, i)).actual++;
    if (predicted[i] === labels[i]) of(get(labels, i)).both++;
  }
  return counts;
}

export type Average = "binary" | "macro" | "micro";

/**
 * F1 = 2·tp / (2·tp + fp + fn), 0 where that is 0/0. `binary`: of class `positive`; `macro`: the mean over the classes
 * that occur among labels or predictions; `micro`: of the summed counts. As scikit-learn's `f1_score`.
 */
export function f1(predicted: Values, labels: Values, average: Average = "binary", positive = 1): number {
  const counts = countClasses(predicted, labels);
  const score = ({ both, predicted: p, actual }: Omit<ClassCounts, "label">): number =>
    p + actual === 0 ? 0 : (2 * both) / (p + actual);
  if (average === "binary") return score(counts.get(positive) ?? { both: 0, predicted: 0, actual: 0 });
  const all = [...counts.values()];
  if (average === "macro") return all.reduce((sum, each) => sum + score(each), 0) / all.length;
  return accuracy(predicted, labels);
}

/**
 * Matthews' correlation for any number of classes: (c·s − Σ pₖtₖ) / √((s² − Σ pₖ²)(s² − Σ tₖ²)) with s examples, c of them right,
 * class k predicted pₖ times and true tₖ times; 0 where a side is constant. Gorodkin 2004.
 */
export function matthews(predicted: Values, labels: Values): number {
  const counts = [...countClasses(predicted, labels).values()];
  const s = labels.length;
  const sum = (f: (each: ClassCounts) => number): number => counts.reduce((total, each) => total + f(each), 0);
  const covariance = sum((k) => k.both) * s - sum((k) => k.predicted * k.actual);
  const spread = Math.sqrt(s * s - sum((k) => k.predicted ** 2)) * Math.sqrt(s * s - sum((k) => k.actual ** 2));
  return spread === 0 ? 0 : Math.max(-1, Math.min(1, covariance / spread));
}

/** Pearson's correlation; NaN where a side is constant. */
export function pearson(x: Values, y: Values): number {
  sameLength(x, y);
  const n = x.length;
  const [meanX, meanY] = [x, y].map((values) => Array.from(values).reduce((sum, value) => sum + value, 0) / n) as [
    number,
    number,
  ];
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (const i of indexes(x)) {
    const dx = get(x, i) - meanX;
    const dy = get(y, i) - meanY;
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xx === 0 || yy === 0 ? NaN : Math.max(-1, Math.min(1, xy / Math.sqrt(xx) / Math.sqrt(yy)));
}

/** Ranks from 1, equal values sharing the mean of their ranks. */
export function ranks(values: Values): Float64Array {
  const order = Array.from(indexes(values)).sort((a, b) => get(values, a) - get(values, b));
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end] ?? 0] === values[order[start] ?? 0]) end++;
    for (let k = start; k < end; k++) result[order[k] ?? 0] = (start + 1 + end) / 2;
    start = end;
  }
  return result;
}

const hasNaN = (values: Values): boolean => Array.from(values).some(Number.isNaN);

/** Spearman's correlation: Pearson's of the ranks, ties sharing theirs; NaN where a side is constant or holds a NaN. */
export function spearman(x: Values, y: Values): number {
  sameLength(x, y);
  return hasNaN(x) || hasNaN(y) ? NaN : pearson(ranks(x), ranks(y));
}

/**
 * Area under the ROC curve: the chance that a random example of class `positive` scores above one of another class, equal scores
 * counting half. NaN where all examples are of one kind, or a score is NaN.
 */
export function rocAuc(scores: Values, labels: Values, positive = 1): number {
  sameLength(scores, labels);
  if (hasNaN(scores)) return NaN;
  const rank = ranks(scores);
  let rankSum = 0;
  let count = 0;
  for (const i of indexes(labels)) {
    if (labels[i] !== positive) continue;
    count++;
    rankSum += get(rank, i);
  }
  const others = labels.length - count;
  return (rankSum - (count * (count + 1)) / 2) / (count * others);
}

/**
 * Average precision: Σₙ (Rₙ − Rₙ₋₁) Pₙ over the thresholds n, highest first, with precision P and recall R of class `positive`; equal
 * scores share a threshold. NaN where no example is of that class, or a score is NaN. As scikit-learn's `average_precision_score`.
 */
export function averagePrecision(scores: Values, labels: Values, positive = 1): number {
  sameLength(scores, labels);
  if (hasNaN(scores)) return NaN;
  const order = Array.from(indexes(scores)).sort((a, b) => get(scores, b) - get(scores, a));
  let sum = 0;
  let found = 0;
  for (let start = 0; start < order.length;) {
    let end = start;
    let hits = 0;
    for (; end < order.length && scores[order[end] ?? 0] === scores[order[start] ?? 0]; end++) {
      if (labels[order[end] ?? 0] === positive) hits++;
    }
    found += hits;
    sum += (hits * found) / end;
    start = end;
  }
  return sum / found;
}

/** Mean squared error. */
export function meanSquaredError(predicted: Values, targets: Values): number {
  sameLength(predicted, targets);
  let sum = 0;
  for (const i of indexes(targets)) sum += (get(predicted, i) - get(targets, i)) ** 2;
  return sum / targets.length;
}

/** Root of the mean squared error. */
export const rootMeanSquaredError = (predicted: Values, targets: Values): number =>
  Math.sqrt(meanSquaredError(predicted, targets));

/** Σ sums / Σ weights: the mean loss over batches of which each gives its summed loss and its weight. */
export function meanLoss(batches: Iterable<{ sum: number; weight: number }>): number {
  let sum = 0;
  let weight = 0;
  for (const batch of batches) {
    sum += batch.sum;
    weight += batch.weight;
  }
  return sum / weight;
}

/**
 * What is usual to report of a classifier, from its logits [examples, classes]: accuracy, Matthews' correlation, F1 (of class 1
 * for two classes, else macro), and for two classes the AUC of the logits' difference. Examples labelled `ignore` are left out.
 */
export function classifierMetrics(
  logits: Values,
  labels: Values,
  classes: number,
  ignore?: number,
): Record<string, number> {
  invariant(
    logits.length === labels.length * classes,
    `${logits.length} logits for ${labels.length} labels of ${classes} classes`,
  );
  const kept = Array.from(indexes(labels)).filter((i) => ignore === undefined || labels[i] !== ignore);
  const truth = kept.map((i) => get(labels, i));
  const all = argmaxRows(logits, classes);
  const predicted = kept.map((i) => get(all, i));
  const common = { accuracy: accuracy(predicted, truth), matthews: matthews(predicted, truth) };
  if (classes !== 2) return { ...common, f1_macro: f1(predicted, truth, "macro") };
  const scores = kept.map((i) => get(logits, 2 * i + 1) - get(logits, 2 * i));
  return { ...common, f1: f1(predicted, truth), auc: rocAuc(scores, truth) };
}

/** What is usual to report of a regressor with one output: mean squared error, Pearson's and Spearman's correlation. */
export function regressorMetrics(predicted: Values, targets: Values): Record<string, number> {
  return {
    mse: meanSquaredError(predicted, targets),
    pearson: pearson(predicted, targets),
    spearman: spearman(predicted, targets),
  };
}
