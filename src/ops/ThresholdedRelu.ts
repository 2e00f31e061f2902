import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x where x > α, else 0; y′(α) = 0, as in PyTorch's threshold. */
export const rule: OpRule<"ThresholdedRelu"> = pointwise(
  "ThresholdedRelu",
  10,
  (b, x, _, node) => e.cast(b, e.greater(b, x, e.scalarLike(b, node.float("alpha", 1), x)), x.dtype),
  [
    {
      inputs: [{ shape: [2, 3], avoid: { points: [0.2], distance: 0.1 } }],
      attributes: { alpha: e.float(0.2) },
    },
  ],
);
