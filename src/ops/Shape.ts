import { int, tensorType } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import type { OpRule } from "./rule.js";

/** y = the shape of x, or a slice of it. */
export const rule: OpRule<"Shape"> = {
  op: "Shape",
  since: 15,
  vjp: "zero",
  jvp: "zero",
  infer: (node) => {
    const dims = node.input(0).shape?.slice(node.int("start", 0), node.int("end"));
    return [tensorType("int64", [dims ? dims.length : freshDim()])];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }] },
    { name: "slice", inputs: [{ shape: [2, 3, 4] }], attributes: { start: int(-2), end: int(-1) } },
  ],
};
