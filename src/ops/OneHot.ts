import { int } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y = values[1] at the indices along a new axis, values[0] elsewhere. */
export const rule: OpRule<"OneHot"> = {
  op: "OneHot",
  since: 11,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy || !need[2]) return [null, null, null];
    const units = e.floats(b, [0, 1], dy);
    const hot = b.op("OneHot", [node.input(0), node.input(1), units], node.attributes, { types: [node.output().type] });
    const on = e.sumAll(b, e.mul(b, dy, hot));
    const off = e.sub(b, e.sumAll(b, dy), on);
    return [null, null, e.concat(b, [e.unsqueeze(b, off, [0]), e.unsqueeze(b, on, [0])], 0)];
  },
  jvp: ({ b }, node, [, , dv]) => [
    dv ? b.op("OneHot", [node.input(0), node.input(1), dv], node.attributes, { types: [node.output().type] }) : null,
  ],
  samples: [
    {
      inputs: [
        { shape: [3], dtype: "int64", values: [0, 2, -1] },
        { shape: [], dtype: "int64", values: [4], constant: true },
        { shape: [2] },
      ],
      attributes: { axis: int(-1) },
    },
    {
      name: "first axis",
      inputs: [
        { shape: [2], dtype: "int64", values: [1, 0] },
        { shape: [], dtype: "int64", values: [3], constant: true },
        { shape: [2], values: [0, 1], constant: true },
      ],
      attributes: { axis: int(0) },
    },
  ],
};
