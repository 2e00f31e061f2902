import { vjp } from "../autodiff/reverse.js";
import { int, ints, tensorType, type Value } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { invariant, must } from "../util/assert.js";
import { isStatic } from "../util/shape.js";
import type { Layer } from "./layers.js";

/** Whose labels the back-propagated gradients are of: drawn from the model's own distribution, or the true ones. */
export type Fisher = "sampled" | "empirical";

/** Side of A: a bias counts as one more input, which is always 1. */
const inputSize = (layer: Layer): number => layer.inputs + (layer.bias === null ? 0 : 1);

/** Shape of A: one-hot inputs leave a diagonal, kept as one 1 × 1 matrix an entry. */
export const inputFactorShape = (layer: Layer): readonly number[] =>
  layer.kind === "embedding" ? [layer.inputs, 1, 1] : [inputSize(layer), inputSize(layer)];

export const outputFactorShape = ({ outputs }: Layer): readonly number[] => [outputs, outputs];

/**
 * A = mean of ā āᵀ over the rows of the layer's input, ā = (a, 1) where there is a bias: [d, d]; for an embedding the share
 * of each entry among the ids, [entries, 1, 1]. Tokens count as examples (the "expand" setting of Eschenhagen et al. 2023), and so
 * do the places of a convolution, whose a is the patch under the kernel (Grosse & Martens 2016). The mean over places
 * instead of their sum is made up for in S: the damped product of both is the same.
 */
export function inputFactor(b: RuleBuilder, layer: Layer, input: Value): Value {
  if (layer.kind === "embedding") {
    const ids = e.reshape(b, input, [-1]);
    const share = e.reciprocal(b, e.cast(b, e.size(b, ids), "float32"));
    const zeros = b.constant(Tensor.of("float32", [layer.inputs], Array<number>(layer.inputs).fill(0)), "no_entry");
    const shares = e.scatterElementsAdd(b, zeros, ids, e.expandLike(b, share, ids), 0);
    return e.reshape(b, shares, [layer.inputs, 1, 1]);
  }
  const rows = inputRows(b, layer, input);
  const count = e.countOf(b, rows, [0]);
  const second = e.div(b, e.matmul(b, e.transposeLast(b, rows), rows), count);
  if (layer.bias === null) return second;
  const first = e.reduceMean(b, rows, [0], true);
  const one = b.constant(Tensor.of(rows.dtype, [1, 1], [1]));
  const top = e.concat(b, [second, e.transposeLast(b, first)], 1);
  return e.concat(b, [top, e.concat(b, [first, one], 1)], 0);
}

/** The rows a, [rows, inputs]: one for each example, token or place. */
export const inputRows = (b: RuleBuilder, layer: Layer, input: Value): Value =>
  layer.kind === "convolution" ? patches(b, layer, input) : e.reshape(b, input, [-1, layer.inputs]);

/** Every patch that a convolution sees, as rows [images × places, channels × kernel]: a depthwise Conv with one-hot kernels. */
function patches(b: RuleBuilder, layer: Layer, images: Value): Value {
  const { kernel, attributes } = must(layer.window, "the window of a convolution");
  const channels = images.dims[1];
  const places = kernel.reduce((n, k) => n * k, 1);
  invariant(typeof channels === "number", `the channels of "${images.name}" are not known`);
  const weights = new Float64Array(channels * places * places);
  for (let c = 0; c < channels; c++) for (let k = 0; k < places; k++) weights[(c * places + k) * places + k] = 1;
  const oneHot = b.constant(Tensor.of(images.dtype, [channels * places, 1, ...kernel], [...weights]), "patches");
  const seen = b.op(
    "Conv",
    [images, oneHot],
    { ...attributes, kernel_shape: ints(kernel), group: int(channels) },
    {
      types: [
        tensorType(images.dtype, [images.dims[0] ?? 1, channels * places, ...kernel.map((_, i) => `?patch${i}`)]),
      ],
    },
  );
  return e.reshape(b, channelsLast(b, seen), [-1, channels * places]);
}

/** [images, channels, …] as [images, …, channels]. */
const channelsLast = (b: RuleBuilder, x: Value): Value =>
  e.transpose(b, x, [0, ...Array.from({ length: x.dims.length - 2 }, (_, i) => i + 2), 1]);

/** The rows s of a cotangent of the layer's output, in the order of the rows a: [rows, outputs]. */
export const outputRows = (b: RuleBuilder, layer: Layer, cotangent: Value): Value =>
  e.reshape(b, layer.kind === "convolution" ? channelsLast(b, cotangent) : cotangent, [-1, layer.outputs]);

/**
 * S = N Σ s sᵀ over rows, for the cotangents s = ∂L/∂y of a loss that is a mean over N examples: the per-example gradients
 * are N s, and their second moment N⁻¹ Σ (N s)(N s)ᵀ. [outputs, outputs].
 */
export function outputFactor(b: RuleBuilder, layer: Layer, cotangent: Value, weight: Value): Value {
  const rows = outputRows(b, layer, cotangent);
  return e.mul(b, e.matmul(b, e.transposeLast(b, rows), rows), weight);
}

/** The cotangents of the outputs of layers: of `seeds` at `from`, as far as these values. Zeros where nothing comes back. */
export function tapped(b: RuleBuilder, from: Value, seed: Value, outputs: readonly Value[]): Value[] {
  const found = vjp(b, [from], [seed], [], outputs);
  return outputs.map((y, i) => found[i] ?? e.fullLike(b, 0, y));
}

/** The weight of a layer, or what has its shape, as the matrix [inputs, outputs], and its bias as one more row. */
export function asMatrix(b: RuleBuilder, layer: Layer, weight: Value, bias: Value | null): Value {
  const flat = e.reshape(b, weight, layer.outputsFirst ? [layer.outputs, layer.inputs] : [layer.inputs, layer.outputs]);
  const matrix = layer.outputsFirst ? e.transposeLast(b, flat) : flat;
  return bias ? e.concat(b, [matrix, e.reshape(b, bias, [1, layer.outputs])], 0) : matrix;
}

/** The way back of `asMatrix`. */
export function fromMatrix(
  b: RuleBuilder,
  layer: Layer,
  matrix: Value,
  like: Value,
): { weight: Value; bias: Value | null } {
  const rows = b.int64s([layer.inputs]);
  const type = (n: number, m: number): ReturnType<typeof tensorType> => tensorType(matrix.dtype, [n, m]);
  const { inputs, outputs } = layer;
  const top = layer.bias === null ? matrix : e.slice(b, matrix, b.int64s([0]), rows, [0], type(inputs, outputs));
  const turned = layer.outputsFirst ? e.transposeLast(b, top) : top;
  const shape = like.dims;
  invariant(isStatic(shape), `the shape of "${layer.weight}" is not known`);
  const weight = e.reshape(b, turned, shape);
  if (layer.bias === null) return { weight, bias: null };
  const row = e.slice(b, matrix, rows, b.int64s([inputs + 1]), [0], type(1, outputs));
  return { weight, bias: e.reshape(b, row, [outputs]) };
}

/** A⁻¹ G S⁻¹, the natural gradient of the layer under these factors. */
export function precondition(b: RuleBuilder, layer: Layer, gradient: Value, inverseA: Value, inverseS: Value): Value {
  const left =
    layer.kind === "embedding"
      ? e.mul(b, e.reshape(b, inverseA, [layer.inputs, 1]), gradient)
      : e.matmul(b, inverseA, gradient);
  return e.matmul(b, left, inverseS);
}
