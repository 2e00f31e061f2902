import { tensorType } from "../ir/graph.js";
import { isFloat } from "../util/dtype.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y = x in the dtype of another tensor. */
export const rule: OpRule<"CastLike"> = {
  op: "CastLike",
  since: 21,
  vjp: ({ b }, node, [dy]) => {
    const from = node.input(0).dtype;
    return [dy && isFloat(from) ? e.cast(b, dy, from) : null, null];
  },
  jvp: ({ b }, node, [dx]) => {
    const to = node.output().dtype;
    return [dx && isFloat(to) ? e.cast(b, dx, to) : null];
  },
  infer: (node) => [tensorType(node.input(1).dtype, node.input(0).shape)],
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [1] }] },
    {
      name: "to an integer",
      inputs: [
        { shape: [2], values: [0.4, 1.6] },
        { shape: [1], dtype: "int64", values: [0] },
      ],
    },
  ],
};
