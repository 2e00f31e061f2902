import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x where x > 0, else α(eˣ − 1); y′ = y + α below 0 and at 0, as in PyTorch. */
export const rule: OpRule<"Elu"> = pointwise(
  "Elu",
  6,
  (b, x, y, node) => e.where(b, e.isPositive(b, x), e.scalarLike(b, 1, x), e.shift(b, y, node.float("alpha", 1))),
  [
    { inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }] },
    {
      name: "alpha",
      inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }],
      attributes: { alpha: e.float(0.5) },
    },
  ],
);
