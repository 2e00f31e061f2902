import { string, type Node } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import { normalizeAxis } from "../../util/shape.js";
import { given, type TrainingOp, type TrainingOps } from "./training_op.js";

type Formula = (b: e.B, dy: e.V, x: e.V, node: Node) => e.V;

/** dx from dy and one more value, of its shape: the input or the output of the activation. */
const gradient = (formula: Formula): TrainingOp => ({
  types: [0],
  lower: ({ b }, node, inputs) => [formula(b, given(node, inputs, 0), given(node, inputs, 1), node)],
});

/** dx where the activation reads x + bias. */
const biasGradient = (formula: Formula): TrainingOp => ({
  types: [1],
  lower: ({ b }, node, inputs) => [
    formula(b, given(node, inputs, 0), e.add(b, given(node, inputs, 1), given(node, inputs, 2)), node),
  ],
});

/** An activation of com.microsoft that ai.onnx has too. */
const forward = (emit: (b: e.B, x: e.V, node: Node) => e.V): TrainingOp => ({
  types: "native",
  lower: ({ b }, node, inputs) => {
    const bias = inputs[1];
    const x = given(node, inputs, 0);
    return [emit(b, bias ? e.add(b, x, bias) : x, node)];
  },
});

const exactGelu = (b: e.B, x: e.V): e.V => b.op("Gelu", [x], {}, { types: [x.type] });
const fastGelu = (b: e.B, x: e.V): e.V => b.op("Gelu", [x], { approximate: string("tanh") }, { types: [x.type] });

/** dy(Φ(x) + xφ(x)): what the derivative of Gelu multiplies with. */
const geluGradient: Formula = (b, dy, x) => {
  const u = e.scale(b, x, Math.SQRT1_2);
  const cdf = e.shift(b, e.scale(b, e.erf(b, u), 0.5), 0.5);
  const pdf = e.scale(b, e.exp(b, e.neg(b, e.square(b, u))), 1 / Math.sqrt(2 * Math.PI));
  return e.mul(b, dy, e.add(b, cdf, e.mul(b, x, pdf)));
};

/** dy(½(1 + t) + ½x(1 − t²)·c(1 + 0.134145x²)), t = tanh(c(x + 0.044715x³)), c = √(2/π). */
const fastGeluGradient: Formula = (b, dy, x) => {
  const c = Math.sqrt(2 / Math.PI);
  const square = e.square(b, x);
  const t = e.tanh(b, e.mul(b, x, e.shift(b, e.scale(b, square, c * 0.044715), c)));
  const slope = e.shift(b, e.scale(b, square, 0.5 * c * 0.134145), 0.5 * c);
  const rise = e.mul(b, e.mul(b, x, slope), e.sub(b, e.scalarLike(b, 1, x), e.square(b, t)));
  return e.mul(b, dy, e.add(b, e.shift(b, e.scale(b, t, 0.5), 0.5), rise));
};

/** y(dy − Σ dy·y) along the axes; all of them from `axis` on before opset 13. */
const softmaxGradient =
  (flattens: boolean): Formula =>
  (b, dy, y, node) =>
    e.mul(b, y, e.sub(b, dy, e.reduceSum(b, e.mul(b, dy, y), softmaxAxes(node, y, flattens))));

/** dy − exp(y)·Σ dy. */
const logSoftmaxGradient =
  (flattens: boolean): Formula =>
  (b, dy, y, node) =>
    e.sub(b, dy, e.mul(b, e.exp(b, y), e.reduceSum(b, dy, softmaxAxes(node, y, flattens))));

function softmaxAxes(node: Node, y: e.V, flattens: boolean): number[] {
  const rank = y.dims.length;
  const axis = normalizeAxis(node.int("axis", flattens ? 1 : -1), rank);
  return flattens ? Array.from({ length: rank - axis }, (_, i) => axis + i) : [axis];
}

/** dy·s(1 + αx(1 − s)), s = σ(αx). */
const quickGeluGradient: Formula = (b, dy, x, node) => {
  const scaled = e.scale(b, x, node.float("alpha", 1.702));
  const s = e.sigmoid(b, scaled);
  const rest = e.sub(b, e.scalarLike(b, 1, x), s);
  return e.mul(b, dy, e.mul(b, s, e.shift(b, e.mul(b, scaled, rest), 1)));
};

export const activations: TrainingOps = {
  Gelu: forward(exactGelu),
  BiasGelu: forward(exactGelu),
  FastGelu: forward(fastGelu),
  QuickGelu: forward((b, x, node) => e.mul(b, x, e.sigmoid(b, e.scale(b, x, node.float("alpha", 1.702))))),
  GeluGrad: gradient(geluGradient),
  BiasGeluGrad_dX: biasGradient(geluGradient),
  FastGeluGrad: gradient(fastGeluGradient),
  BiasFastGeluGrad_dX: biasGradient(fastGeluGradient),
  QuickGeluGrad: gradient(quickGeluGradient),
  ReluGrad: gradient((b, dy, x) => e.mul(b, dy, e.cast(b, e.isPositive(b, x), dy.dtype))),
  LeakyReluGrad: gradient((b, dy, y, node) => {
    const slope = e.where(b, e.isPositive(b, y), e.scalarLike(b, 1, dy), e.scalarLike(b, alpha(node), dy));
    return e.mul(b, dy, slope);
  }),
  SigmoidGrad: gradient((b, dy, y) => e.mul(b, dy, e.mul(b, y, e.sub(b, e.scalarLike(b, 1, y), y)))),
  TanhGrad: gradient((b, dy, y) => e.mul(b, dy, e.sub(b, e.scalarLike(b, 1, y), e.square(b, y)))),
  SoftmaxGrad: gradient(softmaxGradient(true)),
  SoftmaxGrad_13: gradient(softmaxGradient(false)),
  LogSoftmaxGrad: gradient(logSoftmaxGradient(true)),
  LogSoftmaxGrad_13: gradient(logSoftmaxGradient(false)),
};

function alpha(node: Node): number {
  return node.float("alpha", 0.01);
}
