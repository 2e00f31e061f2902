import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y = the mean of each channel of each example. */
export const rule: OpRule<"GlobalAveragePool"> = {
  op: "GlobalAveragePool",
  since: 1,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null];
    const x = node.input(0);
    const axes = x.dims.slice(2).map((_, i) => i + 2);
    return [e.expandLike(b, e.div(b, dy, e.countOf(b, x, axes)), x)];
  },
  jvp: "linear",
  samples: [{ inputs: [{ shape: [2, 3, 2, 4] }] }, { name: "one axis", inputs: [{ shape: [2, 3, 4] }] }],
};
