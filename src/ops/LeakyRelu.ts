import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x where x > 0, else αx; y′(0) = α, as in PyTorch. */
export const rule: OpRule<"LeakyRelu"> = pointwise(
  "LeakyRelu",
  16,
  (b, x, _, node) =>
    e.where(b, e.isPositive(b, x), e.scalarLike(b, 1, x), e.scalarLike(b, node.float("alpha", 0.01), x)),
  [{ inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }] }],
);
