import { gelu } from "../../activation.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = z·Φ(z), approximated by tanh; z = x, or x + bias. */
export const rule: LoweredRule<"FastGelu"> = composite({
  op: "FastGelu",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [x, bias] = [node.input(0), node.inputs[1]];
    return [gelu(b, bias ? e.add(b, x, bias) : x, "tanh")];
  },
  samples: [{ inputs: [{ shape: [2, 3] }] }, { name: "with a bias", inputs: [{ shape: [2, 2, 3] }, { shape: [3] }] }],
});
