import { int, tensorType } from "../ir/graph.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** The slices of x (its elements, where no axis is given) for which the condition is true. */
export const rule: OpRule<"Compress"> = composite({
  op: "Compress",
  since: 11,
  decompose: (b, node) => {
    const found = b.op("NonZero", [node.input(1)], {}, { types: [tensorType("int64", [1, "?chosen"])] });
    const axis = node.int("axis");
    const x = axis === undefined ? e.reshape(b, node.input(0), [-1]) : node.input(0);
    return [e.gather(b, x, e.squeeze(b, found, [0]), axis ?? 0)];
  },
  samples: [
    {
      inputs: [{ shape: [3, 2] }, { shape: [3], dtype: "bool", values: [1, 0, 1], constant: true }],
      attributes: { axis: int(0) },
    },
    { name: "elements", inputs: [{ shape: [2, 2] }, { shape: [3], dtype: "bool", values: [0, 1, 1] }] },
  ],
});
