import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x + bias below −λ, x − bias above λ, 0 between; y′ = 1 outside, 0 at the ends and between, as in PyTorch. */
export const rule: OpRule<"Shrink"> = pointwise(
  "Shrink",
  9,
  (b, x, _, node) => e.cast(b, e.greater(b, e.abs(b, x), e.scalarLike(b, node.float("lambd", 0.5), x)), x.dtype),
  [{ inputs: [{ shape: [2, 3], avoid: { points: [-0.5, 0.5], distance: 0.1 } }], attributes: { bias: e.float(0.2) } }],
);
