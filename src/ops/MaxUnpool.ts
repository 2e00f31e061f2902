import { ints, tensorType } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/**
 * x put back at the positions that a MaxPool took it from. The adjoint reads dy there: which element of x lies at each
 * place is found by putting back their numbers, counted from one (exact in float32 up to 2²⁴ elements).
 */
export const rule: OpRule<"MaxUnpool"> = {
  op: "MaxUnpool",
  since: 11,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null, null, null];
    const x = node.input(0);
    const numbers = e.cast(b, e.add(b, e.positions(b, x), b.int64s([1])), x.dtype);
    const placed = b.op("MaxUnpool", [e.reshapeLike(b, numbers, x), ...node.inputs.slice(1)], node.attributes, {
      types: [node.output().type],
    });
    const places = e.reshape(b, e.cast(b, placed, "int64"), [-1]);
    const count = e.unsqueeze(b, e.add(b, e.size(b, x), b.scalar(1, "int64")), [0]);
    const zeros = e.expand(b, e.scalarLike(b, 0, dy), count, tensorType(dy.dtype, ["?places"]));
    const sums = e.scatterElementsAdd(b, zeros, places, e.reshape(b, dy, [-1]), 0);
    const rest = e.slice(b, sums, b.int64s([1]), count, [0], tensorType(dy.dtype, ["?elements"]));
    return [e.reshapeTo(b, rest, e.shapeOf(b, x), x.type), null, null];
  },
  jvp: "linear",
  samples: [
    {
      inputs: [{ shape: [1, 1, 2, 2] }, { shape: [1, 1, 2, 2], dtype: "int64", values: [5, 7, 13, 15] }],
      attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
    },
  ],
};
