import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = arcsin x, y′ = 1/√(1 − x²). */
export const rule: OpRule<"Asin"> = pointwise(
  "Asin",
  7,
  (b, x) => e.reciprocal(b, e.sqrt(b, e.sub(b, e.scalarLike(b, 1, x), e.square(b, x)))),
  [{ inputs: [{ shape: [2, 3], range: [-0.8, 0.8] }] }],
);
