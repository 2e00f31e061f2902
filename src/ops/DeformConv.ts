import { int, ints, string, tensorType, type Node } from "../ir/graph.js";
import { check } from "../util/assert.js";
import { freshDim, type Dim } from "../util/shape.js";
import { composite } from "./composite.js";
import { alongChannels, spatial } from "./convolution.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { eachImage, linearTaps, pixelsOf, readPixels, type Tap } from "./sampling.js";

/** Where the positions of the kernel lie before they are moved, along one axis: [kernel, 1, 1] + [out, 1] or [1, out]. */
function resting(b: e.B, node: Node, kernel: readonly number[], axis: number, out: e.V, like: e.V): e.V {
  const stride = node.ints("strides")?.[axis] ?? 1;
  const dilation = node.ints("dilations")?.[axis] ?? 1;
  const before = node.ints("pads")?.[axis] ?? 0;
  const [rows = 1, columns = 1] = kernel;
  const steps = Array.from({ length: rows * columns }, (_, k) => (axis === 0 ? Math.floor(k / columns) : k % columns));
  const inKernel = e.floats(
    b,
    steps.map((k) => k * dilation - before),
    like,
  );
  const windows = e.scale(b, e.cast(b, e.rangeTo(b, e.squeeze(b, out, [0])), like.dtype), stride);
  return e.add(b, e.unsqueeze(b, inKernel, [1, 2]), axis === 0 ? e.unsqueeze(b, windows, [1]) : windows);
}

/**
 * y = a convolution whose every position is moved by an offset, and weighted by a mask: x is read between pixels, zeros
 * outside (Dai et al. 2017; Zhu et al. 2019). At a pixel the slope by the offset is the one on its right, as in torchvision.
 */
export const rule: OpRule<"DeformConv"> = composite({
  op: "DeformConv",
  since: 19,
  decompose: (b, node) => {
    const [x, w, offset, bias, mask, y] = [
      node.input(0),
      node.input(1),
      node.input(2),
      node.inputs[3],
      node.inputs[4],
      node.output(),
    ];
    const kernel = spatial(w).map((k) => {
      check(typeof k === "number", () => `${node.label}: a derivative needs a kernel of known size`);
      return k;
    });
    const [channels] = x.dims.slice(1);
    check(kernel.length === 2, () => `${node.label}: only two spatial axes have a derivative here`);
    check(typeof channels === "number", () => `${node.label}: a derivative needs to know the number of channels`);
    const [positions, parts, group] = [
      kernel.reduce((p, k) => p * k, 1),
      node.int("offset_group", 1),
      node.int("group", 1),
    ];
    const [batch, rows, columns] = [e.dimOf(b, y, 0), e.dimOf(b, y, 2), e.dimOf(b, y, 3)];
    const [n, , height, width] = y.dims as [Dim, Dim, Dim, Dim];
    const shaped = (v: e.V, dims: number[]): e.V =>
      e.reshapeTo(
        b,
        v,
        e.joinConstants(b, [batch, b.int64s(dims), rows, columns]),
        tensorType(v.dtype, [n, ...dims, height, width]),
      );
    const moves = shaped(offset, [parts, positions, 2]);
    const weights = mask && shaped(mask, [parts, positions]);
    const at = [resting(b, node, kernel, 0, rows, offset), resting(b, node, kernel, 1, columns, offset)];
    const size = channels / parts;
    const read = Array.from({ length: parts }, (_, part) => {
      const type = tensorType(x.dtype, [n, size, ...spatial(x)]);
      const own = parts === 1 ? x : e.slice(b, x, b.int64s([part * size]), b.int64s([(part + 1) * size]), [1], type);
      const moved = e.gather(b, moves, b.scalar(part, "int64"), 1);
      const taps: Tap[][] = at.map((place, axis) =>
        linearTaps(b, e.add(b, place, e.gather(b, moved, b.scalar(axis, "int64"), 2))),
      );
      const image = e.unsqueeze(b, eachImage(b, x), [2, 3]);
      const values = readPixels(b, pixelsOf(b, own), image, taps, "zeros");
      const weight = weights && e.gather(b, weights, b.scalar(part, "int64"), 1);
      return weight ? e.mul(b, values, e.unsqueeze(b, weight, [4])) : values;
    });
    const columnsOf = e.concat(b, read, 4);
    const perGroup = channels / group;
    const filters = w.dims[0] ?? 1;
    const each: Dim = typeof filters === "number" ? filters / group : freshDim();
    const patches = e.reshapeTo(
      b,
      columnsOf,
      e.joinConstants(b, [batch, b.int64s([positions]), rows, columns, b.int64s([group, perGroup])]),
      tensorType(x.dtype, [n, positions, height, width, group, perGroup]),
    );
    const kernels = e.reshapeTo(
      b,
      w,
      b.int64s([group, -1, perGroup, positions]),
      tensorType(w.dtype, [group, each, perGroup, positions]),
    );
    const products = b.op("Einsum", [patches, kernels], { equation: string("nkhwgc,gock->ngohw") });
    const result = e.reshapeTo(b, products, e.shapeOf(b, y), y.type);
    return [bias ? e.add(b, result, alongChannels(b, bias, y)) : result];
  },
  samples: [
    {
      inputs: [
        { shape: [1, 2, 4, 4], fixed: [1] },
        { shape: [2, 2, 2, 2], fixed: [2, 3] },
        { shape: [1, 8, 3, 3], avoid: kinks() },
      ],
    },
    {
      name: "padded, strided, masked, with a bias",
      inputs: [
        { shape: [2, 2, 3, 4], fixed: [1] },
        { shape: [3, 2, 2, 2], fixed: [2, 3] },
        { shape: [2, 8, 2, 2], avoid: kinks() },
        { shape: [3] },
        { shape: [2, 4, 2, 2] },
      ],
      attributes: { pads: ints([1, 0, 0, 1]), strides: ints([2, 2]) },
    },
    {
      name: "groups of channels and of offsets",
      inputs: [
        { shape: [1, 4, 3, 3], fixed: [1] },
        { shape: [4, 2, 2, 1], fixed: [2, 3] },
        { shape: [1, 8, 1, 3], avoid: kinks() },
      ],
      attributes: { group: int(2), offset_group: int(2), dilations: ints([2, 1]) },
    },
  ],
});

function kinks() {
  return { points: [-1, 0, 1], distance: 0.02 };
}
