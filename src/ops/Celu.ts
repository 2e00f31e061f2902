import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x where x > 0, else α(exp(x/α) − 1); y′ = y/α + 1 below 0 and at 0, as in PyTorch. */
export const rule: OpRule<"Celu"> = pointwise(
  "Celu",
  12,
  (b, x, y, node) =>
    e.where(b, e.isPositive(b, x), e.scalarLike(b, 1, x), e.shift(b, e.scale(b, y, 1 / node.float("alpha", 1)), 1)),
  [
    { inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }] },
    {
      name: "alpha",
      inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }],
      attributes: { alpha: e.float(0.5) },
    },
  ],
);
