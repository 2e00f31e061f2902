import type { Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { UserError } from "../util/assert.js";
import { Tensor } from "../ir/tensor.js";

export type LossOptions =
  | {
      kind: "cross-entropy";
      /** ε of label smoothing: the target is (1 − ε)·one-hot + ε/C. */
      labelSmoothing?: number;
      /** One weight per class. */
      classWeights?: readonly number[];
      /** Rows of this label count for nothing. */
      ignoreIndex?: number;
    }
  | {
      /** Labels are a probability of each class, as where images are mixed. */
      kind: "soft-cross-entropy";
      labelSmoothing?: number;
      classWeights?: readonly number[];
    }
  | { kind: "mse" }
  | { kind: "bce-with-logits" };

/** A loss as the sum over its rows and the weight that it is divided by: `loss = loss_sum / loss_weight`, 0 for weight 0. */
export interface Loss {
  loss: Value;
  sum: Value;
  weight: Value;
}

/** sum / weight; 0 where the weight is 0 (no row counts). */
const mean = (b: RuleBuilder, sum: Value, weight: Value): Loss => ({
  loss: e.div(b, sum, nonZero(b, weight)),
  sum,
  weight,
});

/** `weight`, and 1 where it is 0. */
function nonZero(b: RuleBuilder, weight: Value): Value {
  const empty = e.equal(b, weight, e.scalarLike(b, 0, weight));
  return e.where(b, empty, e.scalarLike(b, 1, weight), weight);
}

type CrossEntropyOptions = Extract<LossOptions, { kind: "cross-entropy" | "soft-cross-entropy" }>;

/** Whether the loss compares logits with classes, one class a row or a probability of each. */
export const comparesClasses = (options: LossOptions): options is CrossEntropyOptions =>
  options.kind === "cross-entropy" || options.kind === "soft-cross-entropy";

/** Emits the loss of `logits` (`[*, classes]` for cross-entropy) for `labels`, as PyTorch defines it. */
export function emitLoss(b: RuleBuilder, options: LossOptions, logits: Value, labels: Value): Loss {
  switch (options.kind) {
    case "cross-entropy":
    case "soft-cross-entropy":
      return crossEntropy(b, options, logits, labels);
    case "mse": {
      const [x, y] = aligned(b, logits, labels);
      return mean(b, e.sumAll(b, e.square(b, e.sub(b, x, y))), countAll(b, y));
    }
    case "bce-with-logits": {
      const [x, y] = aligned(b, logits, labels);
      const terms = e.sub(b, b.op("Softplus", [x]), e.mul(b, x, y));
      return mean(b, e.sumAll(b, terms), countAll(b, y));
    }
  }
}

/** Logits `[N, 1]` against labels `[N]` lose their last axis; otherwise the shapes are equal. */
function aligned(b: RuleBuilder, logits: Value, labels: Value): [Value, Value] {
  return logits.dims.length === labels.dims.length + 1 ? [e.squeeze(b, logits, [-1]), labels] : [logits, labels];
}

const countAll = (b: RuleBuilder, x: Value): Value => e.countOf(b, x, [...x.dims.keys()]);

/** Targets of cross-entropy by class, smoothing and weights included, and the weight that the sum is divided by. */
function crossEntropyTargets(
  b: RuleBuilder,
  options: CrossEntropyOptions,
  logits: Value,
  labels: Value,
): { target: Value; weight: Value; ids: Value } {
  const classes = logits.dims.at(-1);
  if (typeof classes !== "number") {
    throw new UserError(
      `the logits "${logits.name}" have no fixed number of classes in their last dimension; cross-entropy needs one`,
    );
  }
  const weights = options.classWeights;
  if (weights && weights.length !== classes) {
    throw new UserError(`${weights.length} class weights for ${classes} classes; give one for each class`);
  }
  const smoothing = options.labelSmoothing ?? 0;
  const everyClass = (): Value => b.int64s([...Array(classes).keys()]);
  const weightPerClass = (): Value | undefined =>
    weights && b.constant(Tensor.of(logits.dtype, [classes], weights), "class_weights");
  if (options.kind === "soft-cross-entropy") {
    const perClass = weightPerClass();
    const uniform = b.scalar(smoothing / classes, logits.dtype);
    const smooth = smoothing > 0 ? e.add(b, e.scale(b, labels, 1 - smoothing), uniform) : labels;
    const rows = e.countOf(b, labels, [...labels.dims.keys()].slice(0, -1));
    return { target: perClass ? e.mul(b, smooth, perClass) : smooth, weight: rows, ids: everyClass() };
  }
  const column = e.unsqueeze(b, labels, [-1]);
  const ids = everyClass();
  let hit = e.equal(b, column, ids);
  const ignore = options.ignoreIndex ?? -100;
  if (ignore >= 0 && ignore < classes) hit = e.and(b, hit, e.not(b, e.equal(b, column, b.scalar(ignore, "int64"))));
  let target = e.cast(b, hit, logits.dtype);
  const perClass = weightPerClass();
  if (perClass) target = e.mul(b, target, perClass);
  const weight = e.sumAll(b, target);
  if (smoothing > 0) {
    const valid = e.cast(b, e.not(b, e.equal(b, column, b.scalar(ignore, "int64"))), logits.dtype);
    const uniform = e.scale(b, perClass ? e.mul(b, valid, perClass) : valid, smoothing / classes);
    target = e.add(b, e.scale(b, target, 1 - smoothing), uniform);
  }
  return { target, weight, ids };
}

/**
 * −Σᵢ Σ_c t_ic w_c log softmax(x)_ic over rows not ignored, divided by Σᵢ w_yᵢ; t = (1 − ε)·onehot(y) + ε/C.
 * x: [*, C], y: [*] class ids; or y: [*, C] probabilities, t = (1 − ε)·y + ε/C, divided by the number of rows. The reductions are
 * PyTorch's `CrossEntropyLoss(reduction="mean")`.
 */
function crossEntropy(b: RuleBuilder, options: CrossEntropyOptions, logits: Value, labels: Value): Loss {
  const { target, weight } = crossEntropyTargets(b, options, logits, labels);
  const logp = b.op("LogSoftmax", [logits], { axis: e.int(-1) });
  return mean(b, e.neg(b, e.sumAll(b, e.mul(b, target, logp))), weight);
}

/**
 * √mᵢ ∂ℓᵢ/∂x at a label that is drawn from the model's own distribution, over the weight of the loss W; ℓᵢ unsmoothed, mᵢ the
 * mass of row i's target (its weight; 0 where ignored). Then W·(Jᵀu)² is an unbiased diagonal of the Gauss-Newton matrix of
 * the loss (Bartlett's identity). Noise, one number a row or target: uniform in [0, 1) for cross-entropy (by the inverse of the
 * cumulative distribution) and for binary cross-entropy; normal for the squared error, whose residuals are N(0, ½).
 */
function sampledScore(b: RuleBuilder, options: LossOptions, logits: Value, labels: Value, noise: Value): Value {
  if (comparesClasses(options)) {
    const { target, weight, ids } = crossEntropyTargets(b, options, logits, labels);
    const p = e.softmax(b, logits, -1);
    const below = e.lessOrEqual(b, b.op("CumSum", [p, b.scalar(-1, "int64")]), e.unsqueeze(b, noise, [-1]));
    const count = b.op("ReduceSum", [e.cast(b, below, logits.dtype), b.int64s([-1])], { keepdims: e.int(1) });
    // A cumulative sum that rounds below 1 must not give one class too many.
    const last = e.scalarLike(b, (ids.dims[0] as number) - 1, count);
    const drawn = e.equal(b, e.min(b, count, last), e.cast(b, ids, logits.dtype));
    const mass = e.sqrt(b, b.op("ReduceSum", [target, b.int64s([-1])], { keepdims: e.int(1) }));
    return e.mul(b, e.sub(b, p, e.cast(b, drawn, p.dtype)), e.div(b, mass, nonZero(b, weight)));
  }
  const [x, y] = aligned(b, logits, labels);
  const score =
    options.kind === "mse"
      ? e.scale(b, noise, Math.SQRT2)
      : e.sub(b, e.sigmoid(b, x), e.cast(b, e.less(b, noise, e.sigmoid(b, x)), x.dtype));
  return e.reshapeLike(b, e.div(b, score, countAll(b, y)), logits);
}

/**
 * √mᵢ Rᵢξᵢ over the weight of the loss W, with RᵢRᵢᵀ = ∂²ℓᵢ/∂x² and independent signs ξ of the shape of the logits; mᵢ as in
 * `sampledScore`. Then W·(Jᵀu)² is an unbiased diagonal of the Gauss-Newton matrix of the loss, as with drawn labels, but where
 * the model is sure (p near 0 or 1) it does not come from a few rare labels. R = diag(√p) − p√pᵀ for cross-entropy, √(p(1 − p))
 * for binary cross-entropy, √2 for the squared error.
 */
function signedScore(b: RuleBuilder, options: LossOptions, logits: Value, labels: Value, signs: Value): Value {
  if (comparesClasses(options)) {
    const { target, weight } = crossEntropyTargets(b, options, logits, labels);
    const p = e.softmax(b, logits, -1);
    const rooted = e.mul(b, e.sqrt(b, p), signs);
    const sum = (x: Value): Value => b.op("ReduceSum", [x, b.int64s([-1])], { keepdims: e.int(1) });
    const mass = e.sqrt(b, sum(target));
    return e.mul(b, e.sub(b, rooted, e.mul(b, p, sum(rooted))), e.div(b, mass, nonZero(b, weight)));
  }
  const [x, y] = aligned(b, logits, labels);
  const count = countAll(b, y);
  if (options.kind === "mse") return e.div(b, e.scale(b, signs, Math.SQRT2), count);
  const p = e.sigmoid(b, x);
  const root = e.reshapeLike(b, e.sqrt(b, e.mul(b, p, e.sub(b, e.scalarLike(b, 1, p), p))), logits);
  return e.div(b, e.mul(b, root, signs), count);
}

/** What makes a random score: labels that are drawn from the model's own distribution, or signs of the logits' shape. */
export type ScoreNoise = "labels" | "signs";

/** A cotangent of the logits whose square is, on average, the loss's second derivative there; its noise as the kind says. */
export const randomScore = (
  kind: ScoreNoise,
  ...args: [b: RuleBuilder, options: LossOptions, logits: Value, labels: Value, noise: Value]
): Value => (kind === "labels" ? sampledScore(...args) : signedScore(...args));
