import { stepwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = sign x: derivative 0. */
export const rule: OpRule<"Sign"> = stepwise("Sign", 13, [
  { inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }] },
]);
