import { float } from "../../../ir/graph.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = x·σ(αx). */
export const rule: LoweredRule<"QuickGelu"> = composite({
  op: "QuickGelu",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const x = node.input(0);
    return [e.mul(b, x, e.sigmoid(b, e.scale(b, x, node.float("alpha", 1.702))))];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }] },
    { name: "alpha = 1", inputs: [{ shape: [2, 3] }], attributes: { alpha: float(1) } },
  ],
});
