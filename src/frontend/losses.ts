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
  | { kind: "mse" }
  | { kind: "bce-with-logits" };

/** A loss as the sum over its rows and the weight that it is divided by: `loss = loss_sum / loss_weight`, 0 for weight 0. */
export interface Loss {
  loss: Value;
  sum: Value;
  weight: Value;
}

/** sum / weight; 0 where the weight is 0 (no row counts). */
function mean(b: RuleBuilder, sum: Value, weight: Value): Loss {
  const zero = e.scalarLike(b, 0, weight);
  const empty = e.equal(b, weight, zero);
  const divisor = e.where(b, empty, e.scalarLike(b, 1, weight), weight);
  return { loss: e.div(b, sum, divisor), sum, weight };
}

/** Emits the loss of `logits` (`[*, classes]` for cross-entropy) for `labels`, as PyTorch defines it. */
export function emitLoss(b: RuleBuilder, options: LossOptions, logits: Value, labels: Value): Loss {
  switch (options.kind) {
    case "cross-entropy":
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

/**
 * −Σᵢ Σ_c t_ic w_c log softmax(x)_ic over rows not ignored, divided by Σᵢ w_yᵢ; t = (1 − ε)·onehot(y) + ε/C.
 * x: [*, C], y: [*] class ids. The reduction is PyTorch's `CrossEntropyLoss(reduction="mean")`.
 */
function crossEntropy(
  b: RuleBuilder,
  options: Extract<LossOptions, { kind: "cross-entropy" }>,
  logits: Value,
  labels: Value,
): Loss {
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
  const logp = b.op("LogSoftmax", [logits], { axis: e.int(-1) });
  const column = e.unsqueeze(b, labels, [-1]);
  const ids = b.int64s([...Array(classes).keys()]);
  let hit = e.equal(b, column, ids);
  const ignore = options.ignoreIndex ?? -100;
  if (ignore >= 0 && ignore < classes) hit = e.and(b, hit, e.not(b, e.equal(b, column, b.scalar(ignore, "int64"))));
  let target = e.cast(b, hit, logits.dtype);
  const perClass = weights && b.constant(Tensor.of(logits.dtype, [classes], weights), "class_weights");
  if (perClass) target = e.mul(b, target, perClass);
  const weight = e.sumAll(b, target);
  if (smoothing > 0) {
    const valid = e.cast(b, e.not(b, e.equal(b, column, b.scalar(ignore, "int64"))), logits.dtype);
    const uniform = e.scale(b, perClass ? e.mul(b, valid, perClass) : valid, smoothing / classes);
    target = e.add(b, e.scale(b, target, 1 - smoothing), uniform);
  }
  return mean(b, e.neg(b, e.sumAll(b, e.mul(b, target, logp))), weight);
}
