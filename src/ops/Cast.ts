import { int, tensorType } from "../ir/graph.js";
import { must } from "../util/assert.js";
import { dtypeCodes, dtypeOfCode, isFloat } from "../util/dtype.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y = x in another dtype: derivatives pass between floating-point types, and end at the others. */
export const rule: OpRule<"Cast"> = {
  op: "Cast",
  since: 13,
  vjp: ({ b }, node, [dy], need) => {
    const from = node.input(0).dtype;
    // A cotangent of quantized numbers is a float too.
    return [dy && need[0] ? e.cast(b, dy, isFloat(from) ? from : dy.dtype) : null];
  },
  jvp: ({ b }, node, [dx]) => {
    const to = node.output().dtype;
    return [dx && isFloat(to) ? e.cast(b, dx, to) : null];
  },
  infer: (node) => [
    tensorType(must(dtypeOfCode(node.int("to", 0)), `${node.label}: a known "to"`), node.input(0).shape),
  ],
  samples: [
    { name: "float to double", inputs: [{ shape: [2, 3] }], attributes: { to: int(dtypeCodes.float64) } },
    {
      name: "float to integer",
      inputs: [{ shape: [3], values: [0.4, 1.6, -2.3] }],
      attributes: { to: int(dtypeCodes.int64) },
    },
    {
      name: "integer to float",
      inputs: [{ shape: [2], dtype: "int64", values: [3, -1] }],
      attributes: { to: int(dtypeCodes.float32) },
    },
  ],
};
