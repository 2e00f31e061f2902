import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = 1/x, y′ = −y². */
export const rule: OpRule<"Reciprocal"> = pointwise("Reciprocal", 13, (b, _, y) => e.neg(b, e.square(b, y)), [
  { inputs: [{ shape: [2, 3], range: [0.5, 2] }] },
  { inputs: [{ shape: [2], range: [-2, -0.5] }] },
]);
