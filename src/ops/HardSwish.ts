import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x·clip(x/6 + ½, 0, 1); y′ = 0 up to −3, 1 from 3 on, both of them included as in PyTorch, x/3 + ½ between. */
export const rule: OpRule<"HardSwish"> = pointwise(
  "HardSwish",
  14,
  (b, x) => {
    const low = e.lessOrEqual(b, x, e.scalarLike(b, -3, x));
    const high = e.greaterOrEqual(b, x, e.scalarLike(b, 3, x));
    const inner = e.shift(b, e.scale(b, x, 1 / 3), 0.5);
    return e.where(b, low, e.scalarLike(b, 0, x), e.where(b, high, e.scalarLike(b, 1, x), inner));
  },
  [{ inputs: [{ shape: [2, 3], avoid: { points: [-3, 3], distance: 0.2 }, range: [-5, 5] }] }],
);
