import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x·t with t = tanh(softplus x); y′ = t + x(1 − t²)σ(x). */
export const rule: OpRule<"Mish"> = pointwise("Mish", 18, (b, x) => {
  const t = e.tanh(b, b.op("Softplus", [x]));
  const slope = e.mul(b, e.sub(b, e.scalarLike(b, 1, x), e.square(b, t)), e.sigmoid(b, x));
  return e.add(b, t, e.mul(b, x, slope));
});
