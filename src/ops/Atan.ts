import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = arctan x, y′ = 1/(1 + x²). */
export const rule: OpRule<"Atan"> = pointwise("Atan", 7, (b, x) => e.reciprocal(b, e.shift(b, e.square(b, x), 1)));
