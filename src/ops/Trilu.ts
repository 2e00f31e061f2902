import { int } from "../ir/graph.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y = the upper or lower triangle of x's last two axes, zeros elsewhere. */
export const rule: OpRule<"Trilu"> = {
  op: "Trilu",
  since: 14,
  vjp: ({ b }, node, [dy]) => [
    dy ? b.op("Trilu", [dy, node.inputs[1] ?? null], node.attributes, { types: [dy.type] }) : null,
    null,
  ],
  jvp: "linear",
  infer: like(),
  samples: [
    { inputs: [{ shape: [3, 3] }] },
    {
      name: "lower, shifted, batched",
      inputs: [{ shape: [2, 3, 4] }, { shape: [], dtype: "int64", values: [1], constant: true }],
      attributes: { upper: int(0) },
    },
  ],
};
