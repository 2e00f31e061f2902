import { stepwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = ⌊x⌋: derivative 0. */
export const rule: OpRule<"Floor"> = stepwise("Floor", 13, [{ inputs: [{ shape: [3], values: [0.3, -1.7, 2.2] }] }]);
