import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = arcosh x, y′ = 1/√(x² − 1). */
export const rule: OpRule<"Acosh"> = pointwise(
  "Acosh",
  9,
  (b, x) => e.reciprocal(b, e.sqrt(b, e.shift(b, e.square(b, x), -1))),
  [{ inputs: [{ shape: [2, 3], range: [1.5, 3] }] }],
);
