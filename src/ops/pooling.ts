import { ints, tensorType, type Node } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { must } from "../util/assert.js";
import { freshDim, sizeOf } from "../util/shape.js";
import { elements, geometryOf, inputCotangent, spatial, spatialSizes, type Geometry } from "./convolution.js";
import * as e from "./emit.js";

export const kernelOf = (node: Node): number[] => must(node.ints("kernel_shape"), `kernel_shape of ${node.label}`);

/** `v` as [batch·channels, 1, …]: a window then sums one plane. */
function planes(b: e.B, v: e.V): e.V {
  const shape = e.joinConstants(b, [b.int64s([-1, 1]), spatialSizes(b, v)]);
  return e.reshapeTo(b, v, shape, tensorType(v.dtype, [freshDim(), 1, ...spatial(v)]));
}

/** A kernel of ones over one plane. */
function ones(b: e.B, node: Node, like: e.V): e.V {
  const dims = [1, 1, ...kernelOf(node)];
  return b.constant(Tensor.of(like.dtype, dims, Array<number>(sizeOf(dims)).fill(1)));
}

/** Adds every element of `dy` to all elements of the window of `x` that it stands for. */
export function windowSpread(b: e.B, node: Node, dy: e.V, x: e.V): e.V {
  const g = geometryOf(b, node, x, null);
  return e.reshapeLike(b, inputCotangent(b, planes(b, dy), ones(b, node, dy), planes(b, x), g), x);
}

/** Sums of `x` over the windows of the node. */
export function windowSum(b: e.B, node: Node, x: e.V): e.V {
  const g = geometryOf(b, node, x, null);
  const y = node.output();
  // A window more than ceil_mode asks for is cut off again.
  const ceil = node.int("ceil_mode", 0) !== 0;
  const axes = spatial(x).map((_, i) => i + 2);
  const after = elements(b, g.after, axes);
  const reach = ceil ? after.map((a, i) => e.add(b, a, b.int64s([(g.strides[i] ?? 1) - 1]))) : after;
  const wide = tensorType(x.dtype, [freshDim(), 1, ...axes.map(() => freshDim())]);
  const padded = e.pad(b, planes(b, x), elements(b, g.before, axes), reach, axes, wide);
  const attributes = { strides: ints(g.strides), dilations: ints(g.dilations) };
  const sums = b.op("Conv", [padded, ones(b, node, x)], attributes, { types: [wide] });
  const zeros = b.int64s(axes.map(() => 0));
  const kept = e.slice(b, sums, zeros, spatialSizes(b, y), axes, tensorType(x.dtype, [freshDim(), 1, ...spatial(y)]));
  return e.reshapeLike(b, kept, y);
}

/** How many elements each window of an AveragePool divides by, in a shape that broadcasts against the output. */
export function windowCounts(b: e.B, node: Node, x: e.V): e.V {
  const y = node.output();
  const g = geometryOf(b, node, x, null);
  const kernel = kernelOf(node);
  const included = node.int("count_include_pad", 0) !== 0;
  const floors = node.int("ceil_mode", 0) === 0;
  const unpadded = Array.isArray(g.before) && Array.isArray(g.after) && [...g.before, ...g.after].every((p) => p === 0);
  if (floors && (included || unpadded)) return e.scalarLike(b, sizeOf(kernel), x);
  const counts = kernel.map((k, i) => axisCounts(b, g, x, y, i, k, included));
  return counts.reduce((p, q) => e.mul(b, p, q));
}

/** Along one axis: how many positions of each window lie within the input, or within its padding too. */
function axisCounts(b: e.B, g: Geometry, x: e.V, y: e.V, i: number, k: number, included: boolean): e.V {
  const axes = spatial(x).map((_, j) => j + 2);
  const at = (p: number[] | e.V): e.V => elements(b, p, axes)[i] ?? b.int64s([0]);
  const [before, after, size] = [at(g.before), at(g.after), e.dimOf(b, x, i + 2)];
  const windows = e.rangeTo(b, e.squeeze(b, e.dimOf(b, y, i + 2), [0]));
  const starts = e.sub(b, e.mul(b, windows, b.int64s([g.strides[i] ?? 1])), before);
  const offsets = b.int64s(Array.from({ length: k }, (_, j) => j * (g.dilations[i] ?? 1)));
  const positions = e.add(b, e.unsqueeze(b, starts, [1]), offsets);
  const low = included ? e.neg(b, before) : b.int64s([0]);
  const high = included ? e.add(b, size, after) : size;
  const within = e.and(b, e.greaterOrEqual(b, positions, low), e.less(b, positions, high));
  const counts = e.reduceSum(b, e.cast(b, within, x.dtype), [1], false);
  const following = spatial(x).length - 1 - i;
  return following > 0
    ? e.unsqueeze(
        b,
        counts,
        Array.from({ length: following }, (_, j) => j + 1),
      )
    : counts;
}
