import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = erf x, y′ = 2/√π · exp(−x²); the factor is folded into the exponent, one pass over the data less. */
export const rule: OpRule<"Erf"> = pointwise("Erf", 13, (b, x) =>
  e.exp(b, e.sub(b, e.scalarLike(b, Math.log(2 / Math.sqrt(Math.PI)), x), e.square(b, x))),
);
