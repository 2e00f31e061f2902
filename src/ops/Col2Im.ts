import { ints, tensorType } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { check } from "../util/assert.js";
import { freshDim, sizeOf } from "../util/shape.js";
import { spatialSizes } from "./convolution.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { constantNumbers } from "./shapes.js";

/** Patches added where they came from. The adjoint takes them: a convolution with one kernel for every place of a patch. */
export const rule: OpRule<"Col2Im"> = {
  op: "Col2Im",
  since: 18,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null, null, null];
    const block = constantNumbers(b, node.input(2));
    check(block, () => `${node.label}: its block_shape is computed; a derivative needs it constant`);
    const k = sizeOf(block);
    const identity = Array.from({ length: k * k }, (_, i) => (i % (k + 1) === 0 ? 1 : 0));
    const kernels = b.constant(Tensor.of(dy.dtype, [k, 1, ...block], identity));
    const plane = e.joinConstants(b, [b.int64s([-1, 1]), spatialSizes(b, dy)]);
    const planes = e.reshapeTo(b, dy, plane, tensorType(dy.dtype, [freshDim(), 1, ...dy.dims.slice(2)]));
    const types = [tensorType(dy.dtype, [freshDim(), k, ...block.map(() => freshDim())])];
    const patches = b.op("Conv", [planes, kernels], node.attributes, { types });
    return [e.reshapeTo(b, patches, e.shapeOf(b, node.input(0)), node.input(0).type), null, null];
  },
  jvp: "linear",
  samples: [
    {
      inputs: [
        { shape: [2, 8, 6] },
        { shape: [2], dtype: "int64", values: [3, 4], constant: true },
        { shape: [2], dtype: "int64", values: [2, 2], constant: true },
      ],
    },
    {
      name: "padded, strided",
      inputs: [
        { shape: [1, 3, 3] },
        { shape: [1], dtype: "int64", values: [5], constant: true },
        { shape: [1], dtype: "int64", values: [3], constant: true },
      ],
      attributes: { pads: ints([1, 1]), strides: ints([2]) },
    },
  ],
};
