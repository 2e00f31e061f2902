import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = 1/(1 + e⁻ˣ), y′ = y(1 − y). */
export const rule: OpRule<"Sigmoid"> = pointwise("Sigmoid", 13, (b, _, y) =>
  e.mul(b, y, e.sub(b, e.scalarLike(b, 1, y), y)),
);
