import { gelu } from "../../activation.js";
import { composite } from "../../composite.js";
import type { LoweredRule } from "../../rule.js";

/** y = x·Φ(x). */
export const rule: LoweredRule<"Gelu"> = composite({
  op: "Gelu",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => [gelu(b, node.input(0))],
  samples: [{ inputs: [{ shape: [2, 3], range: [-2, 2] }] }],
});
