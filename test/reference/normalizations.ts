/** Softmaxes, normalizations and losses. */
import { must } from "../../src/util/assert.js";
import { normalizeAxis, sizeOf } from "../../src/util/shape.js";
import { array, broadcastTo, combine, map, mapLines, reduceLines, scalar, withDims, type Array64 } from "./array.js";
import type { Call, Op } from "./call.js";
import { logSumExp } from "./special.js";

const mean = (xs: Float64Array): number => xs.reduce((a, b) => a + b, 0) / xs.length;

/** Before opset 13 every axis from `axis` on is one. */
const alongAxis =
  (f: (line: Float64Array) => Float64Array): Op =>
  (c) => {
    const x = c.at(0);
    const old = c.opset < 13;
    const axis = normalizeAxis(c.node.int("axis", old ? 1 : -1), x.dims.length);
    return mapLines(x, old ? [...x.dims.keys()].slice(axis) : [axis], f);
  };

const hardmax = (line: Float64Array): Float64Array => {
  const best = line.indexOf(line.reduce((a, b) => Math.max(a, b)));
  return line.map((_, i) => (i === best ? 1 : 0));
};

/** (x − mean) / √(variance + ε) over `axes`, with the statistics. */
function standardize(
  x: Array64,
  axes: readonly number[],
  epsilon: number,
): { y: Array64; mean: Array64; inverse: Array64 } {
  const average = reduceLines(x, axes, true, mean);
  const centred = combine([x, average], (a, b) => a - b);
  const inverse = reduceLines(centred, axes, true, (l) => 1 / Math.sqrt(mean(l.map((v) => v * v)) + epsilon));
  return { y: combine([centred, inverse], (a, b) => a * b), mean: average, inverse };
}

const affine = (y: Array64, scale: Array64, bias: Array64 | null): Array64 => {
  const scaled = combine([y, scale], (a, b) => a * b);
  return bias ? combine([scaled, bias], (a, b) => a + b) : scaled;
};

/** A vector of channels, in the shape that broadcasts over axis 1 of a tensor of `rank`. */
const channels = (v: Array64, rank: number): Array64 =>
  withDims(v, rank < 2 ? v.dims : [v.data.length, ...Array<number>(rank - 2).fill(1)]);

const trailing = (c: Call): number[] => {
  const rank = c.at(0).dims.length;
  return [...Array(rank).keys()].slice(normalizeAxis(c.node.int("axis", -1), rank));
};

const layerNormalization: Op = (c) => {
  const { y, mean: average, inverse } = standardize(c.at(0), trailing(c), c.node.float("epsilon", 1e-5));
  return [affine(y, c.at(1), c.maybe(2)), average, inverse];
};

/** With ONNX Runtime's second output, the inverse of the root mean square. */
const rmsNormalization: Op = (c) => {
  const epsilon = c.node.float("epsilon", 1e-5);
  const inverse = reduceLines(c.at(0), trailing(c), true, (l) => 1 / Math.sqrt(mean(l.map((v) => v * v)) + epsilon));
  const normalized = combine([c.at(0), inverse], (a, b) => a * b);
  return [affine(normalized, c.at(1), null), inverse];
};

const batchNormalization: Op = (c) => {
  const x = c.at(0);
  const rank = x.dims.length;
  const epsilon = c.node.float("epsilon", 1e-5);
  const [scale, bias, oldMean, oldVariance] = [1, 2, 3, 4].map((i) => c.at(i)) as [Array64, Array64, Array64, Array64];
  const normalize = (m: Array64, v: Array64): Array64 =>
    affine(
      combine(
        [x, channels(m, rank), channels(v, rank)],
        (a, b, variance) => (a - b) / Math.sqrt(variance + epsilon),
        x.dtype,
      ),
      channels(scale, rank),
      channels(bias, rank),
    );
  if (c.node.int("training_mode", 0) === 0) return normalize(oldMean, oldVariance);
  const axes = [...x.dims.keys()].filter((i) => i !== 1);
  const batchMean = reduceLines(x, axes, false, mean);
  const variance = reduceLines(x, axes, false, (l) => mean(l.map((v) => (v - mean(l)) ** 2)));
  const momentum = c.node.float("momentum", 0.9);
  const running = (old: Array64, now: Array64): Array64 =>
    combine([old, now], (a, b) => a * momentum + b * (1 - momentum));
  return [normalize(batchMean, variance), running(oldMean, batchMean), running(oldVariance, variance)];
};

const instanceNormalization: Op = (c) => {
  const rank = c.at(0).dims.length;
  const { y } = standardize(c.at(0), [...Array(rank).keys()].slice(2), c.node.float("epsilon", 1e-5));
  return affine(y, channels(c.at(1), rank), channels(c.at(2), rank));
};

/** Scale and bias are per channel; before opset 21, per group. */
const groupNormalization: Op = (c) => {
  const x = c.at(0);
  const groups = must(c.node.int("num_groups"), "num_groups");
  const [n, count] = x.dims as [number, number];
  const rest = x.dims.slice(2);
  const split = withDims(x, [n, groups, (count / groups) * sizeOf(rest)]);
  const { y } = standardize(split, [2], c.node.float("epsilon", 1e-5));
  const perChannel = (v: Array64): Array64 =>
    v.data.length === count && c.opset >= 21
      ? channels(v, x.dims.length)
      : channels(withDims(broadcastTo(withDims(v, [groups, 1]), [groups, count / groups]), [count]), x.dims.length);
  return affine(withDims(y, x.dims), perChannel(c.at(1)), perChannel(c.at(2)));
};

const meanVarianceNormalization: Op = (c) => standardize(c.at(0), c.node.ints("axes") ?? [0, 2, 3], 0).y;

const lpNormalization: Op = (c) => {
  const p = c.node.int("p", 2);
  return mapLines(c.at(0), [c.node.int("axis", -1)], (line) => {
    const norm = line.reduce((s, x) => s + Math.abs(x) ** p, 0) ** (1 / p);
    return line.map((x) => (norm === 0 ? 0 : x / norm));
  });
};

/** Local response normalization across channels. */
const lrn: Op = (c) => {
  const x = c.at(0);
  const size = must(c.node.int("size"), "size");
  const [alpha, beta, bias] = [c.node.float("alpha", 1e-4), c.node.float("beta", 0.75), c.node.float("bias", 1)];
  return mapLines(x, [1], (line) =>
    line.map((v, i) => {
      const near = line.slice(Math.max(0, i - Math.floor((size - 1) / 2)), i + Math.ceil((size - 1) / 2) + 1);
      return v / (bias + (alpha / size) * near.reduce((s, n) => s + n * n, 0)) ** beta;
    }),
  );
};

/** −Σ wᵢ logp[i, label] under the reduction; ignored labels weigh nothing. */
function nll(c: Call, logp: Array64): Array64 {
  const labels = c.at(1);
  const weights = c.maybe(2);
  const ignored = c.node.int("ignore_index");
  const [, classes] = logp.dims as [number, number];
  const rest = sizeOf(logp.dims.slice(2));
  const weight = labels.data.map((l) => (l === ignored ? 0 : weights ? weights.data[l]! : 1));
  const losses = labels.data.map((label, i) => {
    if (label === ignored) return 0;
    const [row, column] = [Math.floor(i / rest), i % rest];
    return -weight[i]! * logp.data[(row * classes + label) * rest + column]!;
  });
  const reduction = c.node.string("reduction", "mean");
  if (reduction === "none") return array(logp.dtype, labels.dims, losses);
  const sum = losses.reduce((a, b) => a + b, 0);
  return scalar(reduction === "sum" ? sum : sum / weight.reduce((a, b) => a + b, 0), logp.dtype);
}

const logSoftmax = (line: Float64Array): Float64Array => {
  const total = logSumExp(line);
  return line.map((x) => x - total);
};

const crossEntropy: Op = (c) => {
  const logp = mapLines(c.at(0), [1], logSoftmax);
  return [nll(c, logp), logp];
};

export const normalizations: Record<string, Op> = {
  Softmax: alongAxis((line) => logSoftmax(line).map(Math.exp)),
  LogSoftmax: alongAxis(logSoftmax),
  Hardmax: alongAxis(hardmax),
  LayerNormalization: layerNormalization,
  RMSNormalization: rmsNormalization,
  SimplifiedLayerNormalization: rmsNormalization,
  BatchNormalization: batchNormalization,
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  MeanVarianceNormalization: meanVarianceNormalization,
  LpNormalization: lpNormalization,
  LRN: lrn,
  NegativeLogLikelihoodLoss: (c) => nll(c, c.at(0)),
  SoftmaxCrossEntropyLoss: crossEntropy,
  SoftmaxCrossEntropyLossInternal: crossEntropy,
  Det: (c) => reduceDet(c.at(0)),
};

function reduceDet(x: Array64): Array64 {
  const n = x.dims.at(-1)!;
  const count = x.data.length / (n * n);
  const out = Array.from({ length: count }, (_, k) => determinant(x.data.slice(k * n * n, (k + 1) * n * n), n));
  return map(array(x.dtype, x.dims.slice(0, -2), out), (v) => v);
}

/** By elimination with row pivots. */
function determinant(a: Float64Array, n: number): number {
  let result = 1;
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let r = i + 1; r < n; r++) if (Math.abs(a[r * n + i]!) > Math.abs(a[pivot * n + i]!)) pivot = r;
    if (a[pivot * n + i] === 0) return 0;
    if (pivot !== i) {
      for (let j = 0; j < n; j++) [a[i * n + j], a[pivot * n + j]] = [a[pivot * n + j]!, a[i * n + j]!];
      result = -result;
    }
    result *= a[i * n + i]!;
    for (let r = i + 1; r < n; r++) {
      const factor = a[r * n + i]! / a[i * n + i]!;
      for (let j = i; j < n; j++) a[r * n + j] = a[r * n + j]! - factor * a[i * n + j]!;
    }
  }
  return result;
}
