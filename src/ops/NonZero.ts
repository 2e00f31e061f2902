import { tensorType } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import type { OpRule } from "./rule.js";

/** y = indices of the elements that are not zero, [rank, count]. */
export const rule: OpRule<"NonZero"> = {
  op: "NonZero",
  since: 13,
  vjp: "zero",
  jvp: "zero",
  infer: (node) => [tensorType("int64", [node.input(0).shape?.length ?? freshDim(), freshDim()])],
  samples: [{ inputs: [{ shape: [2, 2], dtype: "bool", values: [1, 0, 1, 1] }] }],
};
