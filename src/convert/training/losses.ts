import { int, string, tensorType, type Node } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import { constantScalar } from "../../ops/shapes.js";
import { UserError } from "../../util/assert.js";
import { dtypeCodes } from "../../util/dtype.js";
import { given, type Given, type Lower, type Twin, type TrainingOps } from "./training_op.js";

/** The label that counts for nothing: an attribute, or a constant input of the internal form. */
function ignoredLabel(b: e.B, node: Node, input: e.V | null | undefined): number | undefined {
  if (!input) return node.int("ignore_index");
  const constant = constantScalar(b, input);
  if (constant === undefined) throw new UserError(`${node.label}: its ignore_index is no constant; make it one`);
  return constant;
}

/** SoftmaxCrossEntropyLossInternal(scores, labels, weights?, ignore_index?) is the standard loss. */
const loss: Lower = ({ b }, node, inputs) => {
  const ignored = ignoredLabel(b, node, inputs[3]);
  const attributes = {
    reduction: string(node.string("reduction", "mean")),
    ...(ignored !== undefined && { ignore_index: int(ignored) }),
  };
  const types = [node.output(0).type, given(node, inputs, 0).type];
  const made = b.node("SoftmaxCrossEntropyLoss", inputs.slice(0, 3), attributes, {}, { outputs: 2, types });
  return [made.output(0), made.output(1)];
};

const lossTwin: Twin = (t, node, inputs) => {
  const [scores, labels] = [given(node, inputs, 0), given(node, inputs, 1)];
  const none = node.string("reduction", "mean") === "none";
  const value = none
    ? t.op("Cast", [labels], { to: int(dtypeCodes.float32) })
    : t.op("ReduceMean", [scores], { keepdims: int(0) });
  return [value, t.op("Identity", [scores])];
};

/**
 * (dl, log p, labels, class weights?, ignore_index?, bias?) → dl·(exp(log p) − onehot(label))·wᵢ/Σw for the mean, Σw over
 * the labels that count; without the division for the sum; dl of each row for none. Σw = 0 gives 0. Classes lie along
 * axis 1. A bias, where the runtime has fused one, is added.
 */
const lossGradient: Lower = ({ b }, node, inputs) => {
  const [dl, logp] = [given(node, inputs, 0), given(node, inputs, 1)];
  const labels = e.cast(b, given(node, inputs, 2), "int64");
  const ignored = ignoredLabel(b, node, inputs[4]);
  const column = e.unsqueeze(b, labels, [1]);
  const hit = e.cast(b, e.equal(b, column, classIds(b, logp)), logp.dtype);
  const weight = rowWeights(b, column, inputs[3] ?? null, ignored, logp);
  const difference = e.sub(b, e.exp(b, logp), hit);
  const rows = weight ? e.mul(b, difference, weight) : difference;
  const reduction = node.string("reduction", "mean");
  const scale = reduction === "none" ? e.unsqueeze(b, dl, [1]) : scalar(b, dl);
  const result = e.mul(
    b,
    rows,
    reduction === "mean" ? safeDivide(b, scale, totalWeight(b, labels, weight, logp)) : scale,
  );
  const bias = inputs[5];
  return [bias ? e.add(b, result, e.reshapeLike(b, bias, result)) : result];
};

const scalar = (b: e.B, v: e.V): e.V => e.reshapeTo(b, v, b.constant(e.emptyShape()), tensorType(v.dtype, []));

/** 0, 1, … along axis 1. */
function classIds(b: e.B, logp: e.V): e.V {
  const count = logp.dims[1];
  const ids =
    typeof count === "number"
      ? b.int64s([...Array(count).keys()])
      : e.rangeTo(b, e.squeeze(b, e.dimOf(b, logp, 1), [0]));
  const following = logp.dims.slice(2).map((_, i) => i + 1);
  return following.length > 0 ? e.unsqueeze(b, ids, following) : ids;
}

/** Weight of each row, [N, 1, …]: its class's, 0 where it is ignored; null where all rows weigh 1. */
function rowWeights(b: e.B, column: e.V, classes: e.V | null, ignored: number | undefined, like: e.V): e.V | null {
  const kept = ignored === undefined ? null : e.not(b, e.equal(b, column, b.scalar(ignored, "int64")));
  const safe = kept ? e.where(b, kept, column, b.scalar(0, "int64")) : column;
  const own = classes ? e.gather(b, classes, safe, 0) : null;
  const mask = kept ? e.cast(b, kept, like.dtype) : null;
  return own && mask ? e.mul(b, own, mask) : (own ?? mask);
}

const totalWeight = (b: e.B, labels: e.V, weight: e.V | null, like: e.V): e.V =>
  weight ? e.sumAll(b, weight) : e.cast(b, e.size(b, labels), like.dtype);

/** x / total; 0 where the total is 0. */
function safeDivide(b: e.B, x: e.V, total: e.V): e.V {
  const empty = e.equal(b, total, e.scalarLike(b, 0, total));
  const divisor = e.where(b, empty, e.scalarLike(b, 1, total), total);
  return e.where(b, empty, e.scalarLike(b, 0, x), e.div(b, x, divisor));
}

/** SoftmaxCrossEntropyGrad(dl, log p, target): dl·(exp(log p) − target), over the number of rows for the mean. */
const denseGradient: Lower = ({ b }, node, inputs: Given) => {
  const [dl, logp, target] = [given(node, inputs, 0), given(node, inputs, 1), given(node, inputs, 2)];
  const difference = e.mul(b, e.sub(b, e.exp(b, logp), target), scalar(b, dl));
  if (node.string("reduction", "mean") === "sum") return [difference];
  const axes = logp.dims.slice(0, -1).map((_, i) => i);
  return [e.div(b, difference, e.countOf(b, logp, axes))];
};

export const losses: TrainingOps = {
  SoftmaxCrossEntropyLossInternal: { types: lossTwin, lower: loss },
  SoftmaxCrossEntropyLossGrad: { types: [1], lower: lossGradient },
  SoftmaxCrossEntropyLossInternalGrad: { types: [1], lower: lossGradient },
  SoftmaxCrossEntropyGrad: { types: [1], lower: denseGradient },
};
