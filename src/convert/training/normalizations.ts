import { tensorType } from "../../ir/graph.js";
import { alongChannels, channelSums, spatial } from "../../ops/convolution.js";
import * as e from "../../ops/emit.js";
import { standardize, standardizeVjp } from "../../ops/standardize.js";
import { normalizeAxis } from "../../util/shape.js";
import { given, type Lower, type TrainingOps } from "./training_op.js";

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Σ over the axes before `axis`: the cotangent of a scale or bias that lies along the others. */
function parameterSum(b: e.B, v: e.V, axis: number, like: e.V): e.V {
  const sum = e.reduceSum(b, v, range(0, axis), false);
  return e.reshapeLike(b, sum, like);
}

/**
 * LayerNormalizationGrad(dy, x, s, μ, r): with x̂ = (x − μ)r and a = dy·s, dx = r(a − mean a − x̂·mean(a·x̂)), ds = Σ dy·x̂,
 * db = Σ dy. The simplified form has neither mean nor bias.
 */
const layerGradient =
  (centers: boolean): Lower =>
  ({ b }, node, inputs) => {
    const [dy, x, s] = [given(node, inputs, 0), given(node, inputs, 1), given(node, inputs, 2)];
    const mean = centers ? e.cast(b, given(node, inputs, 3), x.dtype) : null;
    const inverse = e.cast(b, given(node, inputs, centers ? 4 : 3), x.dtype);
    const axis = normalizeAxis(node.int("axis", -1), x.dims.length);
    const p = standardize(b, x, range(axis, x.dims.length), 0, { centers, mean, inverse });
    return [
      standardizeVjp(b, p, e.mul(b, dy, s)),
      parameterSum(b, e.mul(b, dy, p.normalized), axis, s),
      centers ? parameterSum(b, dy, axis, s) : null,
    ];
  };

/** InvertibleLayerNormalizationGrad(dy, y, s, bias, r): the same, with x̂ = (y − bias)/s worked back from the output. */
const invertibleGradient: Lower = ({ b }, node, inputs) => {
  const [dy, y, s, bias] = [0, 1, 2, 3].map((i) => given(node, inputs, i)) as [e.V, e.V, e.V, e.V];
  const axis = normalizeAxis(node.int("axis", -1), y.dims.length);
  const normalized = e.div(b, e.sub(b, y, bias), s);
  const inverse = e.cast(b, given(node, inputs, 4), y.dtype);
  const axes = range(axis, y.dims.length);
  const p = { axes, centered: normalized, inverse, normalized, deviation: null, centers: true };
  return [
    standardizeVjp(b, p, e.mul(b, dy, s)),
    parameterSum(b, e.mul(b, dy, normalized), axis, s),
    parameterSum(b, dy, axis, s),
  ];
};

const batchAxes = (x: e.V): number[] => [0, ...spatial(x).map((_, i) => i + 2)];

/**
 * BatchNormInternal(x, s, b, mean, variance): batch normalization in training mode that also gives what its gradient
 * needs, the mean and 1/√(σ² + ε) of the batch. Running statistics are m·old + (1 − m)·new.
 */
const batchNormalization: Lower = ({ b }, node, inputs) => {
  const [x, s, bias] = [given(node, inputs, 0), given(node, inputs, 1), given(node, inputs, 2)];
  const axes = batchAxes(x);
  const epsilon = node.float("epsilon", 1e-5);
  const momentum = node.float("momentum", 0.9);
  const mean = e.reduceMean(b, x, axes);
  const p = standardize(b, x, axes, epsilon, { mean });
  const y = e.add(b, e.mul(b, p.normalized, alongChannels(b, s, x)), alongChannels(b, bias, x));
  const flat = (v: e.V): e.V => e.reshapeTo(b, v, b.int64s([-1]), tensorType(v.dtype, s.shape));
  const moved = (old: e.V | null | undefined, batch: e.V): e.V | null =>
    old ? e.add(b, e.scale(b, old, momentum), e.scale(b, batch, 1 - momentum)) : null;
  const variance = e.reduceMean(b, e.square(b, p.centered), axes);
  return [y, moved(inputs[3], flat(mean)), moved(inputs[4], flat(variance)), flat(mean), flat(p.inverse)];
};

/** BatchNormalizationGrad(dy, x, s, μ, r), of each channel. */
const batchGradient: Lower = ({ b }, node, inputs) => {
  const [dy, x, s] = [given(node, inputs, 0), given(node, inputs, 1), given(node, inputs, 2)];
  const mean = alongChannels(b, given(node, inputs, 3), x);
  const inverse = alongChannels(b, given(node, inputs, 4), x);
  const p = standardize(b, x, batchAxes(x), 0, { mean, inverse });
  return [
    standardizeVjp(b, p, e.mul(b, dy, alongChannels(b, s, x))),
    channelSums(b, e.mul(b, dy, p.normalized)),
    channelSums(b, dy),
  ];
};

export const normalizations: TrainingOps = {
  LayerNormalizationGrad: { types: [1, 2, 2], lower: layerGradient(true) },
  SimplifiedLayerNormalizationGrad: { types: [1, 2], lower: layerGradient(false) },
  InvertibleLayerNormalizationGrad: { types: [1, 2, 3], lower: invertibleGradient },
  BatchNormInternal: { types: [0, 3, 4, 1, 1], lower: batchNormalization },
  BatchNormalizationGrad: { types: [1, 2, 2], lower: batchGradient },
};
