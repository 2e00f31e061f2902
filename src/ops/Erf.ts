import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = erf x, y′ = 2/√π · exp(−x²). */
export const rule: OpRule<"Erf"> = pointwise("Erf", 13, (b, x) =>
  e.scale(b, e.exp(b, e.neg(b, e.square(b, x))), 2 / Math.sqrt(Math.PI)),
);
