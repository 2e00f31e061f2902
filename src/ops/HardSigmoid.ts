import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = clip(αx + β, 0, 1); y′ = α strictly inside, as in PyTorch. */
export const rule: OpRule<"HardSigmoid"> = pointwise(
  "HardSigmoid",
  6,
  (b, x, y, node) => {
    const one = e.scalarLike(b, 1, x);
    const zero = e.scalarLike(b, 0, x);
    const inside = e.and(b, e.greater(b, y, zero), e.less(b, y, one));
    return e.where(b, inside, e.scalarLike(b, node.float("alpha", 0.2), x), zero);
  },
  [{ inputs: [{ shape: [2, 3], avoid: { points: [-2.5, 2.5], distance: 0.2 }, range: [-4, 4] }] }],
);
