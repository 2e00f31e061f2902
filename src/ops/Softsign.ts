import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x/(1 + |x|), y′ = 1/(1 + |x|)². */
export const rule: OpRule<"Softsign"> = pointwise(
  "Softsign",
  1,
  (b, x) => e.square(b, e.reciprocal(b, e.shift(b, e.abs(b, x), 1))),
  [{ inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }] }],
);
