import { tensorType } from "../ir/graph.js";
import type { OpRule } from "./rule.js";
import { shapeOrFresh } from "./shapes.js";

/** y = one value everywhere, in a given shape. */
export const rule: OpRule<"ConstantOfShape"> = {
  op: "ConstantOfShape",
  since: 21,
  vjp: "zero",
  jvp: "zero",
  infer: (node, constants) => [
    tensorType(node.tensor("value")?.dtype ?? "float32", shapeOrFresh(constants, node.input(0))),
  ],
  samples: [{ inputs: [{ shape: [2], dtype: "int64", values: [2, 3], constant: true }] }],
};
