import { int, tensorType } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y[i, j, …] = x[…, indices[i, j, …] at the axis, …]. */
export const rule: OpRule<"GatherElements"> = {
  op: "GatherElements",
  since: 13,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null, null];
    const zeros = e.fullLike(b, 0, node.input(0), dy.dtype);
    return [e.scatterElementsAdd(b, zeros, node.input(1), dy, node.int("axis", 0)), null];
  },
  jvp: "linear",
  infer: (node) => [tensorType(node.input(0).dtype, node.input(1).shape)],
  samples: [
    { inputs: [{ shape: [3, 2] }, { shape: [2, 2], dtype: "int64", values: [0, 2, 0, -1] }] },
    {
      name: "last axis",
      inputs: [{ shape: [2, 3] }, { shape: [2, 4], dtype: "int64", values: [0, 0, 2, 1, 2, 2, 2, 1] }],
      attributes: { axis: int(-1) },
    },
  ],
};
