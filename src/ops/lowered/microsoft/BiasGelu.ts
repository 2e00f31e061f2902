import { gelu } from "../../activation.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = z·Φ(z), z = x + bias. */
export const rule: LoweredRule<"BiasGelu"> = composite({
  op: "BiasGelu",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => [gelu(b, e.add(b, node.input(0), node.input(1)))],
  samples: [{ inputs: [{ shape: [2, 2, 3] }, { shape: [3] }] }],
});
